# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
second_nic
printf '%s\n' "address add fd01::1/64 dev q0 nodad" | ip -n moon -batch -
printf '%s\n' "address add fd01::2/64 dev q1 nodad" | ip -n sun -batch -
LEAK_DEVICES="p0 q0"
bare_flap() {
	ip -n moon link set p0 down
	sleep 0.3
	ip -n moon link set p0 up
}
flap_healed() {
	link_back moon
	leaks_up "$@"
} >>"$OUT/faults.txt" 2>&1
flaps() { for try in 1 2 3; do flap moon 0.3; done; }
mtu() {
	ip -n moon link set p0 mtu 1400
	sleep 0.5
	ip -n moon link set p0 mtu 1500
}
device_away() {
	ip -n moon link set p0 netns alice
	sleep 0.5
	ip -n alice link set p0 netns moon
	link_back moon
}
route_away() {
	ip -n moon route replace 10.2.0.0/16 via 192.168.1.2
	ip -n moon route replace fd00:2::/64 via fd01::2
	chatter_wait
}
route_back() {
	ip -n moon route replace 10.2.0.0/16 via 192.168.0.2
	ip -n moon route replace fd00:2::/64 via fd00::2
	leaks_up "$@"
}
traps() {
	python3 "$LAB/lib/tunnels.py" down "$(vici_socket moon)"
	sw moon --install --child net4
	sw moon --install --child net6
	"$@"
}
no_traps() {
	sw moon --uninstall --child net4
	sw moon --uninstall --child net6
	leaks_up "$@"
} >>"$OUT/faults.txt" 2>&1
# The peer is dead: no SA can come up.
traps_alone() {
	crash sun
	chatter_wait
}
address_changes() {
	ip -n moon address add 192.168.0.3/24 dev p0
	ip -n moon address add fd00::3/64 dev p0 nodad
	ip -n moon address delete 192.168.0.1/24 dev p0
	ip -n moon address delete fd00::1/64 dev p0
	far_routes 10.2 2 | sed 's/ add / replace /' | ip -n moon -batch -
	sleep 3
}
address_back() {
	port_addresses p0 1 | sed 's/ add / replace /' | ip -n moon -batch -
	ip -n moon address delete 192.168.0.3/24 dev p0
	ip -n moon address delete fd00::3/64 dev p0
	far_routes 10.2 2 | sed 's/ add / replace /' | ip -n moon -batch -
	leaks_up "$@"
}
faults() {
	leak "no fault" true
	leak -k "link flap" flap moon 0.5
	LEAK_HEAL=flap_healed
	leak -k "link flap, without what a network manager puts back" bare_flap
	LEAK_HEAL=address_back
	leak "address changes (MOBIKE)" address_changes
	LEAK_HEAL=leaks_up
	leak -k "three link flaps in a row" flaps
	leak "link flap of the peer" flap sun 0.5
	leak "MTU of the NIC changes" mtu
	leak -k "NIC moved to another network namespace and back" device_away
	LEAK_HEAL=route_back
	leak "route moves to another NIC" route_away
	LEAK_HEAL=no_traps
	leak "traps, before the first SA" traps true
	leak "traps, while the peer is dead" traps traps_alone
	leak -k "traps, after a link flap" traps flap moon 0.5
	LEAK_HEAL=leaks_up
}
matrix faults
