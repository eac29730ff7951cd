# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
certificates moon sun
start moon sun
initiate moon net-net || return 0
sa moon "the tunnel joins both networks" \
	'state=ESTABLISHED .*local-port=500 .*mode=TUNNEL protocol=ESP .*encr-alg=AES_GCM_16 encr-keysize=128.*local-ts=\[10\.1\.0\.0/16\] remote-ts=\[10\.2\.0\.0/16\]'
sa sun "so it does at the other end" 'mode=TUNNEL .*local-ts=\[10\.2\.0\.0/16\] remote-ts=\[10\.1\.0\.0/16\]'
in_mode moon software
wire_mark
reaches alice 10.2.0.10 3
reaches bob 10.1.0.10 3
wire_esp_only
esp_between moon sun
