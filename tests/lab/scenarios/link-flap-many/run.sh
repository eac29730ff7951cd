# SPDX-License-Identifier: GPL-2.0-or-later
# One CHILD_SA for each of 500 hosts behind sun; bob answers for all of them.
connections() {
	local host=$1 me=$2 him=$3 near=$4 far=$5 ike kid
	echo "# SPDX-License-Identifier: GPL-2.0-or-later"
	echo "connections {"
	for ike in $(seq 20); do
		echo "c$ike { local_addrs = $near; remote_addrs = $far; proposals = aes256gcm16-prfsha256-x25519"
		echo "local { auth = psk; id = $me$ike }; remote { auth = psk; id = $him$ike }; children {"
		for kid in $(seq 25); do
			if [ $host = moon ]; then
				echo "k$ike-$kid { local_ts = 10.1.0.0/24; remote_ts = 10.100.$ike.$kid/32; esp_proposals = aes256gcm16-esn; hw_offload = packet }"
			else
				echo "k$ike-$kid { remote_ts = 10.1.0.0/24; local_ts = 10.100.$ike.$kid/32; esp_proposals = aes256gcm16-esn; hw_offload = packet }"
			fi
		done
		echo "} }"
	done
	echo "}"
	echo 'secrets { ike-lab { secret = "0sJYLTPLsZ6Q3n1zv7Bq0yUw8cJH2uFhVg" } }'
}
connections moon moon sun 192.168.0.1 192.168.0.2 >"$SCENARIO_DIR/hosts/moon/swanctl.conf"
connections sun sun moon 192.168.0.2 192.168.0.1 >"$SCENARIO_DIR/hosts/sun/swanctl.conf"
topology vnic
ip -n bob route add local 10.100.0.0/16 dev lo
ip -n sun route add 10.100.0.0/16 via 10.2.0.10
ip -n moon route add 10.100.0.0/16 via 192.168.0.2
start moon sun
begin=$(date +%s)
if line=$(python3 "$LAB/lib/vici.py" initiate-all "$(vici_socket moon)" 4 2>&1); then ok "500 CHILD_SAs are set up: $line"; else bad "$(echo "$line" | tail -n 2)"; fi
same "moon: 1000 SAs in the NIC" 1000 "$(nic_count moon sas)"
same "sun: 1000 SAs in the NIC" 1000 "$(nic_count sun sas)"
log_mark moon
adds=$(nic_stat moon sa_adds)
ip -n moon link set p0 down
sleep 1
link_back moon
ip -n moon route replace 10.100.0.0/16 via 192.168.0.2
begin=$(date +%s%N)
all_back() { [ "$(nic_stat moon sa_adds)" -ge $((adds + 1000)) ]; }
until_true 120 all_back
took=$((($(date +%s%N) - begin) / 1000000))
if all_back && [ $took -le 30000 ]; then ok "all 500 have new SAs in the NIC after $took ms (at most 30 s)"; else
	bad "$(($(nic_stat moon sa_adds) - adds)) of 1000 SAs are back after $took ms (at most 30 s)"; fi
for ike in 1 5 10 15 20; do reaches alice 10.100.$ike.25 2; done
not_added_twice moon
note "$(log_new moon | grep -cE 'creating rekey job') rekey jobs, $(nic_stat moon sa_adds) SAs added in all"
[ "$PLUGIN" != kernel-fastswan ] || expect "one line says what the kernel took" 'went down: .*removed its 1000 offloaded SAs' log_new moon
