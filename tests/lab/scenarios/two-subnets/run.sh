# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon nets
in_mode moon packet 4
in_mode sun packet 4
wire_mark
check "from 10.1.0.10 to 10.2.0.10" on alice ping -q -i 0.05 -c 10 -W 2 -I 10.1.0.10 10.2.0.10
check "from 10.1.0.10 to 10.2.1.10" on alice ping -q -i 0.05 -c 10 -W 2 -I 10.1.0.10 10.2.1.10
check "from 10.1.1.10 to 10.2.0.10" on alice ping -q -i 0.05 -c 10 -W 2 -I 10.1.1.10 10.2.0.10
check "from 10.1.1.10 to 10.2.1.10" on alice ping -q -i 0.05 -c 10 -W 2 -I 10.1.1.10 10.2.1.10
wire_esp_only
cpu_idle
nic_busy moon sun
at_least "moon has a route for both networks of sun" 2 "$(routes moon | grep -c '^10\.2\.[01]\.0/24')"
check "moon ends the CHILD_SA" sw moon --terminate --child nets
nothing_left moon "after the CHILD_SA ended"
nothing_left sun "after the CHILD_SA ended"
