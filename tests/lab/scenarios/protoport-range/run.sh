# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
serve alice 22
start moon carol
initiate carol icmp-req || return 0
initiate carol icmp-rep || return 0
initiate carol ftp-ssh || return 0
sa carol "requests have their CHILD_SA" 'local-ts=\[192\.168\.0\.100/32\[icmp/8\]\] remote-ts=\[10\.1\.0\.0/16\[icmp/8\]\]'
sa carol "replies have theirs" 'local-ts=\[192\.168\.0\.100/32\[icmp/0\]\] remote-ts=\[10\.1\.0\.0/16\[icmp/0\]\]'
sa carol "ranges of ports are kept" 'local-ts=\[192\.168\.0\.100/32\[tcp/32768-65535\]\] remote-ts=\[10\.1\.0\.0/16\[tcp/21-22\]\]'
expect "carol: the kernel's policy is for requests" 'dst 10\.1\.0\.0/16 proto icmp type 8' xfrm_policies carol
wire_mark
reaches carol 10.1.0.10 3
same "requests went by the first SA, replies came by the second" "3,0,0 0,3,0" \
	"$(child_field carol packets-out | paste -sd ,) $(child_field carol packets-in | paste -sd ,)"
answers carol 10.1.0.10 22 alice sourceport=40000
wire_esp_only
