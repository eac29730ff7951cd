# SPDX-License-Identifier: GPL-2.0-or-later
# One IKE_SA that takes over from another. Owns how the loss between the two is judged; scenarios of reauthentication call
# it. It must not start the change itself.

# xfrm_count HOST NAME: a counter of the kernel's IPsec.
xfrm_count() { on "$1" awk -v name="$2" '$1 == name { print $2 }' /proc/net/xfrm_stat; }

# takeover_end HOST TEXT: waits for the end of the stream that HOST, the initiator, has sent meanwhile. The responder
# uses the new SA as soon as it has sent the IKE_AUTH response, and the initiator has its inbound SA only when it has
# read that response: what arrives between the two finds the larval SA of the SPI (XfrmAcquireError) or none, with any
# plugin. Nothing else may be lost, and the moment is shorter than half a second of this stream.
takeover_end() {
	local pid line lost early
	eval "pid=\$TRAFFIC_$1"
	wait "$pid"
	line=$(grep transmitted "$OUT/traffic-$1.txt")
	lost=$(echo "$line" | sed -nE 's/^([0-9]+) packets transmitted, ([0-9]+) received,.*/\1 - \2/p')
	lost=$((${lost:-1000}))
	early=$(($(xfrm_count "$1" XfrmAcquireError) + $(xfrm_count "$1" XfrmInNoStates)))
	same "$2: what was lost came before the new SA (${line%% packet loss*} packet loss)" "$early" "$lost"
	if [ "$lost" -le 5 ]; then ok "$2: $lost lost, at most 5"; else bad "$2: $lost lost"; fi
}
