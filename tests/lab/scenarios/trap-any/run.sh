# SPDX-License-Identifier: GPL-2.0-or-later
segment moon sun carol dave
start carol moon sun dave
wire_mark
twice() { check "$1 reaches $3 at the second ping" on "$1" ping -q -c 6 -W 2 -i 0.5 "$2"; }
twice moon 192.168.0.2 sun
twice moon 192.168.0.100 carol
twice sun 192.168.0.100 carol
twice dave 192.168.0.1 moon
twice dave 192.168.0.2 sun
sa moon "the CHILD_SA with sun is for the two hosts" 'mode=TRANSPORT .*local-ts=\[192\.168\.0\.1/32\] remote-ts=\[192\.168\.0\.2/32\]'
sa moon "with carol another" 'mode=TRANSPORT .*local-ts=\[192\.168\.0\.1/32\] remote-ts=\[192\.168\.0\.100/32\]'
esp_between moon sun
esp_between moon carol
esp_between sun carol
esp_between dave moon
esp_between dave sun
unseen "no ping was in clear" 'icmp[0] = 8 or icmp[0] = 0'
reaches dave 192.168.0.100 1
wire_flush
at_least "dave's trap leaves carol out: that ping was in clear" 2 "$(on_wire 'icmp and host 192.168.0.200 and host 192.168.0.100')"
