# SPDX-License-Identifier: GPL-2.0-or-later
segment moon sun
certificates moon sun
start moon sun
initiate moon host-host || return 0
sa moon "the CHILD_SA is in transport mode for the hosts' own addresses" \
	'mode=TRANSPORT protocol=ESP .*encr-alg=AES_GCM_16 encr-keysize=128.*local-ts=\[192\.168\.0\.1/32\] remote-ts=\[192\.168\.0\.2/32\]'
sa sun "so is the other end" 'mode=TRANSPORT .*local-ts=\[192\.168\.0\.2/32\] remote-ts=\[192\.168\.0\.1/32\]'
expect "moon: the kernel's selector is the pair of hosts" 'sel src 192\.168\.0\.1/32 dst 192\.168\.0\.2/32' xfrm_states moon
wire_mark
reaches moon 192.168.0.2 3
reaches sun 192.168.0.1 3
wire_esp_only
same "moon: 12 packets were counted" "6 6" "$(child_field moon packets-in) $(child_field moon packets-out)"
