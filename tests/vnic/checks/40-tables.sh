# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The tables: two states with one reqid, sizes, injected failures, limits,
# counters, late freeing, MAC addresses. Sourced by run.sh.

two_sas() { # WHICH-PREFERRED SPI-USED SPI-AFTER
	knob p0 prefer "$1"
	sa A out 0x1001 && sa A out 0x2001 && sa B in 0x1001 && sa B in 0x2001 || die "not installed"
	sa A in 0x1002 && sa B out 0x1002 || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2 && duo_policies B 10.0.0.2 10.0.0.1 || die "policies"
	ping_all A 10.0.0.2 3
	[ "$(sa_field p0 "$2" packets)" = 3 ] || die "not by $2: $(cat $DBG/p0/sas)"
	ip -n A xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi "$2"
	for i in $(seq 60); do grep -q "spi=0x0000${2#0x} " $DBG/p0/sas || break; sleep 0.1; done
	ping_all A 10.0.0.2 2
	[ "$(sa_field p0 "$3" packets)" = 2 ] || die "the other one did not take over: $(cat $DBG/p0/sas)"
}
check "reqid: two states, the older one is used" two_sas older 0x1001 0x2001
check "reqid: two states, the newer one is used" two_sas newer 0x2001 0x1001

by_spi() {
	knob p0 match spi
	sa A out 0x1001 && sa A out 0x2001 && sa B in 0x1001 && sa B in 0x2001 && sa A in 0x1002 && sa B out 0x1002 || die "not installed"
	pol A out 10.0.0.1 10.0.0.2 spi=0x2001 && pol A in 10.0.0.2 10.0.0.1 && duo_policies B 10.0.0.2 10.0.0.1 || die "policies"
	ping_all A 10.0.0.2 3
	[ "$(sa_field p0 0x2001 packets)" = 3 ] || die "not by the policy's SPI: $(cat $DBG/p0/sas)"
}
check "reqid: knob match=spi follows the policy's SPI" by_spi

wrong_reqid() {
	local before
	before=$(stat p0 tx_sa_miss)
	sa A out 0x1001 reqid=7 && pol A out 10.0.0.1 10.0.0.2 reqid=8 || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	raw_frame A p0 $RAW_UDP
	[ "$(stat p0 tx_sa_miss)" = $((before + 1)) ] && [ "$(leaks p0)" = 1 ] || die "reqid is not what pairs them"
}
check "reqid: another reqid is a miss" wrong_reqid

policy_table() {
	knob p0 max_policies 2
	pol A out 10.0.0.1 10.0.0.2 && pol A in 10.0.0.2 10.0.0.1 || die "not installed"
	refused "vnic: Device failed to offload this policy" pol A out 10.0.0.1 10.0.0.3
	# an update is a new rule before the old one goes, so it needs a slot
	refused "vnic: Device failed to offload this policy" ip -n A xfrm policy update src 10.0.0.1 dst 10.0.0.2 dir out \
		offload packet dev p0 tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 1 mode tunnel
	[ "$(wc -l <$DBG/p0/policies)" = 2 ] || die "$(cat $DBG/p0/policies)"
}
sa_table() {
	knob p0 max_sas 1
	sa A out 0x1001 || die "not installed"
	refused "vnic: Device failed to offload this state" sa A in 0x1003
	tail -n 1 $DBG/p0/log | grep -q 'op=sa_add result=-28 ' || die "$(tail -n 1 $DBG/p0/log)"
	[ "$(ip -n A xfrm state | grep -c '^src')" = 1 ] || die "the kernel kept the refused state"
}
check "table full: states, -ENOSPC" sa_table
check "table full: policies, also for an update" policy_table

slots_come_back() {
	local i
	knob p0 max_sas 2
	for i in 1 2 3; do
		sa A out 0x100$i && sa A in 0x200$i || die "round $i"
		ip -n A xfrm state flush
		for _ in $(seq 60); do [ -n "$(<$DBG/p0/sas)" ] || break; sleep 0.1; done
	done
}
check "table full: slots come back" slots_come_back

