# SPDX-License-Identifier: GPL-2.0-or-later
# What scenarios of offload share: refusals with their line, the comparison of SAD, SPD, NIC and charon, streams and
# rekeys by the hundred, more NICs and a router. Sourced by lib.sh after the other parts, whose functions it builds on.
# It must not know any scenario.

vici_socket() { echo "$RUN/$1/run/charon.vici"; }

# vici HOST COMMAND...: without starting swanctl.
vici() {
	local host=$1 what=$2
	shift 2
	python3 "$LAB/lib/vici.py" "$what" "$(vici_socket "$host")" "$@"
}

# log_mark HOST: log_new shows what came after.
log_mark() { eval "LOG_SEEN_$1=$(wc -l <"$RUN/$1/charon.log")"; }
log_new() {
	local from
	eval "from=\$LOG_SEEN_$1"
	tail -n +$((from + 1)) "$RUN/$1/charon.log"
}

# logged HOST SECONDS REGEX: a line that came after the mark, now or soon.
logged() { until_true "$2" log_has "$1" "$3"; }
log_has() { log_new "$1" | grep -Eq -- "$2"; }

# refused_line HOST CHILD REGEX [REMEDY]: bringing CHILD up fails, with one line that names it, the reason and the
# remedy; nothing is left. kernel-netlink is not asked for our words, only for the refusal.
refused_line() {
	local host=$1 child=$2 reason=$3 remedy=$4
	log_mark "$host"
	fails "$child is refused" sw "$host" --initiate --child "$child" --timeout 10
	if [ "$PLUGIN" = kernel-fastswan ]; then
		if log_new "$host" | grep -E 'unable to|refused|no packet HW offload' | grep -E -- "$reason" | grep -Eq -- "$child"; then
			ok "the line names $child and the reason"
		else
			bad "no line names $child and '$reason':"
			log_new "$host" | grep -E 'KNL|unable|offload' | tail -n 6 | sed 's/^/       | /'
		fi
		[ -z "$remedy" ] || expect "and says what to do" "$reason.*$remedy" log_new "$host"
	fi
}

# agree TEXT [HOST...]: SAD, SPD, NIC and charon hold the same, now or in a moment (late freeing, a rekey's end).
agree() {
	local text=$1 host remains
	shift
	for host in ${*:-moon sun}; do
		if remains=$(python3 "$LAB/lib/compare.py" "$host" "${DEVICES:-$(port "$host")}" "$(vici_socket "$host")" 10 2>&1); then
			ok "$host: SAD, SPD, NIC and charon agree $text"
		else
			bad "$host: SAD, SPD, NIC and charon do not agree $text: $(echo "$remains" | tail -n 1)"
		fi
	done
}

# stream_start NAME FROM TO ADDRESS RATE: numbered packets until stream_end.
stream_start() {
	local name=$1 from=$2 to=$3 address=$4 rate=$5 port
	STREAM_PORT=$((${STREAM_PORT:-6000} + 1))
	port=$STREAM_PORT
	rm -f "$RUN/stream.stop"
	python3 "$LAB/lib/drops.py" alice moon sun bob </dev/null >"$RUN/drops.json"
	on "$to" python3 "$LAB/lib/stream.py" receive "$address" "$port" >"$OUT/stream-$name.txt" 2>&1 &
	eval "STREAM_$name=$!"
	until_true 10 grep -q ready "$OUT/stream-$name.txt" || bad "the stream's receiver does not start"
	on "$from" python3 "$LAB/lib/stream.py" send "$address" "$port" "$rate" "$RUN/stream.stop" >>"$OUT/stream-$name.txt" 2>&1 &
}

# stream_end TEXT NAME...: ends all streams; no packet may be lost or come twice. If one was, what the kernel and the
# NICs dropped since the last stream began is printed.
stream_end() {
	local text=$1 name pid line
	shift
	touch "$RUN/stream.stop"
	for name; do
		eval "pid=\$STREAM_$name"
		wait "$pid"
		line=$(grep received= "$OUT/stream-$name.txt")
		case $line in
		*" lost=0 twice=0 "*) ok "$text, $name: none of $(field "$line" sent) packets lost at $(field "$line" rate) a second" ;;
		*)
			bad "$text, $name: ${line:-$(tail -n 1 "$OUT/stream-$name.txt")}"
			{
				grep -E 'refused=|missing [0-9]' "$OUT/stream-$name.txt"
				python3 "$LAB/lib/drops.py" alice moon sun bob <"$RUN/drops.json"
			} | sed 's/^/       | /'
			;;
		esac
	done
}

# What a NIC counts when a packet finds no SA, the wrong key or a number it has seen.
MISSES="tx_policy_miss tx_sa_miss tx_sa_drop rx_no_sa rx_sadb_miss rx_sa_drop replay_drops auth_drops"
misses_mark() { for host in moon sun; do eval "MISSES_$host='$(misses $host)'"; done; }
misses() { nic_file "$1" stats | grep -E "^($(echo $MISSES | tr ' ' '|'))=" | grep -v '^tx_policy_miss'; }

# no_misses TEXT: since the mark no packet met a NIC that had no SA or another key for it.
no_misses() {
	local host was
	for host in moon sun; do
		eval "was=\$MISSES_$host"
		if [ "$was" = "$(misses $host)" ]; then
			ok "$host: every packet found its SA and its key $1"
		else
			bad "$host: packets without SA or key $1: before $(echo $was), now $(echo $(misses $host))"
		fi
	done
}

