# SPDX-License-Identifier: GPL-2.0-or-later
# The leak matrix: faults while traffic runs, and what of it the NIC of moon put on the wire, or took from it, in clear.
# Owns the traffic, the count per cell and the order of a pass; the scenarios leaks-* and guard-faults name the faults.
# Sourced by lib.sh, builds on guard.sh and offload.sh. It must not know which plugin is under test, but for the verdict.
#
# A fault is one line of the matrix. Its four cells are forwarded and local traffic, IPv4 and IPv6, all of them at the
# same time in one topology; a cell counts both directions. Lines of cells.txt: SETTINGS|FAULT|FLOW|SENT|RECEIVED.
#
# A pass is all faults of a scenario with one choice of settings:
#   stock      strongSwan's own plugin, which has none
#   hold       guard_hold = forever and guard_on_stop = hold: nothing may be in clear at all
#   defaults   what is not configured: nothing, but where the gate opens after its time

# What sends: host, from, to. The first two of moon's side are what GUARD_FLOWS counts; sun's side answers for the
# other direction.
CHATTER="alice 10.1.0.10 10.2.0.10 fd00:1::10 fd00:2::10
moon 10.1.0.1 10.2.0.10 fd00:1::1 fd00:2::10
bob 10.2.0.10 10.1.0.10 10.2.0.10 10.1.0.1 fd00:2::10 fd00:1::10 fd00:2::10 fd00:1::1
sun 10.2.0.1 10.1.0.10 10.2.0.1 10.1.0.1 fd00:2::1 fd00:1::10 fd00:2::1 fd00:1::1"
CHATTER_HOSTS="alice moon bob sun"
# Rounds of each sender that a cell waits for behind its fault: about a second.
CHATTER_ROUNDS=15

# Devices of moon whose wires are counted.
LEAK_DEVICES=p0
# How a pass gets its CHILD_SAs back after each fault.
LEAK_HEAL=leaks_up

chatter_start() {
	local host flows
	rm -f "$RUN/chatter.stop"
	while read -r host flows; do
		on "$host" python3 "$LAB/lib/chatter.py" "$RUN/chatter.stop" "$RUN/chatter-$host" $flows >"$OUT/chatter-$host.txt" 2>&1 &
	done <<<"$CHATTER"
	for host in $CHATTER_HOSTS; do
		until_true 20 test -s "$RUN/chatter-$host" || bad "nothing sends on $host: $(tail -n 1 "$OUT/chatter-$host.txt")"
	done
}

chatter_stop() {
	touch "$RUN/chatter.stop"
	sleep 0.3
}

# chatter_round HOST: how often it has sent.
chatter_round() { echo $((10#$(cat "$RUN/chatter-$1"))); }

# chatter_passed HOST ROUND: it has sent for the time of a cell since that round.
chatter_passed() { [ "$(chatter_round "$1")" -ge $(($2 + CHATTER_ROUNDS)) ]; }

# chatter_wait: everybody has sent for the time of a cell.
chatter_wait() {
	local host
	for host in $CHATTER_HOSTS; do eval "local round_$host=$(chatter_round "$host")"; done
	for host in $CHATTER_HOSTS; do
		eval "until_true 20 chatter_passed $host \$round_$host" || bad "there is no traffic of $host"
	done
}

# leak_counts: "tx rx" of the four flows, in the order of GUARD_FLOWS, over all wires.
leak_counts() {
	local dev
	for dev in $LEAK_DEVICES; do
		awk '{ tx = rx = 0; for (i = 1; i <= NF; i++) { split($i, f, "="); if (f[1] == "tx") tx = f[2]; if (f[1] == "rx") rx = f[2] } print NR, tx, rx }' \
			"$VNIC_DEBUG/$dev/watch"
	done | awk '{ tx[$1] += $2; rx[$1] += $3; if ($1 > n) n = $1 } END { for (i = 1; i <= n; i++) print tx[i] + 0, rx[i] + 0 }'
}

leaks_watch() {
	local dev
	for dev in $LEAK_DEVICES; do
		echo clear >"$VNIC_DEBUG/$dev/watch"
		printf 'add %s\n' "10.1.0.10/32 10.2.0.0/16" "10.1.0.1/32 10.2.0.0/16" "fd00:1::10/128 fd00:2::/64" \
			"fd00:1::1/128 fd00:2::/64" >"$VNIC_DEBUG/$dev/watch"
	done
}

# leaks_line NAME BEFORE AFTER VERDICT: four cells. VERDICT: none (0 with our plugin), known (the same, and strongSwan's own
# plugin is known to leak), opens (the gate is open by now: something must pass).
leaks_line() {
	local fault=$1 verdict=$4 name host from to tx0 rx0 tx1 rx1 sum=0 cells="" flow=0 before after
	# The guest has no /dev/fd, so no process substitution.
	mapfile -t before <<<"$2"
	mapfile -t after <<<"$3"
	while read -r name host from to; do
		read -r tx0 rx0 <<<"${before[flow]:-}"
		read -r tx1 rx1 <<<"${after[flow]:-}"
		flow=$((flow + 1))
		if [ -z "$rx0" ] || [ -z "$rx1" ]; then
			bad "$PASS, $fault: nothing was counted for $name"
			continue
		fi
		echo "$PASS|$fault|$name|$((tx1 - tx0))|$((rx1 - rx0))" >>"$OUT/cells.txt"
		sum=$((sum + tx1 - tx0 + rx1 - rx0))
		cells="$cells $name $((tx1 - tx0))+$((rx1 - rx0))"
	done <<<"$GUARD_FLOWS"
	[ $verdict = none ] || echo "$PASS|$fault|$verdict|0|0" >>"$OUT/cells.txt"
	case $PASS:$verdict in
	stock:known) at_least "$fault: strongSwan's own plugin leaks, as is known ($cells )" 1 "$sum" ;;
	stock:*) note "$fault:$cells" ;;
	*:opens) at_least "$fault: the gate is open ($cells )" 1 "$sum" ;;
	*) if [ "$sum" = 0 ]; then ok "$PASS, $fault: nothing in clear"; else bad "$PASS, $fault: in clear, sent+received:$cells"; fi ;;
	esac
}

