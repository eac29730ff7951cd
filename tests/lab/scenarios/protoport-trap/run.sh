# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
serve alice 22
start moon carol
wire_mark
on carol ping -q -c 2 -W 1 -i 0.3 10.1.0.10 >/dev/null
check "a ping brings up the CHILD_SA for ICMP" until_true 15 has_child_sa carol icmp
no_sa carol "and not the other" 'remote-ts=\[10\.1\.0\.0/16\[tcp/ssh\]\]'
reaches carol 10.1.0.10 2
answers carol 10.1.0.10 22 alice
check "a connection brings up the one for TCP" until_true 15 has_child_sa carol ssh
log_says carol "the acquire for ICMP" 'creating acquire job.*\[icmp/8\]'
log_says carol "the acquire for TCP" 'creating acquire job.*\[tcp/ssh\]'
reaches carol 10.1.0.1 2
wire_esp_only
