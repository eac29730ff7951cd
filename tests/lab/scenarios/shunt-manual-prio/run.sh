# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon carol dave winnetou
serve moon 22
serve alice 22
serve winnetou 22
start moon carol dave
initiate carol home || return 0
initiate dave home || return 0
expect "moon: priority and device are in the kernel's policy" 'src 10\.1\.0\.0/16 dst 192\.168\.0\.100/32 dev p0' xfrm_policies moon
same "moon: DROP has priority 4 in every direction" 3 "$(xfrm_policies moon | grep -Ec 'dir (in|out|fwd) action block .*priority 4 ')"
wire_mark
reaches carol 10.1.0.1 2
reaches carol 10.1.0.10 2
reaches dave 10.1.0.20 2
reaches moon 10.1.0.10 2
wire_esp_only
wire_mark
unreachable winnetou 192.168.0.1
unreachable alice 192.168.0.150
# The kernel already refuses the route that ping asks for.
expect "DROP takes moon's own packets too" 'not permitted' on moon ping -q -c 1 -W 1 192.168.0.150
answers carol 192.168.0.1 22 moon
answers carol 10.1.0.10 22 alice
answers dave 10.1.0.10 22 alice
answers moon 192.168.0.150 22 winnetou
wire_flush
seen "TCP to port 22 is in clear" 'tcp port 22 and host 192.168.0.100'
