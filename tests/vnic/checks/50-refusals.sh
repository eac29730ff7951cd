# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What is refused, and with which words. One row per refusal: name, knobs to
# set, expected text, command. The texts are those of mlx5, with the driver's
# name in front; a few at the end are the kernel's own, met before the driver.
# Sourced by run.sh.

ENC="enc cbc(aes) 0x000102030405060708090a0b0c0d0e0f"
AUTH="auth-trunc hmac(sha256) 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 128"
STATE="ip -n A xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001 reqid 1"
STATE_IN="ip -n A xfrm state add src 10.0.0.2 dst 10.0.0.1 proto esp spi 0x1001 reqid 1"
POLICY="ip -n A xfrm policy add src 10.0.0.1 dst 10.0.0.2"
OUT="offload packet dev p0 dir out"
IN="offload packet dev p0 dir in"
CRYPTO="offload crypto dev p0 dir out"
TMPL="tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 1 mode tunnel"
A128="aead rfc4106(gcm(aes)) $KEY128 128"
UDP="encap espinudp 4500 4500 0.0.0.0"

row() { # KNOBS TEXT COMMAND
	local k
	for k in $1; do knob p0 "${k%%=*}" "${k#*=}"; done
	# shellcheck disable=SC2086
	refused "$2" $3
	held && die "something was programmed"
	[ -z "$(ip -n A xfrm state)$(ip -n A xfrm policy)" ] || die "the kernel kept it"
	case $2 in vnic:*)
		[ "$(stat p0 sa_refused)$(stat p0 policy_refused)" != 00 ] || die "not counted"
		grep -qF "text=\"$2" $DBG/p0/log || die "not in the log" ;;
	esac
}

while IFS='|' read -r name knobs text command; do
	[ -n "$name" ] || continue
	check "refused: $name" row "$knobs" "$text" "$command"
done <<EOT
state with authentication||vnic: Cannot offload authenticated xfrm states|$STATE mode tunnel $AUTH $ENC $OUT
state without AES-GCM||vnic: Only AES-GCM-ICV16 xfrm state may be offloaded|$STATE mode tunnel $ENC $OUT
state with ICV 12||vnic: Only AES-GCM-ICV16 xfrm state may be offloaded|$STATE mode tunnel aead rfc4106(gcm(aes)) $KEY128 96 $OUT
state with ChaCha20||vnic: Only AES-GCM-ICV16 xfrm state may be offloaded|$STATE mode tunnel aead rfc7539esp(chacha20,poly1305) 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223 128 $OUT
state with ESN, no capability|esn_supported=0|vnic: Cannot offload ESN xfrm states|$STATE mode tunnel $A128 flag esn $OUT
encapsulation, no capability|encap_supported=0|vnic: Encapsulation is not supported|$STATE mode transport $A128 $UDP $OUT
encapsulation in crypto mode||vnic: Encapsulation is supported in packet offload mode only|$STATE mode transport $A128 $UDP $CRYPTO
encapsulation in tunnel mode||vnic: Encapsulation is supported in transport mode only|$STATE mode tunnel $A128 $UDP $OUT
AES-192||vnic: Cannot offload xfrm states with AEAD key length other than 128/256 bit|$STATE mode tunnel aead rfc4106(gcm(aes)) $KEY192 128 $OUT
state selector ICMP||vnic: Device does not support upper protocol other than TCP/UDP|$STATE mode tunnel $A128 sel proto icmp $OUT
state mode beet||vnic: Only transport and tunnel xfrm states may be offloaded|$STATE mode beet $A128 $OUT
crypto, no capability|crypto_supported=0|vnic: Crypto offload is not supported|$STATE mode tunnel $A128 $CRYPTO
packet, no capability|packet_supported=0|vnic: Packet offload is not supported|$STATE mode tunnel $A128 $OUT
tunnel, no capability|tunnel_supported=0|vnic: Packet offload is not supported for tunnel mode|$STATE mode tunnel $A128 $OUT
window 1024||vnic: Unsupported replay window size|$STATE_IN mode tunnel $A128 flag esn replay-window 1024 $IN
window 48||vnic: Unsupported replay window size|$STATE_IN mode tunnel $A128 flag esn replay-window 48 $IN
no reqid||vnic: Cannot offload without reqid|ip -n A xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1001 mode tunnel $A128 $OUT
hard byte limit below soft||vnic: Hard byte limit must be greater than soft one|$STATE mode tunnel $A128 limit byte-soft 500 limit byte-hard 400 $OUT
hard byte limit without soft||vnic: Hard byte limit must be greater than soft one|$STATE mode tunnel $A128 limit byte-hard 400 $OUT
byte limit 0||vnic: Soft/hard byte limits can't be 0|$STATE mode tunnel $A128 limit byte-soft 0 $OUT
hard packet limit below soft||vnic: Hard packet limit must be greater than soft one|$STATE mode tunnel $A128 limit packet-soft 500 limit packet-hard 500 $OUT
packet limit 0||vnic: Soft/hard packet limits can't be 0|$STATE mode tunnel $A128 limit packet-soft 0 $OUT
tunnel while encap is set in the eswitch|encap_blocked=1|vnic: Packet offload tunnel mode is disabled due to encap settings|$STATE mode tunnel $A128 $OUT
state while tc is offloaded|tc_busy=1|vnic: Device failed to offload this state|$STATE mode tunnel $A128 $OUT
state, no IPsec at all|ipsec_supported=0|Device failed to offload this state|$STATE mode tunnel $A128 $OUT
policy of type sub||vnic: Cannot offload non-main policy types|$POLICY ptype sub dir out offload packet dev p0 $TMPL
policy with two templates||vnic: Cannot offload more than one template|$POLICY dir out offload packet dev p0 $TMPL $TMPL
policy fwd||vnic: Cannot offload forward policy|$POLICY dir fwd offload packet dev p0 $TMPL
policy without anything to match||vnic: Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) different than 0|ip -n A xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out offload packet dev p0
policy for ICMP||vnic: Device does not support upper protocol other than TCP/UDP|$POLICY proto icmp dir out offload packet dev p0 $TMPL
policy with priority, no capability|prio_supported=0|vnic: Device does not support policy priority|$POLICY dir out priority 7 offload packet dev p0 $TMPL
policy with the last priority||vnic: Device does not support requested policy priority|$POLICY dir out priority 4294967295 offload packet dev p0 $TMPL
policy, no capability|packet_supported=0|vnic: Packet offload is not supported|$POLICY dir out offload packet dev p0 $TMPL
policy, no IPsec at all|ipsec_supported=0|vnic: Device doesn't support IPsec packet offload|$POLICY dir out offload packet dev p0 $TMPL
policy while tc is offloaded|tc_busy=1|vnic: Device failed to offload this policy|$POLICY dir out offload packet dev p0 $TMPL
state on a device without offload (kernel)||Invalid argument|$STATE mode tunnel $A128 offload packet dev a1 dir out
policy on a device without offload (kernel)||Policy offload is not supported|$POLICY dir out offload packet dev a1 $TMPL
EOT

