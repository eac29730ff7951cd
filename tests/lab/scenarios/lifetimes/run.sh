# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
limit() {
	local child=$1 spi
	log_mark moon
	initiate moon $child
	spi=$(child_field moon spi-out | tail -n 1)
	on alice ping -q -i 0.01 -W 3 -c 250 -s 200 10.2.0.10 >"$OUT/ping-$child.txt" 2>&1
	expect "$child$2: no packet is lost over the limit" ' 0% packet loss' cat "$OUT/ping-$child.txt"
	check "$child$2: it was rekeyed" until_true 6 spi_is_not "$spi"
	check "moon ends $child" sw moon --terminate --ike sun
	until_true 5 test "$(states moon)" = 0
}
spi_is_not() { local now; now=$(child_field moon spi-out | tail -n 1); [ -n "$now" ] && [ "$now" != "$1" ]; }
for mode in packet crypto no; do
	limit packets-$mode
	limit bytes-$mode
done
nic_set moon byte_limits 0
limit bytes-packet " (a device without limits by bytes)"
nothing_left moon "after all limits"
