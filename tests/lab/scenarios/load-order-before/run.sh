# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
if [ "$PLUGIN" = kernel-fastswan ]; then
	expect "both are loaded, ours first" 'loaded plugins: .*kernel-fastswan kernel-netlink' log moon
	expect "ours is active" 'kernel-fastswan .* is active' log moon
	refute "nobody lost" 'kernel-fastswan is not active' log moon
fi
initiate moon net
in_mode moon software
wire_mark
reaches alice 10.2.0.10 5
wire_esp_only
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA ended"
