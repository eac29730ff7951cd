# SPDX-License-Identifier: GPL-2.0-or-later
# What the kernel and the device hold, and who does ESP. Owns reading `ip xfrm`, the virtual NIC's debugfs, the CPU's
# ESP functions (kprobes) and the capture of the wire; scenarios and the runner call it. It must not change the device
# except through what a scenario asks for by name.

VNIC_DEBUG=/sys/kernel/debug/vnic
TRACING=/sys/kernel/tracing
# Every function in which the kernel itself would handle an ESP packet, with its module.
ESP_FUNCTIONS="esp4:esp_output esp4:esp_input esp6:esp6_output esp6:esp6_input"
ESP_FUNCTIONS_CRYPTO="esp4_offload:esp_xmit esp4_offload:esp_input_tail esp6_offload:esp6_xmit esp6_offload:esp6_input_tail"

# Loads what the lab needs and arms the counters; once per boot.
nic_load() {
	local one
	modprobe -a xfrm_user xfrm_algo esp4 esp6 esp4_offload esp6_offload veth gcm ccm 2>/dev/null
	if [ -e /share/vnic.ko ]; then
		insmod /share/vnic.ko || { echo "the virtual NIC's module cannot be loaded"; dmesg | tail -n 20; return 1; }
	fi
	for one in $ESP_FUNCTIONS $ESP_FUNCTIONS_CRYPTO; do
		echo "p:lab/${one#*:} $one" >>"$TRACING/kprobe_events" || return 1
	done
	echo 1 >"$TRACING/events/lab/enable"
	# Only the counters are wanted, not the records.
	echo 0 >"$TRACING/tracing_on"
	echo 1 >"$TRACING/tracing_on"
}

# port HOST: its device on the wire.
port() { case $WIRE:$1 in vnic:sun | veth:sun) echo p1 ;; *) echo p0 ;; esac; }

# nic_file HOST NAME: a debugfs file of the host's port.
nic_file() { cat "$VNIC_DEBUG/$(port "$1")/$2"; }

# nic_rows HOST sas|policies: its rows. An SA that is deleted keeps its slot until the kernel's collector frees it, as
# in the hardware; it serves no packet any more.
nic_rows() { nic_file "$1" "$2" | grep -v ' state=deleted'; }

# nic_count HOST sas|policies [REGEX]
nic_count() { nic_rows "$1" "$2" | grep -Ec -- "${3:-.}"; }

# nic_freed HOST: the device gave up every slot.
nic_freed() { [ -z "$(nic_file "$1" sas)" ]; }

# nic_stat HOST NAME: a counter of the device.
nic_stat() {
	local value
	value=$(nic_file "$1" stats | sed -n "s/^$2=//p")
	[ -n "$value" ] || echo "no counter $2" >&2
	echo "$value"
}

# nic_set HOST KNOB VALUE
nic_set() { echo "$3" >"$VNIC_DEBUG/$(port "$1")/knobs/$2" || bad "the device of $1 does not take $2=$3"; }

# nic_clear HOST: frames of alice and bob that left or entered in clear, as the device itself counted them.
nic_clear() {
	nic_file "$1" watch | tr ' ' '\n' | awk -F= '$1 == "tx" || $1 == "rx" { sum += $2 } END { print sum + 0 }'
}

# esp_calls [REGEX]: how often the CPU entered its ESP functions since boot.
esp_calls() {
	awk -v regex="^(${1:-esp_output|esp_input|esp6_output|esp6_input})$" '$1 ~ regex { sum += $2 } END { print sum + 0 }' \
		"$TRACING/kprobe_profile"
}

