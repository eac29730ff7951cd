# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
ip -n moon -batch - <<-BATCH || bad "moon's XFRM interface cannot be made"
	link add xfrm-moon type xfrm dev p0 if_id 42
	link set xfrm-moon up
	route replace 10.2.0.0/16 dev xfrm-moon
BATCH
start moon sun
initiate moon net-net || return 0
wire_mark
reaches alice 10.2.0.10 2
ip netns add guest
ip -n guest link set lo up
ip -n moon link set xfrm-moon netns guest
ip -n guest -batch - <<-BATCH || bad "the interface cannot be set up in the other namespace"
	address add 10.1.0.42/32 dev xfrm-moon
	link set xfrm-moon up
	route add 10.2.0.0/16 dev xfrm-moon src 10.1.0.42
BATCH
same "the other namespace sees no SA" "" "$(ip -n guest xfrm state)"
reaches guest 10.2.0.10 2
wire_esp_only
unreachable alice 10.2.0.10
ip -n guest link set xfrm-moon netns moon
ip netns delete guest
ip -n moon link set xfrm-moon up
ip -n moon route replace 10.2.0.0/16 dev xfrm-moon
wire_mark
reaches alice 10.2.0.10 2
wire_esp_only
ike_sa_ends moon gw-gw sun
