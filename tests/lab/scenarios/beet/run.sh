# SPDX-License-Identifier: GPL-2.0-or-later
segment moon sun
ip -n moon address add 10.9.0.1/32 dev lo
ip -n sun address add 10.9.0.2/32 dev lo
start moon sun
initiate moon inner || return 0
sa moon "the CHILD_SA is in BEET mode" 'mode=BEET protocol=ESP .*local-ts=\[10\.9\.0\.1/32\] remote-ts=\[10\.9\.0\.2/32\]'
sa sun "so is the other end" 'mode=BEET protocol=ESP '
same "moon: so are the kernel's SAs and templates" "2 3" \
	"$(xfrm_states moon | grep -c 'mode beet') $(xfrm_policies moon | grep -c 'mode beet')"
expect "moon: the kernel's selector is the inner pair" 'sel src 10\.9\.0\.1/32 dst 10\.9\.0\.2/32' xfrm_states moon
wire_mark
reaches moon 10.9.0.2 3
reaches sun 10.9.0.1 3
wire_esp_only
same "moon: 12 packets were counted" "6 6" "$(child_field moon packets-in) $(child_field moon packets-out)"
