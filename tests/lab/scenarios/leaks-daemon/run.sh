# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
killed_and_flushed() {
	crash "$1"
	ip -n "$1" xfrm state flush
	ip -n "$1" xfrm policy flush
}
killed_and_back() {
	crash moon
	start moon
}
stopped_and_back() {
	stop moon
	start moon
}
reloaded() {
	kill -HUP "$(cat "$RUN/moon/pid")"
	sw moon --load-all --noprompt --file "$SCENARIO_DIR/hosts/moon/swanctl.conf"
}
flap_killed() {
	crash moon
	flap moon 0.3
}
faults() {
	leak "settings read again" reloaded
	leak -k "clean stop" stop moon
	leak "clean stop and start" stopped_and_back
	leak "kill -9" crash moon
	leak "kill -9, then a link flap" flap_killed
	leak -k "kill -9, then all flushed" killed_and_flushed moon
	leak "kill -9 and start" killed_and_back
	leak "clean stop of the peer" stop sun
	leak "kill -9 of the peer, then all flushed there" killed_and_flushed sun
}
matrix faults
