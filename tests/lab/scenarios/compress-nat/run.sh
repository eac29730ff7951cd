# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob carol
nat moon 10.1.0.0/16 1100-1200
nat sun 10.2.0.0/16 1200-1300
start carol alice bob
initiate alice hub || return 0
initiate bob hub || return 0
log_says carol "IPComp was offered" 'IKE_AUTH request.*N\(IPCOMP_SUP\)'
same "carol has an IPComp SA each way for both" 4 "$(xfrm_states carol | grep -c 'proto comp spi')"
same "alice has hers" 2 "$(xfrm_states alice | grep -c 'proto comp spi')"
wire_mark
check "alice reaches carol with 8 kB" on alice ping -q -c 1 -W 5 -s 8184 -p deadbeef 192.168.0.100
reaches alice 192.168.0.100 2
check "alice reaches bob with 8 kB" on alice ping -q -c 1 -W 5 -s 8184 -p deadbeef 10.2.0.10
reaches bob 10.1.0.10 2
wire_flush
seen "ESP in UDP left moon's translated port" 'src 192.168.0.1 and udp src portrange 1100-1200 and dst 192.168.0.100'
seen "and sun's" 'src 192.168.0.2 and udp src portrange 1200-1300 and dst 192.168.0.100'
unseen "nothing was fragmented" 'ip[6:2] & 0x3fff != 0'
unseen "no ping crossed the segment in clear" icmp
