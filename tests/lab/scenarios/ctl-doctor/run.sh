# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
# Before anything runs: it works without charon.
expect "no charon is a line" '^warn +charon: no answer from charon' ctl moon doctor
expect "the NIC is found" '^ok +nic-found: ' ctl moon doctor
expect "esp-hw-offload is on" '^ok +nic-feature ' ctl moon doctor
dev=$(ctl moon doctor | sed -n 's/^ok *nic-found: //p' | cut -d, -f1)
expect "the port takes an inbound tunnel SA" '^ok +live-tunnel ' ctl moon doctor --live "$dev"
expect "the port takes a policy" '^ok +live-policy-out ' ctl moon doctor --live "$dev"
nothing_left moon "after the trial"
same "no policy of the trial is in the NIC" 0 "$(nic_count moon policies)"
expect "a window it can do is taken" '^ok +live-window-64 ' ctl moon doctor --live "$dev"
# What the device refuses is told in its own words, and leaves nothing either.
nic_set moon tunnel_supported 0
ctl moon doctor --live "$dev" >/tmp/refused.txt
same "a refusal of what is needed is the exit status" 1 $?
expect "a refusal is told in the device's words" '^FAIL +live-tunnel .*: Packet offload is not supported for tunnel' cat /tmp/refused.txt
expect "what is not refused is taken" '^ok +live-transport ' cat /tmp/refused.txt
nic_set moon tunnel_supported 1
nothing_left moon "after the refused trial"
same "no policy of the refused trial is in the NIC" 0 "$(nic_count moon policies)"
expect "the driver's counters are read" '^ok +nic-counters .*: the driver dropped nothing' ctl moon doctor
expect "the kernel's log is read" '^ok +kernel-log: no fault' ctl moon doctor
fails "a device that is not there is an error" ctl moon doctor --live nosuch
start moon sun
expect "charon's version is asked" '^ok +charon: strongSwan ' ctl moon doctor
expect "the order of the plugins is right" '^ok +plugin-order: ' ctl moon doctor
expect "the plugin answers on its socket" '^ok +plugin-version: ' ctl moon doctor
expect "charon's process is looked at" '^ok +charon-capabilities: charon \(pid [0-9]+\) has CAP_NET_ADMIN' ctl moon doctor
expect "and its buffers" '^ok +event-buffer: ' ctl moon doctor
expect "what the child asks for is known from the plugin" '^ok +child sun/net: hw_offload = packet' ctl moon doctor
initiate moon net
expect "policies and SAs are in the NIC together" '^ok +offload-pairs: ' ctl moon doctor
expect "each SA in the NIC has a direction" '^ok +offload-direction: ' ctl moon doctor
sed 's/aes256gcm16-x25519-esn/aes256-sha256/' "$SCENARIO_DIR/hosts/moon/swanctl.conf" >/tmp/bad.conf
expect "a file the NIC would refuse is refused" '^FAIL +child sun/net: .*Cannot offload authenticated' \
	ctl moon doctor --conf /tmp/bad.conf
expect "a file is judged by its name" '^ok +child sun/net: .*from' ctl moon doctor --conf "$SCENARIO_DIR/hosts/moon/swanctl.conf"
ctl moon doctor --record /tmp/recorded >/dev/null
check "a machine is recorded" test -s /tmp/recorded/facts.json
expect "a recorded machine is judged alike" '^ok +plugin-order: ' ctl moon doctor --from /tmp/recorded
refute "no key is recorded" '"(key|enc_key|aead)"' cat /tmp/recorded/facts.json
expect "JSON names its schema" '"schema": 1' ctl moon doctor --json
check "a reader that goes away is no error" bash -c 'set -o pipefail; '"$(declare -f ctl)"'; RUN='"$RUN"'; ctl moon status | head -n 0'
check "moon ends the CHILD_SA" sw moon --terminate --child net
