#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs scenarios one after the other in the guest. Owns what is true of every scenario: a fresh topology, files of its
# own, the daemons stopped afterwards, and the checks that nothing crashed and nothing was left. Started by xtask as
# /share/run with the names of the scenarios; one line "@@ NAME PASS|LIMIT|FAIL SECONDS CHECKS FAILURES [WHY]" per scenario is
# its result, with the first check that failed or what the kernel cannot do. It must not know any scenario.
LAB=/share/lab
. "$LAB/lib.sh"
: "${PLUGIN:?}"

mkdir -p "$RUN"
plugin_install || { echo "the plugin cannot be installed in the guest"; exit 2; }
nic_load || exit 2
: "${KEEP:=}"

run_one() {
	SCENARIO=$1
	SCENARIO_DIR=$LAB/scenarios/$SCENARIO
	OUT=/share/out/$SCENARIO
	CHECKS=0 FAILURES=0 FIRST_FAILURE="" LIMIT="" CHARON_CONF="" RUNNING="" STARTED="" PLUGIN_STEPS_ASIDE="" WIRE="" HOSTS=""
	local host started=$SECONDS dmesg_before
	mkdir -p "$OUT"
	rm -rf "$RUN"
	mkdir -p "$RUN"
	dmesg_before=$(dmesg | wc -l)
	echo "== $SCENARIO ($PLUGIN): $(sed '1,/^$/d' "$SCENARIO_DIR/description.txt" | head -n 1)"
	. "$SCENARIO_DIR/run.sh"
	servers_stop
	nic_collect
	stop $RUNNING
	capture_stop
	for host in $STARTED; do
		charon_verdict "$host"
		host_clean "$host"
		cp "$RUN/$host/charon.log" "$OUT/$host-charon.log" 2>/dev/null
		cp "$RUN/$host/charon.out" "$OUT/$host-charon.out" 2>/dev/null
	done
	for core in /tmp/cores/*; do
		[ -e "$core" ] || continue
		bad "a program crashed: ${core##*/}"
		gdb -batch -ex 'bt' -ex 'info threads' "$(command -v /usr/lib/ipsec/charon)" "$core" >"$OUT/${core##*/}.txt" 2>&1
		tail -n 25 "$OUT/${core##*/}.txt" | sed 's/^/       | /'
		rm -f "$core"
	done
	topology_down
	dmesg | tail -n +$((dmesg_before + 1)) >"$OUT/dmesg.txt"
	refute "the kernel reported no fault" 'WARNING:|BUG:|Oops|general protection|refcount_t|Call Trace|leaked|unregister_netdevice' cat "$OUT/dmesg.txt"
	[ ! -d /share/packages ] ||
		refute "AppArmor denied charon nothing" 'apparmor="DENIED".*charon' cat "$OUT/dmesg.txt"
	local verdict=PASS
	[ -z "$LIMIT" ] || verdict=LIMIT
	[ "$FAILURES" = 0 ] || verdict=FAIL
	[ "$CHECKS" -gt 0 ] || verdict=FAIL
	echo "@@ $SCENARIO $verdict $((SECONDS - started)) $CHECKS $FAILURES ${FIRST_FAILURE:-$LIMIT}"
	[ $verdict != FAIL ]
}

failed=0
for name; do
	run_one "$name" || failed=$((failed + 1))
done
[ $failed = 0 ]
