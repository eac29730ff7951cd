# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
in_mode moon packet
reaches alice 10.2.0.10 10
crash sun
check "moon notices within 20 s" until_true 20 no_ike_sa moon
expect "moon's log says so" 'giving up after|peer not responding' log moon
nothing_left moon "after the peer is declared dead"
# What a killed daemon leaves behind is the subject of restart-crash.
note "sun's kernel still holds $(states sun) SAs and the gate of the killed charon; removed by hand"
ip -n sun xfrm state flush
ip -n sun xfrm policy flush
flush_routes sun
guard_gone sun