injected() {
	knob p0 fail_sa_add "2 5 in"
	sa A out 0x1001 || die "the other direction failed"
	refused "vnic: Device failed to offload this state" sa A in 0x1002
	refused "vnic: Device failed to offload this state" sa A in 0x1002
	tail -n 1 $DBG/p0/log | grep -q 'result=-5 dir=in' || die "$(tail -n 1 $DBG/p0/log)"
	sa A in 0x1002 || die "the third one failed"
	knob p0 fail_policy_add "1 28"
	refused "vnic: Device failed to offload this policy" pol A out 10.0.0.1 10.0.0.2
	pol A out 10.0.0.1 10.0.0.2 || die "the second policy failed"
	[ "$(wc -l <$DBG/p0/sas)" = 2 ] && [ "$(wc -l <$DBG/p0/policies)" = 1 ] || die "tables"
}
check "injection: the next adds fail, by direction" injected

slow_add() {
	local t
	knob p0 add_delay_ms 700
	t=$(date +%s%N)
	sa A out 0x1001 || die "not installed"
	[ $((($(date +%s%N) - t) / 1000000)) -ge 700 ] || die "no delay"
}
check "injection: add_delay_ms" slow_add

late_free() { # S5
	knob p0 delete_delay_ms 30000
	sa A out 0x1001 && sa A in 0x1002 || die "not installed"
	ip -n A xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001
	grep -q 'spi=0x00001001 .*state=deleted' $DBG/p0/sas || die "gone at once: $(cat $DBG/p0/sas)"
	[ "$(stat p0 sas_out)" = 1 ] || die "the slot was given back at once"
	knob p0 delete_delay_ms 0
	for i in $(seq 60); do grep -q 0x00001001 $DBG/p0/sas || return 0; sleep 0.1; done
	die "never freed"
}
check "delete: the rule stays until the kernel frees the state" late_free

deleted_rx() { # S5: what a deleted rule still decrypts carries no secpath
	knob p1 delete_delay_ms 30000
	duo || die "not installed"
	ping_all A 10.0.0.2 1
	ip -n B xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001
	in_ns A ping -q -c 2 -W 1 -i 0.1 10.0.0.2 >/dev/null
	[ "$(stat p1 rx_sadb_miss)" -ge 2 ] || die "rx_sadb_miss is $(stat p1 rx_sadb_miss)"
	knob p1 delete_delay_ms 0
}
check "delete: packets for a deleted state arrive without secpath" deleted_rx

curlft() { # NS SPI KEY
	ip -n "$1" -s xfrm state | grep -A 20 "spi 0x$(printf %08x "$2")" | sed -n 's/^[[:space:]]*\([0-9]*\)(bytes), \([0-9]*\)(packets)/\1 \2/p' | head -n 1
}

# eventually COMMAND...: within 5 s
eventually() {
	local i
	for i in $(seq 50); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}
curlft_is() { [ "$(curlft "$1" "$2")" = "$3" ]; }

counters() { # FAM BYTES-PER-PACKET: ping of 56 bytes, wire less Ethernet and outer IP
	duo fam="$1" || die "not installed"
	ping_all A "$(addr B "$1")" 5
	eventually curlft_is A 0x1001 "$(($2 * 5)) 5" || die "A out: $(curlft A 0x1001), not $(($2 * 5)) 5"
	eventually curlft_is B 0x1001 "$(($2 * 5)) 5" || die "B in: $(curlft B 0x1001)"
	ping_all A "$(addr B "$1")" 2
	eventually curlft_is A 0x1001 "$(($2 * 7)) 7" || die "not additive: $(curlft A 0x1001)"
	sleep 1.2
	curlft_is A 0x1001 "$(($2 * 7)) 7" || die "counted twice: $(curlft A 0x1001)"
}
# 84 + 2 + 2 padding = 88, + ESP 8 + IV 8 + ICV 16; IPv6: 104 + 2 + 2
check "counters: IPv4" counters 4 120
check "counters: IPv6" counters 6 140

