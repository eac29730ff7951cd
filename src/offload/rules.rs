// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of XFRM's offload interface, and those of the one driver whose limits are known.
//!
//! Owns what is checked before the kernel is asked: net/xfrm/xfrm_device.c (xfrm_dev_state_add,
//! xfrm_dev_policy_add) for every device, and mlx5's mlx5e_xfrm_validate_state and
//! mlx5e_xfrm_validate_policy for devices of mlx5_core only. Another driver answers for itself. The
//! reasons are the texts the kernel would have given.

mod policy;
mod sa;

use crate::model::{Direction, Lifetime, Mode as IpsecMode, PolicyKind, Proto, Selector};

use super::fixes::SECPATH;
use super::{Mode, Refusal};

pub use policy::{POLICY_RULES, PolicyRule};
pub use sa::{SA_RULES, SaRule};

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
    /// Ids of the fixes (`fixes`) that the kernel lacks, for a driver that they concern.
    pub lacks: Vec<&'static str>,
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
    /// On this device the reqid belongs to a CHILD_SA with other selectors.
    pub reqid_taken: bool,
    /// On this device the reqid is that of an SA of another daemon.
    pub reqid_foreign: bool,
    /// Limits.
    pub lifetime: Lifetime,
    /// What few SAs have.
    pub more: SaExtras,
}

/// What few SAs have, and a device cannot tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaExtras {
    /// Inner and outer addresses are of different families.
    pub cross_family: bool,
    /// It is for one CPU.
    pub per_cpu: bool,
    /// It has a security label.
    pub label: bool,
    /// Packets must carry a mark.
    pub mark: bool,
    /// Protocol of the SA's own selector, 0 = any.
    pub selector_proto: u8,
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
    /// What few policies have.
    pub more: PolicyExtras,
}

/// What few policies have, and a device does not match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyExtras {
    /// Packets must carry a mark.
    pub mark: bool,
    /// XFRM interface ID.
    pub if_id: u32,
    /// It has a security label.
    pub label: bool,
}

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// XFRM's offload interface: every device.
    Interface,
    /// The driver mlx5_core.
    Mlx5,
}

impl Of {
    fn concerns(self, device: &Device) -> bool {
        self == Of::Interface || device.is_mlx5()
    }
}

/// Whether a device can do a mode at all.
pub fn check_device(device: &Device, mode: Mode) -> Result<(), Refusal> {
    if mode == Mode::Software {
        return Ok(());
    }
    let broken = |rule: &DeviceRule| (rule.broken)(device, mode);
    match DEVICE_RULES.iter().find_map(broken) {
        Some(reason) => Err(Refusal::way(reason)),
        None => Ok(()),
    }
}

/// A rule and what it says of a device that breaks it.
pub struct DeviceRule {
    /// Its name.
    pub name: &'static str,
    /// The reason, if the device breaks it in this mode.
    pub broken: fn(&Device, Mode) -> Option<String>,
}

/// Whether a kind of device (`IFLA_INFO_KIND`) stands on other devices and is no port itself. Ports of
/// virtual NICs have a kind too.
pub fn is_stacked(kind: Option<&str>) -> bool {
    matches!(
        kind,
        Some("vlan" | "bond" | "team" | "bridge" | "macvlan" | "ipvlan")
    )
}

/// In the order in which they are checked.
pub const DEVICE_RULES: &[DeviceRule] = &[
    DeviceRule {
        name: "port",
        broken: |device, mode| {
            let kind = device.kind.as_deref()?;
            let virtual_port = is_stacked(Some(kind))
            // A bond takes SAs in crypto mode (drivers/net/bonding/bond_main.c: bond_xfrmdev_ops).
            && !(kind == "bond" && mode == Mode::Crypto && device.esp_offload);
            virtual_port.then(|| {
                format!(
                    "HW offload is not supported by device {}: the device is a {kind}",
                    device.name
                )
            })
        },
    },
    DeviceRule {
        name: "feature",
        broken: |device, _| {
            (!device.esp_offload).then(|| {
                format!(
                    "HW offload is not supported by device {}: it has no IPsec offload \
                     (esp-hw-offload)",
                    device.name
                )
            })
        },
    },
    DeviceRule {
        name: "up",
        broken: |device, _| {
            (!device.up).then(|| {
                format!(
                    "HW offload is not possible on {}: the device is down",
                    device.name
                )
            })
        },
    },
    DeviceRule {
        name: "panic",
        broken: |device, mode| {
            (mode == Mode::Packet && device.lacks.contains(&SECPATH)).then(|| {
                format!(
                    "this kernel panics when it forwards what {} decrypted (CVE-2025-21720, fix \
                     \"{SECPATH}\")",
                    device.name
                )
            })
        },
    },
];

/// Whether an SA can be done in a mode by a device that passed [`check_device`].
pub fn check_sa(device: &Device, mode: Mode, sa: &SaFacts) -> Result<(), Refusal> {
    if mode == Mode::Software {
        return Ok(());
    }
    let mut rules = SA_RULES.iter().filter(|rule| rule.of.concerns(device));
    match rules.find_map(|rule| (rule.broken)(mode, sa)) {
        Some(reason) => Err(Refusal::new(reason)),
        None => Ok(()),
    }
}

/// Whether a policy can be offloaded, which there is in packet mode only. FWD policies are software
/// by nature and must not be asked about.
pub fn check_policy(device: &Device, policy: &PolicyFacts) -> Result<(), Refusal> {
    let mut rules = POLICY_RULES.iter().filter(|rule| rule.of.concerns(device));
    match rules.find_map(|rule| (rule.broken)(device, policy)) {
        Some(reason) => Err(Refusal::new(reason)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
