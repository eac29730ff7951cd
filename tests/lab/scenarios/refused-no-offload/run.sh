# SPDX-License-Identifier: GPL-2.0-or-later
topology veth
start moon sun
fails "packet mode on a device without ESP offload fails" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refusal"
nothing_left sun "after the refusal"
if [ "$PLUGIN" = kernel-fastswan ]; then
	expect "the log names device and reason" 'p0.*(offload|packet)|(offload|packet).*p0' log moon
	expect "the log says what to do" 'hw_offload *= *(auto|no|crypto)|hw_offload' log moon
fi
initiate moon net-auto
in_mode moon software
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
