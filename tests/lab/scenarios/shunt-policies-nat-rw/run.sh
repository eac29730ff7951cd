# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
nat moon 10.1.0.0/16 1024-1100
start sun alice venus
initiate alice nat-t || return 0
initiate venus nat-t || return 0
expect "alice has the PASS policy" 'local-net.*mode=PASS local-ts=\[10\.1\.0\.0/16\] remote-ts=\[10\.1\.0\.0/16\]' sw alice --list-pols --raw
sa alice "alice tunnels everything from her virtual address" 'local-vips=\[10\.3\.0\.1\] .*encap=yes.*local-ts=\[10\.3\.0\.1/32\] remote-ts=\[0\.0\.0\.0/0\]'
sa sun "sun has both" 'remote-vips=\[10\.3\.0\.2\] .*remote-ts=\[10\.3\.0\.2/32\]'
watch alice eth0 alice
wire_mark
reaches alice 10.2.0.10 2
reaches venus 10.2.0.10 2
wire_esp_only
reaches alice 10.1.0.20 2
reaches venus 10.1.0.10 2
between() { watched alice 'icmp and host 10.1.0.10 and host 10.1.0.20' | wc -l; }
eight() { [ "$(between)" = 8 ]; }
# The capture follows a moment later.
until_true 5 eight
same "alice and venus talk in clear, from their own addresses" 8 "$(between)"
