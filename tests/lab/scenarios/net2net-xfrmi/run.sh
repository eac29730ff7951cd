# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
ip -n moon -batch - <<-BATCH || bad "moon's XFRM interfaces cannot be made"
	link add xfrm-out type xfrm dev p0 if_id 1337
	link add xfrm-in type xfrm dev p0 if_id 42
	link set xfrm-out up
	link set xfrm-in up
	route replace 10.2.0.0/16 dev xfrm-out
BATCH
start moon sun
initiate moon net-net || return 0
sa moon "the CHILD_SA has both IDs" 'if-id-in=0000002a if-id-out=00000539.*local-ts=\[0\.0\.0\.0/0\] remote-ts=\[0\.0\.0\.0/0\]'
expect "moon: the kernel's SA has its ID" 'if_id 0x539' xfrm_states moon
same "moon: charon installs no route" "" "$(routes moon)"
wire_mark
reaches alice 10.2.0.10 3
reaches bob 10.1.0.10 3
wire_esp_only
counted() { ip -n "$1" -s link show dev "$2" | awk -v row="$3" '$1 == row ":" { getline; print $2 }'; }
same "moon's outbound interface sent every packet" 6 "$(counted moon xfrm-out TX)"
same "the inbound one received every packet" 6 "$(counted moon xfrm-in RX)"
ike_sa_ends moon gw-gw sun
