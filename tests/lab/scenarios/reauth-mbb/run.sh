# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
start moon carol
initiate carol home || return 0
sa carol "the first IKE_SA" 'uniqueid=1 .*local-ts=\[192\.168\.0\.100/32\]'
wire_mark
traffic_start carol 10.1.0.10 60 0.1
check "carol reauthenticates" sw carol --rekey --reauth --ike home
second() { becomes carol 'uniqueid=2 .*state=ESTABLISHED.*state=INSTALLED .*local-ts=\[192\.168\.0\.100/32\]' && ! becomes carol 'uniqueid=1 '; }
check "another IKE_SA with its CHILD_SA takes over" until_true 30 second
traffic_running carol || note "the traffic ended before the reauthentication did"
takeover_end carol "pings during the reauthentication"
same "carol: one generation is left in the kernel" "2 1" "$(states carol) $(policies carol out)"
until_true 10 becomes moon 'uniqueid=2 '
same "moon: too" "2 1" "$(states moon) $(policies moon out)"
wire_esp_only