# rekey_many HOW CHILD COUNT: HOW is "rekeys" (by turns) or "collide" (both at once).
rekey_many() {
	local line
	if line=$(python3 "$LAB/lib/vici.py" "$1" "$2" "$3" "$(vici_socket moon)" "$(vici_socket sun)" 2>&1); then
		ok "$2 ($1): $line"
	else
		bad "$2 ($1): $(echo "$line" | tail -n 4 | tr '\n' ';')"
	fi
}

# dev_rows DEVICE sas|policies: of any virtual NIC, by its name.
dev_rows() { grep -v ' state=deleted' "$VNIC_DEBUG/$1/$2"; }
dev_count() { dev_rows "$1" "$2" | grep -Ec -- "${3:-.}"; }
dev_set() { echo "$3" >"$VNIC_DEBUG/$1/knobs/$2" || bad "$1 does not take $2=$3"; }

# A second NIC between the gateways: q0 of moon with 192.168.1.1, q1 of sun with 192.168.1.2.
second_nic() {
	ip -n moon link add q0 type vnic peer name q1 && ip -n moon link set q1 netns sun || bad "there is no second NIC"
	ip -n moon address add 192.168.1.1/24 dev q0
	ip -n sun address add 192.168.1.2/24 dev q1
	ip -n moon link set q0 up
	ip -n sun link set q1 up
	check "moon reaches sun over the second NIC" on moon ping -q -c 1 -W 3 192.168.1.2
	local dev
	for dev in q0 q1; do
		printf 'add 10.1.0.0/16 10.2.0.0/16\nadd fd00:1::/64 fd00:2::/64\n' >"$VNIC_DEBUG/$dev/watch"
	done
}

# dev_clear DEVICE: frames of alice and bob that the device itself saw in clear.
dev_clear() {
	tr ' ' '\n' <"$VNIC_DEBUG/$1/watch" | awk -F= '$1 == "tx" || $1 == "rx" { sum += $2 } END { print sum + 0 }'
}

# A router between the gateways, so that sun is behind a gateway for moon and the other way round:
#
#   alice--- moon [p0] 192.168.0.1 === 192.168.0.2 [g0] router [g1] 192.168.2.1 === 192.168.2.2 [p1] sun ---bob
topology_routed() {
	topology vnic
	capture_stop
	ip -n moon link delete p0
	[ -e /run/netns/router ] || ip netns add router
	HOSTS="$HOSTS router"
	on router sh -c 'cd /proc/sys/net/ipv4; echo 1 >ip_forward
		for conf in all default; do echo 0 >conf/$conf/rp_filter; echo 0 >conf/$conf/send_redirects; done'
	ip -n moon link add p0 type vnic peer name g0 && ip -n moon link set g0 netns router &&
		ip -n sun link add p1 type vnic peer name g1 && ip -n sun link set g1 netns router || bad "there is no wire"
	printf '%s\n' "address add 192.168.0.1/24 dev p0" "link set p0 up" "route add default via 192.168.0.2" | ip -n moon -batch -
	printf '%s\n' "address add 192.168.2.2/24 dev p1" "link set p1 up" "route add default via 192.168.2.1" | ip -n sun -batch -
	printf '%s\n' "link set lo up" "address add 192.168.0.2/24 dev g0" "link set g0 up" "address add 192.168.2.1/24 dev g1" \
		"link set g1 up" | ip -n router -batch -
	check "moon reaches sun through the router" on moon ping -q -c 1 -W 3 192.168.2.2
	nic_begin
}

# flap HOST SECONDS: the port goes down and comes back, with what a network manager would put back.
flap() {
	ip -n "$1" link set "$(port "$1")" down
	sleep "$2"
	link_back "$1"
}
link_back() {
	ip -n "$1" link set "$(port "$1")" up
	case $1 in
	moon) { port_addresses p0 1; far_routes 10.2 2; } ;;
	sun) { port_addresses p1 2; far_routes 10.1 1; } ;;
	esac | sed 's/ add / replace /' | ip -n "$1" -batch -
}

# recovered TEXT SECONDS FROM ADDRESS: within so many seconds traffic passes again, without an operator.
recovered() {
	local text=$1 limit=$2 from=$3 address=$4 begin now
	begin=$(date +%s%N)
	while :; do
		if on "$from" ping -q -c 1 -W 1 "$address" >/dev/null 2>&1; then
			now=$((($(date +%s%N) - begin) / 1000000))
			ok "$text: traffic passes again after $now ms (at most $limit s)"
			return 0
		fi
		now=$((($(date +%s%N) - begin) / 1000000))
		[ $now -lt $((limit * 1000)) ] || break
		sleep 0.1
	done
	bad "$text: no traffic after $now ms"
}

# not_added_twice HOST: no SA was given to the NIC a second time. Only the NIC knows how far an SA's sequence numbers are:
# one that is added again starts over, with used nonces outbound and an empty window inbound.
not_added_twice() {
	local again
	again=$(nic_file "$1" log | grep 'op=sa_add result=0' | sed -n 's/.*\(dir=[a-z]*\).*\(spi=0x[0-9a-f]*\).*/\1 \2/p' | sort | uniq -d)
	same "$1: no SA was added to the NIC a second time" "" "$(echo $again)"
}
# For until_true.
holds_states() { [ "$(states "$1")" = "$2" ]; }
test_packet_states() { [ "$(states moon packet)" = "$1" ]; }
