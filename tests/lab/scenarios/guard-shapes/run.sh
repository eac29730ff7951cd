# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
guard_begin
initiate moon net4
initiate moon net6
reaches alice 10.2.0.10
reaches alice fd00:2::10
CELL_PACKETS=6 CELL_PING="-s 3000"
cell "fragments" true
CELL_PING="-R"
cell "IP options" true
CELL_PING=""
options() {
	local host
	for host in alice moon; do
		on "$host" python3 - "$1" <<-'P'
			import socket, sys
			s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
			# IPV6_DSTOPTS: eight bytes of padding.
			s.setsockopt(41, 59, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
			s.bind(("fd00:1::10" if sys.argv[1] == "alice" else "::", 0))
			for _ in range(5):
			    try:
			        s.sendto(b"in clear", ("fd00:2::10", 7777))
			    except OSError as error:
			        print(error)
		P
	done
}
CELL_PACKETS=1
cell "extension headers" options alice

# From outside.
for host in alice moon; do count_at $host; done
plain 10.2.0.10 10.1.0.10 5
plain 10.2.0.10 10.1.0.1 5
plain fd00:2::10 fd00:1::10 5
plain fd00:2::10 fd00:1::1 5
# Not protected: shows that what is sent so does arrive.
plain 192.168.0.2 192.168.0.1 5
sleep 1
entered=$(($(counted_at alice) + $(counted_at moon)))
LEAKS=$((LEAKS + entered - 5))
echo "plain packets|inbound|0|$((entered - 5))" >>"$OUT/cells.txt"
[ "$PLUGIN" != kernel-fastswan ] || same "of 20 plain packets with protected addresses and 5 others, entered" 5 "$entered"
on moon nft delete table inet lab
on alice nft delete table inet lab
for host in alice moon; do count_at $host; done
# sun encrypts with the same SA what its selectors do not name.
ip -n sun address add 10.9.0.1/32 dev lo
reqid=$(child_field sun reqid | head -n 1)
ip -n sun xfrm policy add src 10.9.0.0/24 dst 10.1.0.0/24 dir out priority 1 \
	tmpl src 192.168.0.2 dst 192.168.0.1 proto esp reqid "$reqid" mode tunnel || bad "sun takes no policy by hand"
esp=$(nic_stat moon rx_esp)
for target in 10.1.0.10 10.1.0.1; do
	for try in 1 2 3 4 5; do echo outside; done | on sun socat -u - "UDP4-SENDTO:$target:7777,bind=10.9.0.1:7777"
done
on bob socat -u EXEC:'echo inside' UDP4-SENDTO:10.1.0.10:7777,bind=10.2.0.10:7777
sleep 1
at_least "moon decrypted them" 3 "$(($(nic_stat moon rx_esp) - esp))"
entered=$(($(counted_at alice) + $(counted_at moon)))
echo "inner source outside the selectors|inbound|0|$((entered - 1))" >>"$OUT/cells.txt"
LEAKS=$((LEAKS + entered - 1))
[ "$PLUGIN" != kernel-fastswan ] || same "of decrypted packets only the one within the selectors entered" 1 "$((entered))"
ip -n sun xfrm policy delete src 10.9.0.0/24 dst 10.1.0.0/24 dir out
guard_end
stop moon sun
guard_gone moon
