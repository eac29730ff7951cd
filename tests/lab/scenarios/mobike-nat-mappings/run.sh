# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
nat moon 10.1.0.0/16 1024-1100
start sun alice
initiate alice mobike || return 0
sa sun "sun sees a port of the NAT" 'remote-host=192\.168\.0\.1 remote-port=1[0-9]{3} .*encap=yes .*remote-ts=\[10\.3\.0\.3/32\]'
wire_mark
reaches alice 10.2.0.10 2
reaches bob 10.3.0.3 2
# A mapping that changes is only seen against one that a DPD has recorded.
check "a DPD has been answered" until_true 20 logs alice 'parsed INFORMATIONAL response'
nat moon 10.1.0.0/16 5000-5100
# Translations of an interface that goes down are forgotten, as in a router that starts again.
ip -n moon link set p0 down
ip -n moon link set p0 up
ip -n moon route replace 10.2.0.0/16 via 192.168.0.2
check "alice notices" until_true 30 logs alice 'detected changes in NAT mappings, initiating MOBIKE update'
check "sun moves the other end" until_true 10 logs sun 'remote endpoint changed from 192\.168\.0\.1\[1[0-9]{3}\] to 192\.168\.0\.1\[5[0-9]{3}\]'
check "sun's SAs have it" until_true 10 becomes sun 'remote-port=5[0-9]{3} .*state=INSTALLED .*encap=yes'
expect "so has sun's kernel" 'encap type espinudp sport 4500 dport 5[0-9]{3} ' xfrm_states sun
wire_mark
reaches bob 10.3.0.3 2
reaches alice 10.2.0.10 2
wire_esp_only
seen "ESP in UDP has the new port" 'src 192.168.0.1 and udp src portrange 5000-5100 and udp dst port 4500'
