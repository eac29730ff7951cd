# SPDX-License-Identifier: GPL-2.0-or-later
segment alice venus moon sun bob
dscp_marks() {
	rules "$1" <<-RULES
		chain in {
			type filter hook prerouting priority mangle
			ip dscp cs0 meta mark set 10
			ip dscp ef meta mark set 20
		}
	RULES
}
dscp_marks moon
dscp_marks sun
start moon sun
initiate moon net-be || return 0
initiate moon net-ef || return 0
# VICI gives the label in hex, with the zero at its end.
sa moon "the SA for best effort has its mark and label" 'mark-in=0000000a mark-out=0000000a .*label=647363702d626500|label=647363702d626500.*mark-in=0000000a mark-out=0000000a'
sa sun "expedited forwarding has its own" 'mark-in=00000014 mark-out=00000014 .*label=647363702d656600|label=647363702d656600.*mark-in=00000014 mark-out=00000014'
wire_mark
packets_of() { sw moon --list-sas --raw | sed 's/net-[be][ef]-[0-9]* {/\n&/g' | sed -nE "s/^net-$1-.*packets-out=([0-9]+).*/\1/p"; }
reaches alice 10.2.0.10 3
same "3 packets took the SA for best effort" "3 0" "$(packets_of be) $(packets_of ef)"
# A ping that is answered keeps its TOS: 0xb8 is expedited forwarding.
check "venus sends expedited" on venus ping -q -Q 0xb8 -c 4 -i 0.1 -W 2 10.2.0.10
same "4 packets took the SA for expedited forwarding" "3 4" "$(packets_of be) $(packets_of ef)"
wire_esp_only
same "the outer header has the class" 4 "$(on_wire 'src 192.168.0.1 and esp and ip[1] = 0xb8')"
same "both ways" 4 "$(on_wire 'src 192.168.0.2 and esp and ip[1] = 0xb8')"
