# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the raw checks share: the topology, helpers around `ip xfrm`, reading
# the device's debugfs, and the running of a check. Sourced by run.sh before
# the files with the checks; it runs nothing by itself but definitions.
#
#   H1 10.1.0.2 ── 10.1.0.1 A 10.0.0.1 ══ p0/p1 ══ 10.0.0.2 B 10.2.0.1 ── 10.2.0.2 H2
#      fd01::2     fd01::1    fd00::1               fd00::2   fd02::1     fd02::2
#
# p0 (in A) and p1 (in B) are a vnic pair, p0wire in the first namespace is its
# tap, the LANs are veth pairs.

DBG=/sys/kernel/debug/vnic
KEY128=0x000102030405060708090a0b0c0d0e0f10111213
KEY192=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b
KEY256=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
GCM='rfc4106(gcm(aes))'
WORK=$(mktemp -d)
passed=0
failed=0
times=

die() { echo "    $*"; exit 1; }

# check NAME FUNCTION [ARG...]: in a subshell, from a clean state
check() {
	local name=$1 out start=${EPOCHREALTIME/[.,]/}
	shift
	reset_lab
	if out=$( ("$@") 2>&1 ); then
		passed=$((passed + 1))
		echo "PASS $name"
	else
		failed=$((failed + 1))
		echo "FAIL $name"
		printf '%s\n' "$out" | tail -n 25 | sed 's/^/    /'
	fi
	times+="$(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms: $name"$'\n'
}

# Not `ip netns exec`, which mounts a /sys of its own each time: under emulation that is most of a check.
in_ns() {
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" "$@"
}

mac_of() { ip -n "$1" -br link show "$2" | awk '{ print $3 }'; } # NS DEV

lan() { # gateway host gw-dev host-dev net
	ip -n "$1" link add "$3" type veth peer name "$4" netns "$2"
	ip -n "$1" addr add "10.$5.0.1/24" dev "$3"
	ip -n "$2" addr add "10.$5.0.2/24" dev "$4"
	ip -n "$1" addr add "fd0$5::1/64" dev "$3" nodad
	ip -n "$2" addr add "fd0$5::2/64" dev "$4" nodad
	ip -n "$1" link set "$3" up
	ip -n "$2" link set "$4" up
	ip -n "$2" route add default via "10.$5.0.1"
	ip -n "$2" route add default via "fd0$5::1"
}

addresses() { # of the pair, again after a link was down
	ip -n A addr replace 10.0.0.1/24 dev p0
	ip -n B addr replace 10.0.0.2/24 dev p1
	ip -n A addr replace fd00::1/64 dev p0 nodad
	ip -n B addr replace fd00::2/64 dev p1 nodad
	ip -n A link set p0 up
	ip -n B link set p1 up
	ip -n A route replace 10.2.0.0/24 via 10.0.0.2 src 10.1.0.1
	ip -n B route replace 10.1.0.0/24 via 10.0.0.1 src 10.2.0.1
	ip -n A route replace fd02::/64 via fd00::2 src fd01::1
	ip -n B route replace fd01::/64 via fd00::1 src fd02::1
}

setup_lab() {
	local n
	for n in A B H1 H2; do
		ip netns add $n
		ip -n $n link set lo up
		in_ns $n sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0 \
			net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=0
		# no probes by unicast: their solicitations would match the policies and be counted
		in_ns $n sysctl -qw net.ipv6.neigh.default.base_reachable_time_ms=36000000 \
			net.ipv6.neigh.default.delay_first_probe_time=36000 \
			net.ipv4.neigh.default.delay_first_probe_time=36000
	done
	for n in A B; do
		in_ns $n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	done
	ip link add p0 alias p1 type vnic || return 1
	ip link set p0 netns A
	ip link set p1 netns B
	ip link set p0wire up
	lan A H1 a1 h1 1
	lan B H2 b1 h2 2
	addresses
	# QEMU's TCG may trip over code that is being patched. Each ping switches
	# the kernel's receive timestamps on and off by patching; this keeps them on.
	python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 29, 1); time.sleep(100000)' &
	STAMPS=$!
	tcpdump -i p0wire --immediate-mode -l -n -q -e >"$WORK/wire" 2>"$WORK/wire.err" &
	TCPDUMP=$!
	for n in $(seq 50); do
		grep -q listening "$WORK/wire.err" && break
		sleep 0.1
	done
	# neighbours, so that no check depends on who resolves first
	warm
}

