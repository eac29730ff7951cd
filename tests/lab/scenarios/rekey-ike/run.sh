# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
spi_before=$(child_field moon spi-out)
wire_mark
traffic_start alice 10.2.0.10 1600
sleep 1
check "moon rekeys the IKE_SA" sw moon --rekey --ike sun
sleep 1
check "sun rekeys the IKE_SA" sw sun --rekey --ike moon
sleep 1
check "moon rekeys the CHILD_SA afterwards" sw moon --rekey --child net
sleep 1
check "the stream still runs after the last rekey" traffic_running alice
traffic_end alice "200 packets a second over two IKE rekeys and one of the CHILD_SA"
wire_esp_only
cpu_idle
until_true 10 test "$(states moon)" = 2 || sleep 5
in_mode moon packet
in_mode sun packet