sampled() { # L1; a device of its own, since its next sample is a minute away
	ip -n A link add s0 alias s1 type vnic
	echo 60000 >$DBG/s0/knobs/sample_ms
	ip -n A addr add 10.9.0.1/24 dev s0
	ip -n A link set s0 up; ip -n A link set s1 up
	sleep 1.2
	ip -n A neigh replace 10.9.0.2 lladdr 02:00:00:00:00:09 dev s0
	ip -n A xfrm state add src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x9001 reqid 9 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev s0 dir out || die "not installed"
	ip -n A xfrm policy add src 10.9.0.1 dst 10.9.0.2 dir out offload packet dev s0 \
		tmpl src 10.9.0.1 dst 10.9.0.2 proto esp reqid 9 mode tunnel || die "not installed"
	in_ns A ping -q -c 3 -i 0.1 -W 1 10.9.0.2 >/dev/null
	sleep 1.2
	[ "$(curlft A 0x9001)" = "0 0" ] || die "counters were not sampled: $(curlft A 0x9001)"
	[ "$(sa_field s0 0x9001 packets)" = 3 ] || die "debugfs is not live: $(cat $DBG/s0/sas)"
	ip -n A link del s0
}
check "counters: only what was sampled is reported" sampled

packet_limit() { # L2
	sa A out 0x1001 opt="limit packet-soft 3 limit packet-hard 6" && sa A in 0x1002 && sa B in 0x1001 && sa B out 0x1002 || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2 && duo_policies B 10.0.0.2 10.0.0.1 || die "policies"
	ip -n A xfrm monitor expire >"$WORK/mon" &
	local mon=$!
	sleep 0.5
	in_ns A ping -q -c 12 -i 0.05 -W 1 10.0.0.2 >/dev/null
	for i in $(seq 40); do grep -q 'hard' "$WORK/mon" && break; sleep 0.1; done
	kill $mon
	grep -q 'hard 0\|soft' "$WORK/mon" || die "no soft event: $(cat "$WORK/mon")"
	grep -q 'hard 1\|hard' "$WORK/mon" || die "no hard event: $(cat "$WORK/mon")"
	ip -n A xfrm state | grep -q 0x00001001 && die "the state is still there"
	[ "$(sa_field p1 0x1001 packets)" = 6 ] || die "$(sa_field p1 0x1001 packets) packets left, not 6"
}
check "limits: packets, soft then hard, exactly" packet_limit

byte_limit() {
	knob p0 sample_ms 5000
	sleep 1.2	# the sample that was due is over, the next one is 5 s away
	sa A out 0x1001 opt="limit byte-soft 200 limit byte-hard 500" && sa A in 0x1002 && sa B in 0x1001 && sa B out 0x1002 || die "not installed"
	duo_policies A 10.0.0.1 10.0.0.2 && duo_policies B 10.0.0.2 10.0.0.1 || die "policies"
	in_ns A ping -q -f -c 10 -W 1 10.0.0.2 >/dev/null
	# 4 packets reach the limit; the device lets more through until it is asked
	[ "$(sa_field p1 0x1001 packets)" -gt 5 ] || die "the limit was exact: $(sa_field p1 0x1001 packets) packets"
	knob p0 sample_ms 1000
	for i in $(seq 80); do ip -n A xfrm state | grep -q 0x00001001 || return 0; sleep 0.1; done
	die "the byte limit was never enforced"
}
check "limits: bytes, polled" byte_limit

