# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The knobs that switch off one rule of the model, each against the other
# setting, and the fault that hits the Nth call of any kind. Sourced by run.sh.

nth_call() {
	knob p0 fail_call "3 28"
	sa A out 0x1001 && pol A out 10.0.0.1 10.0.0.2 || die "one of the first two failed"
	refused "vnic: Device failed to offload this state" sa A in 0x1002
	tail -n 1 $DBG/p0/log | grep -q 'op=sa_add result=-28 dir=in' || die "$(tail -n 1 $DBG/p0/log)"
	sa A in 0x1002 && pol A in 10.0.0.2 10.0.0.1 || die "the fault hit twice"
	[ "$(cat $DBG/p0/knobs/fail_call)" = "0 28" ] || die "knob says $(cat $DBG/p0/knobs/fail_call)"
	knob p0 fail_call "2 12"
	pol A out 10.0.0.1 10.0.0.5 || die "the first failed"
	refused "vnic: Device failed to offload this policy" pol A out 10.0.0.1 10.0.0.6
	tail -n 1 $DBG/p0/log | grep -q 'op=policy_add result=-12 dir=out' || die "$(tail -n 1 $DBG/p0/log)"
	{ echo "1 28 in" >$DBG/p0/knobs/fail_call; } 2>/dev/null && die "a direction was accepted"
	return 0
}
check "injection: the Nth add fails, of whatever kind" nth_call

no_byte_limits() {
	knob p0 byte_limits 0
	refused "vnic: Byte limits are not supported" sa A out 0x1001 opt="limit byte-soft 200 limit byte-hard 500"
	sa A out 0x1001 opt="limit packet-soft 200 limit packet-hard 500" || die "packet limits are refused as well"
}
check "knob byte_limits: a device without them" no_byte_limits

mac_followed() {
	knob p0 freeze_mac 0
	ip -n A route add 10.77.0.0/24 via 10.0.0.9
	ip -n A neigh replace 10.0.0.9 lladdr 02:00:00:00:00:01 dev p0
	ip -n A xfrm state add src 10.0.0.1 dst 10.77.0.2 proto esp spi 0x7001 reqid 7 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev p0 dir out || die "not installed"
	ip -n A neigh replace 10.0.0.9 lladdr 02:00:00:00:00:02 dev p0
	for i in $(seq 30); do [ "$(sa_field p0 0x7001 mac)" = 02:00:00:00:00:02 ] && break; sleep 0.1; done
	[ "$(sa_field p0 0x7001 mac)" = 02:00:00:00:00:02 ] || die "not followed: $(sa_field p0 0x7001 mac)"
	ip -n A neigh del 10.0.0.9 dev p0
	ip -n A route del 10.77.0.0/24
}
check "knob freeze_mac: 0 follows a gateway's address" mac_followed

no_wildcard() {
	knob p0 wildcard_zero 0
	sa A out 0x1001 && pol A out 10.0.0.1 0.0.0.0/1 || die "not installed"
	watch p0 10.0.0.1 192.0.2.9
	# UDP to 192.0.2.9, which 0.0.0.0/1 does not hold
	raw_frame A p0 4500002000010000401100000a000001c000020900090009000c0000000061626364
	[ "$(leaks p0)" = 1 ] || die "0.0.0.0/1 matched 192.0.2.9: $(cat $DBG/p0/policies)"
	[ "$(sa_field p0 0x1001 packets)" = 0 ] || die "encrypted"
	raw_frame A p0 $RAW_UDP
	[ "$(sa_field p0 0x1001 packets)" = 1 ] || die "0.0.0.0/1 does not match 10.0.0.2"
}
check "knob wildcard_zero: 0 compares what the selector says" no_wildcard

early_free() {
	knob p0 late_free 0
	knob p0 delete_delay_ms 30000
	sa A out 0x1001 || die "not installed"
	ip -n A xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001
	[ -z "$(<$DBG/p0/sas)" ] || die "still there: $(cat $DBG/p0/sas)"
	[ "$(stat p0 sas_out)" = 0 ] || die "the slot was kept"
	knob p0 delete_delay_ms 0
	knob p0 late_free 1
	sa A out 0x1001 || die "the table is damaged"
}
check "knob late_free: 0 gives the slot back with the delete" early_free

inner_bytes() {
	knob p0 wire_bytes 0
	duo || die "not installed"
	ping_all A 10.0.0.2 5
	# 84 + 2 + 2 padding
	eventually curlft_is A 0x1001 "440 5" || die "A out: $(curlft A 0x1001), not 440 5"
}
check "knob wire_bytes: 0 counts the padded inner packet" inner_bytes

legacy_window() {
	knob p1 replay_long_only 0
	duo esn=0 || die "not installed"
	ip -n B xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001
	settle_spi p1 0x00001001
	# `ip` takes the long form for windows above 32 only
	sa B in 0x1001 esn=0 win=32 || die "not installed"
	[ "$(sa_field p1 0x1001 replay)" = 1 ] || die "not armed: $(cat $DBG/p1/sas)"
	knob p0 duplicate_next 2
	ping_all A 10.0.0.2 3
	[ "$(sa_field p1 0x1001 replay_drop)" = 2 ] || die "$(sa_field p1 0x1001 replay_drop) of 2 replays dropped"
}
settle_spi() { for _ in $(seq 60); do grep -q "spi=$2 " "$DBG/$1/sas" || return 0; sleep 0.1; done; }
check "knob replay_long_only: 0 arms a legacy window as well" legacy_window

tc_beside() {
	knob p0 tc_blocks 0
	sa A out 0x1001 || die "not installed"
	in_ns A tc qdisc add dev p0 clsact
	in_ns A tc filter add dev p0 ingress protocol ip flower skip_sw dst_ip 10.0.0.99 action drop || die "the rule was refused"
	sa A in 0x1002 || die "the state was refused"
	in_ns A tc qdisc del dev p0 clsact
}
check "knob tc_blocks: 0 lets tc rules and IPsec live side by side" tc_beside
