# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start moon sun
initiate moon net-net || return 0
wire_mark
deleted() { [ "$(log moon | grep -c 'deleted SAD entry with SPI')" -ge "$1" ]; }
check "the lifetime asks for a rekeying" until_true 20 logs moon 'creating rekey job for CHILD_SA'
check "moon rekeys" until_true 10 logs moon 'generating CREATE_CHILD_SA request.*REKEY_SA'
check "the old outbound SA is deleted" until_true 10 deleted 1
same "and only that one" 1 "$(log moon | grep -c 'deleted SAD entry with SPI')"
same "moon: three SAs are in the kernel" 3 "$(states moon)"
reaches alice 10.2.0.10 2
check "the old inbound SA follows" until_true 20 deleted 2
reaches alice 10.2.0.10 2
wire_esp_only
