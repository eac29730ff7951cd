# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
flush() { for table; do ip -n moon xfrm $table flush; done; }
deleted() {
	ip -n moon xfrm policy delete src 10.1.0.0/24 dst 10.2.0.0/24 dir "$1"
	ip -n moon xfrm policy delete src fd00:1::/64 dst fd00:2::/64 dir "$1"
}
deleted_in() {
	ip -n moon xfrm policy delete src 10.2.0.0/24 dst 10.1.0.0/24 dir in
	ip -n moon xfrm policy delete src fd00:2::/64 dst fd00:1::/64 dir in
}
sas_deleted() {
	ip -n moon xfrm state deleteall src "192.168.0.$1" dst "192.168.0.$2"
	ip -n moon xfrm state deleteall src "fd00::$1" dst "fd00::$2"
}
tables_gone() {
	on moon nft delete table inet fastswan
	on moon nft delete table netdev fastswan
	sleep 0.7
	ip -n moon xfrm policy flush
}
ruleset_flushed() {
	on moon nft flush ruleset
	sleep 0.7
	ip -n moon xfrm policy flush
}
rules_flushed() {
	on moon nft flush table inet fastswan
	sleep 0.7
	ip -n moon xfrm policy flush
}
gate_deleted() {
	on moon nft flush set inet fastswan gate4_24_24
	on moon nft flush set inet fastswan gate6_64_64
	sleep 0.7
	ip -n moon xfrm policy flush
}
hard_expiry() { LEAK_CHILDREN="short4 short6" leaks_up "$@"; sleep 5; }
again() {
	for try in 1 2 3; do
		ip -n moon xfrm policy flush
		ip -n moon xfrm state flush
		sleep 0.5
	done
}
faults() {
	leak -k "policies flushed" flush policy
	leak "SAs flushed" flush state
	leak -k "SAs, then policies flushed" flush state policy
	leak -k "both flushed again and again" again
	leak -k "outbound policies deleted" deleted out
	leak "inbound policies deleted" deleted_in
	leak "outbound SAs deleted" sas_deleted 1 2
	leak "inbound SAs deleted" sas_deleted 2 1
	leak -k "hard expiry" hard_expiry
	ours leak "our tables deleted, then policies flushed" tables_gone
	ours leak "nft flush ruleset, then policies flushed" ruleset_flushed
	ours leak "our rules flushed, then policies flushed" rules_flushed
	ours leak "our gates deleted, then policies flushed" gate_deleted
}
matrix faults
