# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10
for who in moon sun; do
	log_mark $who
	flap $who 1
	recovered "one CHILD_SA after a link flap of $who" 3 alice 10.2.0.10
	agree "after the flap of $who"
	# The SA of the generation before may still be waiting for its end.
	[ "$PLUGIN" != kernel-fastswan ] || expect "one line says what the kernel took" 'went down: .*removed its [23] offloaded SAs' log_new $who
done
for round in 1 2 3; do flap moon 0.3; done
recovered "after three flaps in a row" 6 alice 10.2.0.10
agree "after three flaps in a row"
until_true 12 test "$(states moon)" = 2
wire_mark
reaches alice 10.2.0.10
wire_esp_only
cpu_idle
not_added_twice moon
not_added_twice sun
check "moon ends the CHILD_SA" sw moon --terminate --child net
initiate moon trapped
check "moon ends it" sw moon --terminate --child trapped
check "moon sets a trap" sw moon --install --child trapped
flap moon 0.5
recovered "a trap after a link flap" 6 alice 10.2.1.10
agree "after the trap worked"
