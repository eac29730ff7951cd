# SPDX-License-Identifier: GPL-2.0-or-later
# SAs of one CPU each (RFC 9611). Owns what moon and its peer must do with them, whatever their mode; the scenarios
# per-cpu-* call it. It must not know addresses or modes: they are told.

# ping_from CPU COUNT FROM TO: by moon, from that CPU, without a UDP socket to find the source address (that would raise
# an acquire too).
ping_from() { on moon taskset -c "$1" ping -q -c "$2" -W 2 -i 0.2 -I "$3" "$4" >/dev/null; }

# sent_by CPU: how many packets the CHILD_SAs of moon for that CPU ("" is the fallback) have sent.
sent_by() {
	sw moon --list-sas --raw | sed 's/ [a-z-]*-[0-9]* {/\n&/g' | grep 'state=INSTALLED' |
		if [ -n "$1" ]; then grep " cpu=$1 "; else grep -v ' cpu='; fi |
		sed -E 's/.*packets-out=([0-9]+).*/\1/' | awk '{ sum += $1 } END { print sum + 0 }'
}

cpu_sa() { becomes moon " cpu=$1 "; }
rekeyed() { [ "$(log moon | grep -c 'outbound CHILD_SA net-net[{][0-9]*[}] established')" -ge "$1" ]; }

# per_cpu_sas MODE FROM TO: the trap of net-net becomes a fallback SA and one for each of two CPUs, which keep to their
# CPU, also when they are rekeyed.
per_cpu_sas() {
	local mode=$1 from=$2 to=$3 cpu fallback zero one
	local selectors="${from//./\\.}/32\\[icmp/8\\] === ${to//./\\.}/32\\[icmp/8\\]"
	ping_from 0 1 "$from" "$to"
	check "the first packet brings up the fallback SA" until_true 20 becomes moon "state=INSTALLED mode=$mode .*per-cpu-sas=yes"
	log_says moon "its acquire names no CPU" "creating acquire job for policy $selectors with reqid [{][0-9]+[}](, seq [{][0-9]+[}])?\$"
	wire_mark
	for cpu in 1 0; do
		ping_from $cpu 2 "$from" "$to"
		check "a packet from CPU $cpu asks for its SA" until_true 20 logs moon "creating acquire job for policy .*cpu [{]$cpu[}]"
		check "the SA of CPU $cpu comes up" until_true 20 cpu_sa $cpu
	done
	fallback=$(sent_by "") zero=$(sent_by 0) one=$(sent_by 1)
	check "CPU 0 sends" ping_from 0 3 "$from" "$to"
	check "CPU 1 sends" ping_from 1 3 "$from" "$to"
	same "the fallback SA carried nothing more" "$fallback" "$(sent_by "")"
	same "CPU 0 used its own SA" 3 "$(($(sent_by 0) - zero))"
	same "CPU 1 used its own SA" 3 "$(($(sent_by 1) - one))"
	expect "moon: the kernel's SAs have their CPU" 'pcpu-num (0x)?1( |$)' xfrm_states moon
	check "moon rekeys all of them" sw moon --rekey --child net-net
	check "each is rekeyed" until_true 20 rekeyed 3
	fallback=$(sent_by "") zero=$(sent_by 0)
	check "CPU 0 sends after the rekeying" ping_from 0 3 "$from" "$to"
	same "still not by the fallback SA" "$fallback" "$(sent_by "")"
	same "but by the new SA of CPU 0" 3 "$(($(sent_by 0) - zero))"
	wire_esp_only
}

# random_ports: since the mark moon's outbound SAs in UDP had source ports of their own.
random_ports() {
	at_least "outbound SAs have random source ports" 2 \
		"$(wire_new 'src 192.168.0.1 and udp dst port 4500' | grep 'UDP-encap' | sed -E 's/.* 192\.168\.0\.1\.([0-9]+) >.*/\1/' | sort -u | wc -l)"
}
