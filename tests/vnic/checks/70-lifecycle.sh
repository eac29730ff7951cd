# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Link down, unregistration, moves, acquires, and traffic through all of it.
# Sourced by run.sh.

# (debugfs files have no size, so that test -s says nothing)
empty() { [ -z "$(<"$DBG/$1/sas")$(<"$DBG/$1/policies")" ]; }

link_down() {
	duo || die "not installed"
	ping_all A 10.0.0.2 2
	no_leak
	ip -n A link set p0 down
	[ -z "$(ip -n A xfrm state)" ] || die "states are left in the kernel"
	ip -n A xfrm policy | grep -q offload && die "policies are left in the kernel"
	sleep 0.3
	empty p0 || die "left in the device: $(cat $DBG/p0/sas $DBG/p0/policies)"
	[ "$(leaks p0)" = 0 ] || die "watch lost"
	addresses
	ip -n B xfrm policy flush
	ip -n B xfrm state flush
	warm
	ping_all A 10.0.0.2 2
	[ "$(leaks p0)" -ge 4 ] || die "after the flush packets leave in clear, and the watch must say so: $(cat $DBG/p0/watch)"
}
check "down: the kernel flushes all, then packets leave in clear and are counted" link_down

down_under_traffic() {
	local i pid
	for i in 1 2 3; do
		duo net=1 || die "not installed"
		in_ns H1 ping -q -f -w 2 10.2.0.2 >/dev/null &
		pid=$!
		in_ns H2 ping -q -f -w 2 -s 1200 10.1.0.2 >/dev/null &
		sleep 0.7
		ip -n A link set p0 down
		ip -n A xfrm policy flush	# the software's own, for forwarding
		ip -n B xfrm policy flush
		ip -n B xfrm state flush
		wait
		settle || die "round $i: something is left"
		addresses
		warm
	done
}
check "down: under traffic, three times" down_under_traffic

rekeys() { # new states in, old states out, under traffic
	local i out pid
	duo net=1 || die "not installed"
	in_ns H1 ping -q -i 0.05 10.2.0.2 >"$WORK/rekey" &
	pid=$!
	for i in 2 3 4 5; do
		# 6.12 and 7.3 alike: inbound first, then outbound, then the old ones go
		sa A in 0x${i}002 && sa B in 0x${i}001 && sa A out 0x${i}001 && sa B out 0x${i}002 || die "rekey $i"
		sleep 0.5
		ip -n A xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x$((i - 1))001
		ip -n B xfrm state delete src 10.0.0.2 dst 10.0.0.1 proto esp spi 0x$((i - 1))002
		sleep 0.5
		ip -n B xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x$((i - 1))001
		ip -n A xfrm state delete src 10.0.0.2 dst 10.0.0.1 proto esp spi 0x$((i - 1))002
	done
	sleep 1
	[ "$(sa_field p0 0x5001 packets)" -gt 0 ] || die "the last state was never used: $(cat $DBG/p0/sas)"
	kill -INT $(pgrep -P $pid; echo $pid) 2>/dev/null
	wait $pid
	out=$(cat "$WORK/rekey")
	no_leak
	case $out in *" 0% packet loss"*) ;; *) die "$out" ;; esac
}
check "rekey: four times under traffic, no packet lost, none in clear" rekeys

unregister() {
	local log
	ip -n A link add u0 alias u1 type vnic || die "no second pair"
	ip -n A addr add 10.8.0.1/24 dev u0
	ip -n A link set u0 up
	ip -n A link set u1 up
	ip -n A xfrm state add src 10.8.0.1 dst 10.8.0.2 proto esp spi 0x8001 reqid 8 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev u0 dir out || die "not installed"
	ip -n A xfrm policy add src 10.8.0.1 dst 10.8.0.2 dir out offload packet dev u0 \
		tmpl src 10.8.0.1 dst 10.8.0.2 proto esp reqid 8 mode tunnel || die "not installed"
	timeout 10 ip -n A link del u1 || die "the device does not go"
	[ -z "$(ip -n A xfrm state)$(ip -n A xfrm policy)" ] || die "left in the kernel"
	[ ! -e $DBG/u0 ] || die "debugfs is left"
	log=$(grep 'dev=u0 ' $DBG/log)
	for op in sa_add policy_add sa_delete sa_free policy_delete; do
		grep -q "op=$op " <<<"$log" || die "no $op in the log: $log"
	done
}
check "unregister: with states and policies, leaves nothing" unregister

netns_gone() {
	local i
	ip netns add C
	ip -n C link add n0 alias n1 type vnic || die "no pair"
	ip -n C link set n1 netns A
	ip -n C addr add 10.8.0.1/24 dev n0
	ip -n C link set n0 up
	ip -n A link set n1 up
	ip -n C xfrm state add src 10.8.0.1 dst 10.8.0.2 proto esp spi 0x8001 reqid 8 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev n0 dir out || die "not installed"
	ip netns del C
	for i in $(seq 300); do [ -e $DBG/n0 ] || break; sleep 0.1; done
	[ ! -e $DBG/n0 ] && [ ! -e $DBG/n1 ] || die "the pair is left: $(cat $DBG/devices; dmesg | tail -n 5)"
	ip -n A link show n1 2>/dev/null && die "the other end is left"
	ip link show n0wire 2>/dev/null && die "the tap is left"
	:
}
check "namespace: goes with a device and its states" netns_gone

