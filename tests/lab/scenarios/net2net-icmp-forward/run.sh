# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
ip -n sun route add 10.2.0.16/30 via 10.2.0.10
ip -n moon route add 10.2.0.8/30 via 192.168.0.2
ip -n sun route add 10.2.0.8/30 dev lan src 10.2.0.1 mtu 1280
start sun moon venus
initiate moon net-net || return 0
initiate venus rw || return 0
expect "moon: the inbound SA forwards ICMP errors" 'flag .*icmp' xfrm_states moon
wire_mark
expect "alice hears of a host that is not there" '(192\.168\.0\.2|10\.2\.0\.25).*Destination Host Unreachable|From .*Unreachable' \
	on alice ping -c 1 -W 5 10.2.0.25
expect "so does moon, from bob, who is outside the selectors" 'From 10\.2\.0\.10 .*Unreachable' on moon ping -c 1 -W 5 -I 10.1.0.1 10.2.0.17
reaches venus 10.2.0.10 2
expect "venus hears of an expired TTL, from sun" 'From (192\.168\.0\.2|10\.2\.0\.1) .*Time to live exceeded' on venus ping -t 2 -c 1 -W 5 10.2.0.10
expect "venus hears of a packet too big, from sun" 'From (192\.168\.0\.2|10\.2\.0\.1) .*[Ff]rag needed.*mtu = 1280' \
	on venus ping -M do -s 1320 -c 1 -W 5 10.2.0.10
wire_flush
esp_between moon sun
unseen "no error about alice's or moon's packets was in clear" 'icmp[0] = 3 and icmp[1] = 1'
