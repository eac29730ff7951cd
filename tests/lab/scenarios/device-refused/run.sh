# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
second_nic
ip -n moon link add link p0 name vlan5 type vlan id 5 && ip -n sun link add link p1 name vlan5 type vlan id 5 || bad "there is no VLAN"
ip -n moon address add 192.168.5.1/24 dev vlan5
ip -n sun address add 192.168.5.2/24 dev vlan5
ip -n moon link set vlan5 up
ip -n sun link set vlan5 up
modprobe bonding max_bonds=0
ip -n moon link add bond0 type bond mode active-backup
ip -n moon address flush dev q0
ip -n moon link set q0 down
ip -n moon link set q0 master bond0
ip -n moon address add 192.168.1.1/24 dev bond0
ip -n moon link set bond0 up
ip -n moon link add v0 type veth peer name v1
ip -n moon link set v1 netns sun
ip -n moon address add 192.168.6.1/24 dev v0
ip -n sun address add 192.168.6.2/24 dev v1
ip -n moon link set v0 up
ip -n sun link set v1 up
check "the bond works" until_true 10 on moon ping -q -c 1 -W 1 192.168.1.2
start moon sun
refused_line moon vlan-packet 'device vlan5: the device is a vlan' 'physical port'
refused_line moon bond-packet 'device bond0: the device is a bond' 'physical port'
refused_line moon plain-packet 'device v0: it has no IPsec offload' 'hw_offload = auto or no'
for kind in vlan bond plain; do
	initiate moon $kind-auto
	same "moon: $kind-auto is not in packet mode" 0 "$(states moon packet)"
	reaches alice 10.2.0.10
	check "moon ends it" sw moon --terminate --ike $kind
	until_true 5 test "$(states moon)" = 0
done
nothing_left moon "at the end"
