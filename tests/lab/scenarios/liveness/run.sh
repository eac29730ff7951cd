# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
traffic_start alice 10.2.0.10 55 0.2
traffic_end alice "11 s of traffic with an inactivity limit of 5 s"
check "the busy CHILD_SA is still there" has_child_sa moon net
[ "$PLUGIN" != kernel-fastswan ] || expect "list-sas says when the last packet came and went" 'in .*, +5?[0-9] packets, +[0-4]s ago' sw moon --list-sas
log_mark moon
check "the idle CHILD_SA is closed for inactivity" until_true 14 no_child_sa moon
expect "the log says so" 'deleting CHILD_SA after .* inactivity' log_new moon
nothing_left moon "after inactivity"
initiate moon host
expect "it is encapsulated" 'host: .*INSTALLED, TRANSPORT-in-UDP' sw moon --list-sas
in_mode moon packet
traffic_start moon 192.168.0.2 60 0.2
sleep 1.5
log_mark moon
traffic_end moon "12 s of traffic with a DPD delay of 4 s"
same "the peer of the busy CHILD_SA was not probed" 0 "$(log_new moon | grep -c 'sending DPD request')"
check "that of the idle one is" logged moon 10 'sending DPD request'
