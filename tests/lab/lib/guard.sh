# SPDX-License-Identifier: GPL-2.0-or-later
# What scenarios of the gate share: its tables as they are read, and plain packets from outside. Sourced by lib.sh. It must
# not know any scenario.

# The flows: name, host that sends, its address, the target.
GUARD_FLOWS="forwarded4 alice 10.1.0.10 10.2.0.10
local4 moon 10.1.0.1 10.2.0.10
forwarded6 alice fd00:1::10 fd00:2::10
local6 moon fd00:1::1 fd00:2::10"

# guard_list HOST: the tables as an administrator reads them.
guard_list() { on "$1" nft list ruleset; }

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

# plain COUNT SHAPE FROM TO [FROM TO...]: UDP packets in clear from sun's wire to moon, with these addresses, port 7777.
plain() {
	on sun python3 "$LAB/lib/plain.py" p1 "$(ip -n moon -br link show p0 | awk '{ print $3 }')" 0 "$@"
}

# egress MARK COUNT SHAPE FROM TO [FROM TO...]: the same from moon's NIC, past all hooks but its egress.
egress() {
	on moon python3 "$LAB/lib/plain.py" p0 "$(ip -n sun -br link show p1 | awk '{ print $3 }')" "$@"
}

# egress_dropped: packets that the rules at the egress of moon's NIC dropped.
egress_dropped() {
	on moon nft list chain netdev fastswan egress_p0 | sed -n 's/.*counter packets \([0-9]*\) .* drop.*/\1/p' |
		awk '{ sum += $1 } END { print sum + 0 }'
}