warm() {
	reaches A 10.0.0.2 && reaches A fd00::2 && reaches H1 10.1.0.1 && reaches H2 10.2.0.1
}

reaches() {
	local i
	for i in 1 2 3 4 5; do
		in_ns "$1" ping -q -c 1 -W 1 "$2" >/dev/null 2>&1 && return 0
	done
	echo "    $1 does not reach $2: $(in_ns "$1" ping -c 1 -W 1 "$2" 2>&1)"
	return 1
}

end_lab() {
	[ -n "$TCPDUMP" ] && kill "$TCPDUMP" "$STAMPS" 2>/dev/null
	local n
	for n in A B C H1 H2; do ip netns del $n 2>/dev/null; done	# C is the checks' own
}

KNOB_DEFAULTS="ipsec_supported=1 packet_supported=1 crypto_supported=1 tunnel_supported=1 esn_supported=1
encap_supported=1 prio_supported=1 encap_blocked=0 replay_needs_esn=0 tc_busy=0 sync_replay=0 sample_ms=1000
max_sas=0 max_policies=0 add_delay_ms=0 delete_delay_ms=0 corrupt_next=0 duplicate_next=0 drop_next=0
replay_long_only=1 freeze_mac=1 wildcard_zero=1 late_free=1 wire_bytes=1 byte_limits=1 tc_blocks=1
fail_sa_add=0 fail_policy_add=0 fail_call=0 match=reqid prefer=older"

knob() { echo "$3" >"$DBG/$1/knobs/$2" || die "knob $2 of $1 refused $3"; }

reset_lab() {
	local d k n
	for d in p0 p1; do
		[ -d $DBG/$d ] || continue
		for k in $KNOB_DEFAULTS; do echo "${k#*=}" >"$DBG/$d/knobs/${k%%=*}"; done
		echo clear >$DBG/$d/watch
	done
	held || [ -e "$WORK/dirty" ] || return 0
	rm -f "$WORK/dirty"
	for n in A B; do
		ip -n $n xfrm policy flush
		ip -n $n xfrm state flush
	done
	settle
}

held() { [ -n "$(<$DBG/p0/sas)$(<$DBG/p1/sas)$(<$DBG/p0/policies)$(<$DBG/p1/policies)" ]; }

# Wait until the device has given back what was deleted (late freeing). Packets
# of crypto mode that TCP has read wait on a CPU's list until it receives again,
# and hold their state: a packet on each CPU gets them freed.
settle() {
	local i c
	for i in $(seq 200); do
		held || return 0
		[ "$i" -gt 10 ] && for c in $(seq 0 $(($(nproc) - 1))); do
			in_ns A taskset -c "$c" ping -q -c 1 -W 1 127.0.0.1 >/dev/null
		done
		sleep 0.05
	done
	echo "    the device still holds: $(cat $DBG/p?/sas $DBG/p?/policies)"
	return 1
}

# Without processes of their own: one costs 50 ms and more under emulation.
stat() { # DEV KEY
	local k v
	while IFS='=' read -r k v; do
		[ "$k" = "$2" ] && echo "$v" && return
	done <"$DBG/$1/stats"
}
sa_field() { # DEV SPI KEY, of the first such SA
	local line spi
	printf -v spi 'spi=0x%08x ' "$2"
	while read -r line; do
		case $line in *"$spi"*)
			line=" $line "
			line=${line#* "$3"=}
			echo "${line%% *}"
			return ;;
		esac
	done <"$DBG/$1/sas"
}
mib() { in_ns "$1" sed -n "s/^$2[[:space:]]*//p" /proc/net/xfrm_stat; }

# watch DEV SRC DST...: count clear frames of these pairs from now on
watch() {
	local d=$1
	shift
	echo clear >"$DBG/$d/watch"
	while [ $# -gt 1 ]; do
		echo "add $1 $2" >"$DBG/$d/watch" || die "watch refused $1 $2"
		shift 2
	done
}
leaks() { awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^[tr]x=/) { sub(/.*=/, "", $i); n += $i } } END { print n + 0 }' "$DBG/$1/watch"; }

