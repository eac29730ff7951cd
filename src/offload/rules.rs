// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of XFRM's offload interface, and those of the one driver whose limits are known.
//!
//! Owns what is checked before the kernel is asked: net/xfrm/xfrm_device.c (xfrm_dev_state_add,
//! xfrm_dev_policy_add) for every device, and mlx5's mlx5e_xfrm_validate_state and
//! mlx5e_xfrm_validate_policy for devices of mlx5_core only. Another driver answers for itself. The
//! reasons are the texts the kernel would have given.

use crate::model::{Direction, Lifetime, Limit, Mode as IpsecMode, PolicyKind, Proto, Selector};

use super::{Mode, Refusal};

/// The driver whose limits are known.
const MLX5: &str = "mlx5_core";

/// What is known about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Interface index.
    pub ifindex: u32,
    /// Interface name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Kind of a virtual device (`vlan`, `bond`); `None` for a port of a NIC.
    pub kind: Option<String>,
    /// The feature `esp-hw-offload` is on: the device does at least crypto mode.
    pub esp_offload: bool,
    /// Driver.
    pub driver: Option<String>,
}

impl Device {
    fn is_mlx5(&self) -> bool {
        self.driver.as_deref() == Some(MLX5)
    }
}

/// What the rules ask about an SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaFacts {
    /// Protocol.
    pub proto: Proto,
    /// Mode.
    pub mode: IpsecMode,
    /// Packets come in by it.
    pub inbound: bool,
    /// Combined-mode algorithm: its ICV in bits; `None` for separate algorithms.
    pub icv_bits: Option<u32>,
    /// AES-GCM.
    pub aes_gcm: bool,
    /// Length of the key without the salt, in bits.
    pub key_bits: usize,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Anti-replay window.
    pub replay_window: u32,
    /// The operator accepts SAs without anti-replay.
    pub allow_no_replay: bool,
    /// ESP in UDP.
    pub encap: bool,
    /// Traffic flow confidentiality padding.
    pub tfc: bool,
    /// With IPComp.
    pub ipcomp: bool,
    /// XFRM interface ID.
    pub if_id: u32,
    /// reqid.
    pub reqid: u32,
    /// Limits.
    pub lifetime: Lifetime,
}

/// What the rules ask about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Direction.
    pub dir: Direction,
    /// What it does.
    pub kind: PolicyKind,
    /// What it matches.
    pub selector: Selector,
    /// Number of templates.
    pub templates: usize,
    /// reqid.
    pub reqid: u32,
    /// Priority.
    pub priority: u32,
}

fn rule(holds: bool, reason: &str) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(Refusal::new(reason))
    }
}

/// Whether a device can do a mode at all.
pub fn check_device(device: &Device, mode: Mode) -> Result<(), Refusal> {
    if mode == Mode::Software {
        return Ok(());
    }
    if let Some(kind) = &device.kind
        && matches!(kind.as_str(), "vlan" | "bond" | "team" | "bridge" | "macvlan" | "ipvlan")
        // A bond takes SAs in crypto mode (drivers/net/bonding/bond_main.c: bond_xfrmdev_ops).
        && !(kind == "bond" && mode == Mode::Crypto && device.esp_offload)
    {
        return Err(Refusal::way(format!(
            "HW offload is not supported by device {}: the device is a {kind}",
            device.name
        )));
    }
    if !device.esp_offload {
        return Err(Refusal::way(format!(
            "HW offload is not supported by device {}: it has no IPsec offload (esp-hw-offload)",
            device.name
        )));
    }
    if !device.up {
        return Err(Refusal::way(format!(
            "HW offload is not possible on {}: the device is down",
            device.name
        )));
    }
    Ok(())
}

