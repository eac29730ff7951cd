# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
nat moon 10.1.0.0/16 1024-1100
rules sun <<-RULES
	chain in {
		type nat hook prerouting priority dstnat
		iifname p0 ip saddr 192.168.0.1 meta l4proto udp dnat ip to 10.2.0.10
	}
RULES
start alice bob
initiate alice nat-t || return 0
sa alice "both NATs were found" 'local-host=10\.1\.0\.10 local-port=4500 .*remote-host=192\.168\.0\.2 remote-port=4500 .*nat-local=yes nat-remote=yes nat-any=yes'
sa alice "the CHILD_SA is encapsulated" 'protocol=ESP encap=yes .*local-ts=\[10\.1\.0\.10/32\] remote-ts=\[10\.2\.0\.10/32\]'
sa bob "so it is at the other end" 'remote-host=192\.168\.0\.1 .*nat-local=yes nat-remote=yes .*protocol=ESP encap=yes'
expect "bob's kernel sends to the translated port" 'encap type espinudp sport 4500 dport (10[2-9][0-9]|1100) ' xfrm_states bob
wire_mark
reaches alice 10.2.0.10 3
reaches bob 10.1.0.10 3
wire_esp_only
seen "ESP in UDP came from the translated port" 'src 192.168.0.1 and udp src portrange 1024-1100 and udp dst port 4500'
