# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
fails "packet mode with AES-CBC fails" sw moon --initiate --child net --timeout 10
nothing_left moon "after the refusal"
nothing_left sun "after the refusal"
if [ "$PLUGIN" = kernel-fastswan ]; then
	expect "the log says why" 'AES_CBC|AES-CBC|AES-GCM|aes.*gcm' log moon
	expect "the log says what to do" 'aes(128|256)gcm16|hw_offload' log moon
	initiate moon net-auto
	in_mode moon software
	wire_mark
	reaches alice 10.2.0.10 10
	wire_esp_only
	cpu_busy
fi
