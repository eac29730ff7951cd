# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon host
expect "UDP encapsulation is used" 'host: .*INSTALLED, TRANSPORT-in-UDP' sw moon --list-sas
in_mode moon packet
wire_mark
reaches moon 192.168.0.2 10
reaches sun 192.168.0.1 10
wire_esp_only
cpu_idle
check "moon ends the CHILD_SA" sw moon --terminate --child host
initiate moon net
expect "UDP encapsulation is used in the tunnel" 'net: .*INSTALLED, TUNNEL-in-UDP' sw moon --list-sas
in_mode moon software
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
cpu_busy
