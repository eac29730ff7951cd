# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
expect "moon has the DROP shunt" 'drop-rest, DROP' sw moon --list-pols --drop
expect "moon has the PASS shunt" 'pass-one, PASS' sw moon --list-pols --pass
initiate moon net
in_mode moon packet
wire_mark
reaches alice 10.2.0.10 20
wire_esp_only
cpu_idle
check "the PASS pair talks in clear" on alice ping -q -i 0.05 -c 5 -W 2 -I 10.1.1.10 10.2.1.10
wire_flush
at_least "and the wire shows it" 5 "$(wire_packets 'icmp and host 10.1.1.10 and host 10.2.1.10')"
fails "what no policy but DROP takes does not pass" on alice ping -q -i 0.05 -c 3 -W 1 -I 10.1.0.10 10.2.1.10
wire_flush
same "and never reaches the wire" 0 "$(wire_packets 'host 10.1.0.10 and host 10.2.1.10')"
check "moon removes the PASS shunt" sw moon --uninstall --child pass-one
fails "then DROP takes its packets" on alice ping -q -i 0.05 -c 3 -W 1 -I 10.1.1.10 10.2.1.10
