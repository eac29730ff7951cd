# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
initiate moon third
nic_set moon max_sas 4
log_mark moon
refused_line moon second 'table is full|No space left' 'hw_offload = auto'
reaches alice 10.2.0.10
agree "after the refusal"
initiate moon second-auto
same "moon: it is in a lower mode as a whole" "4 2" "$(states moon packet) $(($(states moon crypto) + $(states moon software)))"
reaches alice 10.2.1.10
reaches alice 10.2.0.10
log_mark moon
check "moon ends the third, which makes room" sw moon --terminate --child third
check "it is taken over to the NIC when there is room" until_true 30 test_packet_states 4
reaches alice 10.2.1.10
agree "after the take-over"
not_added_twice moon
