# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
if [ "$PLUGIN" = kernel-fastswan ]; then
	# It is moon's own log that counts: the daemon does not come up.
	PLUGIN_STEPS_ASIDE=yes
	mkdir -p "$RUN/moon/run"
	write_strongswan_conf moon
	fails "charon does not start" timeout 20 sh -c "STRONGSWAN_CONF=$RUN/moon/strongswan.conf exec nsenter --net=/run/netns/moon \
		unshare -m sh -c 'mount --bind $RUN/moon/run /run && exec /usr/lib/ipsec/charon'"
	expect "it gives up over a critical plugin" 'critical plugin feature' log moon
	expect "our line names the setting and the remedy" \
		'\[KNL\] .*kernel-netlink is marked as critical in charon\.load.*exclamation mark' log moon
	same "nothing is left in the SPD" "" "$(on moon ip xfrm policy)"
	rm -rf "$RUN/moon/charon.log"
fi
start sun
check "the other gateway is not concerned" sw sun --stats
