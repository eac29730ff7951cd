# SPDX-License-Identifier: GPL-2.0-or-later
segment alice+ moon sun bob
nat moon 10.1.0.0/16 1024-1100
# charon takes the first path that answers. Over sun's inner address, which it announces too, that would be no way back.
rules sun <<-RULES
	chain ike {
		type filter hook input priority filter
		ip daddr 10.2.0.1 udp dport { 500, 4500 } drop
	}
RULES
start sun alice
initiate alice mobike || return 0
sa alice "the tunnel begins on the direct path" 'local-host=192\.168\.0\.50 .*local-ts=\[10\.3\.0\.3/32\] remote-ts=\[10\.2\.0\.0/16\]'
wire_mark
reaches alice 10.2.0.10 3
wire_flush
at_least "ESP went the direct way, numbered from 1" 1 "$(wire_new 'src 192.168.0.50 and dst 192.168.0.2' | grep -c 'ESP(.*seq=0x1)')"
ip -n alice link set eth1 down
check "alice moves to the path through moon" until_true 20 becomes alice 'local-host=10\.1\.0\.10 .*state=INSTALLED .*local-ts=\[10\.3\.0\.3/32\]'
check "and sun follows" until_true 10 becomes sun 'remote-host=192\.168\.0\.1 .*state=INSTALLED .*encap=yes .*remote-ts=\[10\.3\.0\.3/32\]'
wire_mark
reaches alice 10.2.0.10 3
wire_flush
at_least "ESP goes the new way, and the numbers went on" 1 \
	"$(wire_new 'src 192.168.0.1 and dst 192.168.0.2' | grep -c 'ESP(.*seq=0x4)')"
at_least "and comes back the new way" 1 "$(wire_new 'src 192.168.0.2 and dst 192.168.0.1' | grep -c 'ESP(.*seq=0x4)')"
unseen "no ping crossed the segment in clear" icmp
same "sun: the kernel still has 2 SAs" 2 "$(states sun)"
same "alice: the kernel still has 2 SAs" 2 "$(states alice)"
ip -n alice link set eth1 up
check "alice goes back to the better path" until_true 20 becomes alice 'local-host=192\.168\.0\.50 .*state=INSTALLED'
check "and sun follows again" until_true 10 becomes sun 'remote-host=192\.168\.0\.50 .*state=INSTALLED'
no_sa alice "nothing is encapsulated any more" 'encap=yes'
wire_mark
reaches alice 10.2.0.10 3
wire_flush
at_least "ESP goes the direct way again, and the numbers went on" 1 \
	"$(wire_new 'src 192.168.0.50 and dst 192.168.0.2' | grep -c 'ESP(.*seq=0x7)')"
