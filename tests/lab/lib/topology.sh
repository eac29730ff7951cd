# SPDX-License-Identifier: GPL-2.0-or-later
# Hosts and wires. Owns namespaces, devices, addresses and static routes of the lab's one topology; scenarios call
# `topology`, the runner calls `topology_down`. It must not start daemons.
#
#      10.1.0.10        10.1.0.1  192.168.0.1   192.168.0.2  10.2.0.1        10.2.0.10
#      10.1.1.10        10.1.1.1                             10.2.1.1        10.2.1.10
#   alice [eth0]-----[lan] moon [p0]================[p1] sun [lan]-----[eth0] bob
#      fd00:1::10    fd00:1::1   fd00::1          fd00::2   fd00:2::1   fd00:2::10
#
# moon and sun are gateways with a charon each, alice and bob hosts behind them. p0 and p1 are the two ends of a
# virtual NIC ("vnic") or of a veth pair ("veth", a device without ESP offload). The gateways have plain routes to
# each other's networks, so that a packet no policy takes would be forwarded in clear and seen.

HOSTS="alice moon sun bob"

# on HOST COMMAND...: in that host's network.
on() {
	local host=$1
	shift
	nsenter --net=/run/netns/"$host" "$@"
}

# topology [vnic|veth]
topology() {
	WIRE=${1:-vnic}
	local host
	for host in $HOSTS; do
		ip netns add "$host"
		ip -n "$host" link set lo up
		on "$host" sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
			net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
			net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
	done
	if [ "$WIRE" = vnic ]; then
		ip -n moon link add p0 type vnic peer name p1
	else
		ip -n moon link add p0 type veth peer name p1
	fi || { bad "the wire between moon and sun cannot be made ($WIRE)"; return 1; }
	ip -n moon link set p1 netns sun || bad "p1 cannot be moved to sun"
	lan alice moon 10.1
	lan bob sun 10.2
	address moon p0 192.168.0.1/24 fd00::1/64
	address sun p1 192.168.0.2/24 fd00::2/64
	ip -n alice route add default via 10.1.0.1
	ip -n alice -6 route add default via fd00:1::1
	ip -n bob route add default via 10.2.0.1
	ip -n bob -6 route add default via fd00:2::1
	ip -n moon route add 10.2.0.0/16 via 192.168.0.2
	ip -n moon -6 route add fd00:2::/64 via fd00::2
	ip -n sun route add 10.1.0.0/16 via 192.168.0.1
	ip -n sun -6 route add fd00:1::/64 via fd00::1
	# Neighbours are known before the first SA, as on a link that has carried traffic.
	on moon ping -q -c 1 -W 2 192.168.0.2 >/dev/null && on moon ping -q -c 1 -W 2 fd00::2 >/dev/null ||
		bad "moon does not reach sun before anything is protected"
	nic_begin
}

# lan HOST GATEWAY PREFIX
lan() {
	local host=$1 gateway=$2 prefix=$3 six
	six=fd00:${prefix#10.}
	ip -n "$host" link add eth0 type veth peer name lan netns "$gateway"
	address "$host" eth0 "$prefix.0.10/24" "$six::10/64" "$prefix.1.10/24"
	address "$gateway" lan "$prefix.0.1/24" "$six::1/64" "$prefix.1.1/24"
}

# address HOST DEVICE ADDRESS...
address() {
	local host=$1 device=$2 one
	shift 2
	for one; do
		case $one in
		*:*) ip -n "$host" address add "$one" dev "$device" nodad ;;
		*) ip -n "$host" address add "$one" dev "$device" ;;
		esac
	done
	ip -n "$host" link set "$device" up
}

topology_down() {
	local host
	for host in $HOSTS; do
		[ ! -e "/run/netns/$host" ] || ip netns delete "$host"
	done
	# Devices go with the last reference to their namespace, which the kernel drops a moment later.
	until_true 5 lab_devices_gone || bad "devices of this scenario outlive their namespaces"
}

lab_devices_gone() { [ -z "$(ls "$VNIC_DEBUG" 2>/dev/null | grep -E '^p[01]$')" ]; }
