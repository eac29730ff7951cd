# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
ip -n moon address add 192.168.0.3/24 dev p0
for host in moon sun; do on $host sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'; done
start moon sun
initiate moon net
reaches alice 10.2.0.10
log_mark moon
log_mark sun
nic_lines=$(nic_file moon log | wc -l)
ip -n moon address delete 192.168.0.1/24 dev p0
ip -n moon address replace 192.168.0.3/24 dev p0
ip -n sun route replace 10.1.0.0/16 via 192.168.0.3
ip -n moon route replace 10.2.0.0/16 via 192.168.0.2
recovered "after moon's address changed" 15 alice 10.2.0.10
until_true 12 test "$(states moon)" = 2
in_mode moon packet
in_mode sun packet
same "moon: the SAs are at the new address" 2 "$(xfrm_states moon | grep -c '^src.*192\.168\.0\.3')"
agree "after the move"
not_added_twice moon
not_added_twice sun
first=$(nic_file moon log | tail -n +$((nic_lines + 1)) | grep -Eo 'op=sa_(add result=0|delete)' | head -n 1)
same "moon: the successor was in the NIC before the old SA went" "op=sa_add result=0" "$first"
wire_mark
reaches alice 10.2.0.10
wire_esp_only
cpu_idle
