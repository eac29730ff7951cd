# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
serve alice 22
serve alice 23
start moon carol
initiate carol icmp || return 0
initiate carol ssh || return 0
sa carol "one CHILD_SA is for ICMP" 'local-ts=\[192\.168\.0\.100/32\[icmp\]\] remote-ts=\[10\.1\.0\.0/16\[icmp\]\]'
sa carol "one for TCP to port 22" 'local-ts=\[192\.168\.0\.100/32\[tcp\]\] remote-ts=\[10\.1\.0\.0/16\[tcp/ssh\]\]'
wire_mark
reaches carol 10.1.0.10 3
reaches carol 10.1.0.1 3
same "6 packets took the SA for ICMP, none the other" "6 0" "$(child_field carol packets-out | tr '\n' ' ' | sed 's/ $//')"
answers carol 10.1.0.10 22 alice
wire_esp_only
answers carol 10.1.0.10 23 alice
wire_flush
seen "another port is not protected: that was in clear" 'tcp port 23'
