# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the device drops, what it lets through, and what it counts. Sourced by
# run.sh.

mib_grew() { # NS NAME BEFORE BY: the kernel learns with the next sample
	local i now
	for i in $(seq 30); do
		now=$(mib "$1" "$2")
		[ "$now" -ge $(($3 + $4)) ] && return 0
		sleep 0.1
	done
	die "$2 in $1 went from $3 to $now, not by $4"
}

replayed() { # WINDOW
	local before
	duo win="$1" || die "not installed"
	[ "$(sa_field p1 0x1001 window)" = "$1" ] || die "window is $(sa_field p1 0x1001 window)"
	before=$(mib B XfrmInStateSeqError)
	knob p0 duplicate_next 3
	ping_all A 10.0.0.2 5
	[ "$(sa_field p1 0x1001 replay_drop)" = 3 ] || die "$(sa_field p1 0x1001 replay_drop) of 3 replays dropped"
	[ "$(stat p0 injected_dup)" -ge 3 ] || die "nothing was duplicated"
	mib_grew B XfrmInStateSeqError "$before" 3
	ip -n B -s xfrm state get src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001 | grep -q 'replay 3' || die "state's statistics: $(ip -n B -s xfrm state)"
}
for win in 32 64 128 256; do
	check "replay: duplicates are dropped, window $win" replayed $win
done

too_old() {
	duo esn=0 win=64 || die "not installed"
	ping_all A 10.0.0.2 2
	knob p1 set_seq "0x1001 1000"
	ping_none A 10.0.0.2 2
	[ "$(sa_field p1 0x1001 replay_drop)" = 2 ] || die "$(sa_field p1 0x1001 replay_drop) of 2 old packets dropped"
	knob p0 set_seq "0x1001 960"   # 961..963 are within the window that ends at 1000
	ping_all A 10.0.0.2 3
	knob p0 set_seq "0x1001 960"   # and a second time they are not new
	ping_none A 10.0.0.2 3
	[ "$(sa_field p1 0x1001 replay_drop)" = 5 ] || die "repeated numbers within the window"
}
check "replay: older than the window is dropped, within it accepted once" too_old

too_old_esn() { # RFC 4303 A2: such a number is taken for one of the next 2^32, and fails there
	duo win=32 || die "not installed"
	knob p1 set_seq "0x1001 1000"
	ping_none A 10.0.0.2 2
	[ "$(sa_field p1 0x1001 auth_fail)" = 2 ] || die "auth_fail is $(sa_field p1 0x1001 auth_fail)"
	[ "$(sa_field p1 0x1001 seq)" = 1000 ] || die "the window moved"
}
check "replay: with ESN, older than the window fails as ICV" too_old_esn

unprotected() { # S7: a legacy window arms nothing, and with the knob nothing but ESN does
	local out
	[ "$1" = 32 ] || knob p1 replay_needs_esn 1
	duo esn=0 win="$1" || die "not installed"
	[ "$(sa_field p1 0x1001 replay)" = 0 ] || die "replay protection is armed"
	knob p0 duplicate_next 2
	out=$(in_ns A ping -q -i 0.1 -c 3 -W 2 10.0.0.2)
	case $out in *duplicates*) ;; *) die "no duplicate got through: $out" ;; esac
	[ "$(sa_field p1 0x1001 replay_drop)" = 0 ] || die "replays were dropped"
}
check "replay: not armed by a legacy window" unprotected 32
check "replay: knob replay_needs_esn: not armed by REPLAY_ESN_VAL without ESN" unprotected 64

bmp() {
	duo esn=0 win=64 || die "not installed"
	knob p0 duplicate_next 2
	ping_all A 10.0.0.2 3
	[ "$(sa_field p1 0x1001 replay_drop)" = 2 ] || die "replays: $(sa_field p1 0x1001 replay_drop)"
}
check "replay: armed by REPLAY_ESN_VAL without ESN" bmp