no_writeback() { # S8
	duo || die "not installed"
	ping_all A 10.0.0.2 4
	sleep 1.2
	oseq_is 0x0 || die "the number was written back"
	knob p0 sync_replay 1
	eventually oseq_is 0x4 || die "sync_replay does not write it: $(ip -n A xfrm state)"
}
oseq_is() { ip -n A xfrm state | grep -A 8 0x00001001 | grep -q "oseq $1"; }
check "numbers: not written back, with sync_replay they are" no_writeback

mac_b() { mac_of B p1; }

mac_onlink() { # S6: unresolved at the add, then the neighbour's own update
	ip -4 -n A neigh flush dev p0
	ip -n A neigh del 10.0.0.2 dev p0 2>/dev/null
	sa A out 0x1001 || die "not installed"
	for i in $(seq 30); do [ "$(sa_field p0 0x1001 mac)" = "$(mac_b)" ] && return 0; sleep 0.1; done
	die "mac is $(sa_field p0 0x1001 mac)"
}
check "mac: resolution is kicked, an on-link peer's update is taken" mac_onlink

mac_routed() { # S6: a gateway's update has another key
	ip -n A route add 10.77.0.0/24 via 10.0.0.9
	ip -n A neigh replace 10.0.0.9 lladdr 02:00:00:00:00:01 dev p0
	ip -n A xfrm state add src 10.0.0.1 dst 10.77.0.2 proto esp spi 0x7001 reqid 7 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev p0 dir out || die "not installed"
	[ "$(sa_field p0 0x7001 mac)" = 02:00:00:00:00:01 ] || die "next hop: $(sa_field p0 0x7001 mac)"
	ip -n A neigh replace 10.0.0.9 lladdr 02:00:00:00:00:02 dev p0
	sleep 0.3
	[ "$(sa_field p0 0x7001 mac)" = 02:00:00:00:00:01 ] || die "the gateway's new address was followed"
	ip -n A neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 dev p0
	sleep 0.3
	[ "$(sa_field p0 0x7001 mac)" = 02:00:00:00:00:02 ] || die "an entry keyed by the peer was not followed"
	ip -n A neigh del 10.77.0.2 dev p0
	ip -n A neigh del 10.0.0.9 dev p0
	ip -n A route del 10.77.0.0/24
}
check "mac: frozen for a routed peer, renewed by an entry of the peer's own" mac_routed

mac_zero() { # S6: a gateway that answers late stays 00:00:00:00:00:00
	ip -n A route add 10.77.0.0/24 via 10.0.0.2
	ip -4 -n A neigh flush dev p0
	ip -n A neigh del 10.0.0.2 dev p0 2>/dev/null
	ip -n A xfrm state add src 10.0.0.1 dst 10.77.0.2 proto esp spi 0x7001 reqid 7 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev p0 dir out || die "not installed"
	pol A out 10.0.0.1 10.77.0.3 reqid=7 || die "policy"
	sleep 0.5
	ip -n A neigh show 10.0.0.2 dev p0 | grep -q lladdr || die "the gateway was never resolved"
	[ "$(sa_field p0 0x7001 mac)" = 00:00:00:00:00:00 ] || die "mac is $(sa_field p0 0x7001 mac)"
	ip -n A route del 10.77.0.0/24
}
check "mac: a gateway not resolved at the add stays zero" mac_zero

mac_noroute() {
	ip -n A xfrm state add src 10.0.0.1 dst 198.51.100.1 proto esp spi 0x7001 reqid 7 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev p0 dir out || die "not installed"
	[ "$(sa_field p0 0x7001 drop)" = 1 ] || die "without a route the rule should drop"
	ip -n A neigh replace 198.51.100.1 lladdr 02:00:00:00:00:03 dev p0
	sleep 0.3
	[ "$(sa_field p0 0x7001 drop)$(sa_field p0 0x7001 mac)" = 002:00:00:00:00:03 ] || die "$(cat $DBG/p0/sas)"
	ip -n A neigh del 198.51.100.1 dev p0
}
check "mac: no route, the rule drops until the neighbour is known" mac_noroute
