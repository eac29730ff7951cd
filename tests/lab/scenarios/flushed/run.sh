# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10
for what in "state" "policy" "state policy"; do
	log_mark moon
	for table in $what; do ip -n moon xfrm $table flush; done
	recovered "after a flush ($what)" 6 alice 10.2.0.10
	agree "after a flush ($what)"
	[ "$PLUGIN" != kernel-fastswan ] || expect "it was reported ($what)" '(removed|flushed|gone|lost|behind)' log_new moon
	until_true 12 test "$(states moon)" = 2
done
spi=$(child_field moon spi-out | tail -n 1)
ip -n moon xfrm state delete src 192.168.0.1 dst 192.168.0.2 proto esp spi 0x$spi
recovered "after one SA was deleted" 6 alice 10.2.0.10
agree "after one SA was deleted"
not_added_twice moon
until_true 12 test "$(states moon)" = 2
in_mode moon packet
wire_mark
reaches alice 10.2.0.10
wire_esp_only