corrupted() { # FAM MODE
	local before out
	duo fam="$1" mode="$2" || die "not installed"
	before=$(mib B XfrmInStateProtoError)
	knob p0 corrupt_next 2
	out=$(in_ns A ping -q -i 0.1 -c 5 -W 1 "$(addr B "$1")")
	case $out in *" 3 received"*) ;; *) die "2 of 5 should be lost: $out" ;; esac
	[ "$(sa_field p1 0x1001 auth_fail)" = 2 ] || die "auth_fail is $(sa_field p1 0x1001 auth_fail)"
	mib_grew B XfrmInStateProtoError "$before" 2
	[ "$(sa_field p1 0x1001 packets)" = 3 ] || die "bad packets were counted as good"
}
check "ICV: corrupted packets are dropped and counted, IPv4 tunnel" corrupted 4 tunnel
check "ICV: corrupted packets are dropped and counted, IPv6 transport" corrupted 6 transport

wrong_key() {
	sa A out 0x1001 && sa B in 0x1001 key=0x0f0102030405060708090a0b0c0d0e0f10111213 && duo_policies A 10.0.0.1 10.0.0.2
	in_ns A ping -q -c 2 -W 1 -i 0.1 10.0.0.2 >/dev/null
	[ "$(sa_field p1 0x1001 auth_fail)" = 2 ] || die "auth_fail is $(sa_field p1 0x1001 auth_fail)"
}
check "ICV: a wrong key" wrong_key

dropped() {
	local out
	duo || die "not installed"
	knob p0 drop_next 2
	out=$(in_ns A ping -q -i 0.1 -c 5 -W 1 10.0.0.2)
	case $out in *" 3 received"*) ;; *) die "2 of 5 should be lost: $out" ;; esac
}
check "wire: drop_next" dropped

unknown_spi() {
	local before
	before=$(mib B XfrmInNoStates)
	sa A out 0x1001 && pol A out 10.0.0.1 10.0.0.2 || die "not installed"
	in_ns A ping -q -c 2 -W 1 -i 0.1 10.0.0.2 >/dev/null
	[ "$(mib B XfrmInNoStates)" = $((before + 2)) ] || die "the stack did not get the ESP packets"
	[ "$(stat p1 rx_no_sa)" -ge 2 ] || die "rx_no_sa"
}
check "rx: unknown SPI goes to the stack" unknown_spi

no_inbound_selector() { # R3: any inner source is accepted, no IN policy needed
	sa A out 0x1001 && sa A in 0x1002 && sa B in 0x1001 && sa B out 0x1002 || die "not installed"
	pol A out 0.0.0.0/0 10.0.0.2 && pol B out 10.0.0.2 0.0.0.0/0 || die "policies"
	ip -n A addr add 192.0.2.7/32 dev lo
	ip -n B route replace 192.0.2.7 via 10.0.0.1
	ping_all A 10.0.0.2 2 -I 192.0.2.7
	ip -n A addr del 192.0.2.7/32 dev lo
	ip -n B route del 192.0.2.7
	[ "$(sa_field p1 0x1001 packets)" = 2 ] || die "not by ESP"
}
check "rx: inbound selectors are not enforced" no_inbound_selector

raw_path() { # T2
	local hits
	sa A out 0x1001 && pol A out 10.0.0.1 10.0.0.2 || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "the raw frame was not encrypted"
	no_leak
	ip -n A xfrm policy flush
	raw_frame A p0 $RAW_UDP
	[ "$(leaks p0)" = 1 ] || die "without a policy it did not leave in clear"
}
check "tx: a raw frame passes the policy table too" raw_path

priorities() { # P2, seen by a frame the kernel's SPD does not see
	sa A out 0x1001 && pol A out 10.0.0.1 10.0.0.2 prio=10 && pol A out 10.0.0.0/24 10.0.0.0/24 prio=20 action=block || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "the later policy of worse priority won: $(cat $DBG/p0/policies)"
	pol A out 10.0.0.1/32 10.0.0.0/24 prio=5 action=block || die "not installed"
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "the policy of better priority lost"
	[ "$(stat p0 tx_block)" -ge 1 ] || die "tx_block"
	no_leak
}
check "policy: priority is honoured by the device" priorities

