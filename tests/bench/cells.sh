# SPDX-License-Identifier: GPL-2.0-or-later
# Functions of the bench in the guest. The host writes a script that calls them (xtask/src/bench.rs); a person can do
# the same in `cargo xtask lab shell`. They must not choose what is measured.

# table ROUTES: a fresh network with a NIC, a link to the peers' gateway, and so many routes in the main table.
table() {
	ip netns del bench 2>/dev/null
	ip netns add bench && ip -n bench -batch - <<-END || return 1
		link set lo up
		link add p0 type vnic peer name p1
		link set p0 up
		link set p1 up
		addr add 198.18.0.1/24 dev p0
		neigh add 198.18.0.2 lladdr 02:00:00:00:00:02 dev p0 nud permanent
		route add 198.19.0.0/16 via 198.18.0.2
		link add left type dummy
		link set left up
		addr add 192.0.2.1/24 dev left
		link add inner type dummy
		link set inner up
		addr add 10.1.0.1/16 dev inner
		route add default via 192.0.2.254
	END
	echo "table $1"
	[ "$1" = 0 ] || ip netns exec bench ./bench routes "$1"
}

# cell NAME WHO ARGUMENTS...: one run of the program; what an earlier one left must not be in its way.
cell() {
	local name=$1 who=$2
	shift 2
	echo "run $name $who"
	ip netns exec bench ./bench "$@" 2>&1 || echo "failed with status $?"
	clean
}

clean() {
	local left
	left=$(ip -n bench xfrm state count | grep -o 'count [0-9]*')
	[ "$left" = "count 0" ] || echo "left $left"
	ip -n bench xfrm policy flush
	ip -n bench xfrm state flush
	ip -n bench route flush table 220 2>/dev/null
	return 0
}
