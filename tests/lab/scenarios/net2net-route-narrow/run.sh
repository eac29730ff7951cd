# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
start moon sun
wire_mark
on bob ping -q -c 2 -W 1 -i 0.2 10.1.0.10 >/dev/null
check "the tunnel for alice comes up" until_true 15 becomes sun 'remote-ts=\[10\.1\.0\.0/28\]'
on bob ping -q -c 2 -W 1 -i 0.2 10.1.0.20 >/dev/null
check "the tunnel for venus comes up" until_true 15 becomes sun 'remote-ts=\[10\.1\.0\.16/28\]'
log_says sun "the first acquire" 'creating acquire job for policy 10\.2\.0\.10/32\[icmp/8\] === 10\.1\.0\.10/32\[icmp/8\]'
log_says sun "the second acquire" 'creating acquire job for policy 10\.2\.0\.10/32\[icmp/8\] === 10\.1\.0\.20/32\[icmp/8\]'
sa sun "alice's uses GCM" 'encr-alg=AES_GCM_16 .*remote-ts=\[10\.1\.0\.0/28\]'
sa sun "venus' uses CBC" 'encr-alg=AES_CBC .*remote-ts=\[10\.1\.0\.16/28\]'
reaches bob 10.1.0.10 2
reaches bob 10.1.0.20 2
check "sun rekeys both" sw sun --rekey --child net-net
one_rekeyed() { [ "$(sw sun --list-sas --raw | tr '{' '\n' | grep -c 'state=INSTALLED')" = 2 ] && [ "$(states sun)" = 4 ]; }
check "one generation of each is left" until_true 15 one_rekeyed
reaches bob 10.1.0.10 2
reaches bob 10.1.0.20 2
check "sun reauthenticates" sw sun --rekey --reauth --ike gw-gw
reauthenticated() { [ "$(log sun | grep -c 'IKE_SA gw-gw\[[0-9]*\] established')" -ge 2 ] && one_rekeyed; }
check "both come back" until_true 20 reauthenticated
reaches bob 10.1.0.10 2
reaches bob 10.1.0.20 2
wire_esp_only
