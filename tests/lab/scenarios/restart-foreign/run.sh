# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
foreign() {
	local i
	for i in 1 2; do
		echo "xfrm state add src 192.168.0.2 dst 198.51.100.$i proto esp spi $((0x9000 + i)) reqid $i mode tunnel aead rfc4106(gcm(aes)) 0x$(printf %040d $i) 128 flag esn replay-window 0 offload packet dev p1 dir out"
		echo "xfrm policy add src 10.77.$i.0/24 dst 10.78.$i.0/24 dir out priority 7 offload packet dev p1 tmpl src 192.168.0.2 dst 198.51.100.$i proto esp reqid $i mode tunnel"
	done
	echo "xfrm state add src 192.168.0.2 dst 198.51.100.9 proto esp spi 0x9009 reqid 100 mode tunnel aead rfc4106(gcm(aes)) 0x$(printf %040d 9) 128"
}
foreign_left() {
	echo "$(ip -n sun xfrm state | grep -c '198\.51\.100\.') $(ip -n sun xfrm policy | grep -c '^src 10\.77\.') $(nic_count sun sas 'spi=0x0000900') $(nic_count sun policies 'src=10\.77\.')"
}
foreign | ip -n sun -batch - || bad "the other's SAs and policies cannot be made"
same "what belongs to somebody else is there" "3 2 2 2" "$(foreign_left)"
start moon sun
initiate moon net
reaches alice 10.2.0.10
crash sun
at_least "what the killed charon installed is still there" 2 "$(nic_count sun sas 'src=192\.168\.0\.[12] dst=192\.168\.0\.[12]')"
start sun
own() { echo "$(nic_count sun sas 'dst=192\.168\.0\.[12]') $(nic_count sun policies 'src=10\.[12]\.0\.0') $(ip -n sun xfrm state | grep -c '^src 192.168.0.[12] dst 192.168.0.[12]')"; }
own_gone() { [ "$(own)" = "0 0 0" ]; }
if until_true 5 own_gone; then ok "the new charon removed what the killed one left"; else bad "left of the killed charon (NIC SAs, policies, SAs): $(own)"; fi
same "what belongs to somebody else is untouched" "3 2 2 2" "$(foreign_left)"
[ "$PLUGIN" != kernel-fastswan ] || {
	refused_line sun reqid-2 'reqid 2 belongs to an SA in the device that is not ours' 'reqid_base'
	same "what belongs to somebody else is still untouched" "3 2 2 2" "$(foreign_left)"
}
check "moon ends its half" sw moon --terminate --ike sun --timeout 3 --force
initiate sun net
in_tunnel() { reaches alice 10.2.0.10; }
in_tunnel
stop sun
same "after a clean stop the other's are still there" "3 2 2 2" "$(foreign_left)"
same "and nothing else is" "3" "$(ip -n sun xfrm state | grep -c '^src')"
ip -n sun xfrm state flush
ip -n sun xfrm policy flush
flush_routes sun
