# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon first
reaches alice 10.2.0.10
refused_line moon second 'reqid 77' ''
reaches alice 10.2.0.10
refused_line moon second-auto 'reqid 77' ''
same "moon: the first is in packet mode, and alone" "2 2" "$(states moon packet) $(states moon)"
misses_mark
reaches alice 10.2.0.10
no_misses "after the refusals"
agree "after the refusals"
check "moon ends the first" sw moon --terminate --child first
initiate moon second
same "moon: now the second has the NIC" 2 "$(states moon packet)"
reaches alice 10.2.1.10
agree "at the end"
