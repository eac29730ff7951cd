# SPDX-License-Identifier: GPL-2.0-or-later
summary() { sed 's/^/  /' >>"$OUT/summary.txt"; }
heading() { printf '\n%s\n' "$1" >>"$OUT/summary.txt"; }

topology vnic
start moon sun
heading "THE GATEWAYS"
{
	sed '/^$/,$d' "$SCENARIO_DIR/description.txt"
	echo
	echo "Linux $(uname -r), $(/usr/lib/ipsec/charon --version 2>/dev/null | head -n 1), charon's kernel interface: $PLUGIN"
	log moon | grep -E 'kernel-fastswan.*active' | head -n 1 | sed 's/^[^]]*\] */moon says: /'
} | summary

initiate moon net
wire_mark
reaches alice 10.2.0.10 20
tcp_through alice bob 10.2.0.10 1000000
sleep 1.5

heading "THE TUNNEL (swanctl --list-sas on moon)"
sw moon --list-sas | summary
expect "the CHILD_SA is installed" 'net: .*INSTALLED, TUNNEL, ESP:AES_GCM_16-256/ESN' sw moon --list-sas
in_mode moon packet
in_mode sun packet

heading "WHAT THE NICS HOLD"
{
	printf '%-7s %-12s %-4s %-10s %-7s %-6s %9s %10s   %s\n' NIC SPI dir mode offload reqid packets bytes addresses
	for host in moon sun; do
		nic_rows $host sas | while read -r row; do
			printf '%-7s %-12s %-4s %-10s %-7s %-6s %9s %10s   %s\n' "$host/$(port $host)" "$(field "$row" spi)" \
				"$(field "$row" dir)" "$(field "$row" mode)" "$(field "$row" type)" "$(field "$row" reqid)" \
				"$(field "$row" packets)" "$(field "$row" bytes)" "$(field "$row" src) -> $(field "$row" dst)"
		done
	done
	echo
	printf '%-7s %-4s %-7s %-6s %9s   %s\n' NIC dir action reqid hits selector
	for host in moon sun; do
		nic_rows $host policies | grep -v ' reqid=0 ' | while read -r row; do
			printf '%-7s %-4s %-7s %-6s %9s   %s\n' "$host/$(port $host)" "$(field "$row" dir)" "$(field "$row" action)" \
				"$(field "$row" reqid)" "$(field "$row" hits)" "$(field "$row" src) -> $(field "$row" dst)"
		done
	done
} | summary

wire_esp_only
cpu_idle
nic_busy moon sun
heading "WHO ENCRYPTED"
{
	echo "frames on the wire since the tunnel is up:  $(wire_new 'ip proto 50' | wc -l) ESP, $(wire_new 'net 10.0.0.0/8' | wc -l) of alice and bob in clear"
	echo "the NICs' own count of clear frames:        moon $(nic_clear moon), sun $(nic_clear sun)"
	echo "calls of the CPU's ESP functions:           $(($(esp_calls) - CPU_SEEN))  (kprobes on esp_output, esp_input, esp6_output, esp6_input)"
} | summary

heading "REKEY UNDER TRAFFIC (200 packets a second, alice to bob and back)"
before=$(child_field moon spi-out)
traffic_start alice 10.2.0.10 1000
sleep 0.7
check "moon rekeys the CHILD_SA" sw moon --rekey --child net
sleep 0.7
check "sun rekeys the CHILD_SA" sw sun --rekey --child net
check "the stream still runs after the rekeys" traffic_running alice
traffic_end alice "traffic over two rekeys"
{
	echo "moon's outbound SPI:  $before before, $(child_field moon spi-out | tail -n 1) after two rekeys (one by each side)"
	echo "ping:                 $(grep transmitted "$OUT/traffic-alice.txt")"
} | summary
wire_esp_only
cpu_idle

check "moon ends the tunnel" sw moon --terminate --ike sun
nothing_left moon "after the end"
nothing_left sun "after the end"
stop moon sun
host_clean moon
host_clean sun
heading "AFTER TERMINATION"
for host in moon sun; do
	echo "$host: NIC $(nic_file $host sas | wc -l) SAs, $(nic_file $host policies | wc -l) policies; kernel $(states $host) SAs, $(xfrm_policies $host | grep -c '^src ') policies, $(routes $host | wc -l) routes"
done | summary
echo >>"$OUT/summary.txt"
echo "$CHECKS checks, $FAILURES failed" | summary
