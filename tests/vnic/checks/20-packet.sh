# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Packet mode on the wire: both families, both modes, with and without ESN,
# forwarding, bulk data, ESP in UDP, and against the kernel's own ESP. Sourced
# by run.sh.

packet() { # FAM MODE ESN KEY
	local fam=$1 mode=$2 esn=$3 key=$4 m proto
	duo fam="$fam" mode="$mode" esn="$esn" win=$((esn * 64)) key="$key" || die "not installed"
	m=$(wire_mark)
	ping_all A "$(addr B "$fam")" 5
	no_leak
	[ "$(sa_field p0 0x1001 packets)" = 5 ] || die "p0 sent $(sa_field p0 0x1001 packets) packets"
	[ "$(sa_field p1 0x1001 packets)" = 5 ] || die "p1 received $(sa_field p1 0x1001 packets) packets"
	[ "$(sa_field p0 0x1001 oseq)" = 5 ] || die "the first number was not 1"
	proto=$([ "$fam" = 4 ] && echo IPv4 || echo IPv6)
	[ "$(wire_since "$m" | grep "$proto" | grep -c 'ESP(spi=0x0000100[12]')" = 10 ] ||
		die "the tap saw: $(wire_since "$m")"
	wire_since "$m" | grep -q 'ICMP.*echo' && die "clear echo on the wire"
	:
}
for fam in 4 6; do
	for mode in tunnel transport; do
		for esn in 1 0; do
			check "packet: IPv$fam $mode, ESN $esn" packet $fam $mode $esn $KEY128
		done
	done
done
check "packet: AES-256" packet 4 tunnel 1 $KEY256

# The kernel's ESP at one end shows that the device's is ESP, not just its own inverse.
interop() { # FAM MODE ESN
	local lost
	modprobe esp4 && modprobe esp6
	duo fam="$1" mode="$2" esn="$3" win=64 typeb=soft || die "not installed"
	ping_all A "$(addr B "$1")" 5
	ping_all B "$(addr A "$1")" 5 -s 1200
	no_leak
	bulk A B "$(addr B "$1")" 1000000
	bulk B A "$(addr A "$1")" 1000000
	no_leak
	lost=$(in_ns B awk '$2 > 0' /proc/net/xfrm_stat | grep -v Acq)
	[ -z "$lost" ] || [ "$lost" = "$SOFT_BEFORE" ] || die "B's kernel had errors: $lost"
}
SOFT_BEFORE=$(in_ns B awk '$2 > 0' /proc/net/xfrm_stat | grep -v Acq)
for fam in 4 6; do
	for mode in tunnel transport; do
		check "interop: IPv$fam $mode, ESN, against the kernel's ESP" interop $fam $mode 1
	done
done
check "interop: IPv4 tunnel, no ESN, against the kernel's ESP" interop 4 tunnel 0

forward() { # FAM
	local net=10.2.0.2 src=10.1.0.2
	[ "$1" = 6 ] && net=fd02::2 src=fd01::2
	duo fam="$1" net=1 || die "not installed"
	ping_all H1 $net 5
	ping_all H2 $src 5 -s 1200
	no_leak
	bulk H1 H2 $net 2000000
	bulk H2 H1 $src 2000000
	no_leak
	[ "$(sa_field p1 0x1001 packets)" -gt 1000 ] || die "B's device received $(sa_field p1 0x1001 packets)"
}
check "forward: IPv4 through two gateways, ping and TCP" forward 4
check "forward: IPv6 through two gateways, ping and TCP" forward 6

gso() { # FAM MODE
	local before
	duo fam="$1" mode="$2" || die "not installed"
	before=$(stat p1 rx_too_big)
	bulk A B "$(addr B "$1")" 8000000
	no_leak
	[ "$(stat p1 rx_too_big)" = "$before" ] || die "frames above the MTU"
	[ "$(sa_field p0 0x1001 packets)" -gt 5000 ] || die "too few packets: $(sa_field p0 0x1001 packets)"
	[ "$(sa_field p1 0x1001 auth_fail)" = 0 ] || die "ICV errors"
}
check "bulk: TCP with GSO, IPv4 tunnel, data intact" gso 4 tunnel
check "bulk: TCP with GSO, IPv6 transport, data intact" gso 6 transport

espinudp() { # FAM
	local m e="encap espinudp 4500 4500 0.0.0.0"
	[ "$1" = 6 ] && e="encap espinudp 4500 4500 ::"
	duo fam="$1" mode=transport opt="$e" || die "not installed"
	m=$(wire_mark)
	ping_all A "$(addr B "$1")" 5
	no_leak
	[ "$(sa_field p0 0x1001 packets)" = 5 ] || die "p0 sent $(sa_field p0 0x1001 packets)"
	[ "$(wire_since "$m" | grep -c '4500.*UDP\|4500: UDP\|UDP-encap')" -ge 10 ] || die "wire: $(wire_since "$m")"
	bulk A B "$(addr B "$1")" 1000000
	no_leak
}
check "ESP in UDP: IPv4 transport" espinudp 4
check "ESP in UDP: IPv6 transport" espinudp 6

