# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
start moon carol
initiate carol home || return 0
log_says carol "IPComp was offered" 'IKE_AUTH request.*N\(IPCOMP_SUP\)'
log_says carol "and accepted" 'IKE_AUTH response.*N\(IPCOMP_SUP\)'
expect "moon has an IPComp SA" 'proto comp spi' xfrm_states moon
expect "carol has an IPComp SA" 'proto comp spi' xfrm_states carol
sa carol "the list names both CPIs" 'cpi-in=[0-9a-f]{4} cpi-out=[0-9a-f]{4}'
wire_mark
check "a ping of 8 kB is answered" on carol ping -q -c 1 -W 5 -s 8184 -p deadbeef 10.1.0.10
wire_flush
unseen "no packet of it had to be fragmented" 'ip[6:2] & 0x3fff != 0'
unseen "and none was longer than 300 bytes" 'esp and greater 300'
reaches carol 10.1.0.10 3
esp_between carol moon
check "carol ends the CHILD_SA" sw carol --terminate --child home
same "carol: no SA is left, IPComp's included" 0 "$(states carol)"
