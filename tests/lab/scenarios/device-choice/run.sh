# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
second_nic
for host in moon sun; do
	number=$([ $host = moon ] && echo 1 || echo 2)
	printf 'address add 10.9.9.%d/32 dev lo\n' $number | ip -n $host -batch -
done
ip -n moon route add 10.9.9.2/32 via 192.168.0.2
ip -n sun route add 10.9.9.1/32 via 192.168.0.1
start moon sun
on_device() {
	local dev=$1 text=$2
	same "moon: both SAs are on $dev ($text)" "2 2" "$(dev_count $dev sas) $(states moon packet)"
	same "moon: the policies are on $dev ($text)" "2" "$(dev_count $dev policies "reqid=[1-9]")"
}
initiate moon loop-net
on_device p0 "address on the loopback device"
wire_mark
reaches alice 10.2.0.10
wire_esp_only
check "moon ends it" sw moon --terminate --ike loop
# The peer's second address, reached through the second NIC, with the local address of the first.
ip -n sun route add 192.168.0.1/32 via 192.168.1.1 metric 5
initiate moon asym-net
on_device q0 "local address on p0, route through q0"
reaches alice 10.2.0.10
same "moon: no packet of alice or bob in clear on either NIC" "0 0" "$(nic_clear moon) $(dev_clear q0)"
check "moon ends it" sw moon --terminate --ike asym
ip -n sun route del 192.168.0.1/32 via 192.168.1.1 metric 5
for dev in p0 q0; do ip -n moon address add 10.7.7.7/32 dev $dev; done
ip -n sun route add 10.7.7.7/32 via 192.168.1.1
initiate moon any-net
on_device q0 "an address on both NICs"
reaches alice 10.2.0.10
same "moon: no packet of alice or bob in clear on either NIC" "0 0" "$(nic_clear moon) $(dev_clear q0)"
agree_dev() { same "moon: $1 is empty at the end" "0 0" "$(dev_count $1 sas) $(dev_count $1 policies 'reqid=[1-9]')"; }
check "moon ends it" sw moon --terminate --ike any
agree_dev p0
agree_dev q0
