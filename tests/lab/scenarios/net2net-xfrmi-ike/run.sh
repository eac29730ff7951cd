# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
ip -n moon -batch - <<-BATCH || bad "moon's XFRM interfaces cannot be made"
	link add xfrm-out type xfrm dev p0 if_id 1337
	link add xfrm-in type xfrm dev p0 if_id 42
	link set xfrm-out up
	link set xfrm-in up
	route replace 10.2.0.0/16 dev xfrm-out
BATCH
start moon sun
initiate moon alice-net || return 0
initiate moon venus-net || return 0
sa moon "alice's CHILD_SA has the connection's IDs" 'if-id-in=0000002a if-id-out=00000539.*local-ts=\[10\.1\.0\.10/32\]'
sa moon "so has venus'" 'if-id-in=0000002a if-id-out=00000539.*local-ts=\[10\.1\.0\.20/32\]'
same "sun: both share one pair of interfaces" 2 "$(ip -n sun -o link show type xfrm | wc -l)"
wire_mark
reaches alice 10.2.0.10 2
reaches venus 10.2.0.10 2
wire_esp_only
ike_sa_ends moon gw-gw sun