espinudp_port() { # behind a NAT the ports are any
	sa A out 0x1001 mode=transport opt="encap espinudp 4500 31337 0.0.0.0" &&
		sa A in 0x1002 mode=transport opt="encap espinudp 31337 4500 0.0.0.0" &&
		sa B in 0x1001 mode=transport opt="encap espinudp 4500 31337 0.0.0.0" &&
		sa B out 0x1002 mode=transport opt="encap espinudp 31337 4500 0.0.0.0" || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2 mode=transport && duo_policies B 10.0.0.2 10.0.0.1 mode=transport || die "policies"
	watch p0 10.0.0.1 10.0.0.2
	watch p1 10.0.0.1 10.0.0.2
	ping_all A 10.0.0.2 5
	no_leak
}
check "ESP in UDP: another port" espinudp_port

udp_interop() {
	local srv
	duo mode=transport typeb=soft opt="encap espinudp 4500 4500 0.0.0.0" || die "not installed"
	# what an IKE daemon does with socket policies: the UDP packet itself is not to be protected
	pol B in 10.0.0.1 10.0.0.2 sel="proto udp sport 4500 dport 4500" type=soft reqid=0 prio=1 || die "no bypass"
	in_ns B timeout 20 python3 - <<-'PY' &
	import socket, time
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.setsockopt(socket.IPPROTO_UDP, 100, 2)   # UDP_ENCAP, ESPINUDP
	s.bind(("10.0.0.2", 4500))
	time.sleep(15)
	PY
	srv=$!
	for i in $(seq 50); do in_ns B ss -Hulnp "sport = :4500" | grep -q . && break; sleep 0.1; done
	ping_all A 10.0.0.2 5
	kill $srv
	no_leak
}
check "ESP in UDP: against the kernel's ESP" udp_interop

esn_wrap() { # FAM
	duo fam="$1" || die "not installed"
	knob p0 set_seq "0x1001 4294967280"
	knob p1 set_seq "0x1001 4294967280"
	ping_all A "$(addr B "$1")" 40
	no_leak
	[ "$(sa_field p0 0x1001 oseq)" = 4294967320 ] || die "oseq is $(sa_field p0 0x1001 oseq)"
	[ "$(sa_field p1 0x1001 seq)" = 4294967320 ] || die "seq is $(sa_field p1 0x1001 seq)"
	[ "$(sa_field p1 0x1001 replay_drop)" = 0 ] || die "replay drops at the wrap"
}
check "ESN: across 2^32, IPv4" esn_wrap 4
check "ESN: across 2^32, IPv6" esn_wrap 6

esn_wrap_interop() { # the kernel has the same idea of the high half
	modprobe esp4
	sa A out 0x1001 && sa A in 0x1002 &&
		sa B in 0x1001 type=soft opt="replay-seq 0xfffffff0" &&
		sa B out 0x1002 type=soft opt="replay-oseq 0xfffffff0" || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2
	duo_policies B 10.0.0.2 10.0.0.1 type=soft
	knob p0 set_seq "0x1001 4294967280"
	knob p0 set_seq "0x1002 4294967280"
	ping_all A 10.0.0.2 40
	[ "$(sa_field p0 0x1002 seq)" = 4294967320 ] || die "seq is $(sa_field p0 0x1002 seq)"
}
check "ESN: across 2^32, against the kernel's ESP" esn_wrap_interop

esn_start() { # S8: an oseq given at the add is honoured with ESN
	sa A out 0x1001 opt="replay-oseq 100 replay-oseq-hi 1" || die "not installed"
	[ "$(sa_field p0 0x1001 oseq)" = $((0x100000064)) ] || die "oseq is $(sa_field p0 0x1001 oseq)"
}
check "ESN: starts at the number given" esn_start

no_esn_end() {
	local before
	duo esn=0 win=0 || die "not installed"
	knob p0 set_seq "0x1001 0xfffffffe"
	before=$(stat p0 tx_seq_overflow)
	ping_all A 10.0.0.2 1
	ping_none A 10.0.0.2 2
	[ "$(stat p0 tx_seq_overflow)" = $((before + 2)) ] || die "no overflow counted"
	no_leak
}
check "no ESN: stops after 2^32 - 1, does not wrap" no_esn_end

cpu_esp() { # packet mode never enters the CPU's ESP; software mode does, so the probe works
	local t=/sys/kernel/tracing f hits
	[ -d $t ] || t=/sys/kernel/debug/tracing
	modprobe esp4 && modprobe esp6 && modprobe esp4_offload && modprobe esp6_offload
	echo >$t/kprobe_events
	for f in esp4:esp_output esp4:esp_input esp6:esp6_output esp6:esp6_input esp4_offload:esp_xmit esp6_offload:esp6_xmit; do
		echo "p:vnic/${f#*:} $f" >>$t/kprobe_events || die "no kprobe on $f"
	done
	echo 1 >$t/events/vnic/enable
	duo || die "not installed"
	ping_all A 10.0.0.2 5
	bulk A B 10.0.0.2 500000
	reset_lab
	duo fam=6 mode=transport || die "not installed"
	ping_all A fd00::2 5
	hits=$(awk '{ n += $2 } END { print n + 0 }' $t/kprobe_profile)
	reset_lab
	duo type=soft esn=0 || die "not installed"
	ping_all A 10.0.0.2 3
	soft=$(awk '{ n += $2 } END { print n + 0 }' $t/kprobe_profile)
	echo 0 >$t/events/vnic/enable
	echo >$t/kprobe_events
	[ "$hits" = 0 ] || die "the CPU's ESP ran $hits times in packet mode"
	[ "$soft" -ge 12 ] || die "the probes saw only $soft calls in software mode, so they prove nothing"
}
check "CPU: its ESP functions are never entered (kprobes)" cpu_esp
