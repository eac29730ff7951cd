# SPDX-License-Identifier: GPL-2.0-or-later
segment alice+ moon sun
start sun alice
initiate alice mobike || return 0
selectors() {
	same "$1: one SA each way for $2 and $3" "1 1" \
		"$(xfrm_states "$1" | grep -c "sel src $2 dst $3") $(xfrm_states "$1" | grep -c "sel src $3 dst $2")"
}
selectors alice 192.168.0.50/32 192.168.0.2/32
selectors sun 192.168.0.50/32 192.168.0.2/32
wire_mark
reaches alice 192.168.0.2 3
ip -n alice link set eth1 down
check "alice moves to the path through moon" until_true 20 becomes alice 'local-host=10\.1\.0\.10 .*state=INSTALLED .*local-ts=\[10\.1\.0\.10/32\]'
check "and sun follows" until_true 10 becomes sun 'remote-host=10\.1\.0\.10 .*state=INSTALLED .*remote-ts=\[10\.1\.0\.10/32\]'
selectors alice 10.1.0.10/32 192.168.0.2/32
selectors sun 10.1.0.10/32 192.168.0.2/32
reaches alice 192.168.0.2 3
wire_flush
at_least "ESP goes the new way, and the numbers went on" 1 "$(wire_new 'src 10.1.0.10 and dst 192.168.0.2' | grep -c 'ESP(.*seq=0x4)')"
ip -n sun address add fd00::2/64 dev p0 nodad
check "sun tells alice of its IPv6 address" until_true 20 logs alice 'parsed INFORMATIONAL request .* N[(]ADD_6_ADDR[)]'
ip -n alice address del 192.168.0.50/24 dev eth1
ip -n alice link set eth1 up
ip -n alice address add fd00::50/64 dev eth1 nodad
ip -n alice link set eth0 down
check "alice moves to IPv6" until_true 20 becomes alice 'local-host=fd00::50 .*state=INSTALLED .*local-ts=\[fd00::50/128\]'
check "and sun follows again" until_true 10 becomes sun 'remote-host=fd00::50 .*state=INSTALLED'
selectors alice fd00::50/128 fd00::2/128
selectors sun fd00::50/128 fd00::2/128
reaches alice fd00::2 3
wire_flush
at_least "ESP goes over IPv6, and the numbers went on" 1 "$(wire_new 'src fd00::50 and dst fd00::2' | grep -c 'ESP(.*seq=0x7)')"
unseen "no ping crossed the segment in clear" 'icmp or (icmp6 and (ip6[40] = 128 or ip6[40] = 129))'
