# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
for full in max_sas max_policies; do
	nic_set moon $full 1
	log_mark moon
	initiate moon net
	same "moon: nothing of it is in packet mode ($full = 1)" "0 0" "$(states moon packet) $(($(policies moon out packet) + $(policies moon in packet)))"
	# charon may need a rekey of its own to get there.
	until_true 12 holds_states moon 2
	case "$(states moon crypto) $(states moon software)" in
	"2 0"|"0 2") ok "moon: both SAs in one mode ($full)" ;;
	*) bad "moon: mixed modes ($full): $(states moon crypto) crypto, $(states moon software) software" ;;
	esac
	[ "$PLUGIN" != kernel-fastswan ] || expect "the log says why" 'HW offload auto for .*net.*no packet offload: ' log_new moon
	wire_mark
	reaches alice 10.2.0.10
	wire_esp_only
	agree "while the table is full ($full)"
	check "moon ends it" sw moon --terminate --child net
	nothing_left moon "after it ($full)"
	nic_set moon $full 0
done
nic_set moon packet_supported 0
initiate moon net
in_mode moon crypto
wire_mark
reaches alice 10.2.0.10
wire_esp_only
agree "on a device without packet mode"
check "moon ends it" sw moon --terminate --child net
nic_set moon packet_supported 1
