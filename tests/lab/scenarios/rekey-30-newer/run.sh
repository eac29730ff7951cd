# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
nic_set moon prefer newer
nic_set sun prefer newer
initiate moon net
wire_mark
misses_mark
stream_start there alice bob 10.2.0.10 1000
stream_start back bob alice 10.1.0.10 1000
rekey_many rekeys net 30
stream_end "30 rekeys by turns" there back
no_misses "over 30 rekeys"
same "nothing of alice or bob was in clear on the wire" "0 0" "$(nic_clear moon) $(nic_clear sun)"
cpu_idle
agree "after 30 rekeys"
