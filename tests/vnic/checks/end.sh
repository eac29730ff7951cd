# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The last checks, always run: the table is balanced, the devices go, the
# module goes, and the kernel has not complained. Sourced by run.sh.

balanced() {
	local d adds frees
	for d in p0 p1; do
		adds=$(stat $d sa_adds) frees=$(stat $d sa_frees)
		[ "$adds" -gt 0 ] || die "$d: no state was ever added"
		[ "$adds" = "$frees" ] || die "$d: $adds states added, $frees freed"
		[ "$(stat $d policy_adds)" = "$(stat $d policy_deletes)" ] || die "$d: policies left"
	done
}
[ -n "$PATTERN" ] || check "table: every state added was freed" balanced

unloads() {
	local i
	end_lab
	ip link del p0 2>/dev/null
	for i in $(seq 100); do
		[ "$(cat $DBG/devices)" = "" ] && break
		sleep 0.1
	done
	[ "$(cat $DBG/devices)" = "" ] || die "devices left: $(cat $DBG/devices)"
	rmmod vnic || die "rmmod failed"
	[ ! -e $DBG ] || die "$DBG is left"
	ip link show type vnic 2>/dev/null | grep -q . && die "links left"
	ip -o link | grep -q wire && die "a tap is left: $(ip -o link)"
	insmod "$VNIC_KO" || die "does not load again"
	# unloading with devices, states and policies present
	ip link add p0 alias p1 type vnic
	ip addr add 10.0.0.1/24 dev p0
	ip link set p0 up
	ip link set p1 up
	ip xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 1 reqid 1 mode tunnel aead "$GCM" $KEY128 128 \
		flag esn offload packet dev p0 dir out || die "state refused"
	ip xfrm policy add src 10.0.0.1 dst 10.0.0.2 dir out offload packet dev p0 \
		tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 1 mode tunnel || die "policy refused"
	rmmod vnic || die "rmmod with devices present failed"
	[ -z "$(ip xfrm state)$(ip xfrm policy | grep offload)" ] || die "states are left"
}
# check() would look for devices that are no longer there
reset_lab
reset_lab() { :; }
check "module: unloads clean, with and without devices" unloads

quiet_kernel() {
	local bad
	bad=$(dmesg | grep -E 'WARNING:|BUG:|Oops|KASAN|INFO: |rcu_sched|unregister_netdevice: waiting|refcount_t|list_del|scheduling while atomic|general protection|Call Trace')
	[ -z "$bad" ] || die "the kernel complained: $(dmesg | grep -A 30 -m 1 -E 'WARNING:|BUG:|Oops|KASAN|Call Trace')"
}
check "kernel: no WARN, BUG, Oops or leak in dmesg" quiet_kernel
