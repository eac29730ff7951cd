# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Crypto mode: the kernel encapsulates and keeps the window, the device only
# encrypts and decrypts. Sourced by run.sh.

crypto() { # FAM MODE ESN TYPE-OF-B
	local tx rx
	modprobe esp4 && modprobe esp6
	duo fam="$1" mode="$2" esn="$3" type=crypto typeb="$4" || die "not installed"
	tx=$(stat p0 tx_crypto) rx=$(stat p0 rx_crypto)
	ping_all A "$(addr B "$1")" 5
	ping_all B "$(addr A "$1")" 5 -s 1200
	no_leak
	# at least: over IPv6 the kernel may probe a neighbour in between
	[ $(($(stat p0 tx_crypto) - tx)) -ge 10 ] || die "p0 encrypted $(($(stat p0 tx_crypto) - tx)) of 10"
	[ $(($(stat p0 rx_crypto) - rx)) -ge 10 ] || die "p0 decrypted $(($(stat p0 rx_crypto) - rx)) of 10"
	( bulk A B "$(addr B "$1")" 2000000 ) || { cat $DBG/p?/sas; in_ns A awk '$2 > 0' /proc/net/xfrm_stat; in_ns B awk '$2 > 0' /proc/net/xfrm_stat; exit 1; }
	bulk B A "$(addr A "$1")" 2000000
	no_leak
}
check "crypto: IPv4 tunnel, ESN" crypto 4 tunnel 1 crypto
check "crypto: IPv4 transport, no ESN" crypto 4 transport 0 crypto
check "crypto: IPv6 tunnel, no ESN" crypto 6 tunnel 0 crypto
check "crypto: IPv6 transport, ESN" crypto 6 transport 1 crypto
check "crypto: IPv4 tunnel, ESN, against the kernel's ESP" crypto 4 tunnel 1 soft
check "crypto: IPv6 transport, ESN, against the kernel's ESP" crypto 6 transport 1 soft
check "crypto: IPv4 tunnel, against packet mode" crypto 4 tunnel 1 packet

crypto_wrap() { # the kernel numbers across 2^32
	sa A out 0x1001 type=crypto opt="replay-oseq 0xfffffff0" && sa B in 0x1001 type=crypto opt="replay-seq 0xfffffff0" &&
		sa A in 0x1002 type=crypto && sa B out 0x1002 type=crypto || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2 type=soft && duo_policies B 10.0.0.2 10.0.0.1 type=soft || die "policies"
	ping_all A 10.0.0.2 40
}
check "crypto: ESN across 2^32" crypto_wrap

crypto_faults() {
	local before out
	duo type=crypto || die "not installed"
	before=$(mib B XfrmInStateSeqError)
	knob p0 duplicate_next 2
	ping_all A 10.0.0.2 3
	[ "$(mib B XfrmInStateSeqError)" = $((before + 2)) ] || die "the kernel dropped no replay"
	before=$(sa_field p1 0x1001 auth_fail)
	knob p0 corrupt_next 2
	out=$(in_ns A ping -q -c 4 -i 0.1 -W 1 10.0.0.2)
	case $out in *" 2 received"*) ;; *) die "$out" ;; esac
	[ "$(sa_field p1 0x1001 auth_fail)" = $((before + 2)) ] || die "auth_fail"
}
check "crypto: replays are the kernel's to drop, bad ICVs the device's" crypto_faults
