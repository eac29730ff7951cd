// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules for SAs, one by one and by name.
//!
//! Owns the table. Rules of the interface (net/xfrm/xfrm_device.c: xfrm_dev_state_add, and how
//! net/xfrm picks an SA) hold for every device; those of mlx5 (en_accel/ipsec.c:
//! mlx5e_xfrm_validate_state, and what its tables match) for that driver. Each is tested by its name.

use crate::model::{Limit, Mode as IpsecMode, Proto};

use super::super::Mode;
use super::{Of, SaFacts};

/// A rule and what it says of an SA that breaks it.
pub struct SaRule {
    /// Its name.
    pub name: &'static str,
    /// Whose rule it is.
    pub of: Of,
    /// The reason, if the SA breaks it in this mode.
    pub broken: fn(Mode, &SaFacts) -> Option<String>,
}

fn when(broken: bool, reason: &str) -> Option<String> {
    broken.then(|| reason.to_owned())
}

const fn rule(name: &'static str, of: Of, broken: fn(Mode, &SaFacts) -> Option<String>) -> SaRule {
    SaRule { name, of, broken }
}

/// Soft and hard limits as the driver sees them, where 0 has become "infinite".
fn limits(kind: &str, limit: Limit) -> Option<String> {
    when(
        limit.life != 0 && (limit.rekey == 0 || limit.rekey >= limit.life),
        &format!("Hard {kind} limit must be greater than soft one"),
    )
}

/// In the order in which they are checked.
pub const SA_RULES: &[SaRule] = &[
    rule("if-id", Of::Interface, |_, sa| {
        when(
            sa.inbound && sa.if_id != 0,
            "XFRM if_id is not supported in RX path",
        )
    }),
    rule("tfc", Of::Interface, |_, sa| {
        when(sa.tfc, "TFC padding can't be offloaded")
    }),
    rule("esp", Of::Interface, |_, sa| {
        when(
            sa.proto != Proto::Esp,
            "Only ESP xfrm state may be offloaded",
        )
    }),
    // The compression has an SA of its own, which no device takes: the unit would be in two modes.
    rule("ipcomp", Of::Interface, |_, sa| {
        when(sa.ipcomp, "Cannot offload compressed xfrm states")
    }),
    rule("reqid", Of::Interface, |mode, sa| {
        when(
            mode == Mode::Packet && sa.reqid == 0,
            "Cannot offload without reqid",
        )
    }),
    // The policy tells the device a reqid, and no SPI.
    rule("reqid-shared", Of::Interface, |mode, sa| {
        (mode == Mode::Packet && sa.reqid_taken).then(|| {
            format!(
                "reqid {} belongs to a CHILD_SA with other traffic selectors, and the device finds \
                 the SA by reqid alone",
                sa.reqid
            )
        })
    }),
    rule("reqid-foreign", Of::Interface, |mode, sa| {
        (mode == Mode::Packet && sa.reqid_foreign).then(|| {
            format!(
                "reqid {} belongs to an SA in the device that is not ours, and the device finds the \
                 SA by reqid alone",
                sa.reqid
            )
        })
    }),
    // xfrm_policy.c: xfrm_bundle_create looks the outer address up with the inner family.
    rule("family", Of::Interface, |mode, sa| {
        when(
            mode == Mode::Packet && sa.more.cross_family,
            "the kernel cannot send packets of one family through a packet offload tunnel of the \
             other",
        )
    }),
    // A policy in the NIC leads to its reqid, not to one of several SAs with it.
    rule("per-cpu", Of::Interface, |mode, sa| {
        when(
            mode == Mode::Packet && sa.more.per_cpu,
            "packet offload cannot choose among SAs by CPU",
        )
    }),
    rule("label", Of::Interface, |mode, sa| {
        when(
            mode == Mode::Packet && sa.more.label,
            "packet offload cannot choose among SAs by security label",
        )
    }),
    rule("mark", Of::Mlx5, |mode, sa| {
        when(
            mode == Mode::Packet && sa.more.mark,
            "the device does not match marks",
        )
    }),
    rule("aead", Of::Mlx5, |_, sa| {
        when(
            sa.icv_bits.is_none(),
            "Cannot offload authenticated xfrm states",
        )
    }),
    // Also without geniv, or with another than seqiv: the kernel makes seqiv of rfc4106(gcm(aes)).
    rule("gcm", Of::Mlx5, |_, sa| {
        when(
            !sa.aes_gcm,
            "Only AES-GCM-ICV16 xfrm state may be offloaded",
        )
    }),
    rule("encap-packet", Of::Mlx5, |mode, sa| {
        when(
            sa.encap && mode != Mode::Packet,
            "Encapsulation is supported in packet offload mode only",
        )
    }),
    rule("encap-transport", Of::Mlx5, |_, sa| {
        when(
            sa.encap && sa.mode != IpsecMode::Transport,
            "Encapsulation is supported in transport mode only",
        )
    }),
    rule("icv", Of::Mlx5, |_, sa| {
        when(
            sa.icv_bits != Some(128),
            "Cannot offload xfrm states with AEAD ICV length other than 128bit",
        )
    }),
    rule("key", Of::Mlx5, |_, sa| {
        when(
            !matches!(sa.key_bits, 128 | 256),
            "Cannot offload xfrm states with AEAD key length other than 128/256 bit",
        )
    }),
    rule("sa-protocol", Of::Mlx5, |_, sa| {
        when(
            !matches!(sa.more.selector_proto, 0 | 6 | 17),
            "Device does not support upper protocol other than TCP/UDP",
        )
    }),
    rule("mode", Of::Mlx5, |_, sa| {
        when(
            !matches!(sa.mode, IpsecMode::Transport | IpsecMode::Tunnel),
            "Only transport and tunnel xfrm states may be offloaded",
        )
    }),
    rule("window", Of::Mlx5, |mode, sa| {
        when(
            mode == Mode::Packet && sa.inbound && !matches!(sa.replay_window, 32 | 64 | 128 | 256),
            "Unsupported replay window size",
        )
    }),
    // The driver arms it for XFRM_STATE_ESN only, whatever the format of the window.
    rule("replay", Of::Mlx5, |mode, sa| {
        when(
            mode == Mode::Packet && sa.inbound && !sa.esn && !sa.allow_no_replay,
            "the device arms anti-replay with extended sequence numbers only",
        )
    }),
    rule("byte-limits", Of::Mlx5, |mode, sa| {
        limits("byte", sa.lifetime.bytes).filter(|_| mode == Mode::Packet)
    }),
    rule("packet-limits", Of::Mlx5, |mode, sa| {
        limits("packet", sa.lifetime.packets).filter(|_| mode == Mode::Packet)
    }),
];
