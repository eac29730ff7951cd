# SPDX-License-Identifier: GPL-2.0-or-later
# strongSwan on a gateway. Owns how a charon is started with files of its own, asked, stopped and judged; scenarios and
# the runner call it. It must not know topology or device.

PLUGINDIR=/usr/lib/ipsec/plugins
# No scenario needs them, and they take seconds to load on a translated CPU. A scenario's strongswan.conf may load one.
UNUSED_PLUGINS="
test-vectors pkcs11 tpm ldap curl openssl gcrypt stroke tnc-tnccs eap-aka eap-gtc eap-identity eap-md5
eap-mschapv2 eap-radius eap-tls eap-tnc eap-ttls xauth-eap xauth-generic xauth-pam addrblock af-alg agent attr
certexpire connmark counters dnskey error-notify fips-prf lookip pgp pkcs7 pkcs12 rc2 resolve sshkey unity
"
# "HOST" of every charon that was started and not yet stopped.
RUNNING=""
# Every host on which this scenario ever started one.
STARTED=""

# For until_true.
has_child_sa() { sw "$1" --list-sas | grep -q "$2: .*INSTALLED"; }
no_child_sa() { ! sw "$1" --list-sas | grep -q INSTALLED; }
no_ike_sa() { [ -z "$(sw "$1" --list-sas)" ]; }

# Puts the plugin under test where charon looks for plugins, or takes it away.
plugin_install() {
	local conf=/etc/strongswan.d/charon/kernel-fastswan.conf
	if [ -d /share/packages ]; then
		packages_install && return
		return 1
	fi
	rm -f "$PLUGINDIR/libstrongswan-kernel-fastswan.so" "$conf"
	if [ "$PLUGIN" = kernel-fastswan ]; then
		cp /share/plugin/libstrongswan-kernel-fastswan.so "$PLUGINDIR/" &&
			cp /share/plugin/kernel-fastswan.conf "$conf"
	fi
}

