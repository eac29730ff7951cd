# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
expect "moon has the trap" 'net, TUNNEL' sw moon --list-pols --trap
same "moon: no SA before traffic" 0 "$(states moon)"
wire_mark
on alice ping -q -c 3 -i 0.3 -W 1 10.2.0.10 >/dev/null
check "the trap brings the tunnel up" until_true 10 has_child_sa moon net
expect "an acquire was logged" 'creating acquire job for policy .*10\.1\.0\.10.*10\.2\.0\.10' log moon
reaches alice 10.2.0.10 20
in_mode moon packet
wire_esp_only
cpu_idle
check "moon ends the CHILD_SA" sw moon --terminate --child net
same "moon: no SA after the end" 0 "$(states moon)"
same "moon: the trap is still there" 1 "$(policies moon out)"
on alice ping -q -c 3 -i 0.3 -W 1 10.2.0.10 >/dev/null
check "the trap works again" until_true 10 has_child_sa moon net
reaches alice 10.2.0.10 10
check "the trap is removed" sw moon --uninstall --child net
check "moon ends the CHILD_SA again" sw moon --terminate --child net
nothing_left moon "after trap and CHILD_SA ended"
