# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
on alice ping -q -c 4 -i 0.3 -W 1 10.2.0.10 >/dev/null
check "the trap brings the tunnel up" until_true 10 has_child_sa moon net
misses_mark
wire_mark
stream_start there alice bob 10.2.0.10 500
stream_start back bob alice 10.1.0.10 500
rekey_many rekeys net 4
rekey_many collide net 6
stream_end "rekeys of a CHILD_SA with a trap, six of them by both at once" there back
agree "after the collisions"
same "moon keeps its trap" 1 "$(vici moon list >/dev/null; sw moon --list-pols --trap | grep -c 'net, TUNNEL')"
stream_start there2 alice bob 10.2.0.10 500
check "moon rekeys the IKE_SA" sw moon --rekey --ike sun
check "sun rekeys the IKE_SA" sw sun --rekey --ike moon
check "moon reauthenticates, making before breaking" sw moon --rekey --ike sun --reauth
sleep 3
stream_end "rekeys and reauthentication of the IKE_SA" there2
agree "after reauthentication"
reaches alice 10.2.0.10 5
initiate moon net-twin
stream_start there3 alice bob 10.2.0.10 500
check "moon rekeys the first of two with one selector" sw moon --rekey --child net
check "moon rekeys the second" sw moon --rekey --child net-twin
sleep 2
check "moon ends the second" sw moon --terminate --child net-twin
sleep 1
stream_end "two CHILD_SAs with one selector, rekeyed, one ended" there3
no_misses "over all of it"
same "nothing of alice or bob was in clear on the wire" "0 0" "$(nic_clear moon) $(nic_clear sun)"
cpu_idle
agree "at the end"
