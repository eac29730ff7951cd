# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start moon sun
expect "moon has the trap" 'net-net.*mode=TUNNEL local-ts=\[10\.1\.0\.0/16\] remote-ts=\[10\.2\.0\.0/16\]' sw moon --list-pols --raw
same "moon: no SA before traffic" 0 "$(states moon)"
wire_mark
on alice ping -q -c 3 -W 1 -i 0.2 10.2.0.10 >/dev/null
check "the trap brings the tunnel up" until_true 15 has_child_sa moon net-net
log_says moon "the acquire names the packet" 'creating acquire job for policy 10\.1\.0\.10/32\[icmp/8\] === 10\.2\.0\.10/32\[icmp/8\]'
sa moon "the reqid is the trap's" 'net-net.*reqid=1 state=INSTALLED mode=TUNNEL'
reaches alice 10.2.0.10 3
wire_esp_only