moved() { # a move flushes: states never move
	ip -n A link add m0 alias m1 type vnic || die "no pair"
	ip -n A addr add 10.8.0.1/24 dev m0
	ip -n A link set m0 up
	ip -n A xfrm state add src 10.8.0.1 dst 10.8.0.2 proto esp spi 0x8001 reqid 8 mode tunnel aead "$GCM" $KEY128 128 flag esn \
		offload packet dev m0 dir out || die "not installed"
	echo "add 10.8.0.1 10.8.0.2" >$DBG/m0/watch
	ip -n A link set m0 netns B
	[ -z "$(ip -n A xfrm state)" ] || die "left in the kernel"
	sleep 0.3
	[ -z "$(<$DBG/m0/sas)" ] || die "left in the device"
	grep -q 10.8.0.1 $DBG/m0/watch || die "the watch did not survive"
	ip -n B link del m0
}
check "namespace: a move flushes the states, the watch stays" moved

acquire() { # S2
	local before
	before=$(stat p0 sa_acq)
	pol A out 10.0.0.1 10.0.0.2 || die "not installed"
	watch p0 10.0.0.1 10.0.0.2
	ip -n A xfrm monitor acquire >"$WORK/acq" &
	local mon=$!
	sleep 0.5
	in_ns A ping -q -c 2 -W 1 -i 0.2 10.0.0.2 >/dev/null
	kill $mon
	grep -q acquire "$WORK/acq" || die "no acquire: $(cat "$WORK/acq")"
	[ "$(stat p0 sa_acq)" -gt "$before" ] || die "the device saw no temporary state"
	[ -z "$(<$DBG/p0/sas)" ] || die "a temporary state takes a place in the table"
	[ "$(leaks p0)" = 0 ] || die "clear packets while acquiring"
	ip -n A xfrm state flush
}
check "acquire: a temporary state is accepted, and nothing leaves" acquire

debugfs_under_change() { # readers while everything comes and goes
	local pid i
	( while :; do cat $DBG/*/sas $DBG/*/policies $DBG/*/stats $DBG/*/log $DBG/devices $DBG/*/watch >/dev/null 2>&1; done ) &
	pid=$!
	for i in $(seq 8); do
		ip -n A link add r0 alias r1 type vnic
		ip -n A addr add 10.8.0.1/24 dev r0
		ip -n A link set r0 up
		ip -n A xfrm state add src 10.8.0.1 dst 10.8.0.2 proto esp spi 0x800$i reqid 8 mode tunnel aead "$GCM" $KEY128 128 flag esn \
			offload packet dev r0 dir out || { kill $pid; die "round $i"; }
		timeout 20 ip -n A link del r0 || { kill $pid; die "stuck in round $i"; }
	done
	kill $pid
	wait $pid 2>/dev/null
	[ ! -e $DBG/r0 ] || die "left"
}
check "debugfs: read while devices and states come and go" debugfs_under_change

many() { # a thousand states and policies, then all at once
	local i
	for i in $(seq 1000); do
		echo "xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi $((0x10000 + i)) reqid $((100 + i)) mode tunnel aead $GCM $KEY128 128 flag esn offload packet dev p0 dir out"
		echo "xfrm policy add src 10.0.0.1 dst 10.66.$((i / 250)).$((i % 250)) dir out offload packet dev p0 tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid $((100 + i)) mode tunnel"
	done >"$WORK/batch"
	ip -n A -b "$WORK/batch" || die "batch"
	[ "$(stat p0 sas_out)" = 1000 ] && [ "$(stat p0 policies_out)" = 1000 ] || die "$(stat p0 sas_out) states"
	[ "$(wc -l <$DBG/p0/sas)" = 1000 ] || die "debugfs shows $(wc -l <$DBG/p0/sas)"
	ip -n A link set p0 down
	sleep 1
	empty p0 || die "left: $(wc -l <$DBG/p0/sas)"
	addresses
	warm
}
check "table: a thousand states, flushed by link down" many

bond() { # 1.8: a bond has no policy ops; its crypto states go to the active slave
	modprobe bonding max_bonds=0 2>/dev/null || die "no bonding module"
	ip netns add C
	ip -n C link add bond0 type bond mode active-backup miimon 20 || die "bond"
	ip -n C link add b0 alias b1 type vnic
	ip -n C link set b1 up
	ip -n C link set b0 master bond0 || die "enslave"
	ip -n C addr add 10.8.0.1/24 dev bond0
	ip -n C link set bond0 up
	for i in $(seq 50); do ip -n C -d link show bond0 | grep -q 'active_slave b0' && break; sleep 0.1; done
	ip -n C -d link show bond0 | grep -q 'active_slave b0' || die "b0 does not become active"
	refused "Policy offload is not supported" ip -n C xfrm policy add src 10.8.0.1 dst 10.8.0.2 dir out offload packet dev bond0 \
		tmpl src 10.8.0.1 dst 10.8.0.2 proto esp reqid 8 mode tunnel
	ip -n C xfrm state add src 10.8.0.1 dst 10.8.0.2 proto esp spi 0x8001 reqid 8 mode tunnel aead "$GCM" $KEY128 128 \
		offload crypto dev bond0 dir out || die "state on the bond"
	case $(uname -r) in
	6.12.*) # its bond tells the slave the wrong device; the state stays in software
		[ -z "$(<$DBG/b0/sas)" ] || die "on the slave, as this kernel's bond cannot say: $(<$DBG/b0/sas)"
		ip -n C xfrm state | grep -q 0x00008001 || die "no state at all" ;;
	*)
		grep -q 0x00008001 $DBG/b0/sas || die "not on the slave" ;;
	esac
	ip netns del C
	for i in $(seq 300); do [ -e $DBG/b0 ] || break; sleep 0.1; done
	[ ! -e $DBG/b0 ] || die "the slave is left"
}
check "bond: policies refused, crypto states on the slave" bond
