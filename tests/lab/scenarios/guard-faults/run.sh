# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
guard_begin
initiate moon net4
initiate moon net6
reaches alice 10.2.0.10
reaches alice fd00:2::10
reaches bob 10.1.0.1
cell "no fault" true
cell "link flap" flap moon 0.3
heal
cell "policies flushed" ip -n moon xfrm policy flush
heal
cell "SAs flushed" ip -n moon xfrm state flush
heal
cell "peer deletes" sw sun --terminate --ike four --timeout 3
cell "all terminated" sw moon --terminate --ike six --timeout 3
heal
cell "kill -9" crash moon
ip -n moon xfrm state flush
ip -n moon xfrm policy flush
cell "killed, and all flushed" true
start moon
initiate moon net4
initiate moon net6
reaches alice 10.2.0.10
cell "clean stop" stop moon
guard_end
stop sun
guard_gone moon
guard_gone sun
