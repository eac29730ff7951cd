# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
expect "with ESN" 'net: .*INSTALLED, TUNNEL, ESP:AES_CBC-256/HMAC_SHA2_256_128/ESN' sw moon --list-sas
in_mode moon software
reaches alice 10.2.0.10 10
check "moon ends the CHILD_SA" sw moon --terminate --child net
initiate moon net-no-esn
refute "without ESN" 'net-no-esn: .*/ESN' sw moon --list-sas
in_mode moon software
wire_mark
reaches alice 10.2.0.10 10
wire_esp_only
cpu_busy
