# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10
log_mark moon
capture_stop
ip -n moon link set p0 netns alice
sleep 1
same "moon: the kernel holds no offloaded SA any more" 0 "$(states moon packet)"
ip -n alice link set p0 netns moon
link_back moon
recovered "after the device came back" 15 alice 10.2.0.10
in_mode moon packet
agree "after the device came back"
[ "$PLUGIN" != kernel-fastswan ] || expect "one line says that it was gone" 'is gone: .*removed its 2 offloaded SAs' log_new moon
not_added_twice moon