# Begins the record of the wire; called when the topology stands.
nic_begin() {
	local host
	CAPTURES=
	if [ "$WIRE" = lan ]; then
		# Every frame between two hosts of the segment passes its bridge once.
		capture_start inet br0 wire inout
	elif [ "$WIRE" = vnic ]; then
		# The NIC encrypts after the stack's own taps: only the device's tap of the wire shows what left.
		ip -n moon link set p0wire up || bad "the virtual NIC has no tap of the wire"
		capture_start moon p0wire wire inout
		for host in moon sun; do
			# Independent of any policy: what must never be seen in clear.
			printf 'add %s\nadd %s\n' "10.1.0.0/16 10.2.0.0/16" "fd00:1::/64 fd00:2::/64" >"$VNIC_DEBUG/$(port $host)/watch"
		done
	else
		# What came in is seen a second time when software has decrypted it; what goes out is what the wire carries.
		capture_start moon p0 wire-moon out
		capture_start sun p1 wire-sun out
	fi
	wire_mark
}

# capture_start HOST DEVICE NAME DIRECTION
capture_start() {
	local promiscuous=-p
	[ "$WIRE" != lan ] || promiscuous=
	# exec: the process that is remembered must be tcpdump itself, not a shell that waits for it.
	(
		exec nsenter --net=/run/netns/"$1" \
			tcpdump -i "$2" -Q "$4" -n $promiscuous -U -B 16384 -s 200 -w "$OUT/$3.pcap" >"$OUT/$3.txt" 2>&1
	) &
	CAPTURES="$CAPTURES $!"
	until_true 10 grep -q 'listening on' "$OUT/$3.txt" || bad "tcpdump does not start on $2 of $1"
}

capture_stop() {
	[ -n "$CAPTURES" ] || return 0
	sleep 0.2
	kill -TERM $CAPTURES 2>/dev/null
	# On a device without traffic tcpdump does not notice; what it has seen is in its file already.
	until_true 1 captures_gone || kill -KILL $CAPTURES 2>/dev/null
	wait $CAPTURES 2>/dev/null
	CAPTURES=
}

captures_gone() {
	local one
	for one in $CAPTURES; do ! kill -0 "$one" 2>/dev/null || return 1; done
}

# wire [FILTER]: what the wire carried so far.
wire() {
	local file
	for file in "$OUT"/wire*.pcap; do
		tcpdump -n -r "$file" "$@" 2>/dev/null
	done
}

# wire_flush: everything sent so far is in the capture. A neighbour request, which no policy touches, is sent and waited
# for: what was sent before it was captured before it.
wire_flush() {
	WIRE_MARKER=$(wire_packets arp)
	on moon arping -q -c 1 -w 3 -I p0 $WIRE_SOURCE "$WIRE_NEIGHBOUR"
	until_true 15 wire_marker_seen || bad "the capture of the wire does not follow"
}

wire_marker_seen() { [ "$(wire_packets arp)" -gt "$WIRE_MARKER" ]; }

# wire_packets [FILTER]: how many packets.
wire_packets() { wire "$@" | wc -l; }

# wire_new [FILTER]: since the mark.
wire_new() { wire "$@" | awk -v mark="$WIRE_SEEN" '$1 > mark'; }

# Remembers where the wire, the device and the CPU stand; wire_esp_only and cpu_* judge what came after.
wire_mark() {
	local host
	sleep 0.1
	WIRE_SEEN=$(date +%H:%M:%S.%6N)
	CPU_SEEN=$(esp_calls)
	CPU_CRYPTO_SEEN=$(esp_calls 'esp6?_xmit|esp6?_input_tail')
	[ "$WIRE" = vnic ] || return 0
	for host in moon sun; do
		eval "TX_ESP_$host=$(nic_stat $host tx_esp) RX_ESP_$host=$(nic_stat $host rx_esp) CLEAR_$host=$(nic_clear $host)"
	done
}

