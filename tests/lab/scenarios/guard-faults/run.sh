# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
flushed() {
	ip -n moon xfrm policy flush
	ip -n moon xfrm state flush
}
peer_deletes() {
	sw sun --terminate --ike four
	sw sun --terminate --ike six
}
tables_gone() {
	on moon nft flush ruleset
	sleep 0.7
	ip -n moon xfrm policy flush
}
killed_and_flushed() {
	crash moon
	flushed
}
faults() {
	leak "no fault" true
	leak -k "link flap" flap moon 0.3
	leak -k "both flushed" flushed
	leak -k "IKE_SAs deleted by the peer" peer_deletes
	ours leak "nft flush ruleset, then policies flushed" tables_gone
	leak -k "kill -9, then all flushed" killed_and_flushed
	leak -k "clean stop" stop moon
}
matrix faults hold
