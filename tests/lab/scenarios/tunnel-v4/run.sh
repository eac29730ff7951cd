# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
expect "moon's CHILD_SA is installed" 'net: #[0-9]+, reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256/ESN' sw moon --list-sas
expect "sun's CHILD_SA is installed" 'net: #[0-9]+, reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256/ESN' sw sun --list-sas
in_mode moon packet
in_mode sun packet
wire_mark
reaches alice 10.2.0.10 20
reaches bob 10.1.0.10 20
tcp_through alice bob 10.2.0.10 2000000
wire_esp_only
cpu_idle
nic_busy moon sun
# The devices' counters are sampled once a second.
sleep 2
at_least "charon on moon counts the packets the NIC sent" 40 "$(child_field moon packets-out)"
at_least "charon on moon counts the packets the NIC received" 40 "$(child_field moon packets-in)"
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
nothing_left sun "after the CHILD_SA ended"
