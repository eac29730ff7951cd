# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
in_mode moon crypto
in_mode sun crypto
wire_mark
reaches alice 10.2.0.10 20
reaches bob 10.1.0.10 20
tcp_through alice bob 10.2.0.10 1000000
wire_esp_only
at_least "the NIC of moon encrypted" 20 "$(nic_stat moon tx_crypto)"
at_least "the NIC of moon decrypted" 20 "$(nic_stat moon rx_crypto)"
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
nothing_left sun "after the CHILD_SA ended"