# Installs the packages as on a gateway and enforces the distribution's profile of charon. The folder is made by xtask
# (package --lab): the packages, and the files of Debian's apparmor, which the guest does not have.
packages_install() {
	local conf=/etc/strongswan.d/charon/kernel-fastswan.conf profile=/etc/apparmor.d/usr.lib.ipsec.charon
	dpkg -i /share/packages/debs/*.deb || return
	grep -q '^    load = no$' "$conf" || { echo "the package loads the plugin by itself"; return 1; }
	sed -i 's/^    load = no$/    load = 2/' "$conf"
	cp -a /share/packages/apparmor/. / || return
	mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
	# Files of this lab only: where its daemons have their settings and logs. Nothing here is for the plugin.
	mkdir -p /etc/apparmor.d/local
	cat >/etc/apparmor.d/local/usr.lib.ipsec.charon <<-RULES
		/share/lab/** r,
		/tmp/lab/** rw,
		/tmp/cores/** rw,
		/dev/console rw,
		/share/output w,
	RULES
	apparmor_parser --replace --skip-cache "$profile" || return
	grep '^/usr/lib/ipsec/charon (enforce)$' /sys/kernel/security/apparmor/profiles
}

# confined PID: the kernel holds this process to an enforced profile.
confined() { grep -q ' (enforce)$' "/proc/$1/attr/current"; }

# The file charon starts from: the distribution's settings, a log of our own, then the scenario's fragment, which wins.
write_strongswan_conf() {
	local host=$1 dir=$RUN/$1 fragment=$SCENARIO_DIR/hosts/$1/strongswan.conf
	cat >"$dir/strongswan.conf" <<-CONF
		charon {
			load_modular = yes
			plugins {
				include /etc/strongswan.d/charon/*.conf
				$(for plugin in $UNUSED_PLUGINS; do echo "$plugin { load = no }"; done)
			}
			filelog {
				lab {
					path = $dir/charon.log
					time_format = %T
					time_add_ms = yes
					append = yes
					flush_line = yes
					ike_name = yes
					default = 1
					knl = 2
				}
			}
		}
	CONF
	local plugins=nonce
	[ ! -e "$dir/swanctl" ] || plugins="nonce pem pkcs1 pkcs8 x509 pubkey curve25519 sha1 sha2 random"
	printf 'swanctl {\n\tload = %s\n}\n' "$plugins" >>"$dir/strongswan.conf"
	[ ! -e "$fragment" ] || echo "include $fragment" >>"$dir/strongswan.conf"
	# What a scenario changes from one start to the next.
	[ -z "${CHARON_CONF:-}" ] || echo "$CHARON_CONF" >>"$dir/strongswan.conf"
}

# start HOST...: starts a charon on each, waits for it and loads the scenario's swanctl.conf.
start() {
	local host
	for host; do
		# charon does not remove its sockets; an old one would look like a daemon that is up.
		mkdir -p "$RUN/$host/run"
		run_clear "$host"
		write_strongswan_conf "$host"
		# A private /run: two daemons on one machine keep their pid files and sockets apart.
		(
			cd /tmp/cores || exit
			STRONGSWAN_CONF=$RUN/$host/strongswan.conf nsenter --net=/run/netns/"$host" \
				unshare -m sh -c "mount --bind '$RUN/$host/run' /run && exec /usr/lib/ipsec/charon" \
				>>"$RUN/$host/charon.out" 2>&1 </dev/null
			echo $? >"$RUN/$host/exit"
		) &
		RUNNING="$RUNNING $host"
		case " $STARTED " in *" $host "*) ;; *) STARTED="$STARTED $host" ;; esac
	done
	for host; do
		if until_true 60 test -S "$RUN/$host/run/charon.vici" -a -s "$RUN/$host/run/charon.pid"; then
			charon_pid "$host" >"$RUN/$host/pid"
			[ ! -d /share/packages ] || check "charon on $host is confined" confined "$(charon_pid "$host")"
		else
			bad "charon on $host did not come up"
			tail -n 30 "$RUN/$host/charon.log" "$RUN/$host/charon.out" 2>/dev/null | sed 's/^/       | /'
		fi
	done
	local loads=""
	for host; do
		load_quietly "$host" &
		loads="$loads $!"
	done
	wait $loads
	for host; do loaded "$host"; done
}

load_quietly() {
	local file=$SCENARIO_DIR/hosts/$1/swanctl.conf
	[ -e "$file" ] || return 0
	# swanctl looks for certificates and keys beside its file.
	[ ! -e "$RUN/$1/swanctl" ] || { cp "$file" "$RUN/$1/swanctl/" && file=$RUN/$1/swanctl/swanctl.conf; }
	# The socket is there a moment before somebody listens on it.
	until_true 3 sw_logged "$1" load.txt --load-all --noprompt --file "$file"
	echo $? >"$RUN/$1/load"
}

loaded() {
	[ -e "$SCENARIO_DIR/hosts/$1/swanctl.conf" ] || return 0
	[ "$(cat "$RUN/$1/load")" != 0 ] || return 0
	bad "$1 does not accept its swanctl.conf"
	sed 's/^/       | /' "$RUN/$1/load.txt"
}

# load HOST: (re)loads connections and secrets.
load() { load_quietly "$1"; loaded "$1"; }

# ctl HOST ARGUMENT...: the operator's tool, on a gateway.
ctl() {
	local host=$1
	shift
	nsenter --net=/run/netns/"$host" /share/ctl/fastswanctl --color never \
		--vici "$RUN/$host/run/charon.vici" --socket "$RUN/$host/run/charon.fastswan" "$@"
}

charon_pid() { cat "$RUN/$1/run/charon.pid" 2>/dev/null; }

# sw HOST ARGUMENTS...: swanctl of that host.
sw() {
	local host=$1 command=$2
	shift 2
	STRONGSWAN_CONF=$RUN/$host/strongswan.conf SWANCTL_DIR=$RUN/$host/swanctl \
		swanctl "$command" --uri "unix://$RUN/$host/run/charon.vici" "$@"
}

# sw_logged HOST FILE ARGUMENTS...: the same, what it says kept in a file of the host.
sw_logged() {
	local host=$1 file=$2
	shift 2
	sw "$host" "$@" >"$RUN/$host/$file" 2>&1
}

# initiate HOST CHILD: expects it to come up; fails if it does not, so that a scenario may end there.
initiate() {
	local before=$FAILURES
	check "$1 brings up $2" sw "$1" --initiate --child "$2" --timeout 20
	[ "$FAILURES" = "$before" ]
}

# sa HOST TEXT REGEX: an IKE_SA with its CHILD_SAs, as one line of list-sas --raw, matches.
sa() { expect "$1: $2" "$3" sw "$1" --list-sas --raw; }

# no_sa HOST TEXT REGEX: none does.
no_sa() { refute "$1: $2" "$3" sw "$1" --list-sas --raw; }

# becomes HOST REGEX: for until_true: a line of list-sas --raw matches by now.
becomes() { sw "$1" --list-sas --raw | grep -Eq -- "$2"; }

# log_says HOST TEXT REGEX: its log says so; logs, for until_true, whether it does by now.
log_says() { expect "$1: $2" "$3" log "$1"; }
logs() { log "$1" | grep -Eq -- "$2"; }

# stop HOST...: ends the daemons as an operator does, and judges how they end.
stop() {
	local host pid
	for host; do
		case " $RUNNING " in *" $host "*) ;; *) continue ;; esac
		pid=$(cat "$RUN/$host/pid" 2>/dev/null)
		[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null
		if until_true 20 test -e "$RUN/$host/exit"; then
			same "charon on $host ends cleanly" 0 "$(cat "$RUN/$host/exit")"
		else
			bad "charon on $host does not end within 20 s of being asked"
			[ -z "$pid" ] || stacks "$pid" >"$OUT/$host-hang.txt" 2>&1
			[ -z "$pid" ] || kill -KILL "$pid"
			until_true 5 test -e "$RUN/$host/exit"
		fi
		forget "$host"
	done
}

# crash HOST: kill -9, as an out of memory killer would.
crash() {
	kill -KILL "$(cat "$RUN/$1/pid")"
	until_true 5 test -e "$RUN/$1/exit" || bad "charon on $1 survives SIGKILL"
	run_clear "$1"
	forget "$1"
}

# run_clear HOST: its /run without what is worth nothing after the daemon's end. The ledger of what is in the kernel stays,
# as it does on a machine whose charon crashed.
run_clear() { find "$RUN/$1/run" -mindepth 1 ! -name 'charon.fastswan.state*' -delete; }

forget() {
	rm -f "$RUN/$1/exit" "$RUN/$1/pid"
	RUNNING=$(echo " $RUNNING " | sed "s/ $1 / /")
}

stacks() { gdb -p "$1" -batch -ex 'thread apply all bt' 2>/dev/null; }

# log HOST: its charon's log so far.
log() { cat "$RUN/$1/charon.log"; }

# child_field HOST FIELD: a field of every CHILD_SA in list-sas --raw, one per line.
child_field() { sw "$1" --list-sas --raw | tr ' {}' '\n\n\n' | sed -n "s/^$2=//p"; }

# The log and what the daemon left behind, for the runner.
charon_verdict() {
	local host=$1
	[ -e "$RUN/$host/charon.log" ] || return 0
	refute "charon on $host logged no crash" 'thread .* received (6|7|8|11)$|killing ourself|panicked at|SIGSEGV' log "$host"
	refute "charon on $host logged no memory leak" '[1-9][0-9]* (memory|leak).*leak' log "$host"
	if [ "$PLUGIN" = kernel-fastswan ] && [ -z "$PLUGIN_STEPS_ASIDE" ]; then
		expect "kernel-fastswan is active on $host" 'kernel-fastswan.*active|active.*kernel-fastswan' log "$host"
	fi
	same "$host: the plugin's socket is gone" "" "$(ls "$RUN/$host/run/" 2>/dev/null | grep -x 'charon\.fastswan')"
}
