# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
check "moon ends it" sw moon --terminate --child net
nic_set moon add_delay_ms 2000
sw moon --initiate --child net --timeout 40 >"$OUT/initiate.txt" 2>&1 &
slow=$!
sleep 1
begin=$(date +%s%N)
check "list-sas answers" vici moon list
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -lt 1500 ] && ok "at once ($took ms)" || bad "list-sas took $took ms"
wait $slow
same "the slow CHILD_SA comes up in the end" 0 $?
in_mode moon packet
# A tunnel with traffic, and beside it another one is set up slowly.
reaches alice 10.2.0.10
sw moon --initiate --child other --timeout 40 >"$OUT/initiate2.txt" 2>&1 &
slow=$!
sleep 1
reaches alice 10.2.0.10
check "list-sas answers again" vici moon list
wait $slow
same "the other one comes up" 0 $?
nic_set moon add_delay_ms 0
agree "after all"
