# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10 10
stop sun
host_clean sun
check "moon was told" until_true 5 no_child_sa moon
nothing_left moon "after sun stopped"
start sun
initiate moon net
in_mode moon packet
reaches alice 10.2.0.10 10
stop moon sun
host_clean moon
host_clean sun
start moon sun
initiate sun net
in_mode sun packet
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
cpu_idle
