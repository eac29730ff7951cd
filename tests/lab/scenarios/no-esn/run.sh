# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
# Not by process substitution: the guest has no /dev/fd.
refute "ESN is not negotiated" 'ESN' sw moon --list-sas
in_mode moon packet
in_mode sun packet
expect "the inbound SA has its window in the form that a NIC arms" 'anti-replay esn context' xfrm_states sun
wire_mark
reaches alice 10.2.0.10 20
nic_set moon duplicate_next 5
reaches alice 10.2.0.10 10
same "sun's NIC drops the replayed packets" 5 "$(nic_stat sun replay_drops)"
wire_esp_only
cpu_idle
