# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
capture_stop
conf() {
	CHARON_CONF="charon { plugins { kernel-fastswan { guard = $1
guard_hold = forever
guard_on_stop = open
} } }"
}
nic_watch() {
	echo clear >"$VNIC_DEBUG/p0/watch"
	printf 'add %s\n' "$@" >"$VNIC_DEBUG/p0/watch"
}
# The daemon is dead, so that nothing puts back what is flushed.
flushed() {
	crash moon
	ip -n moon xfrm policy flush
	ip -n moon xfrm state flush
}
# To bob, or to one of sun's own addresses: the kernel looks for the MAC address of the inner destination of what moon itself
# sends into a tunnel, and with the peer on the same link only sun's own are found there.
pings() { on "$1" ping -q -i 0.1 -W 1 -c 5 -I "$2" "${3:-10.2.0.10}" >>"$OUT/pings.txt" 2>&1; }
# in_clear TEXT WANTED FROM ADDRESS [TO]: what of FROM's pings the NIC sends in clear.
in_clear() {
	nic_watch "$4/32 10.2.0.0/16"
	pings "$3" "$4" "${5:-10.2.0.10}"
	same "$1" "$2" "$(nic_clear moon)"
}
# A rule that set the whole mark of what moon sends would take the gate's bit from the second pass (docs/guard.md).
# Alice's packets get the mark where firewalls set marks, and so do those from the peer's network; one address of moon's does.
on moon ip address add 10.1.0.2/24 dev lan
on alice ip address add 10.1.0.11/24 dev eth0
rules moon <<-RULES
	chain forwarded {
		type filter hook prerouting priority mangle
		ip saddr 10.1.0.10 meta mark set 42
		ip saddr 10.2.0.77 meta mark set 42
	}
	chain sent {
		type route hook output priority mangle
		ip saddr 10.1.0.2 ip daddr 10.2.0.0/24 meta mark set meta mark & 0x10000000 | 42
	}
RULES
conf units
start moon sun
initiate moon marked
expect "the mark is in the gate" '0x0000002a \. 10\.1\.0\.0 \. 10\.2\.0\.0.* comment ".*marked.*"' on moon nft list table inet fastswan
expect "in a set of its own" 'gate4_24_24_markoutefffffff' on moon nft list table inet fastswan
esp=$(($(nic_stat moon tx_esp) + $(esp_calls esp_output)))
reaches alice 10.2.0.10
pings moon 10.1.0.2 10.2.0.1
at_least "marked packets are encrypted, forwarded or not" 10 "$(($(nic_stat moon tx_esp) + $(esp_calls esp_output) - esp))"
flushed
in_clear "marked and forwarded: nothing in clear while all was flushed" 0 alice 10.1.0.10
in_clear "marked and sent by moon: nothing" 0 moon 10.1.0.2 10.2.0.1
in_clear "without the mark it is not what the CHILD_SA protects" 5 alice 10.1.0.11
ears alice moon
plain 5 whole 10.2.0.77 10.1.0.10 10.2.0.77 10.1.0.1
plain 5 whole 10.2.0.78 10.1.0.10 10.2.0.78 10.1.0.1
sleep 0.7
same "with the mark nothing enters in clear, without it does" "0 5 0 5 0 0 0 0" "$(echo $(heard))"
servers_stop
same "a crash opens nothing: the gate stays, in either direction" 2 "$(guard_list moon | grep -c '0x0000002a .*comment ".*marked.*"')"
stop sun
guard_gone moon
flush_routes moon

on moon ip link add xfrm0 type xfrm dev p0 if_id 42
on moon ip link set xfrm0 up
on moon ip route replace 10.2.0.0/24 dev xfrm0
start moon sun
initiate moon inner
expect "what an XFRM interface sends has a gate for its second pass" 'set gate4_24_24_xfrmi' on moon nft list table inet fastswan
reaches alice 10.2.0.10
flushed
in_clear "XFRM interface: nothing in clear while all was flushed" 0 alice 10.1.0.10
in_clear "nor of what moon sends" 0 moon 10.1.0.1 10.2.0.1
reaches sun 192.168.0.1 2
stop sun
guard_gone moon
flush_routes moon
on moon ip link delete xfrm0
far_routes 10.2 2 | sed 's/ add / replace /' | ip -n moon -batch -

conf all
start moon sun
initiate moon software
reaches alice 10.2.0.10
flushed
# Alice's mark does not matter: this gate is about all packets.
in_clear "guard = all: nothing in clear of a CHILD_SA in software" 0 alice 10.1.0.10
stop sun
guard_gone moon
flush_routes moon

conf no
start moon sun
log_says moon "guard = no is no secret" 'guard = no: nothing keeps protected traffic from leaving in clear'
initiate moon software
reaches alice 10.2.0.10
flushed
in_clear "guard = no: as with strongSwan's own plugin" 5 alice 10.1.0.10
same "and there is no table" "" "$(on moon nft list tables | grep fastswan)"
stop sun
flush_routes moon
CHARON_CONF=
