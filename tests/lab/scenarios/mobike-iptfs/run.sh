# SPDX-License-Identifier: GPL-2.0-or-later
segment alice+ moon sun bob
nat moon 10.1.0.0/16 1024-1100
start sun alice
# No packet is sent: a kernel without CONFIG_XFRM_IPTFS takes the SAs, and calls their first packet a fault of its own.
fails "the kernel is built without the mode" modprobe -q -n xfrm_iptfs
initiate alice mobike || return 0
sa alice "the CHILD_SA is in IPTFS mode on the direct path" 'local-host=192\.168\.0\.50 .*mode=IPTFS protocol=ESP '
in_mode() { same "$1: the kernel's SAs are in that mode, $2" "2 $3" "$(xfrm_states "$1" | grep -Ec 'mode (5|iptfs)') $(xfrm_states "$1" | grep -c 'encap type espinudp')"; }
in_mode alice "as they are" 0
in_mode sun "as they are" 0
ip -n alice link set eth1 down
check "alice moves to the path through moon" until_true 20 becomes alice 'local-host=10\.1\.0\.10 .*state=INSTALLED mode=IPTFS '
check "and sun follows" until_true 10 becomes sun 'remote-host=192\.168\.0\.1 .*state=INSTALLED mode=IPTFS .*encap=yes '
in_mode alice "in UDP" 2
in_mode sun "in UDP" 2
expect "alice: from the new address" 'src 10\.1\.0\.10 dst 192\.168\.0\.2' xfrm_states alice
limit "IPTFS: the kernel takes the SAs and has no code for their packets (CONFIG_XFRM_IPTFS is not set)"
