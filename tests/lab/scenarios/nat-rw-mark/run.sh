# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
nat moon 10.1.0.0/16 1024-1100
rules sun <<-RULES
	chain in {
		type filter hook prerouting priority mangle
		ip daddr 10.3.0.10 meta mark set 10
		ip daddr 10.3.0.20 meta mark set 20
	}
	chain out {
		type nat hook postrouting priority srcnat
		oifname lan meta mark 10 snat ip to 10.3.0.10
		oifname lan meta mark 20 snat ip to 10.3.0.20
	}
RULES
start sun alice venus
initiate alice home || return 0
initiate venus home || return 0
sa sun "alice's SA has her marks" 'remote-id=alice .*mark-in=0000000a mark-out=0000000a.*remote-ts=\[10\.1\.0\.0/25\]'
sa sun "venus' SA has hers, for the same selectors" 'remote-id=venus .*mark-in=00000014 mark-out=00000014.*remote-ts=\[10\.1\.0\.0/25\]'
same "sun: the kernel has two outbound policies for one pair of networks" 2 \
	"$(xfrm_policies sun | grep -A 1 '^src 10.2.0.0/16 dst 10.1.0.0/25' | grep -c 'dir out')"
watch bob eth0 bob
wire_mark
reaches alice 10.2.0.10 3
reaches venus 10.2.0.10 3
wire_flush
seen "ESP in UDP left the NAT's ports" 'src 192.168.0.1 and udp src portrange 1024-1100 and udp dst port 4500'
at_least "the two roadwarriors have different ports" 2 \
	"$(wire_new 'src 192.168.0.1 and udp dst port 4500' | sed -E 's/.* 192\.168\.0\.1\.([0-9]+) >.*/\1/' | sort -u | wc -l)"
unseen "no ping crossed the segment in clear" icmp
for mapped in 10.3.0.10 10.3.0.20; do
	same "bob heard 3 requests of $mapped" 3 "$(watched bob "icmp[0] = 8 and src $mapped" | wc -l)"
	same "and answered them" 3 "$(watched bob "icmp[0] = 0 and dst $mapped" | wc -l)"
done
