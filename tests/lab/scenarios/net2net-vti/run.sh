# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
vti() {
	ip -n "$1" tunnel add vti mode vti key "$2" local "$(outer "$1")" remote "$(outer "$3")" || bad "$1 cannot make a VTI device"
	on "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/conf/vti/disable_policy'
	ip -n "$1" link set vti up
	ip -n "$1" route replace "$4" dev vti
}
vti moon 42 sun 10.2.0.0/16
vti sun 1337 moon 10.1.0.0/16
start moon sun
initiate moon net-net || return 0
sa moon "everything is selected, by mark" 'mark-in=0000002a mark-out=0000002a.*local-ts=\[0\.0\.0\.0/0\] remote-ts=\[0\.0\.0\.0/0\]'
wire_mark
reaches alice 10.2.0.10 3
reaches bob 10.1.0.10 3
wire_esp_only
