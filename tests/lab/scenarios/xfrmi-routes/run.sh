# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
for host in moon sun; do
	on $host ip link add ipsec0 type xfrm if_id 42
	on $host ip link set ipsec0 up
done
on moon ip route del 10.2.0.0/16
on sun ip route del 10.1.0.0/16
start moon sun
initiate moon net
same "moon's route leads through the XFRM interface" "10.2.0.0/24 dev ipsec0 proto static src 10.1.0.1" \
	"$(on moon ip route show table 220 | sed 's/ *$//')"
same "sun's route leads through the XFRM interface" "10.1.0.0/24 dev ipsec0 proto static src 10.2.0.1" \
	"$(on sun ip route show table 220 | sed 's/ *$//')"
wire_mark
reaches alice 10.2.0.10 5
reaches bob 10.1.0.10 5
wire_esp_only
at_least "packets leave through ipsec0" 10 "$(on moon ip -s link show ipsec0 | awk '/TX:/ { getline; print $2 }')"
check "moon ends the CHILD_SA" sw moon --terminate --child net
until_true 3 no_child_sa sun
same "the route is gone from moon" "" "$(on moon ip route show table 220)"
same "the route is gone from sun" "" "$(on sun ip route show table 220)"
# An interface that comes after the daemon is found too.
on moon ip link del ipsec0
on moon ip link add ipsec7 type xfrm if_id 42
on moon ip link set ipsec7 up
initiate moon net
same "the new interface is taken" "10.2.0.0/24 dev ipsec7 proto static src 10.1.0.1" \
	"$(on moon ip route show table 220 | sed 's/ *$//')"
reaches alice 10.2.0.10 5
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
