# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
spi_before=$(child_field moon spi-out)
wire_mark
traffic_start alice 10.2.0.10 3000
traffic_start bob 10.1.0.10 3000
for round in 1 2 3; do
	sleep 1
	check "moon rekeys the CHILD_SA ($round)" sw moon --rekey --child net
	sleep 1
	check "sun rekeys the CHILD_SA ($round)" sw sun --rekey --child net
done
sleep 1
check "the stream still runs after the last rekey" traffic_running alice
traffic_end alice "200 packets a second over six rekeys, alice to bob and back"
traffic_end bob "200 packets a second over six rekeys, bob to alice and back"
wire_esp_only
cpu_idle
# The old inbound SA stays for delete_rekeyed_delay (5 s).
until_true 10 test "$(states moon)" = 2 || sleep 5
in_mode moon packet
in_mode sun packet
fails "the SPI changed" test "$spi_before" = "$(child_field moon spi-out)"
reaches alice 10.2.0.10 20
