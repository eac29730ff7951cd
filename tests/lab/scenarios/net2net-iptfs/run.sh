# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start moon sun
# No packet is sent: a kernel without CONFIG_XFRM_IPTFS takes the SAs, and calls their first packet a fault of its own.
fails "the kernel is built without the mode" modprobe -q -n xfrm_iptfs
initiate moon net-net || return 0
sa moon "the CHILD_SA is in IPTFS mode" 'mode=IPTFS protocol=ESP '
sa sun "so is the other end" 'mode=IPTFS protocol=ESP '
for host in moon sun; do
	same "$host: so are the kernel's SAs and templates" "2 3" \
		"$(xfrm_states "$host" | grep -Ec 'mode (5|iptfs)') $(xfrm_policies "$host" | grep -Ec 'mode (5|iptfs)')"
done
limit "IPTFS: the kernel takes the SAs and has no code for their packets (CONFIG_XFRM_IPTFS is not set)"