/// Whether an SA can be done in a mode by a device that passed [`check_device`].
pub fn check_sa(device: &Device, mode: Mode, sa: &SaFacts) -> Result<(), Refusal> {
    if mode == Mode::Software {
        return Ok(());
    }
    rule(
        !(sa.inbound && sa.if_id != 0),
        "XFRM if_id is not supported in RX path",
    )?;
    rule(!sa.tfc, "TFC padding can't be offloaded")?;
    rule(
        sa.proto == Proto::Esp,
        "Only ESP xfrm state may be offloaded",
    )?;
    // The compression has an SA of its own, which no device takes: the unit would be in two modes.
    rule(!sa.ipcomp, "Cannot offload compressed xfrm states")?;
    if mode == Mode::Packet {
        rule(sa.reqid != 0, "Cannot offload without reqid")?;
    }
    if device.is_mlx5() {
        check_mlx5_sa(mode, sa)?;
    }
    Ok(())
}

fn check_mlx5_sa(mode: Mode, sa: &SaFacts) -> Result<(), Refusal> {
    rule(
        sa.icv_bits.is_some(),
        "Cannot offload authenticated xfrm states",
    )?;
    rule(sa.aes_gcm, "Only AES-GCM-ICV16 xfrm state may be offloaded")?;
    if sa.encap {
        rule(
            mode == Mode::Packet,
            "Encapsulation is supported in packet offload mode only",
        )?;
        rule(
            sa.mode == IpsecMode::Transport,
            "Encapsulation is supported in transport mode only",
        )?;
    }
    rule(
        sa.icv_bits == Some(128),
        "Cannot offload xfrm states with AEAD ICV length other than 128bit",
    )?;
    rule(
        matches!(sa.key_bits, 128 | 256),
        "Cannot offload xfrm states with AEAD key length other than 128/256 bit",
    )?;
    rule(
        matches!(sa.mode, IpsecMode::Transport | IpsecMode::Tunnel),
        "Only transport and tunnel xfrm states may be offloaded",
    )?;
    if mode == Mode::Packet {
        rule(
            !sa.inbound || matches!(sa.replay_window, 32 | 64 | 128 | 256),
            "Unsupported replay window size",
        )?;
        // The driver arms it for XFRM_STATE_ESN only, whatever the format of the window.
        rule(
            !sa.inbound || sa.esn || sa.allow_no_replay,
            "the device arms anti-replay with extended sequence numbers only",
        )?;
        check_limits("byte", sa.lifetime.bytes)?;
        check_limits("packet", sa.lifetime.packets)?;
    }
    Ok(())
}

/// Soft and hard limits as the driver sees them, where 0 has become "infinite".
fn check_limits(kind: &str, limit: Limit) -> Result<(), Refusal> {
    rule(
        limit.life == 0 || (limit.rekey != 0 && limit.rekey < limit.life),
        &format!("Hard {kind} limit must be greater than soft one"),
    )
}

/// Whether a policy can be offloaded, which there is in packet mode only. FWD policies are software
/// by nature and must not be asked about.
pub fn check_policy(device: &Device, policy: &PolicyFacts) -> Result<(), Refusal> {
    rule(
        policy.dir != Direction::Fwd,
        "Cannot offload forward policy",
    )?;
    rule(
        policy.templates <= 1,
        "Cannot offload more than one template",
    )?;
    if !device.is_mlx5() {
        return Ok(());
    }
    let selector = &policy.selector;
    rule(
        policy.reqid != 0
            || selector.proto != 0
            || !selector.src.is_empty()
            || !selector.dst.is_empty(),
        "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) \
         different than 0",
    )?;
    rule(
        matches!(selector.proto, 0 | 6 | 17),
        "Device does not support upper protocol other than TCP/UDP",
    )?;
    rule(
        policy.priority != u32::MAX,
        "Device doesn't support requested policy priority",
    )?;
    check_wildcard(selector)
}

/// mlx5 takes an all-zero address for "any", whatever its prefix length: 0.0.0.0/1 would match all.
fn check_wildcard(selector: &Selector) -> Result<(), Refusal> {
    for prefix in [selector.src, selector.dst] {
        rule(
            !prefix.first().is_unspecified() || prefix.is_empty(),
            &format!("the device would match all addresses instead of {prefix}"),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
