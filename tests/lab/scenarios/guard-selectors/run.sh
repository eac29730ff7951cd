# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
capture_stop
CHARON_CONF="charon { plugins { kernel-fastswan { guard_hold = forever
guard_on_stop = hold
guard_exempt = 10.2.1.0/28
} }
install_routes = no
}"
watch() {
	echo clear >"$VNIC_DEBUG/p0/watch"
	printf 'add %s\n' "$@" >"$VNIC_DEBUG/p0/watch"
}
flushed() {
	ip -n moon xfrm policy flush
	ip -n moon xfrm state flush
}
# holds CHILD FROM ADDRESS PAIR: its CHILD_SA works, leaks nothing without SAs and policies, and comes up again.
holds() {
	local child=$1 from=$2 address=$3 pair=$4
	watch "$pair"
	initiate moon "$child"
	reaches "$from" "$address"
	flushed
	on "$from" ping -q -i 0.1 -W 1 -c 8 "$address" >/dev/null 2>&1
	same "$child: nothing in clear while all was flushed" 0 "$(nic_clear moon)"
	sw moon --terminate --ike four --force --timeout 1 >/dev/null 2>&1
	sw moon --terminate --ike six --force --timeout 1 >/dev/null 2>&1
	initiate moon "$child"
	reaches "$from" "$address"
	sw moon --terminate --child "$child" >/dev/null 2>&1
	on "$from" ping -q -i 0.1 -W 1 -c 3 "$address" >/dev/null 2>&1
	same "$child: nor with its CHILD_SA terminated" 0 "$(nic_clear moon)"
}
udp() { for try in 1 2 3; do echo x | on alice socat -u - "UDP4-SENDTO:$1,bind=10.1.1.10:7000"; done; }

start moon sun
holds host4 moon 192.168.0.2 "192.168.0.1/32 192.168.0.2/32"
holds host6 moon fd00::2 "fd00::1/128 fd00::2/128"
ip -n moon neigh flush dev p0
initiate moon host6
expect "neighbour discovery passes the closed gate" lladdr ip -n moon neigh show fd00::2 dev p0
sw moon --terminate --child host6 >/dev/null 2>&1

watch "10.1.1.0/24 10.2.1.0/24"
initiate moon port
log_says moon "the port is guarded with all ports of its protocol" 'CHILD_SA .*port.*: .*7777.* is guarded as 10\.1\.1\.0/24 === 10\.2\.1\.0/24\[17\], with all ports'
esp=$(nic_stat moon tx_esp)
udp 10.2.1.99:7777
at_least "port: UDP to its port is encrypted" 3 "$(($(nic_stat moon tx_esp) - esp))"
udp 10.2.1.99:8888
same "port: UDP to another port does not leave in clear" 0 "$(nic_clear moon)"
udp 10.2.1.10:8888
same "port: but to an exempt network it does" 3 "$(nic_clear moon)"
on alice ping -q -c 3 -i 0.1 -W 1 -I 10.1.1.10 10.2.1.99 >/dev/null 2>&1
at_least "port: and other protocols are not its business" 6 "$(nic_clear moon)"
watch "10.1.1.0/24 10.2.1.99/32"
flushed
udp 10.2.1.99:7777
same "port: nothing in clear while all was flushed" 0 "$(nic_clear moon)"
sw moon --terminate --ike four --force --timeout 1 >/dev/null 2>&1

# All but what stays in moon's own networks, as an operator has it.
sw moon --install --child lan >/dev/null || bad "the PASS policies are not installed"
sw moon --install --child lan6 >/dev/null || bad "the PASS policies are not installed"
holds all alice 10.2.0.10 "10.1.0.0/24 0.0.0.0/0"
holds all6 alice fd00:2::10 "fd00:1::/64 ::/0"
reaches alice 10.1.0.1 3
reaches alice fd00:1::1 3
on moon nft list table inet fastswan >"$OUT/moon-nft.txt"
expect "nft lists the gates with their names" '10\.1\.0\.0 \. 0\.0\.0\.0 comment ".*all.*"' cat "$OUT/moon-nft.txt"
stop moon sun
expect "guard_on_stop = hold: the gates are closed still" '10\.1\.0\.0 \. 0\.0\.0\.0' on moon nft list table inet fastswan
guard_gone moon
guard_gone sun
CHARON_CONF=
