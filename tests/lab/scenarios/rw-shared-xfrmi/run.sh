# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol dave
ip -n moon -batch - <<-BATCH || bad "moon's XFRM interface cannot be made"
	link add xfrm-moon type xfrm dev p0 if_id 42
	link set xfrm-moon up
	route replace 10.3.0.0/28 dev xfrm-moon
BATCH
start moon carol dave
initiate carol home || return 0
initiate dave home || return 0
sa moon "carol's CHILD_SA" 'remote-id=carol.*if-id-in=0000002a if-id-out=0000002a.*remote-ts=\[10\.3\.0\.1/32\]'
sa moon "dave's CHILD_SA" 'remote-id=dave.*if-id-in=0000002a if-id-out=0000002a.*remote-ts=\[10\.3\.0\.2/32\]'
wire_mark
reaches carol 10.1.0.10 2
reaches dave 10.1.0.10 2
reaches alice 10.3.0.1 2
wire_esp_only
esp_between carol moon
esp_between dave moon