wire_mark() { sleep 0.2; wc -l <"$WORK/wire"; }
wire_since() { sleep 0.3; tail -n +$(($1 + 1)) "$WORK/wire"; }

addr() { # NS FAMILY
	case $1$2 in A4) echo 10.0.0.1 ;; B4) echo 10.0.0.2 ;; A6) echo fd00::1 ;; B6) echo fd00::2 ;; esac
}
dev_of() { case $1 in A) echo p0 ;; B) echo p1 ;; esac; }
other() { case $1 in A) echo B ;; B) echo A ;; esac; }

# sa NS in|out SPI [key=value...]: fam mode type (packet|crypto|soft) esn win reqid aead key icv opt dev
sa() {
	local ns=$1 dir=$2 spi=$3 fam=4 mode=tunnel type=packet esn=1 win=64 reqid=1 aead=$GCM key=$KEY128 icv=128 opt= dev kv src dst
	local -a cmd
	shift 3
	: >"$WORK/dirty"
	dev=$(dev_of "$ns")
	for kv in "$@"; do local "${kv%%=*}"="${kv#*=}"; done
	if [ "$dir" = out ]; then
		src=$(addr "$ns" "$fam"); dst=$(addr "$(other "$ns")" "$fam"); win=0
	else
		dst=$(addr "$ns" "$fam"); src=$(addr "$(other "$ns")" "$fam")
	fi
	cmd=(ip -n "$ns" xfrm state add src "$src" dst "$dst" proto esp spi "$spi" reqid "$reqid" mode "$mode" aead "$aead" "$key" "$icv")
	[ "$esn" = 1 ] && cmd+=(flag esn)
	{ [ "$esn" = 1 ] || [ "$win" -gt 0 ]; } && cmd+=(replay-window "$win")
	# shellcheck disable=SC2206
	cmd+=($opt)
	case $type in
	packet) cmd+=(offload packet dev "$dev" dir "$dir") ;;
	crypto) cmd+=(offload crypto dev "$dev" dir "$dir") ;;
	soft) cmd+=(dir "$dir") ;;
	esac
	"${cmd[@]}"
}

# pol NS in|out|fwd SRC DST [key=value...]: fam mode type prio reqid action extra sel spi
pol() {
	local ns=$1 dir=$2 src=$3 dst=$4 fam=4 mode=tunnel type=packet prio=10 reqid=1 action=allow extra= sel= kv ts td
	local -a cmd
	shift 4
	: >"$WORK/dirty"
	for kv in "$@"; do local "${kv%%=*}"="${kv#*=}"; done
	if [ "$dir" = out ]; then
		ts=$(addr "$ns" "$fam"); td=$(addr "$(other "$ns")" "$fam")
	else
		td=$(addr "$ns" "$fam"); ts=$(addr "$(other "$ns")" "$fam")
	fi
	# shellcheck disable=SC2206
	cmd=(ip -n "$ns" xfrm policy add src "$src" dst "$dst" $sel dir "$dir" action "$action" priority "$prio" $extra)
	[ "$type" = packet ] && [ "$dir" != fwd ] && cmd+=(offload packet dev "$(dev_of "$ns")")
	[ "$action" = allow ] && [ "$reqid" != 0 ] && {
		cmd+=(tmpl src "$ts" dst "$td" proto esp)
		[ -n "$spi" ] && cmd+=(spi "$spi")
		cmd+=(reqid "$reqid" mode "$mode")
	}
	"${cmd[@]}"
}

# duo [key=value...]: SAs and policies at both ends between the two gateways
# (or, with net=1, between the LANs behind them). typeb= sets B apart.
duo() {
	local fam=4 net=0 type=packet typeb= kv n a b
	for kv in "$@"; do
		case $kv in fam=*) fam=${kv#*=} ;; net=*) net=${kv#*=} ;; type=*) type=${kv#*=} ;; typeb=*) typeb=${kv#*=} ;; esac
	done
	: "${typeb:=$type}"
	sa A out 0x1001 "$@" && sa A in 0x1002 "$@" &&
		sa B in 0x1001 "$@" type="$typeb" && sa B out 0x1002 "$@" type="$typeb" || return 1
	case $net$fam in
	04) a=10.0.0.1/32 b=10.0.0.2/32 ;;
	06) a=fd00::1/128 b=fd00::2/128 ;;
	14) a=10.1.0.0/24 b=10.2.0.0/24 ;;
	16) a=fd01::/64 b=fd02::/64 ;;
	esac
	duo_policies A "$a" "$b" "$@" || return 1
	duo_policies B "$b" "$a" "$@" type="$typeb"
	watch p0 "$a" "$b"
	watch p1 "$a" "$b"
}

