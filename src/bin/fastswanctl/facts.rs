// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known about a machine, as data.
//!
//! Owns the types that `machine` fills, that `--record` writes and `--from` reads, and that the
//! checks of `doctor` judge. A recorded machine is a file of these, so that a check can be tested,
//! and a report be understood, on any other machine. Must not hold a key: none of the questions
//! behind it asks for one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the recorded form.
pub(crate) const SCHEMA: u32 = 1;

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer<T> {
    /// What was learned.
    Known(T),
    /// Why it was not.
    Unknown(String),
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self::Unknown("it was not asked".to_owned())
    }
}

impl<T> Answer<T> {
    pub(crate) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    pub(crate) fn from_result<E: std::fmt::Display>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Facts {
    /// [`SCHEMA`]
    pub(crate) schema: u32,
    /// How it came to be: "recorded by fastswanctl 0.1.0", or "modelled from …".
    pub(crate) origin: String,
    /// `uname -r`
    pub(crate) release: String,
    /// `ID` of /etc/os-release.
    pub(crate) distribution: String,
    /// The caller may ask the kernel everything.
    pub(crate) net_admin: bool,
    /// Values of the kernel's configuration: `y`, `m`, or `n` for "is not set"; by name without
    /// `CONFIG_`. An option that the file does not mention at all is absent.
    pub(crate) config: Answer<BTreeMap<String, String>>,
    /// Modules of interest.
    pub(crate) modules: BTreeMap<String, Module>,
    /// Some interface forwards packets.
    pub(crate) forwarding: bool,
    /// Network devices.
    pub(crate) devices: Answer<Vec<Device>>,
    /// /proc/net/xfrm_stat.
    pub(crate) xfrm_stat: Answer<BTreeMap<String, u64>>,
    /// Lines of the kernel's log that are about IPsec offload, or about a fault of the kernel.
    pub(crate) kernel_log: Answer<Vec<String>>,
    /// charon's process; `None` inside if it does not run.
    pub(crate) process: Answer<Option<Process>>,
    /// Gates that are closed.
    pub(crate) gates: Answer<Vec<Gate>>,
    /// SAs in the kernel.
    pub(crate) sas: Answer<Vec<Sa>>,
    /// The counters of the same SAs some time before, so that there are rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Before>,
    /// Policies in the kernel.
    pub(crate) policies: Answer<Vec<Policy>>,
    /// Profile of charon in AppArmor; `None` inside if it has none.
    pub(crate) apparmor: Answer<Option<String>>,
    /// charon, over vici.
    pub(crate) charon: Answer<Charon>,
    /// What is installed for charon, whether it runs or not.
    pub(crate) installed: Installed,
    /// Its swanctl.conf, which says what vici and our plugin do not.
    pub(crate) swanctl: Answer<Swanctl>,
    /// Ways to the peers.
    pub(crate) peers: Vec<Peer>,
}

/// State of a kernel module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Module {
    Loaded,
    Builtin,
    Loadable,
    Missing,
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    /// `vlan`, `bond`, …
    pub(crate) kind: Option<String>,
    pub(crate) master: Option<u32>,
    pub(crate) lower: Option<u32>,
    /// Feature `esp-hw-offload`.
    pub(crate) esp_offload: bool,
    /// Feature `tx-esp-segmentation`; `None` if it was not asked.
    pub(crate) esp_segmentation: Option<bool>,
    pub(crate) driver: Option<String>,
    /// PCI vendor and device, in hexadecimal without prefix.
    pub(crate) pci: Option<(String, String)>,
    /// Bus address, such as 0000:03:00.0.
    pub(crate) address: Option<String>,
    pub(crate) firmware: Option<String>,
    /// Board, as devlink names it (fw.psid, board.id).
    pub(crate) board: Option<String>,
    /// What the board calls itself, in its VPD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<String>,
    /// It is a virtual function.
    pub(crate) is_vf: bool,
    /// Virtual functions it has.
    pub(crate) vfs: u32,
    /// Virtual functions that have IPsec switched on.
    pub(crate) vfs_with_ipsec: u32,
    /// Mode and encapsulation mode of the eswitch.
    pub(crate) eswitch: Answer<Eswitch>,
    /// Parameter `flow_steering_mode`.
    pub(crate) steering: Option<String>,
    /// tc rules that are in the hardware.
    pub(crate) tc_in_hw: Answer<u32>,
    /// The driver's own counters (`ethtool -S`) whose names have `ipsec` or `esp` in them.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// The eswitch of a NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Eswitch {
    pub(crate) mode: String,
    pub(crate) encap: bool,
}

/// An SA in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sa {
    pub(crate) spi: u32,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) reqid: u32,
    /// `packet`, `crypto` or `software`.
    pub(crate) mode: String,
    pub(crate) ifindex: Option<u32>,
    pub(crate) inbound: Option<bool>,
    pub(crate) larval: bool,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) added: u64,
    /// Packets that failed the integrity check or were replayed.
    pub(crate) errors: u64,
}

/// Counters at an earlier look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Before {
    /// Milliseconds between the two looks.
    pub(crate) millis: u64,
    pub(crate) counters: Vec<Counters>,
}

