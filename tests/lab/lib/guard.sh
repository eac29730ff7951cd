# SPDX-License-Identifier: GPL-2.0-or-later
# What scenarios of the gate share: traffic while something goes wrong, counted where the device puts it on the wire, and
# plain packets from outside. Sourced by lib.sh. It must not know any scenario.
#
# A cell is one fault in one direction: packets of one flow that crossed the wire in clear while the fault happened, as
# the NIC of moon counted them. With our plugin every cell must be 0; with kernel-netlink the numbers are written down,
# and LEAKS says whether there were any at all. Cells are kept in cells.txt.

# The flows: name, host that sends, its address, the target.
GUARD_FLOWS="forwarded4 alice 10.1.0.10 10.2.0.10
local4 moon 10.1.0.1 10.2.0.10
forwarded6 alice fd00:1::10 fd00:2::10
local6 moon fd00:1::1 fd00:2::10"

# guard_begin: moon's NIC counts each flow by itself, in both directions.
guard_begin() {
	LEAKS=0
	: >"$OUT/cells.txt"
	echo clear >"$VNIC_DEBUG/$(port moon)/watch"
	printf 'add %s\n' "10.1.0.10/32 10.2.0.0/16" "10.1.0.1/32 10.2.0.0/16" "fd00:1::10/128 fd00:2::/64" \
		"fd00:1::1/128 fd00:2::/64" >"$VNIC_DEBUG/$(port moon)/watch"
}

# guard_counts: "tx rx" of the four flows, in the order of GUARD_FLOWS.
guard_counts() {
	nic_file moon watch | awk '{ tx = rx = 0; for (i = 1; i <= NF; i++) { split($i, f, "="); if (f[1] == "tx") tx = f[2]; if (f[1] == "rx") rx = f[2] } print tx, rx }'
}

# cell FAULT COMMAND...: traffic of all flows runs while COMMAND is executed.
cell() {
	local fault=$1 before after pids="" name host from to
	shift
	before=$(guard_counts)
	while read -r name host from to; do
		on "$host" ping -q -I "$from" -i 0.1 -c "${CELL_PACKETS:-20}" -W 1 ${CELL_PING:-} "$to" >/dev/null 2>&1 &
		pids="$pids $!"
	done <<<"$GUARD_FLOWS"
	sleep 0.2
	"$@" >"$OUT/cell.txt" 2>&1
	wait $pids
	sleep 0.2
	after=$(guard_counts)
	cell_judge "$fault" "$(paste -d ' ' <(echo "$before") <(echo "$after"))"
}

# cell_judge FAULT LINES: each line has the counters of a flow before and after.
cell_judge() {
	local fault=$1 counts=$2 name host from to tx0 rx0 tx1 rx1 sent received
	while read -r name host from to && read -r tx0 rx0 tx1 rx1 <&3; do
		sent=$((tx1 - tx0)) received=$((rx1 - rx0))
		echo "$fault|$name|$sent|$received" >>"$OUT/cells.txt"
		LEAKS=$((LEAKS + sent + received))
		if [ "$PLUGIN" = kernel-fastswan ]; then
			same "$fault, $name: packets in clear, sent and received" "0 0" "$sent $received"
		else
			note "$fault, $name: $sent packets left and $received came in clear"
		fi
	done <<<"$GUARD_FLOWS" 3<<<"$counts"
}

# heal: both CHILD_SAs anew.
heal() {
	sw moon --terminate --ike four --force --timeout 3 >/dev/null 2>&1
	sw moon --terminate --ike six --force --timeout 3 >/dev/null 2>&1
	sw moon --initiate --child net4 --timeout 15 >/dev/null 2>&1 || bad "net4 does not come up again"
	sw moon --initiate --child net6 --timeout 15 >/dev/null 2>&1 || bad "net6 does not come up again"
}

# guard_list HOST: the tables as an administrator reads them.
guard_list() { on "$1" nft list ruleset; }

# guard_end: what the cells say of the plugin as a whole.
guard_end() {
	local host
	for host in moon sun; do guard_list "$host" >"$OUT/$host-nft.txt" 2>&1; done
	[ "$PLUGIN" != kernel-netlink ] || at_least "kernel-netlink shows that these faults leak" 1 "$LEAKS"
}

# gates_for_good HOST: guarded selectors that no timeout opens.
gates_for_good() {
	on "$1" nft list table inet fastswan 2>/dev/null | sed -n '/^\tset gate/,/^\t}/p' | tr ',{}' '\n\n\n' |
		grep -E '[0-9a-f.:]+ \. [0-9a-f.:]+' | grep -Ev 'type |comment "guarded|expires'
}

# guard_gone HOST: takes away what guard_on_stop = hold left, for the next scenario.
guard_gone() {
	on "$1" nft delete table inet fastswan 2>/dev/null
	on "$1" nft delete table netdev fastswan 2>/dev/null
	return 0
}

# plain FROM TO COUNT: UDP packets in clear from sun's wire to moon, with these addresses, port 7777.
plain() {
	on sun python3 "$LAB/lib/plain.py" p1 "$(on moon cat /sys/class/net/p0/address)" "$1" "$2" "$3"
}

# count_at HOST: begins to count UDP packets for port 7777 that were let in.
count_at() {
	on "$1" nft -f - <<-E
		table inet lab {
			chain in { type filter hook input priority 300; udp dport 7777 counter; }
			chain over { type filter hook forward priority 300; udp dport 7777 counter; }
		}
	E
}
counted_at() { on "$1" nft list table inet lab | sed -n 's/.*packets \([0-9]*\) .*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }'; }
