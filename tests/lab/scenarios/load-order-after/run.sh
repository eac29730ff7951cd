# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
# charon_verdict would look for our line on both hosts.
PLUGIN_STEPS_ASIDE=yes
start moon sun
if [ "$PLUGIN" = kernel-fastswan ]; then
	expect "moon says at level 1 that we lost, to whom, and what to do" \
		'\[KNL\] kernel-fastswan is not active: kernel-netlink already provides .*set load = 2 .*charon\.load' log moon
	same "moon says it once" 1 "$(log moon | grep -c 'kernel-fastswan is not active')"
	refute "ours is not active on moon" 'kernel-fastswan .* is active' log moon
	refute "a plugin that lost is unloaded" 'loaded plugins: .*kernel-fastswan' log moon
	expect "ours is active on sun" 'kernel-fastswan .* is active' log sun
fi
initiate moon net
in_mode moon software
wire_mark
reaches alice 10.2.0.10 5
wire_esp_only
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
