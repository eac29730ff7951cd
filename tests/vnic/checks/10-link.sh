# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The devices themselves: how a pair comes, is named, is seen. Sourced by run.sh.

features() {
	local d=$1 ns=$2
	in_ns "$ns" ethtool -k "$d" >"$WORK/k"
	grep -q '^esp-hw-offload: on \[fixed\]' "$WORK/k" || die "esp-hw-offload is not on and fixed"
	grep -q 'tx-tcp-segmentation: on' "$WORK/k" || die "no TSO"
	in_ns "$ns" ethtool -K "$d" esp-hw-offload off 2>/dev/null
	in_ns "$ns" ethtool -k "$d" | grep -q '^esp-hw-offload: on' || die "esp-hw-offload could be switched off"
}
check "link: esp-hw-offload on and fixed" features p0 A

debugfs_names() {
	ip -n A link set p0 name nic9 2>/dev/null || { ip -n A link set p0 down; ip -n A link set p0 name nic9; }
	[ -e $DBG/nic9/sas ] || die "debugfs did not follow the name"
	[ ! -e $DBG/p0 ] || die "the old name is left"
	grep -q 'name=nic9 dir=nic9 ' $DBG/devices || die "$(cat $DBG/devices)"
	ip -n A link set nic9 down
	ip -n A link set nic9 name p0
	[ -e $DBG/p0/sas ] || die "debugfs did not follow back"
	addresses
}
check "link: debugfs follows the name" debugfs_names

same_name() {
	ip netns add C
	ip -n C link add p0 alias q1 type vnic || die "second pair"
	grep -q "name=p0 dir=p0@" $DBG/devices || die "no directory of its own: $(cat $DBG/devices)"
	[ -e $DBG/q1/sas ] || die "no q1"
	[ "$(stat p0 tx_other)" -gt 0 ] || die "p0 is no longer the first one"
	ip netns del C
	for i in $(seq 100); do [ -e $DBG/q1 ] || break; sleep 0.1; done
	[ ! -e $DBG/q1 ] || die "q1 is left after its namespace went"
}
check "link: one name in two namespaces" same_name

peer_attribute() {
	python3 - <<-PY || die "rtnetlink refused"
	import socket, struct, sys
	def attr(t, d): return struct.pack("HH", 4 + len(d), t) + d + b"\0" * (-len(d) % 4)
	ifi = struct.pack("BBHiII", 0, 0, 0, 0, 0, 0)
	peer = ifi + attr(3, b"y1\0")
	body = ifi + attr(3, b"y0\0") + attr(18, attr(1, b"vnic\0") + attr(2, attr(1, peer)))
	msg = struct.pack("IHHII", 16 + len(body), 16, 0x605, 1, 0) + body
	s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
	s.bind((0, 0))
	s.send(msg)
	sys.exit(-struct.unpack_from("i", s.recv(4096), 16)[0])
	PY
	ip link show y0 >/dev/null && ip link show y1 >/dev/null && ip link show y0wire >/dev/null || die "pair is not there"
	ip link del y1
	for i in y0 y1 y0wire; do ip link show $i 2>/dev/null && die "$i is left"; done
	:
}
check "link: peer attribute of rtnetlink, deletion of one end" peer_attribute

tap_is_mute() {
	local before
	before=$(stat p1 rx_other)
	python3 - <<-'PY'
	import socket
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
	s.bind(("p0wire", 0))
	try:
	    s.send(b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5" + b"x" * 60)
	except OSError:
	    pass
	PY
	wire_since 0 | grep -q 88b5 && die "a frame sent on the tap was seen on it"
	wire_since 0 | grep -q . || die "the tap sees nothing at all"
	ip addr show p0wire | grep -q inet && die "the tap has an address"
	[ "$(cat /sys/class/net/p0wire/statistics/tx_packets)" = 0 ] || die "the tap sent"
}
check "tap: sees frames, cannot send" tap_is_mute

clear_path() {
	local m
	m=$(wire_mark)
	watch p0 10.0.0.0/24 10.0.0.0/24
	watch p1 10.0.0.1 10.0.0.2
	ping_all A 10.0.0.2 3
	[ "$(leaks p0)" = 6 ] || die "p0 counted $(leaks p0) of 6 clear frames"
	[ "$(leaks p1)" = 6 ] || die "p1 counted $(leaks p1) of 6 clear frames"
	[ "$(wire_since "$m" | grep -c 'IPv4.*10.0.0')" = 6 ] || die "the tap saw $(wire_since "$m")"
	bulk A B 10.0.0.2 3000000
	[ "$(stat p1 rx_too_big)" = 0 ] || die "frames above the MTU"
	wire_since "$m" | awk '{ for (i = 1; i < NF; i++) if ($i == "length" && $(i+1) + 0 > 1514) exit 1 }' ||
		die "a frame longer than 1514 bytes was on the wire"
}
check "watch: clear frames are counted at both ends, TSO is cut to the MTU" clear_path
