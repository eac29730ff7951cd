# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon host4
expect "moon's CHILD_SA is installed" 'host4: .*INSTALLED, TRANSPORT, ESP:AES_GCM_16-256/ESN' sw moon --list-sas
in_mode moon packet
in_mode sun packet
wire_mark
reaches moon 192.168.0.2 20
reaches sun 192.168.0.1 20
tcp_through moon sun 192.168.0.2 500000
wire_esp_only
cpu_idle
nic_busy moon sun
check "moon ends the CHILD_SA" sw moon --terminate --child host4
nothing_left moon "after the CHILD_SA ended"
initiate moon host6
in_mode moon packet
wire_mark
reaches moon fd00::2 20
reaches sun fd00::1 20
wire_esp_only
cpu_idle
nic_busy moon sun
