# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon four-in-six
initiate moon six-in-four
same "moon: the kernel holds 4 SAs, all in software" 4 "$(states moon software)"
same "moon: the NIC holds no SA" 0 "$(nic_count moon sas)"
wire_mark
reaches alice 10.2.0.10 10
reaches alice fd00:2::10 10
reaches bob 10.1.0.10 10
reaches bob fd00:1::10 10
wire_esp_only
cpu_busy