duo_policies() {
	local ns=$1 a=$2 b=$3
	shift 3
	pol "$ns" out "$a" "$b" "$@" && pol "$ns" in "$b" "$a" "$@" && pol "$ns" fwd "$b" "$a" "$@"
}

# ping_all NS TARGET [COUNT] [OPTION...]: every packet must be answered
ping_all() {
	local ns=$1 to=$2 n=${3:-5} out
	shift 2
	[ $# -gt 0 ] && shift
	out=$(in_ns "$ns" ping -q -i 0.05 -W 3 -c "$n" "$@" "$to" 2>&1)
	case $out in
	*" $n received"*" 0% packet loss"*) ;;
	*) die "ping $ns -> $to: $out" ;;
	esac
	case $out in *duplicates*) die "ping $ns -> $to: duplicates: $out" ;; esac
}

# ping_none NS TARGET: nothing may be answered
ping_none() {
	local out
	out=$(in_ns "$1" ping -q -i 0.1 -W 1 -c "${3:-2}" "$2" 2>&1)
	case $out in *" 0 received"*) ;; *) die "ping $1 -> $2 was answered: $out" ;; esac
}

no_leak() {
	[ "$(leaks p0)" = 0 ] || die "p0 saw clear frames: $(cat $DBG/p0/watch)"
	[ "$(leaks p1)" = 0 ] || die "p1 saw clear frames: $(cat $DBG/p1/watch)"
}

# bulk NS-FROM NS-TO ADDRESS BYTES: over TCP, compared byte by byte
bulk() {
	local from=$1 to=$2 addr=$3 bytes=$4 fam=4 i srv
	case $addr in *:*) fam=6 addr="[$addr]" ;; esac
	head -c "$bytes" /dev/urandom >"$WORK/sent"
	rm -f "$WORK/got"
	in_ns "$to" timeout 60 socat -u "TCP$fam-LISTEN:5001,reuseaddr" "CREATE:$WORK/got" &
	srv=$!
	for i in $(seq 40); do
		in_ns "$to" ss -Hltn "sport = :5001" | grep -q . && break
		sleep 0.05
	done
	in_ns "$from" timeout 60 socat -u "OPEN:$WORK/sent" "TCP$fam:$addr:5001" || die "sending failed"
	wait $srv || die "receiving failed"
	cmp "$WORK/sent" "$WORK/got" || die "data differ"
}

# refused TEXT COMMAND...: must fail with exactly this text from the kernel
refused() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		die "accepted, though \"$text\" was expected: $*"
	fi
	case $out in
	*"$text"*) ;;
	*) die "expected \"$text\", got \"$out\" for: $*" ;;
	esac
}

raw_frame() { # NS DEV HEX-OF-IP-PACKET : one frame by AF_PACKET, past the kernel's SPD
	local dst
	dst=$(mac_of "$(other "$1")" "$(dev_of "$(other "$1")")")
	in_ns "$1" python3 - "$2" "$dst" "$3" <<-'PY'
	import socket, sys
	dev, mac, data = sys.argv[1:4]
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
	s.bind((dev, 0))
	src = s.getsockname()[4]
	p = bytearray.fromhex(data)
	if p[0] >> 4 == 4:
	    p[10:12] = b"\0\0"
	    n = (p[0] & 15) * 4
	    c = sum(int.from_bytes(p[i:i + 2], "big") for i in range(0, n, 2))
	    while c >> 16:
	        c = (c & 65535) + (c >> 16)
	    p[10:12] = (c ^ 65535).to_bytes(2, "big")
	s.send(bytes.fromhex(mac.replace(":", "")) + src + (b"\x08\0" if p[0] >> 4 == 4 else b"\x86\xdd") + p)
	PY
}
# UDP 10.0.0.1 -> 10.0.0.2, port 9 -> 9, 4 bytes
RAW_UDP=4500002000010000401100000a0000010a000002000900090000000c0000000061626364
