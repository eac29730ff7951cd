# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10 10
crash sun
note "after SIGKILL sun's kernel holds $(states sun) SAs and $(($(policies sun in) + $(policies sun out))) policies, the NIC $(nic_count sun sas) SAs and $(nic_count sun policies) policies"
at_least "what the killed charon installed is still there" 2 "$(states sun)"
start sun
note "after the new start: $(states sun) SAs, NIC $(nic_count sun sas) SAs"
initiate sun net
note "after the new tunnel: $(states sun) SAs, NIC $(nic_count sun sas) SAs"
same "sun has one CHILD_SA" 1 "$(sw sun --list-sas | grep -c 'net: .*INSTALLED')"
wire_mark
on alice ping -q -i 0.05 -c 10 -W 1 10.2.0.10 >"$OUT/after-crash-ping.txt"
note "traffic over the new tunnel: $(grep transmitted "$OUT/after-crash-ping.txt")"
refuse_clear "after the crash"
stop sun
note "after the clean stop: $(states sun) SAs and $(nic_count sun policies) policies in the NIC are left of the killed charon; removed by hand"
ip -n sun xfrm state flush
ip -n sun xfrm policy flush
flush_routes sun
