# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
expect "ESN is negotiated" 'net: .*INSTALLED, TUNNEL, ESP:AES_GCM_16-128/ESN' sw moon --list-sas
in_mode moon packet
in_mode sun packet
expect "the kernel's SAs carry ESN" 'esn' xfrm_states moon
expect "the inbound SA has a replay window" 'replay_window 32|replay-window 32' xfrm_states moon
wire_mark
reaches alice 10.2.0.10 20
# Both ends are told the same number, as if 2^32 - 100 packets had passed.
if nic_sequence moon out 4294967196 && nic_sequence sun in 4294967196; then
	reaches alice 10.2.0.10 200
else
	bad "the device does not let the sequence number be set"
fi
wire_esp_only
cpu_idle
