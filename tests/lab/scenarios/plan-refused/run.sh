# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon good
check "moon ends good" sw moon --terminate --child good
refused_line moon cbc 'Only AES-GCM-ICV16|authenticated xfrm states|without aead' 'esp_proposals = aes'
refused_line moon icv8 'Only AES-GCM-ICV16|ICV length' 'esp_proposals = aes'
refused_line moon key192 'AEAD key length' 'esp_proposals = aes'
refused_line moon chacha 'Only AES-GCM-ICV16' 'esp_proposals = aes'
refused_line moon window 'Unsupported replay window size' 'replay_window = '
refused_line moon tfc '[tT][fF][cC] padding' 'tfc_padding = 0'
refused_line moon ipcomp 'compressed xfrm states' 'ipcomp = no'
refused_line moon ifid 'XFRM if_id is not supported in RX path' 'if_id_in'
refused_line moon icmp 'upper protocol other than TCP/UDP' 'selectors without a protocol'
nothing_left moon "after all refusals"
nothing_left sun "after all refusals"
agree "after all refusals"
initiate moon good
in_mode moon packet
wire_mark
reaches alice 10.2.0.10
wire_esp_only
