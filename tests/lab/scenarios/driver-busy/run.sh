# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
check "moon ends it" sw moon --terminate --child net
log_mark moon
nic_set moon fail_sa_add '1000000 16'
begin=$SECONDS
sw moon --initiate --child net --timeout 25 >"$OUT/initiate.txt" 2>&1 &
initiating=$!
sleep 1
check "charon answers while the driver is busy" timeout 5 python3 "$LAB/lib/vici.py" list "$(vici_socket moon)" noblock
wait $initiating
[ $? != 0 ] && ok "the CHILD_SA fails" || bad "the CHILD_SA came up on a busy device"
took=$((SECONDS - begin))
[ $took -le 15 ] && ok "within bounded time ($took s)" || bad "it took $took s"
tries=$(nic_file moon log | grep -c 'result=-16')
[ "$tries" -ge 2 ] && [ "$tries" -le 200 ] && ok "after $tries tries" || bad "the driver was asked $tries times"
[ "$PLUGIN" != kernel-fastswan ] || expect "the line names the child, the reason and the remedy" 'net.*busy.*(tc|remove)' log_new moon
nic_set moon fail_sa_add 0
nothing_left moon "after the busy driver"
nothing_left sun "after the busy driver"
initiate moon net
in_mode moon packet
wire_mark
reaches alice 10.2.0.10
wire_esp_only
check "moon ends it" sw moon --terminate --child net
nic_set moon fail_policy_add '3 16'
initiate moon net
in_mode moon packet
agree "after a policy was refused three times with EBUSY"
