# SPDX-License-Identifier: GPL-2.0-or-later
# Several hosts on one outer segment. Owns the topology of the scenarios that need roadwarriors, NAT routers or more than
# two daemons, and what such a scenario does to it (NAT, rules, an address that goes away); scenarios call `segment`.
# It must not start daemons. Every device is a veth: nothing here offloads ESP.
#
#                                        [bridge br0 in namespace inet]
#                                     192.168.0.0/24 (br0 itself is .254)
#     alice .10 ---+                 |      |      |      |       |                +--- bob .10
#                  +-- [lan] moon [p0].1    |      |      |    .2[p0] sun [lan] ---+
#     venus .20 ---+   10.1.0.1         carol.100  |  dave.200        10.2.0.1
#                                              winnetou.150
#
# Only the hosts that a scenario names exist. moon and sun route for what is behind them, in clear, and every host has
# routes to both networks through them: a packet that no policy takes is seen on br0. With "alice+" alice has a second
# device eth1 on the segment, 192.168.0.50.

# outer HOST: its address on the segment.
outer() {
	case $1 in
	moon) echo 192.168.0.1 ;;
	sun) echo 192.168.0.2 ;;
	alice) echo 192.168.0.50 ;;
	carol) echo 192.168.0.100 ;;
	winnetou) echo 192.168.0.150 ;;
	dave) echo 192.168.0.200 ;;
	esac
}

# segment HOST...: makes the hosts.
segment() {
	local host names=""
	WIRE=lan
	WIRE_NEIGHBOUR=192.168.0.254
	# arping would look for it with a UDP socket, which a trap or DROP for all of moon's packets takes.
	WIRE_SOURCE="-s 192.168.0.1"
	for host; do names="$names ${host%+}"; done
	namespaces $names inet
	ip -n inet -batch - <<-BATCH || bad "the segment cannot be made"
		link add br0 type bridge
		address add 192.168.0.254/24 dev br0
		link set br0 up
	BATCH
	for host; do
		case $host in
		moon) inner moon 10.1 "$names" && attach moon p0 ;;
		sun) inner sun 10.2 "$names" && attach sun p0 ;;
		alice+) attach alice eth1 ;;
		carol | dave | winnetou) attach "$host" p0 ;;
		esac
	done
	for host in $names; do
		case $host in
		moon) ip -n moon route add 10.2.0.0/16 via 192.168.0.2 ;;
		sun) ip -n sun route add 10.1.0.0/16 via 192.168.0.1 ;;
		carol | dave | winnetou)
			printf 'route add 10.%s.0.0/16 via 192.168.0.%s\n' 1 1 2 2 | ip -n "$host" -batch -
			;;
		esac
	done
	nic_begin
}

# attach HOST DEVICE: to the segment.
attach() {
	ip -n "$1" -batch - <<-BATCH || bad "$1 cannot be attached to the segment"
		link set lo up
		link add $2 type veth peer name $1-$2 netns inet
		address add $(outer "$1")/24 dev $2
		link set $2 up
	BATCH
	ip -n inet link set "$1-$2" master br0 up
}

# inner ROUTER PREFIX NAMES: the network behind a router, with those of its hosts that are named.
inner() {
	local router=$1 net=$2 names=$3 host number
	ip -n "$router" -batch - <<-BATCH || bad "the network behind $router cannot be made"
		link set lo up
		link add lan type bridge
		address add $net.0.1/16 dev lan
		link set lan up
	BATCH
	for host in alice:moon:10 venus:moon:20 bob:sun:10; do
		number=${host##*:}
		case $host in *":$router:"*) host=${host%%:*} ;; *) continue ;; esac
		case " $names " in *" $host "*) ;; *) continue ;; esac
		ip -n "$host" -batch - <<-BATCH || bad "$host cannot be put behind $router"
			link set lo up
			link add eth0 type veth peer name to-$host netns $router
			address add $net.0.$number/16 dev eth0
			link set eth0 up
			route add default via $net.0.1
		BATCH
		ip -n "$router" link set "to-$host" master lan up
	done
}

# rules HOST: nftables rules from standard input, in one table "lab" that replaces the last one.
rules() {
	local host=$1
	{ printf 'table inet lab\ndelete table inet lab\ntable inet lab {\n'; cat; echo '}'; } >"$RUN/$host-rules.nft"
	on "$host" nft -f "$RUN/$host-rules.nft" || bad "$host does not take its nftables rules"
}

# nat ROUTER NETWORK PORTS: hides the UDP ports of a network behind the router's own address.
nat() {
	rules "$1" <<-RULES
		chain out {
			type nat hook postrouting priority srcnat
			oifname p0 ip saddr $2 meta l4proto udp masquerade to :$3
		}
	RULES
}

# on_wire FILTER: how many packets of that kind were on the wire since the mark.
on_wire() { wire_new "$@" | wc -l; }

# seen TEXT FILTER: the wire carried such a packet since the mark; unseen: it did not.
seen() { local text=$1; shift; at_least "$text" 1 "$(on_wire "$@")"; }
unseen() { local text=$1; shift; same "$text" 0 "$(on_wire "$@")"; }

# esp_between HOST HOST: since the mark ESP (or ESP in UDP) went both ways between the two outer addresses.
esp_between() {
	local from to
	wire_flush
	from=$(outer "$1") to=$(outer "$2")
	at_least "ESP went from $1 to $2" 1 "$(wire_new "src $from and dst $to" | grep -Ec ' ESP\(|UDP-encap: ESP')"
	at_least "ESP went from $2 to $1" 1 "$(wire_new "src $to and dst $from" | grep -Ec ' ESP\(|UDP-encap: ESP')"
}

# watch HOST DEVICE NAME: records what passes a device of a host; watched NAME [FILTER] prints it.
watch() { capture_start "$1" "$2" "watch-$3" inout; }
watched() { local name=$1; shift; tcpdump -n -v -r "$OUT/watch-$name.pcap" "$@" 2>/dev/null | sed 'N;s/\n */ /'; }