# wire_esp_only: since the mark the wire carried ESP, and nothing else but IKE and neighbour discovery.
wire_esp_only() {
	local rest esp host was
	wire_flush
	# ESP, UDP 500 and 4500 (IKE and ESP in UDP), ICMPv6 133..137 (neighbour discovery).
	rest=$(wire_new |
		grep -Ev ' ESP\(|: isakmp|\.(500|4500) > |\.(500|4500): |ARP|ICMP6, (neighbor|router|redirect)|HBH ICMP6|igmp')
	esp=$(wire_new | grep -Ec ' ESP\(|UDP-encap: ESP')
	at_least "the wire carried ESP" 1 "$esp"
	if [ -z "$rest" ]; then
		ok "the wire carried nothing but ESP, IKE and neighbour discovery"
	else
		bad "the wire carried $(echo "$rest" | wc -l) other packets:"
		echo "$rest" | head -n 8 | sed 's/^/       | /'
	fi
	[ "$WIRE" = vnic ] || return 0
	for host in moon sun; do
		eval "was=\$CLEAR_$host"
		same "the NIC of $host saw no packet of alice or bob in clear" 0 "$(($(nic_clear $host) - was))"
	done
}

# cpu_idle: since the mark the CPU's ESP code handled no packet.
cpu_idle() {
	same "the CPU's ESP functions were not entered" 0 "$(($(esp_calls) - CPU_SEEN))"
}

# cpu_busy: the CPU did ESP (software mode, for comparison).
cpu_busy() {
	at_least "the CPU's ESP functions were entered" 1 "$(($(esp_calls) - CPU_SEEN))"
}

# nic_busy HOST...: since the mark the device itself sent and received ESP.
nic_busy() {
	local host was
	for host; do
		eval "was=\$TX_ESP_$host"
		at_least "the NIC of $host encrypted packets" 1 "$(($(nic_stat "$host" tx_esp) - was))"
		eval "was=\$RX_ESP_$host"
		at_least "the NIC of $host decrypted packets" 1 "$(($(nic_stat "$host" rx_esp) - was))"
	done
}

xfrm_states() { ip -n "$1" -d xfrm state list; }
xfrm_policies() { ip -n "$1" -d xfrm policy list; }

# count_states MODE / count_policies DIR MODE: from a dump on standard input.
count_states() {
	awk -v mode="${1:-all}" '
		function count() { if (seen && (mode == "all" || mode == is)) n++ }
		/^src / { count(); seen = 1; is = "software" }
		/offload parameters:/ { is = / mode packet/ ? "packet" : "crypto" }
		END { count(); print n + 0 }'
}

count_policies() {
	awk -v dir="$1" -v mode="${2:-all}" '
		function count() { if (seen && tmpl && (dir == "all" || is_dir == dir) && (mode == "all" || mode == is)) n++ }
		/^src / { count(); seen = 1; tmpl = 0; is_dir = ""; is = "software" }
		/^[ \t]+dir / && is_dir == "" { is_dir = $2 }
		/^[ \t]+tmpl / { tmpl = 1 }
		/offload parameters:/ { is = / mode packet/ ? "packet" : "crypto" }
		END { count(); print n + 0 }'
}

# states HOST [packet|crypto|software]: how many SAs are in that mode.
states() { xfrm_states "$1" | count_states "$2"; }

# policies HOST in|out|fwd|all [packet|software]: how many IPsec policies (with a template) are in that mode.
policies() { xfrm_policies "$1" | count_policies "$2" "$3"; }

# in_mode HOST packet|crypto|software PAIRS: the unit of one CHILD_SA with so many selector pairs, all of it in one mode.
in_mode() {
	local host=$1 mode=$2 pairs=${3:-1} expected=software sad spd
	[ "$mode" != packet ] || expected=packet
	sad=$(xfrm_states "$host")
	spd=$(xfrm_policies "$host")
	same "$host: 2 SAs, both in mode $mode" "2 2" "$(echo "$sad" | count_states) $(echo "$sad" | count_states "$mode")"
	same "$host: $pairs policies out and $pairs in, all $expected" "$pairs $pairs of $pairs $pairs" \
		"$(echo "$spd" | count_policies out $expected) $(echo "$spd" | count_policies in $expected) of $(echo "$spd" | count_policies out) $(echo "$spd" | count_policies in)"
	[ "$WIRE" = vnic ] || return 0
	if [ "$mode" = software ]; then
		same "$host: the NIC holds no SA" 0 "$(nic_count "$host" sas)"
	else
		same "$host: the NIC holds the same 2 SAs" 2 "$(nic_count "$host" sas " type=$mode ")"
	fi
}