sa_miss() {
	local before
	before=$(stat p0 tx_sa_miss)
	pol A out 10.0.0.1 10.0.0.2 || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	raw_frame A p0 $RAW_UDP
	[ "$(leaks p0)" = 1 ] || die "with a policy and no SA it did not leave in clear"
	[ "$(stat p0 tx_sa_miss)" = $((before + 1)) ] || die "tx_sa_miss"
}
check "tx: policy without SA leaves in clear (fail open)" sa_miss

ports() { # P4: port 0 is any; a port that differs does not match
	sa A out 0x1001 && pol A out 10.0.0.1 10.0.0.2 sel="proto udp dport 9" || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "port 9 did not match: $(cat $DBG/p0/policies)"
	ip -n A xfrm policy flush
	pol A out 10.0.0.1 10.0.0.2 sel="proto udp dport 10" || die "not installed"
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "port 10 matched"
	ip -n A xfrm policy flush
	pol A out 10.0.0.1 10.0.0.2 sel="proto tcp" || die "not installed"
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "TCP matched"
	[ "$(leaks p0)" = 2 ] || die "leaks: $(leaks p0)"
}
check "policy: protocol and ports" ports

wildcard() { # P3: 0.0.0.0/1 is any address, and takes IPv6 as well
	local n
	sa A out 0x1001 || die "not installed"
	pol A out 0.0.0.0/1 0.0.0.0/1 || die "not installed"
	grep -q 'wildcard=1' $DBG/p0/policies || die "$(cat $DBG/p0/policies)"
	watch p0 192.0.2.0/24 203.0.113.0/24 2001:db8::/32 2001:db8::/32
	# 192.0.2.1 -> 203.0.113.9 is outside of 0.0.0.0/1
	n=$(sa_field p0 0x1001 packets)
	raw_frame A p0 450000200001000040110000c0000201cb007109000900090000000c0000000061626364
	[ "$(sa_field p0 0x1001 packets)" = $((n + 1)) ] || die "an IPv4 packet outside the selector was not taken"
	raw_frame A p0 60000000000c114020010db800000000000000000000000120010db8000000000000000000000002000900090000000c0000000061626364
	[ "$(sa_field p0 0x1001 packets)" = $((n + 2)) ] || die "an IPv6 packet was not taken"
	no_leak
}
check "policy: an all-zero address under its mask is a wildcard" wildcard

in_block() { # P5: acts on decrypted packets only
	local before
	duo || die "not installed"
	ping_all A 10.0.0.2 1
	pol B in 10.0.0.1 10.0.0.0/24 action=block prio=5 || die "not installed"
	before=$(stat p1 rx_block)
	ping_none A 10.0.0.2 2
	[ "$(stat p1 rx_block)" = $((before + 2)) ] || die "rx_block"
}
check "policy: inbound BLOCK drops decrypted packets" in_block

fragments() { # P3, 2.4: forwarded fragments leave unencrypted, and are counted
	local before
	duo net=1 || die "not installed"
	ip -n H1 link set h1 mtu 1280
	ping_all H1 10.2.0.2 2
	no_leak
	before=$(stat p0 tx_frag_clear)
	in_ns H1 ping -q -c 1 -W 1 -s 2000 -M dont 10.2.0.2 >/dev/null
	ip -n H1 link set h1 mtu 1500
	ip -n H1 route replace default via 10.1.0.1
	[ "$(stat p0 tx_frag_clear)" -ge $((before + 2)) ] || die "tx_frag_clear"
	[ "$(sed 's/.* tx=\([0-9]*\) .*/\1/' $DBG/p0/watch)" -ge 2 ] || die "watch did not see them: $(cat $DBG/p0/watch)"
}
check "fragments: leave in clear and are counted" fragments

