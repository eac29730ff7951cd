# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
capture_stop
# The rules at the egress of the NIC, by themselves: frames as they come behind the second pass, without the passes, since not
# every kernel lets such packets come so far. Without the bit they are not the gate's and reach the NIC.
egress_rules() {
	local shape dropped
	for shape in fragments options; do
		egress_counts
		egress 0 5 $shape 10.1.0.10 10.2.0.77 fd00:1::10 fd00:2::77
		at_least "$shape that are not marked as guarded reach the NIC" 10 "$(egress_passed)"
		egress_counts
		dropped=$(egress_dropped)
		egress 0x10000000 5 $shape 10.1.0.10 10.2.0.77 fd00:1::10 fd00:2::77
		same "$shape that are do not" 0 "$(egress_passed)"
		at_least "the rules of the egress dropped them" 10 "$(($(egress_dropped) - dropped))"
	done
	egress_counts
	egress 0x10000000 5 whole 10.1.0.10 10.2.0.77 fd00:1::10 fd00:2::77
	at_least "what the NIC matches passes them, and is encrypted" 10 "$(egress_passed)"
}
# What alice's flows had in clear, what was encrypted, and since then: only such packets are sent meanwhile.
egress_now() {
	local counts
	mapfile -t counts <<<"$(leak_counts)"
	echo $((${counts[0]% *} + ${counts[2]% *} + $(nic_stat moon tx_esp)))
}
egress_counts() { EGRESS=$(egress_now); }
egress_passed() { echo $(($(egress_now) - EGRESS)); }

start moon sun
leaks_watch
initiate moon net4
initiate moon net6
reaches alice 10.2.0.10 3
egress_rules
stop moon sun