# nothing_left HOST TEXT: SAD, SPD (socket and port bypass aside), NIC and table 220 hold nothing of a CHILD_SA. The
# outbound SA goes a moment after its policy (packets on their way still use it), so an end is waited for, not long.
nothing_left() {
	local host=$1
	until_true 8 emptied "$host"
	same "$host: no SA, no IPsec policy in the kernel $2" "0 0" "$(states "$host") $(policies "$host" all)"
	[ "$WIRE" != vnic ] || same "$host: no SA in the NIC $2" 0 "$(nic_count "$host" sas)"
	same "$host: no route in table 220 $2" "" "$(routes "$host")"
}

emptied() { [ "$(states "$1") $(policies "$1" all) $(routes "$1")" = "0 0 " ]; }

routes() { { ip -n "$1" route show table 220; ip -n "$1" -6 route show table 220; } 2>/dev/null; }

# Everything a stopped daemon must have taken away, for the runner.
host_clean() {
	local host=$1 left
	same "$host: the SAD is empty" 0 "$(states "$host")"
	left=$(xfrm_policies "$host" | grep -c '^src ')
	same "$host: the SPD is empty" 0 "$left"
	[ "$left" = 0 ] || xfrm_policies "$host" | head -n 20 | sed 's/^/       | /'
	same "$host: table 220 is empty" "" "$(routes "$host")"
	same "$host: no IKE port is open" "" "$(on "$host" ss -Hlun '( sport = 500 or sport = 4500 )')"
	same "$host: no gate is left closed for good" "" "$(gates_for_good "$host")"
	if [ "$WIRE" = vnic ]; then
		until_true 8 nic_freed "$host"
		same "$host: the NIC holds no SA" "" "$(nic_file "$host" sas)"
		same "$host: the NIC holds no policy" "" "$(nic_rows "$host" policies)"
	fi
}

# Dumps for a person, before the daemons are stopped.
nic_collect() {
	local host
	for host in $STARTED; do
		{
			echo "# ip xfrm state"
			xfrm_states "$host" | sed -E 's/(aead [^ ]+|auth[a-z-]* [^ ]+|enc [^ ]+) 0x[0-9a-f]+/\1 (key)/'
			echo "# ip xfrm policy"
			xfrm_policies "$host"
			echo "# ip route show table 220"
			routes "$host"
			echo "# /proc/net/xfrm_stat"
			on "$host" cat /proc/net/xfrm_stat | grep -v '[[:space:]]0$'
		} >"$OUT/$host-xfrm.txt" 2>&1
		[ "$WIRE" != vnic ] || {
			for file in sas policies stats watch log; do
				echo "# $file"
				nic_file "$host" $file
			done >"$OUT/$host-nic.txt" 2>&1
		}
	done
}

# flush_routes HOST: empties table 220 by hand, where a killed daemon could not.
flush_routes() {
	ip -n "$1" route flush table 220 2>/dev/null
	ip -n "$1" -6 route flush table 220 2>/dev/null
	return 0
}

# nic_sequence HOST in|out NUMBER: sets the sequence number of the host's one SA in that direction.
nic_sequence() {
	local spi
	spi=$(child_field "$1" "spi-$2")
	[ -n "$spi" ] && nic_set "$1" set_seq "0x$spi $3"
}

# refuse_clear TEXT: since the mark nothing of alice or bob was on the wire in clear.
refuse_clear() {
	wire_flush
	same "no packet of alice or bob was on the wire in clear $1" 0 \
		"$(wire_new 'net 10.0.0.0/8' | wc -l)"
}

# field ROW NAME: the value of a field of a row of the device's tables.
field() {
	local word
	for word in $1; do
		case $word in "$2="*) echo "${word#*=}"; return ;; esac
	done
}
