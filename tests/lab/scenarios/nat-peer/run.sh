# SPDX-License-Identifier: GPL-2.0-or-later
topology_routed
on router nft -f - <<-RULES || bad "the router does not take the NAT"
	table ip nat {
		chain post { type nat hook postrouting priority srcnat; oifname g1 ip saddr 192.168.0.0/24 meta l4proto { udp, icmp } masquerade; }
	}
RULES
ip -n sun route del default
start moon sun
refused_line moon net 'Encapsulation is supported in transport mode only' 'NAT'
nothing_left moon "after the refusal"
initiate moon net-auto
expect "it is encapsulated" 'net-auto: .*INSTALLED, TUNNEL-in-UDP' sw moon --list-sas
in_mode moon software
reaches alice 10.2.0.10
check "moon ends it" sw moon --terminate --child net-auto
initiate moon host
expect "it is encapsulated" 'host: .*INSTALLED, TRANSPORT-in-UDP' sw moon --list-sas
in_mode moon packet
wire_mark
reaches moon 192.168.2.2 10
wire_flush
same "moon: the NIC sent ESP in UDP" 10 "$(wire_new 'src 192.168.0.1' | grep -c 'UDP-encap: ESP')"
keepalives() { wire_flush; wire_new 'src 192.168.0.1 and udp port 4500 and udp[4:2] = 9' | wc -l; }
traffic_start moon 192.168.2.2 50 0.2
# A keepalive that was due when the traffic began is charon's right, as is one until the NIC has counted.
sleep 2.5
wire_mark
traffic_end moon "10 s of traffic, one packet each 0.2 s"
same "no NAT keepalive was sent while it was busy" 0 "$(keepalives)"
wire_mark
sleep 8
at_least "NAT keepalives are sent while it is idle" 1 "$(keepalives)"
