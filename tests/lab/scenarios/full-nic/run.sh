# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
nic_set moon max_sas 2
log_mark moon
refused_line moon second 'table is full|No space left' 'hw_offload = auto'
reaches alice 10.2.0.10
agree "after the refusal"
initiate moon second-auto
same "moon: it is in a lower mode as a whole" "2 2" "$(states moon packet) $(($(states moon crypto) + $(states moon software)))"
reaches alice 10.2.1.10
reaches alice 10.2.0.10
log_mark moon
nic_set moon max_sas 0
check "it is taken over to the NIC when there is room" until_true 60 test_packet_states 4
reaches alice 10.2.1.10
agree "after the take-over"
not_added_twice moon
