# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
log_mark moon
traffic_start alice 10.2.0.10 55 0.2
sleep 2
log_mark moon
traffic_end alice "11 s of traffic with an inactivity limit of 5 s"
same "the busy peer was not probed" 0 "$(log_new moon | grep -c 'sending DPD request')"
check "the busy CHILD_SA is still there" has_child_sa moon net
[ "$PLUGIN" != kernel-fastswan ] || expect "list-sas says when the last packet came and went" 'in .*, +5?[0-9] packets, +[0-4]s ago' sw moon --list-sas
log_mark moon
check "the idle CHILD_SA is closed for inactivity" until_true 14 no_child_sa moon
expect "the log says so" 'deleting CHILD_SA after .* inactivity' log_new moon
check "the idle peer is probed" logged moon 8 'sending DPD request'
nothing_left moon "after inactivity"
