# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
for host in moon sun; do
	initiate moon net
	reaches alice 10.2.0.10 5
	check "$host ends the CHILD_SA" sw $host --terminate --child net
	nothing_left moon "after $host ended the CHILD_SA"
	nothing_left sun "after $host ended the CHILD_SA"
done
initiate moon net
check "moon ends the IKE_SA" sw moon --terminate --ike sun
nothing_left moon "after moon ended the IKE_SA"
nothing_left sun "after moon ended the IKE_SA"
initiate sun net
in_mode moon packet
check "sun ends the IKE_SA" sw sun --terminate --ike moon
nothing_left moon "after sun ended the IKE_SA"
nothing_left sun "after sun ended the IKE_SA"
initiate moon net
ip -n sun link set p1 down
# Its exit status tells whether sun answered, which it cannot.
sw moon --terminate --ike sun --force --timeout 2 >/dev/null 2>&1
check "moon ends the IKE_SA by force while sun is away" until_true 5 no_ike_sa moon
nothing_left moon "after the end by force"
ip -n sun link set p1 up
