# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start moon sun
# Debian's cloud kernels are built without CONFIG_XFRM_IPTFS; the SA is refused, and that refusal must reach the log.
fails "the CHILD_SA does not come up" sw moon --initiate --child net-net --timeout 20
# Whoever installs its SA first is refused, and tells the other.
logs_of_both() { for one in moon sun; do log "$one"; done; }
expect "the SA was refused" 'unable to add SAD entry with SPI' logs_of_both
why=$(logs_of_both | grep -B 1 'unable to add SAD entry with SPI' | sed -nE 's/.*(netlink error|reqid [0-9]+, [^)]*\)): (.*)/\2/p' | head -n 1)
check "the log has the kernel's own words" test -n "$why"
same "moon: nothing is left of it" "0 0" "$(states moon) $(policies moon all)"
limit "IPTFS ($why)"
