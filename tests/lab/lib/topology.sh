# SPDX-License-Identifier: GPL-2.0-or-later
# Hosts and wires. Owns namespaces, devices, addresses and static routes of the lab's smallest topology; scenarios call
# `topology` (segment.sh has a bigger one), the runner calls `topology_down`. It must not start daemons.
#
#      10.1.0.10        10.1.0.1  192.168.0.1   192.168.0.2  10.2.0.1        10.2.0.10
#      10.1.1.10        10.1.1.1                             10.2.1.1        10.2.1.10
#   alice [eth0]-----[lan] moon [p0]================[p1] sun [lan]-----[eth0] bob
#      fd00:1::10    fd00:1::1   fd00::1          fd00::2   fd00:2::1   fd00:2::10
#
# moon and sun are gateways with a charon each, alice and bob hosts behind them. p0 and p1 are the two ends of a
# virtual NIC ("vnic") or of a veth pair ("veth", a device without ESP offload). The gateways have plain routes to
# each other's networks, so that a packet no policy takes would be forwarded in clear and seen.

# Every namespace of the scenario's topology.
HOSTS=""

# on HOST COMMAND...: in that host's network.
on() {
	local host=$1
	shift
	nsenter --net=/run/netns/"$host" "$@"
}

# topology [vnic|veth]
topology() {
	local host pings
	WIRE=${1:-vnic}
	WIRE_NEIGHBOUR=192.168.0.2
	WIRE_SOURCE=
	namespaces alice moon sun bob
	ip -n moon link add p0 type "$WIRE" peer name p1 && ip -n moon link set p1 netns sun ||
		bad "the wire between moon and sun cannot be made ($WIRE)"
	ip -n alice link add eth0 type veth peer name lan netns moon
	ip -n bob link add eth0 type veth peer name lan netns sun
	{ addresses eth0 10.1 10; default_route 10.1; } | ip -n alice -batch -
	{ addresses eth0 10.2 10; default_route 10.2; } | ip -n bob -batch -
	{ addresses lan 10.1 1; port_addresses p0 1; far_routes 10.2 2; } | ip -n moon -batch -
	{ addresses lan 10.2 1; port_addresses p1 2; far_routes 10.1 1; } | ip -n sun -batch -
	# Neighbours are known before the first SA, as on a link that has carried traffic.
	on moon ping -q -c 1 -W 3 192.168.0.2 >/dev/null 2>&1 &
	pings=$!
	on moon ping -q -c 1 -W 3 fd00::2 >/dev/null 2>&1 && wait $pings ||
		bad "moon does not reach sun before anything is protected"
	nic_begin
}

# namespaces HOST...: makes them and remembers them in HOSTS.
namespaces() {
	local host
	HOSTS="$*"
	for host in $HOSTS; do echo "netns add $host"; done | ip -batch - || bad "namespaces cannot be made"
	for host in $HOSTS; do
		# Duplicate address detection would only delay the first packet.
		on "$host" sh -c 'cd /proc/sys/net
			echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding
			for conf in all default; do
				echo 0 >ipv4/conf/$conf/rp_filter; echo 0 >ipv4/conf/$conf/send_redirects
				echo 0 >ipv6/conf/$conf/accept_dad
			done'
	done
}

# addresses DEVICE PREFIX HOSTPART: of a device on a LAN, and brings it up.
addresses() {
	cat <<-BATCH
		link set lo up
		address add $2.0.$3/24 dev $1
		address add $2.1.$3/24 dev $1
		address add fd00:${2#10.}::$3/64 dev $1 nodad
		link set $1 up
	BATCH
}

port_addresses() {
	cat <<-BATCH
		address add 192.168.0.$2/24 dev $1
		address add fd00::$2/64 dev $1 nodad
		link set $1 up
	BATCH
}

default_route() {
	cat <<-BATCH
		route add default via $1.0.1
		route add ::/0 via fd00:${1#10.}::1
	BATCH
}

far_routes() {
	cat <<-BATCH
		route add $1.0.0/16 via 192.168.0.$2
		route add fd00:${1#10.}::/64 via fd00::$2
	BATCH
}

topology_down() {
	local host
	for host in $HOSTS; do
		[ ! -e "/run/netns/$host" ] || echo "netns delete $host"
	done | ip -batch -
	# Devices go with the last reference to their namespace, which the kernel drops a moment later.
	until_true 5 lab_devices_gone || bad "devices of this scenario outlive their namespaces"
}

lab_devices_gone() { [ -z "$(ls "$VNIC_DEBUG" 2>/dev/null | grep -E '^p[01]$')" ]; }
