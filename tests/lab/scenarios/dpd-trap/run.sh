# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
start moon carol
initiate carol home || return 0
reaches carol 10.1.0.10 2
ip -n inet link set moon-p0 nomaster
check "carol asks whether moon is there" until_true 20 logs carol 'sending DPD request'
check "carol gives up" until_true 30 logs carol 'giving up after .* retransmits'
check "moon gives up" until_true 30 logs moon 'giving up after .* retransmits'
until_true 10 no_child_sa carol
same "carol: no SA, but the trap" "0 1" "$(states carol) $(policies carol out)"
check "moon: nothing is left" until_true 10 no_ike_sa moon
same "moon: neither SA nor policy in the kernel" "0 0" "$(states moon) $(policies moon all)"
ip -n inet link set moon-p0 master br0
wire_mark
on carol ping -q -c 2 -W 1 -i 0.3 10.1.0.10 >/dev/null
check "the next packet brings the tunnel back" until_true 20 has_child_sa carol home
log_says carol "by an acquire" 'creating acquire job for policy'
reaches carol 10.1.0.10 2
wire_esp_only
