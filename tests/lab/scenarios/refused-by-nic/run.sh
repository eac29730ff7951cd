# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
# The first CHILD_SA also puts the exemption of IKE into the device; the refusals below are meant for the second.
initiate moon net
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "before the refusals"
nic_set moon fail_policy_add '1 28 out'
fails "a refused policy fails the CHILD_SA" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refused policy"
nothing_left sun "after the refused policy"
nic_set moon fail_sa_add '1 28 in'
fails "a refused inbound SA fails the CHILD_SA" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refused inbound SA"
nothing_left sun "after the refused inbound SA"
nic_set moon fail_sa_add '1 28 out'
fails "a refused outbound SA fails the CHILD_SA" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refused outbound SA"
nothing_left sun "after the refused outbound SA"
nic_set moon fail_policy_add '1 28 in'
fails "a refused inbound policy fails the CHILD_SA" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refused inbound policy"
nothing_left sun "after the refused inbound policy"
if [ "$PLUGIN" = kernel-fastswan ]; then
	# 16 is EBUSY: the driver holds a lock of its own for a moment.
	nic_set moon fail_sa_add '1 16 out'
fi
initiate moon net
in_mode moon packet
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
cpu_idle
