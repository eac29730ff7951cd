# SPDX-License-Identifier: GPL-2.0-or-later
topology_routed
start moon sun
initiate moon net
in_mode moon packet
reaches alice 10.2.0.10
old=$(ip -n router -br link show g0 | awk '{ print $3 }')
same "moon's NIC sends to the router" "$old" "$(field "$(nic_rows moon sas | grep dir=out)" mac)"
spi_before=$(child_field moon spi-out)
log_mark moon
ip -n router link set g0 address 02:00:00:00:77:01
on router arping -q -U -c 1 -I g0 192.168.0.2
recovered "after the router's MAC address changed" 10 alice 10.2.0.10
same "moon's NIC follows" 02:00:00:00:77:01 "$(field "$(nic_rows moon sas | grep dir=out | tail -n 1)" mac)"
wire_mark
reaches alice 10.2.0.10
wire_esp_only
cpu_idle
agree "after the change"
check "moon ends it" sw moon --terminate --child net
ip -n moon neigh flush dev p0
initiate moon net
recovered "with a router that was not resolved before" 5 alice 10.2.0.10
same "the NIC of moon sent nothing to 00:00:00:00:00:00" 0 "$(nic_stat moon tx_zero_mac)"