accepted_anyway() { # rows must fail for their own reason: without it the same command is accepted
	# shellcheck disable=SC2086
	$STATE mode tunnel $A128 $OUT || die "plain state"
	ip -n A xfrm state flush
	# shellcheck disable=SC2086
	$STATE mode transport $A128 $UDP $OUT || die "encapsulation in transport mode"
	ip -n A xfrm state flush
	# shellcheck disable=SC2086
	$STATE mode tunnel $A128 $CRYPTO || die "crypto"
	ip -n A xfrm state flush
	# shellcheck disable=SC2086
	$STATE_IN mode tunnel $A128 flag esn replay-window 256 $IN || die "window 256"
	# shellcheck disable=SC2086
	$STATE mode tunnel $A128 sel proto tcp $OUT || die "selector TCP"
	# shellcheck disable=SC2086
	$POLICY dir out priority 4294967294 offload packet dev p0 $TMPL || die "policy"
	ip -n A xfrm policy add src 10.0.0.9 dst 10.0.0.2 dir out offload packet dev p0 || die "bypass policy"
}
check "refused: what is not, is accepted" accepted_anyway

tc_rule() { # S9, with a rule of tc's
	modprobe cls_flower && modprobe sch_ingress || die "no flower"
	sa A out 0x1001 || die "not installed"
	in_ns A tc qdisc add dev p0 ingress || die "ingress"
	in_ns A tc filter add dev p0 ingress protocol ip flower skip_sw dst_ip 192.0.2.1 action drop 2>"$WORK/tc" &&
		die "a tc rule was offloaded though there is a state"
	ip -n A xfrm state flush
	settle
	in_ns A tc filter add dev p0 ingress protocol ip flower skip_sw dst_ip 192.0.2.1 action drop || die "rule refused"
	refused "vnic: Device failed to offload this state" sa A out 0x1001
	tail -n 1 $DBG/p0/log | grep -q 'result=-16 ' || die "not -EBUSY: $(tail -n 1 $DBG/p0/log)"
	in_ns A tc qdisc del dev p0 ingress
	sa A out 0x1001 || die "still busy after the rule went"
}
check "refused: -EBUSY while a tc rule is in hardware, and the other way round" tc_rule
