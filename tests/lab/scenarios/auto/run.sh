# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
in_mode moon packet
in_mode sun packet
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
cpu_idle
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after the CHILD_SA in packet mode"

one_mode() {
	local total
	total=$(states moon)
	same "moon: two SAs ($1)" 2 "$total"
	case "$(states moon packet) $(states moon crypto) $(states moon software)" in
	"0 2 0") ok "moon: both in crypto mode ($1)" ;;
	"0 0 2") ok "moon: both in software ($1)" ;;
	*) bad "moon: SAs in mixed modes ($1): $(states moon packet) packet, $(states moon crypto) crypto, $(states moon software) software" ;;
	esac
	same "moon: no policy in the NIC ($1)" 0 "$(($(policies moon out packet) + $(policies moon in packet)))"
	wire_mark
	reaches alice 10.2.0.10 10
	wire_esp_only
}

nic_set moon fail_sa_add '1 22 in'
initiate moon net
one_mode "inbound SA refused"
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after inbound SA refused"

nic_set moon fail_sa_add '1 22 out'
initiate moon net
one_mode "outbound SA refused"
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after outbound SA refused"

nic_set moon fail_policy_add '1 22 out'
initiate moon net
one_mode "outbound policy refused"
check "moon ends the CHILD_SA" sw moon --terminate --child net
nothing_left moon "after outbound policy refused"
nothing_left sun "after outbound policy refused"
