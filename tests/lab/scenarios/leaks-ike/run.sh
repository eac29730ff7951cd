# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
children() { local host=$1 what=$2; shift 2; sw "$host" "$what" --child net4 "$@"; sw "$host" "$what" --child net6 "$@"; }
ikes() { local host=$1 what=$2; shift 2; sw "$host" "$what" --ike four "$@"; sw "$host" "$what" --ike six "$@"; }
refused() {
	nic_set moon fail_sa_add "8 22"
	children moon --rekey
	sleep 2
	nic_set moon fail_sa_add "0 0"
}
no_room() {
	nic_set moon max_sas 4
	children moon --rekey
	sleep 2
	nic_set moon max_sas 0
}
# It falls silent as a whole: what its kernel would still encrypt keeps DPD quiet.
peer_dies() {
	crash sun
	ip -n sun xfrm state flush
	ip -n sun xfrm policy flush
	until_true 25 no_child_sa moon
}
over() {
	python3 "$LAB/lib/tunnels.py" down "$(vici_socket moon)"
	sleep 12
}
faults() {
	leak "CHILD_SAs rekeyed" children moon --rekey
	leak "CHILD_SAs rekeyed by the peer" children sun --rekey
	leak "IKE_SAs rekeyed" ikes moon --rekey
	leak "reauthentication" ikes moon --rekey --reauth
	leak "rekey refused by the NIC" refused
	leak "rekey without room in the NIC" no_room
	leak -k "CHILD_SAs deleted by the peer" children sun --terminate
	leak -k "IKE_SAs deleted by the peer" ikes sun --terminate
	leak -k "CHILD_SAs terminated" children moon --terminate
	leak -k "IKE_SAs terminated" ikes moon --terminate
	leak -k "IKE_SAs terminated by force" ikes moon --terminate --force --timeout 1
	leak -k "peer dead, found by DPD" peer_dies
	[ "$PASS" != defaults ] || leak -o "12 s after the last CHILD_SA was terminated (opens by design)" over
	[ "$PASS" != hold ] || leak "12 s after the last CHILD_SA was terminated" over
}
matrix faults
