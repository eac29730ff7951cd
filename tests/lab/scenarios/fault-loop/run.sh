# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
# The exemption of IKE is in the NIC before the faults are counted.
initiate moon net-packet
check "moon ends it" sw moon --terminate --child net-packet
for mode in packet auto; do
	if python3 "$LAB/lib/faults.py" net-$mode "$(vici_socket moon)" "$(vici_socket sun)" >"$OUT/faults-$mode.txt" 2>&1; then
		ok "$mode: $(head -n 1 "$OUT/faults-$mode.txt")"
	else
		bad "$mode: $(head -n 1 "$OUT/faults-$mode.txt")"
		sed 1d "$OUT/faults-$mode.txt" | cut -c1-300 | head -n 12 | sed 's/^/       | /'
	fi
	same "moon: nothing of alice or bob was in clear ($mode)" 0 "$(nic_clear moon)"
done
initiate moon net-packet
in_mode moon packet
reaches alice 10.2.0.10
