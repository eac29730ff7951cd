# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
gre() {
	ip -n "$1" tunnel add gre-lab mode gre key 42 local "$(outer "$1")" remote "$(outer "$2")" || bad "$1 cannot make a GRE device"
	ip -n "$1" link set gre-lab up
	ip -n "$1" route replace "$3" dev gre-lab
}
gre moon sun 10.2.0.0/16
gre sun moon 10.1.0.0/16
start moon sun
initiate moon gre || return 0
sa moon "GRE is selected" 'mode=TRANSPORT .*local-ts=\[192\.168\.0\.1/32\[gre\]\] remote-ts=\[192\.168\.0\.2/32\[gre\]\]'
expect "moon: the kernel's policy is for GRE" 'src 192\.168\.0\.1/32 dst 192\.168\.0\.2/32 proto gre' xfrm_policies moon
wire_mark
reaches alice 10.2.0.10 3
reaches bob 10.1.0.10 3
wire_esp_only
