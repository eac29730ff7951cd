# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
capture_stop
HELD=$SCENARIO_DIR/held.py
# holds: moon begins 20 packets, to an address of sun's own (the kernel asks the link for the inner destination).
holds() {
	rm -f "$OUT/go" "$OUT/held.txt"
	on moon python3 "$HELD" 10.1.0.1 10.2.0.1 20 "$OUT/go" >"$OUT/held.txt" 2>&1 &
	HOLDER=$!
	until_true 20 grep -q held "$OUT/held.txt" || bad "no packet is held"
}
sends() {
	touch "$OUT/go"
	wait "$HOLDER"
}
start moon sun
echo clear >"$VNIC_DEBUG/p0/watch"
echo add 10.1.0.1/32 10.2.0.0/16 >"$VNIC_DEBUG/p0/watch"
initiate moon net4
esp=$(nic_stat moon tx_esp)
holds
sends
at_least "held packets of a CHILD_SA that is up are encrypted" 20 "$(($(nic_stat moon tx_esp) - esp))"
same "none in clear" 0 "$(nic_clear moon)"
holds
check "moon deletes net4" sw moon --terminate --child net4 --timeout 20
sends
same "nor those of one that was deleted meanwhile" 0 "$(nic_clear moon)"
initiate moon net4
reaches moon 10.2.0.1 3
stop moon sun
