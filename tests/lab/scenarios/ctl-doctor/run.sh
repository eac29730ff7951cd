# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
# doctor ARGUMENT...: runs it on moon once; said looks at what it said. Each run asks for the whole machine.
doctor() { ctl moon doctor "$@" >/tmp/doctor.txt 2>&1; }
said() { expect "$1" "$2" cat /tmp/doctor.txt; }

# Before anything runs: it works without charon.
doctor
said "no charon is a line" '^warn +charon: no answer from charon'
said "the NIC is found" '^ok +nic-found: '
said "esp-hw-offload is on" '^ok +nic-feature '
dev=$(sed -n 's/^ok *nic-found: //p' /tmp/doctor.txt | cut -d, -f1)
doctor --live "$dev"
said "the port takes an inbound tunnel SA" '^ok +live-tunnel '
said "the port takes a policy" '^ok +live-policy-out '
said "a window it can do is taken" '^ok +live-window-64 '
nothing_left moon "after the trial"
same "no policy of the trial is in the NIC" 0 "$(nic_count moon policies)"
# What the device refuses is told in its own words, and leaves nothing either.
nic_set moon tunnel_supported 0
doctor --live "$dev"
same "a refusal of what is needed is the exit status" 1 $?
said "a refusal is told in the device's words" '^FAIL +live-tunnel .*: Packet offload is not supported for tunnel'
said "what is not refused is taken" '^ok +live-transport '
said "the driver's counters are read" '^ok +nic-counters .*: the driver dropped nothing'
said "the kernel's log is read" '^ok +kernel-log: no fault'
nic_set moon tunnel_supported 1
nothing_left moon "after the refused trial"
same "no policy of the refused trial is in the NIC" 0 "$(nic_count moon policies)"
fails "a device that is not there is an error" ctl moon doctor --live nosuch

start moon sun
initiate moon net
# A child is judged as for mlx5, which takes prefixes only with a fix that 6.12 does not have.
doctor --kernel-fixes all
said "charon's version is asked" '^ok +charon: strongSwan '
said "the order of the plugins is right" '^ok +plugin-order: '
said "the plugin answers on its socket" '^ok +plugin-version: '
said "charon's process is looked at" '^ok +charon-capabilities: charon \(pid [0-9]+\) has CAP_NET_ADMIN'
said "and its buffers" '^ok +event-buffer: '
said "what the child asks for is known from the plugin" '^ok +child sun/net: hw_offload = packet'
said "policies and SAs are in the NIC together" '^ok +offload-pairs: '
said "each SA in the NIC has a direction" '^ok +offload-direction: '
sed 's/aes256gcm16-x25519-esn/aes256-sha256/' "$SCENARIO_DIR/hosts/moon/swanctl.conf" >/tmp/bad.conf
doctor --conf /tmp/bad.conf
same "a file the NIC would refuse is the exit status" 1 $?
said "and is refused before it is loaded" '^FAIL +child sun/net: .*Cannot offload authenticated'
doctor --kernel-fixes all --conf "$SCENARIO_DIR/hosts/moon/swanctl.conf"
said "a file is judged by its name" '^ok +child sun/net: .*from'
doctor --record /tmp/recorded
check "a machine is recorded" test -s /tmp/recorded/facts.json
refute "no key is recorded" '"(key|enc_key|aead)"' cat /tmp/recorded/facts.json
doctor --from /tmp/recorded
said "a recorded machine is judged alike" '^ok +plugin-order: '
doctor --from /tmp/recorded --json
said "JSON names its schema" '"schema": 1'
check "a reader that goes away is no error" bash -c 'set -o pipefail; '"$(declare -f ctl)"'; RUN='"$RUN"'; ctl moon status | head -n 0'
check "moon ends the CHILD_SA" sw moon --terminate --child net
