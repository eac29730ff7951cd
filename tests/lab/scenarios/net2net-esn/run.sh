# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start moon sun
initiate moon net-net || return 0
sa moon "ESN was chosen" 'mode=TUNNEL .*encr-keysize=128 esn=1'
sa sun "at both ends" 'mode=TUNNEL .*encr-keysize=128 esn=1'
same "moon: both SAs of the kernel have it" 2 "$(xfrm_states moon | grep -Ec 'flag .*esn')"
same "sun: both SAs of the kernel have it" 2 "$(xfrm_states sun | grep -Ec 'flag .*esn')"
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
