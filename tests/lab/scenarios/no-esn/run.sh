# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
if [ "$PLUGIN" = kernel-fastswan ]; then
	fails "packet mode without ESN is refused" sw moon --initiate --child net --timeout 10
	nothing_left moon "after the refusal"
	nothing_left sun "after the refusal"
	expect "the log says why" 'net.*(replay|ESN)' log moon
	expect "the log says what to do" '-esn|esn' log moon
	initiate moon net-auto
	same "moon: auto does not take packet mode" 0 "$(states moon packet)"
	wire_mark
	reaches alice 10.2.0.10 10
	wire_esp_only
else
	initiate moon net
	reaches alice 10.2.0.10 10
fi