esp_fragment() { # R1
	local before
	before=$(stat p1 rx_esp_frag)
	duo || die "not installed"
	raw_frame A p0 4500003000012000403200000a0000010a0000020000100100000001$(printf '%040d' 0)
	[ "$(stat p1 rx_esp_frag)" = $((before + 1)) ] || die "rx_esp_frag"
	[ "$(sa_field p1 0x1001 packets)" = 0 ] || die "a fragment was decrypted"
}
check "fragments: of ESP go to software" esp_fragment

short_frames() { # nothing that arrives may hurt
	local i hex
	duo || die "not installed"
	for i in 20 24 28 36 44 52; do
		hex=$(printf '450000%02x00010000403200000a0000010a0000020000100100000001%080d' $i 0)
		raw_frame A p0 "${hex:0:$((i * 2))}"
	done
	for hex in 45 4500 60 6000000000 4f00001400010000403200000a0000010a000002 00; do
		in_ns A python3 - $hex <<-'PY'
		import socket, sys
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		s.bind(("p0", 0))
		for t in (b"\x08\0", b"\x86\xdd", b"\x81\0"):
		    s.send(b"\xff" * 6 + b"\2\0\0\0\0\1" + t + bytes.fromhex(sys.argv[1]))
		PY
	done
	ping_all A 10.0.0.2 3
}
check "rx: short and broken frames are survived" short_frames

watch_kinds() { # fragments, options and extension headers count; ESP, IKE apart
	watch p0 10.0.0.1 10.0.0.2 fd00::1 fd00::2
	raw_frame A p0 4500002000012000401100000a0000010a000002000900090000000c0000000061626364   # first fragment
	raw_frame A p0 4500001c00010002401100000a0000010a0000026162636461626364                   # later fragment
	raw_frame A p0 4600002400010000401100000a0000010a00000201010100000900090000000c0000000061626364 # options
	raw_frame A p0 6000000000143c40fd000000000000000000000000000001fd0000000000000000000000000000021100010400000000000900090000000c61626364
	[ "$(sed -n '1s/.* tx=\([0-9]*\) .*/\1/p' $DBG/p0/watch)" = 3 ] || die "$(cat $DBG/p0/watch)"
	[ "$(sed -n '2s/.* tx=\([0-9]*\) .*/\1/p' $DBG/p0/watch)" = 1 ] || die "$(cat $DBG/p0/watch)"
	raw_frame A p0 4500002000010000401100000a0000010a00000201f401f4000c000061626364
	raw_frame A p0 4500002000010000401100000a0000010a00000211941194000c000000000000
	raw_frame A p0 4500002000010000401100000a0000010a00000211941194000c000000001001
	[ "$(sed -n '1s/.* tx=\([0-9]*\) .* ike_tx=2 .*/\1/p' $DBG/p0/watch)" = 3 ] || die "IKE and ESP in UDP: $(cat $DBG/p0/watch)"
}
check "watch: fragments, options, extension headers; IKE apart, ESP not" watch_kinds

watch_garbage() {
	local w
	for w in add "add 1.2.3.4" "add 1.2.3.4/33 1.2.3.4" "add 1.2.3.4 ::1" "add x y" "add 1.2.3.4 1.2.3.4 x" "drop" "::"; do
		echo "$w" 2>/dev/null >$DBG/p0/watch && die "accepted: $w"
	done
	[ -z "$(cat $DBG/p0/watch)" ] || die "something was added"
	for w in x "1" "1 0" "1 99999999" "1 28 sideways" "1 28 in x"; do
		echo "$w" 2>/dev/null >$DBG/p0/knobs/fail_sa_add && die "fail_sa_add accepted: $w"
	done
	echo both 2>/dev/null >$DBG/p0/knobs/prefer && die "prefer accepted: both"
	:
}
check "debugfs: wrong input is refused" watch_garbage
