# SPDX-License-Identifier: GPL-2.0-or-later
segment alice+ moon sun bob
start sun alice
# Debian's cloud kernels are built without CONFIG_XFRM_IPTFS; the SA is refused, and that refusal must reach the log.
fails "the CHILD_SA does not come up" sw alice --initiate --child mobike --timeout 20
logged alice "the kernel's refusal is in the log" '(received netlink error|unable to add SAD entry|the kernel says).*(Requested mode not found|Protocol not supported|Invalid argument|not supported|[(](93|22|95|132)[)])'
same "alice: nothing is left of it" "0 0" "$(states alice) $(policies alice all)"
limit "IPTFS ($(log alice | grep -oE 'netlink error: .*' | head -n 1))"
