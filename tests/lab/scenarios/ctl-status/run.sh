# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
socket=$RUN/moon/run/charon.fastswan
expect "nothing is offloaded yet" '^no SAs' ctl moon status
expect "the socket is for its owner and group" '^srwxrwx---' ls -l "$socket"
python3 /share/lab/lib/ctl_client.py events "$socket" 120 >/tmp/events.txt &
listener=$!
check "a client listens for events" until_true 30 grep -q listening /tmp/events.txt
initiate moon net
reaches alice 10.2.0.10 20
sleep 2
ctl moon status >/tmp/status.txt
same "nothing disagrees" 0 $?
expect "the CHILD_SA is in packet mode under its name" '^sun/net#[0-9]+ +192\.168\.0\.2 +packet ' cat /tmp/status.txt
ctl moon status --interval 0 --child net >/tmp/detail.txt
expect "one CHILD_SA in detail" 'asked for packet, has packet on ' cat /tmp/detail.txt
expect "mode and device of each SA" '^  in +SPI [0-9a-f]{8}  packet on ' cat /tmp/detail.txt
expect "packets are counted" '^ +[1-9][0-9]* packets, [1-9][0-9]* bytes, 0 errors' cat /tmp/detail.txt
spi=$(sed -n 's/^ *out *SPI \([0-9a-f]*\).*/\1/p' /tmp/detail.txt)
expect "the SPI is the kernel's" "0x$spi" ip -n moon xfrm state
on alice ping -q -i 0.05 -c 200 -W 1 10.2.0.10 >/dev/null &
pinger=$!
expect "rates are measured" '^ +[1-9][0-9]* packets/s, [1-9][0-9]* bytes/s' ctl moon status --interval 3 --child net
wait $pinger
check "by device" ctl moon status --interval 0 --device "$(port moon)"
fails "by a device that has none" ctl moon status --interval 0 --device lo
check "by peer" ctl moon status --interval 0 --peer 192.168.0.2
fails "a filter that takes nothing says so" ctl moon status --interval 0 --peer 203.0.113.1
ctl moon metrics --per-child --textfile /tmp/fastswan.prom
cp /tmp/fastswan.prom "$OUT/metrics.prom"
expect "metrics count the SAs" '^fastswan_sas\{device=".+",direction="out",mode="packet"\} 1$' cat /tmp/fastswan.prom
expect "the file is written" '^fastswan_up\{source="plugin"\} 1$' cat /tmp/fastswan.prom
# The socket, with a client that is not ours.
expect "version" '"plugin": "kernel-fastswan"' python3 /share/lab/lib/ctl_client.py ask "$socket" version
expect "units" '"mode": "packet"' python3 /share/lab/lib/ctl_client.py stream "$socket" units list-unit
expect "devices" '"esp-offload": "yes"' python3 /share/lab/lib/ctl_client.py stream "$socket" devices list-device
expect "children" '"hw-offload": "packet"' python3 /share/lab/lib/ctl_client.py stream "$socket" children list-child
fails "there is no command for keys" python3 /share/lab/lib/ctl_client.py ask "$socket" keys
# Hostile clients: as many as want to, sending what they want, while charon works on.
python3 /share/lab/lib/ctl_client.py attack "$socket" 200 &
attacker=$!
check "charon rekeys meanwhile" sw moon --rekey --child net
expect "and answers" '"plugin": "kernel-fastswan"' python3 /share/lab/lib/ctl_client.py ask "$socket" version
wait $attacker
check "the attack ran" test $? = 0
reaches alice 10.2.0.10 5
# Somebody removes an SA: the difference is told. charon replaces it, but its peer does not answer meanwhile.
spi=$(ctl moon status --interval 0 --child net | sed -n 's/^ *out *SPI \([0-9a-f]*\).*/\1/p')
kill -STOP "$(charon_pid sun)"
ip -n moon xfrm state delete src 192.168.0.1 dst 192.168.0.2 proto esp spi "0x$spi"
ctl moon status --interval 0 --child net >/tmp/lost.txt
same "an SA that was removed is the exit status" 1 $?
expect "and is told" "!! charon has it as .* kernel has no outbound SA" cat /tmp/lost.txt
expect "with its mode" "^  out +SPI $spi  gone" cat /tmp/lost.txt
kill -CONT "$(charon_pid sun)"
check "charon replaces it" until_true 20 ctl moon status --interval 0 --child net
reaches alice 10.2.0.10 5
check "moon ends the CHILD_SA" sw moon --terminate --ike sun
expect "the unit was told when it came" '"change": "new"' cat /tmp/events.txt
kill $listener
