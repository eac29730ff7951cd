# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
expect "moon's CHILD_SA is installed" 'net: #[0-9]+, reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256/ESN' sw moon --list-sas
in_mode moon packet
in_mode sun packet
wire_mark
reaches alice fd00:2::10 20
reaches bob fd00:1::10 20
tcp_through alice bob fd00:2::10 1000000
wire_esp_only
cpu_idle
nic_busy moon sun
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
nothing_left sun "after the CHILD_SA ended"
