# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10 10
before=$(child_field moon spi-out)
# The second address of a network outlives the first.
on moon sysctl -qw net.ipv4.conf.p0.promote_secondaries=1
on moon ip address add 192.168.0.11/24 dev p0
on moon ip address del 192.168.0.1/24 dev p0
moved() { sw "$1" --list-sas | grep -q 192.168.0.11; }
check "moon goes on with its other address" until_true 15 moved moon
check "sun follows" until_true 15 moved sun
same "the CHILD_SA is the same one" "$before" "$(child_field moon spi-out)"
for host in moon sun; do
	same "$host: both SAs name the new address" 2 "$(on $host ip xfrm state | grep -c '^src.*192\.168\.0\.11')"
	same "$host: no SA names the old one" 0 "$(on $host ip xfrm state | grep -c '192\.168\.0\.1 ')"
done
same "the IKE_SA was not rekeyed" 1 "$(log moon | grep -c 'CHILD_SA net{[0-9]*} established')"
if [ "$PLUGIN" = kernel-fastswan ]; then
	# knl = 2 has the line that says what the kernel can do.
	if log moon | grep -q 'direction of SAs, XFRM_MSG_MIGRATE_STATE'; then
		refute "the kernel moved the SAs itself" 'it is copied' log moon
		ok "the kernel has XFRM_MSG_MIGRATE_STATE"
	else
		ok "the kernel has no XFRM_MSG_MIGRATE_STATE: copied"
	fi
fi
wire_mark
reaches alice 10.2.0.10 20
reaches bob 10.1.0.10 20
wire_esp_only
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
nothing_left sun "after the CHILD_SA ended"
