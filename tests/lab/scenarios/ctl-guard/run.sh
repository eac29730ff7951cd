# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
socket=$RUN/moon/run/charon.fastswan
python() { PYTHONPATH=/share/ctl python3 "$LAB/lib/ctl_python.py" "$@"; }
gate="10.1.0.0/24 === 10.2.0.0/24"
closed() { ctl moon guard list | grep -Fxq "$gate"; }
opened() { ! closed; }
expect "there is no gate before charon" '^no gate is closed$' ctl moon guard list
expect "and none to open" '^there was no gate$' ctl moon guard open --all
start moon sun
expect "nor is there one before a CHILD_SA" '^no gate is closed$' ctl moon guard list
initiate moon net
check "the CHILD_SA's gate is listed" closed
expect "with who holds it" '^    held by .*net' ctl moon guard list
expect "as JSON" '"selector": "10\.1\.0\.0/24 === 10\.2\.0\.0/24"' ctl moon guard list --json
expect "doctor counts it" '^ok +guard-gates: 1 closed, none left over' ctl moon doctor
reaches alice 10.2.0.10
expect "charon closes again what is held" '=== 10\.2\.0\.0/24: charon closed it again' ctl moon guard open "$gate"
check "it is closed" closed
fails "and the exit status says so" ctl moon guard open --all
until_true 5 closed
check "it is closed again after all were opened" closed
fails "a gate that is not there is no success" ctl moon guard open "10.9.0.0/16 === 10.8.0.0/16"
expect "what is no selector is an error that shows one" 'is no gate: LOCAL/LENGTH === REMOTE/LENGTH' ctl moon guard open nonsense
reaches alice 10.2.0.10

# strongSwan's own Python package at the plugin's socket.
expect "Python's vici: version" '"kernel-fixes": "auto"' python ask "$socket" version
expect "Python's vici: status" '"packet": "2"' python ask "$socket" status
expect "Python's vici: units" '"mode": "packet"' python stream "$socket" units list-unit
expect "Python's vici: devices" '"esp-offload": "yes"' python stream "$socket" devices list-device
expect "Python's vici: children" '"hw-offload": "packet"' python stream "$socket" children list-child
expect "Python's vici: guard" '"local": "10\.1\.0\.0/24".*"holders": \["[^"]*net' python stream "$socket" guard list-gate
expect "Python's vici: no command for keys" '^SessionException: Unexpected response' python ask "$socket" keys
expect "Python's vici: no event for keys" '^EventUnknownException: ' python stream "$socket" units keys
python events "$socket" 60 >/tmp/unit-events.txt &
listener=$!
check "Python's vici listens for events" until_true 30 grep -q listening /tmp/unit-events.txt
flap moon 1
recovered "after a link flap" 10 alice 10.2.0.10
repaired='"change": "repaired".*"mode": "packet".*"lost": "0"'
until_true 20 grep -q "$repaired" /tmp/unit-events.txt
expect "the event tells that a unit lost both its SAs" '"change": "lost".*"lost": "2"' cat /tmp/unit-events.txt
expect "and that it is repaired, in packet mode" "$repaired" cat /tmp/unit-events.txt
kill $listener

check "moon ends the CHILD_SA" sw moon --terminate --ike sun
expect "nobody holds the gate now, and it opens by itself" 'opens by itself in [0-9]+ s' ctl moon guard list
expect "the operator may open it before" "^$gate: open\$" ctl moon guard open "$gate"
check "it is open" opened
initiate moon net
check "it is closed again for the next CHILD_SA" closed

# A charon that is killed leaves its gate to the operator.
crash moon
check "it stays closed after a crash" closed
expect "who holds it is not known then" 'whether it is held is not known' ctl moon guard list
expect "it can be opened without charon" "^$gate: open\$" ctl moon guard open "$gate"
check "it stays open" opened
ip -n moon xfrm state flush
ip -n moon xfrm policy flush
flush_routes moon
# The tables stay, so that a charon that runs takes gates opened by the operator for no loss of its tables.
expect "the rest can be opened at once" '^(there was no gate|.*: open)$' ctl moon guard open --all
expect "no gate is left" '^no gate is closed$' ctl moon guard list
