# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
rules sun <<-RULES
	chain class {
		type filter hook prerouting priority mangle
		ip daddr 10.8.0.0/14 meta mark set 4
	}
	chain in {
		type nat hook prerouting priority dstnat
		meta mark 8 dnat ip prefix to ip daddr map { 10.4.0.0/14 : 10.0.0.0/14 }
		meta mark 4 dnat ip prefix to ip daddr map { 10.8.0.0/14 : 10.0.0.0/14 }
	}
	chain out {
		type nat hook postrouting priority srcnat
		meta mark 8 snat ip prefix to ip saddr map { 10.0.0.0/14 : 10.8.0.0/14 }
		meta mark 4 snat ip prefix to ip saddr map { 10.0.0.0/14 : 10.4.0.0/14 }
	}
RULES
start moon sun
initiate moon net-net || return 0
sa sun "the policies have their marks" 'mark-in=00000008 mark-out=00000004.*local-ts=\[10\.4\.0\.0/14\] remote-ts=\[10\.0\.0\.0/14\]'
expect "sun: the inbound SA sets the mark" 'output-mark 0x8|set-mark 0x8' xfrm_states sun
watch bob eth0 bob
wire_mark
reaches alice 10.6.0.10 3
reaches bob 10.9.0.10 3
wire_esp_only
same "bob heard alice under her mapped address" 3 "$(watched bob 'icmp[0] = 8 and src 10.9.0.10 and dst 10.2.0.10' | wc -l)"
same "and alice answered bob under it" 3 "$(watched bob 'icmp[0] = 0 and src 10.9.0.10 and dst 10.2.0.10' | wc -l)"