/// What an SA had carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Counters {
    pub(crate) spi: u32,
    pub(crate) dst: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// charon's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// It has CAP_NET_ADMIN, with which buffers may be larger than the system's limit.
    pub(crate) net_admin: bool,
    /// `net.core.rmem_max`
    pub(crate) rmem_max: u64,
    /// Events of the kernel that did not fit into the buffers of its sockets, all netlink protocols.
    pub(crate) events_lost: u64,
}

/// A gate: a pair of networks that nothing passes in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gate {
    /// `LOCAL === REMOTE`, with `[PROTOCOL]` behind it if it has one.
    pub(crate) selector: String,
    /// Name of the CHILD_SA it was closed for.
    pub(crate) name: String,
    /// Seconds until it opens by itself.
    pub(crate) opens_in: Option<u64>,
    /// Who holds it; `None` if the plugin did not tell.
    pub(crate) holders: Option<Vec<String>>,
}

/// A policy in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Policy {
    /// `in`, `out` or `fwd`.
    pub(crate) dir: String,
    pub(crate) src: String,
    pub(crate) dst: String,
    /// IP protocol, 0 = any.
    pub(crate) proto: u8,
    /// The NIC that has it.
    pub(crate) ifindex: Option<u32>,
    pub(crate) reqid: Option<u32>,
    pub(crate) priority: u32,
    pub(crate) block: bool,
    pub(crate) templates: usize,
}

/// charon as it tells over vici.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Charon {
    pub(crate) version: String,
    /// Loaded plugins, in order.
    pub(crate) plugins: Vec<String>,
    /// What our plugin says; unknown if it is not there.
    pub(crate) plugin: Answer<Plugin>,
    /// Children of loaded connections.
    pub(crate) children: Vec<Child>,
    /// Established CHILD_SAs.
    pub(crate) child_sas: Vec<ChildSa>,
}

/// Our plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plugin {
    /// Its version.
    pub(crate) version: String,
    /// The strongSwan it was built for.
    pub(crate) strongswan: String,
    /// `kernel_fixes`
    pub(crate) kernel_fixes: String,
    /// The SAs it knows; unknown if it did not list them.
    pub(crate) sas: Answer<Vec<PluginSa>>,
}

/// An SA as our plugin has it in its books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PluginSa {
    pub(crate) spi: u32,
    pub(crate) dst: String,
    /// `packet`, `crypto` or `software`.
    pub(crate) mode: String,
    pub(crate) ifindex: Option<u32>,
    /// The kernel lost it, and the plugin knows.
    pub(crate) lost: bool,
}

/// A configured CHILD_SA. What the source does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Child {
    pub(crate) connection: String,
    pub(crate) name: String,
    /// `no`, `crypto`, `packet` or `auto`.
    pub(crate) offload: Option<String>,
    /// `tunnel`, `transport`, `beet`, `iptfs`, `pass`, `drop`.
    pub(crate) mode: Option<String>,
    pub(crate) local_ts: Vec<String>,
    pub(crate) remote_ts: Vec<String>,
    pub(crate) local_addrs: Vec<String>,
    pub(crate) remote_addrs: Vec<String>,
    pub(crate) esp_proposals: Option<Vec<String>>,
    pub(crate) ah_proposals: Vec<String>,
    pub(crate) replay_window: Option<u32>,
    pub(crate) encap: Option<bool>,
    pub(crate) tfc: Option<bool>,
    pub(crate) ipcomp: Option<bool>,
    pub(crate) if_id_in: Option<bool>,
    pub(crate) life_bytes: u64,
    pub(crate) rekey_bytes: u64,
    pub(crate) life_packets: u64,
    pub(crate) rekey_packets: u64,
}

/// A swanctl.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Swanctl {
    pub(crate) file: String,
    pub(crate) children: Vec<Child>,
}

/// An established CHILD_SA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChildSa {
    pub(crate) connection: String,
    pub(crate) name: String,
    pub(crate) unique_id: u64,
    pub(crate) reqid: u32,
    pub(crate) state: String,
    pub(crate) spi_in: u32,
    pub(crate) spi_out: u32,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) local_ts: Vec<String>,
    pub(crate) remote_ts: Vec<String>,
    pub(crate) esn: bool,
    pub(crate) algorithm: String,
    /// Seconds since it was installed.
    pub(crate) age: u64,
}

/// What is installed for charon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Installed {
    /// Where our plugin's file is.
    pub(crate) library: Option<String>,
    /// `load` in its snippet.
    pub(crate) load: Option<String>,
    /// An explicit `charon.load`.
    pub(crate) explicit_load: Option<Vec<String>>,
    /// `charon.plugins.kernel-fastswan.kernel_fixes` in the snippet.
    pub(crate) kernel_fixes: Option<String>,
}

/// The way to a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) address: String,
    pub(crate) connection: String,
    pub(crate) route: Answer<Way>,
}

/// A route's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Way {
    pub(crate) ifindex: u32,
    pub(crate) gateway: Option<String>,
    /// The next hop has a link-layer address.
    pub(crate) resolved: Answer<bool>,
}

impl Facts {
    /// A device by index.
    pub(crate) fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices
            .known()?
            .iter()
            .find(|device| device.ifindex == ifindex)
    }

    /// Name of a device.
    pub(crate) fn device_name(&self, ifindex: u32) -> String {
        self.device(ifindex)
            .map_or_else(|| format!("device {ifindex}"), |device| device.name.clone())
    }
}
