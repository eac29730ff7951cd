# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net-packets
spi_before=$(child_field moon spi-out)
in_mode moon packet
traffic_start alice 10.2.0.10 1000
traffic_end alice "1000 packets over a limit of 300"
expect "moon rekeyed because the limit was reached" 'creating rekey job for CHILD_SA' log moon
fails "the SPI changed" test "$spi_before" = "$(child_field moon spi-out)"
check "moon ends the IKE_SA" sw moon --terminate --ike sun
nothing_left moon "after the CHILD_SA with packet limits"
initiate moon net-time
spi_before=$(child_field moon spi-out)
traffic_start alice 10.2.0.10 1600
sleep 6
traffic_end alice "1600 packets over a rekey by time"
fails "the SPI changed again" test "$spi_before" = "$(child_field moon spi-out | tail -n 1)"
wire_esp_only
