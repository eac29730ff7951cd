# SPDX-License-Identifier: GPL-2.0-or-later
# Traffic through the tunnel. Owns pings and their count; scenarios call it. It must not judge who encrypts: nic.sh does.

# Processes that serve.
SERVERS=

# reaches HOST ADDRESS [COUNT]
reaches() {
	local out
	out=$(on "$1" ping -q -i 0.05 -W 2 -c "${3:-5}" "$2" 2>&1)
	case $out in
	*" 0% packet loss"*) ok "$1 reaches $2 (${3:-5} of ${3:-5} pings answered)" ;;
	*) bad "$1 does not reach $2: $(echo "$out" | grep -E 'transmitted|rror|unreach' | tail -n 1)" ;;
	esac
}

# unreachable HOST ADDRESS: no ping is answered.
unreachable() {
	local out
	out=$(on "$1" ping -q -i 0.1 -W 1 -c 3 "$2" 2>&1)
	case $out in
	*" 0 received"*) ok "$1 gets no answer from $2" ;;
	*) bad "$1 gets answers from $2: $(echo "$out" | grep transmitted)" ;;
	esac
}

# traffic_start HOST ADDRESS COUNT [INTERVAL]: a steady stream in the background; one at a time per host.
traffic_start() {
	on "$1" ping -q -i "${4:-0.005}" -W 3 -c "$3" "$2" >"$OUT/traffic-$1.txt" 2>&1 &
	eval "TRAFFIC_$1=$!"
}

# traffic_running HOST: still sending.
traffic_running() {
	local pid
	eval "pid=\$TRAFFIC_$1"
	kill -0 "$pid" 2>/dev/null
}

# traffic_end HOST TEXT: waits for the end of the stream and expects every packet answered.
traffic_end() {
	local pid line
	eval "pid=\$TRAFFIC_$1"
	wait "$pid"
	line=$(grep transmitted "$OUT/traffic-$1.txt")
	case $line in
	*" 0% packet loss"*) ok "$2: ${line%%, 0% *}, none lost" ;;
	*) bad "$2: ${line:-no result from ping}" ;;
	esac
}

# tcp_through FROM TO ADDRESS BYTES: one TCP stream arrives whole (segments larger than the MTU, GSO, checksums).
tcp_through() {
	local from=$1 to=$2 address=$3 bytes=$4 target got
	target=$address
	case $address in *:*) target="[$address]" ;; esac
	rm -f "/tmp/tcp.got"
	local family=4
	case $address in *:*) family=6 ;; esac
	on "$to" timeout 30 socat -u "TCP$family-LISTEN:5001,reuseaddr" "OPEN:/tmp/tcp.got,creat,trunc" &
	sleep 0.3
	head -c "$bytes" /dev/urandom >/tmp/tcp.sent
	on "$from" timeout 30 socat -u OPEN:/tmp/tcp.sent "TCP:$target:5001"
	wait $!
	if cmp -s /tmp/tcp.sent "/tmp/tcp.got"; then
		ok "$bytes bytes of TCP go from $from to $to unchanged"
	else
		got=$(stat -c %s "/tmp/tcp.got" 2>/dev/null)
		bad "TCP from $from to $to: ${got:-0} of $bytes bytes arrived unchanged"
	fi
	rm -f "/tmp/tcp.got" /tmp/tcp.sent
}

# serve HOST PORT: answers a TCP connection with the host's name.
serve() {
	(exec nsenter --net=/run/netns/"$1" socat "TCP4-LISTEN:$2,reuseaddr,fork" "SYSTEM:echo $1" >/dev/null 2>&1) &
	SERVERS="$SERVERS $!"
	until_true 5 serving "$1" "$2" || bad "nothing listens on port $2 of $1"
}

serving() { [ -n "$(on "$1" ss -Hltn "( sport = $2 )")" ]; }

# answers HOST ADDRESS PORT NAME [SOCAT OPTIONS]: a TCP connection is answered by the host of that name.
answers() {
	local got
	got=$(on "$1" timeout 10 socat -u "TCP4:$2:$3,connect-timeout=5${5:+,$5}" - 2>&1)
	same "$1 talks to $4 at $2 port $3" "$4" "$got"
}

servers_stop() {
	[ -z "$SERVERS" ] || kill $SERVERS 2>/dev/null
	SERVERS=
}
