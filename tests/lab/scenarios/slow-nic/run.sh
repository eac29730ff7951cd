# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
initiate moon far
reaches alice 10.2.1.10
# Until the NIC's counters were read.
sleep 3
nic_set moon add_delay_ms 2000
log_mark moon
sw moon --initiate --child other --timeout 40 >"$OUT/initiate.txt" 2>&1 &
slow=$!
check "the NIC of moon is asked" logged moon 10 'adding SAD entry .* packet mode'
sleep 0.2
begin=$(date +%s%N)
# charon itself does not list an IKE_SA that a thread works on (noblock), or waits for it.
python3 "$LAB/lib/vici.py" list "$(vici_socket moon)" noblock >"$OUT/list.txt"
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -lt 1500 ] && ok "list-sas answers at once ($took ms)" || bad "list-sas took $took ms"
expect "it lists the CHILD_SA of another IKE_SA with its counters" '^far INSTALLED .*packets-out=[1-9]' cat "$OUT/list.txt"
reaches alice 10.2.1.10
check "a CHILD_SA without offload comes up meanwhile" sw moon --initiate --child soft --timeout 20
kill -0 $slow 2>/dev/null && ok "before the NIC has done its work" || note "the NIC was done first"
wait $slow
same "the slow CHILD_SA comes up in the end" 0 $?
same "moon: three CHILD_SAs in packet mode, one in software" "6 2" "$(states moon packet) $(states moon software)"
nic_set moon add_delay_ms 0
agree "after all"
