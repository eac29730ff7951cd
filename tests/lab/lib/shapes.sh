# SPDX-License-Identifier: GPL-2.0-or-later
# Packets that a NIC does not match, and packets from outside that claim protected addresses, as lines of the leak matrix.
# Owns how they are made; sourced by lib.sh, called by the scenarios leaks-shapes and guard-shapes through `matrix shapes`.
# It must not start daemons. sun's IPsec is in software there, so that what moon's NIC does is compared with the kernel's.

big() {
	local from=$1 address=$2 target=$3
	on "$from" ping -q -I "$address" -s 3000 -i 0.1 -c 5 -W 1 "$target"
}
fragments() {
	big alice 10.1.0.10 10.2.0.10 &
	big moon 10.1.0.1 10.2.0.10 &
	big alice fd00:1::10 fd00:2::10 &
	big moon fd00:1::1 fd00:2::10
	sleep 0.3
}
record_route() {
	on alice ping -q -I 10.1.0.10 -R -i 0.1 -c 5 -W 1 10.2.0.10 &
	on moon ping -q -I 10.1.0.1 -R -i 0.1 -c 5 -W 1 10.2.0.10
	sleep 0.3
}
headers() {
	on alice python3 "$LAB/lib/headers.py" fd00:1::10 fd00:2::10 5 &
	on moon python3 "$LAB/lib/headers.py" fd00:1::1 fd00:2::10 5
}
fragments_to_peer() {
	big bob 10.2.0.10 10.1.0.10 &
	big bob fd00:2::10 fd00:1::10 &
	big bob fd00:2::10 fd00:1::1 &
	big bob 10.2.0.10 10.1.0.1
	sleep 0.3
}
# Nobody's address, but one that the selectors name.
inject() {
	plain 5 "$1" 10.2.0.77 10.1.0.10 10.2.0.77 10.1.0.1 fd00:2::77 fd00:1::10 fd00:2::77 fd00:1::1
}
# speak HOST FROM TO [FROM TO...]
speak() {
	local host=$1
	shift
	on "$host" python3 "$LAB/lib/speak.py" 5 "$@"
}
# grown BEFORE: what each flow received since.
grown() {
	local before after line
	mapfile -t before <<<"$1"
	mapfile -t after <<<"$(heard)"
	for line in 0 1 2 3; do echo $((${after[line]#* } - ${before[line]#* })); done
}
# Within the selectors: shows that what is meant to enter does.
inside() {
	local before
	before=$(heard)
	speak bob 10.2.0.10 10.1.0.10 10.2.0.10 10.1.0.1 fd00:2::10 fd00:1::10 fd00:2::10 fd00:1::1
	sleep 0.5
	same "$PASS: what is within the selectors enters" "5 5 5 5" "$(echo $(grown "$before"))"
	before=$(heard)
	plain 5 whole 192.168.0.2 192.168.0.1
	sleep 0.5
	same "$PASS: what is not protected enters in clear" "0 5 0 0" "$(echo $(grown "$before"))"
}
# sun, whose IPsec is in software, encrypts with the same SAs what their selectors do not name.
outside_policies() {
	local reqid4 reqid6
	reqid4=$(vici sun list | sed -n 's/^net4 INSTALLED.*reqid=\([0-9]*\).*/\1/p' | head -n 1)
	reqid6=$(vici sun list | sed -n 's/^net6 INSTALLED.*reqid=\([0-9]*\).*/\1/p' | head -n 1)
	ip -n sun xfrm policy "$1" src 10.9.0.0/24 dst 10.1.0.0/24 dir out priority 1 \
		tmpl src 192.168.0.2 dst 192.168.0.1 proto esp reqid "$reqid4" mode tunnel
	ip -n sun xfrm policy "$1" src fd00:9::/64 dst fd00:1::/64 dir out priority 1 \
		tmpl src fd00::2 dst fd00::1 proto esp reqid "$reqid6" mode tunnel
}
outside() {
	outside_policies add
	speak sun 10.9.0.1 10.1.0.10 10.9.0.1 10.1.0.1 fd00:9::1 fd00:1::10 fd00:9::1 fd00:1::1
	ip -n sun xfrm policy delete src 10.9.0.0/24 dst 10.1.0.0/24 dir out
	ip -n sun xfrm policy delete src fd00:9::/64 dst fd00:1::/64 dir out
}
shapes() {
	# Nothing is lost here.
	LEAK_HEAL=true
	ip -n sun address add 10.9.0.1/32 dev lo 2>/dev/null
	ip -n sun address add fd00:9::1/128 dev lo nodad 2>/dev/null
	leak -k "fragments" fragments
	leak "fragments of the peer" fragments_to_peer
	leak "IP options" record_route
	leak "extension headers" headers
	ears alice moon
	inside
	entered -k "plain packets with protected addresses" inject whole
	entered -k "plain fragments with protected addresses" inject fragments
	entered -k "plain packets with IP options or extension headers" inject options
	entered -k "decrypted packets from outside the selectors" outside
	inside
	servers_stop
}