# leak [-k|-o] FAULT COMMAND...: one fault. -k: strongSwan's own plugin is known to leak. -o: the gate opens by then.
leak() {
	local verdict=none fault before after
	case $1 in
	-k) verdict=known; shift ;;
	-o) verdict=opens; shift ;;
	esac
	fault=$1
	shift
	before=$(leak_counts)
	{
		echo "== $PASS $fault"
		"$@"
	} >>"$OUT/faults.txt" 2>&1
	chatter_wait
	after=$(leak_counts)
	leaks_line "$fault" "$before" "$after" $verdict
	"$LEAK_HEAL" "$fault"
	# Setting up again leaks with strongSwan's own plugin by nature, and with the defaults once the time is over.
	[ "$PASS" != hold ] || leaks_line "$fault, until the CHILD_SAs are back" "$after" "$(leak_counts)" none
}

# ears HOST...: sockets there count what they receive on port 7777.
ears() {
	local host
	for host; do
		(exec nsenter --net=/run/netns/"$host" python3 "$LAB/lib/ears.py" 7777 "$RUN/ears-$host" >"$OUT/ears-$host.txt" 2>&1) &
		SERVERS="$SERVERS $!"
		until_true 10 test -s "$RUN/ears-$host" || bad "nothing listens on $host"
	done
}

# heard: "0 COUNT" of the four flows: what alice and moon received, IPv4 and IPv6.
heard() {
	local alice moon
	read -ra alice <"$RUN/ears-alice"
	read -ra moon <"$RUN/ears-moon"
	printf '0 %d\n' $((10#${alice[0]})) $((10#${moon[0]})) $((10#${alice[1]})) $((10#${moon[1]}))
}

# entered [-k] KIND COMMAND...: packets that must not get in. As `leak`; what was received counts, not what was on the wire.
entered() {
	local verdict=none kind before
	[ "$1" != -k ] || { verdict=known; shift; }
	kind=$1
	shift
	before=$(heard)
	{
		echo "== $PASS $kind"
		"$@"
	} >>"$OUT/faults.txt" 2>&1
	sleep 1
	leaks_line "$kind" "$before" "$(heard)" $verdict
}

# ours COMMAND...: only with our plugin.
ours() { [ "$PASS" = stock ] || "$@"; }

# leaks_up FAULT: both CHILD_SAs anew, if need be with new daemons.
leaks_up() {
	local host try
	for host in moon sun; do
		case " $RUNNING " in *" $host "*) ;; *) start $host ;; esac
	done
	for try in 1 2; do
		if python3 "$LAB/lib/tunnels.py" up "$(vici_socket moon)" ${LEAK_CHILDREN:-net4 net6} >>"$OUT/faults.txt" 2>&1; then
			return 0
		fi
		python3 "$LAB/lib/tunnels.py" down "$(vici_socket sun)" >>"$OUT/faults.txt" 2>&1
	done
	if [ "$PASS" = stock ]; then
		note "after $1 the tunnels come back with new daemons only"
	else
		bad "after $1 the tunnels do not come back"
	fi
	for host in moon sun; do
		crash $host
		ip -n $host xfrm state flush
		ip -n $host xfrm policy flush
	done
	start moon sun
	python3 "$LAB/lib/tunnels.py" up "$(vici_socket moon)" ${LEAK_CHILDREN:-net4 net6} >>"$OUT/faults.txt" 2>&1 || bad "the tunnels do not come up at all"
}

# matrix FUNCTION [PASS...]: the function names the faults; it is called once per pass.
matrix() {
	local faults=$1 host
	shift
	: >"$OUT/cells.txt"
	# The device counts by itself, and may be gone at times.
	capture_stop
	[ "$PLUGIN" = kernel-fastswan ] || set -- stock
	[ $# -gt 0 ] || set -- hold defaults
	for PASS; do
		CHARON_CONF="charon { retransmit_timeout = 1.5
retransmit_base = 1
retransmit_tries = 3
}"
		[ "$PASS" != hold ] || CHARON_CONF="$CHARON_CONF
charon { plugins { kernel-fastswan { guard_hold = forever
guard_on_stop = hold
} } }"
		start moon sun
		leaks_watch
		leaks_up "the start"
		# From here on everything sent is protected.
		chatter_start
		$faults
		chatter_stop
		for host in moon sun; do guard_list "$host" >"$OUT/$host-nft-$PASS.txt" 2>&1; done
		stop moon sun
		# What killed daemons left is not the matter here: a daemon's /run, and with it its ledger, goes in the lab.
		for host in moon sun; do
			guard_gone $host
			flush_routes $host
			ip -n $host xfrm state flush
			ip -n $host xfrm policy flush
		done
	done
	CHARON_CONF=
	LEAK_DEVICES=p0
	LEAK_HEAL=leaks_up
}
