// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices: model, driver, firmware, feature, eswitch, functions, tc, what is stacked on them.
//!
//! Owns these checks. What is said about models and modes comes from the vendor's documentation and
//! the driver's source; only a trial (`live`) is sure.

use fastswan::offload::is_stacked;

use super::{Report, Verdict};
use crate::facts::{Answer, Device, Facts};
use crate::machine::is_fault;

/// The one driver in Linux with packet offload.
pub(super) const MLX5: &str = "mlx5_core";
const MELLANOX: &str = "15b3";

/// PCI device IDs, with whether they have packet offload.
const MODELS: &[(&str, &str, bool)] = &[
    ("1013", "ConnectX-4", false),
    ("1015", "ConnectX-4 Lx", false),
    ("1017", "ConnectX-5", false),
    ("1019", "ConnectX-5 Ex", false),
    ("101b", "ConnectX-6", false),
    ("101d", "ConnectX-6 Dx", true),
    ("101f", "ConnectX-6 Lx", true),
    ("1021", "ConnectX-7", true),
    ("1023", "ConnectX-8", true),
    ("1025", "ConnectX-9", true),
    ("1027", "ConnectX-10", true),
    ("2101", "ConnectX-10", true),
    ("a2d6", "BlueField-2", true),
    ("a2dc", "BlueField-3", true),
    ("a2df", "BlueField-4", true),
];
/// A virtual function of any of them.
const VIRTUAL_FUNCTION: &str = "101e";

pub(super) fn examine(facts: &Facts, report: &mut Report) {
    let devices = match &facts.devices {
        Answer::Known(devices) => devices,
        Answer::Unknown(why) => {
            report.skip("nic-found", None, why.clone());
            return;
        }
    };
    let candidates: Vec<&Device> = devices
        .iter()
        .filter(|device| {
            !is_stacked(device.kind.as_deref())
                && (device.esp_offload || device.driver.as_deref() == Some(MLX5))
        })
        .collect();
    if candidates.is_empty() {
        report.add(
            "nic-found",
            None,
            Verdict::Fail,
            "no device offloads IPsec, and none is a ConnectX",
            "use a crypto-enabled ConnectX-6 Dx, ConnectX-7 or later, or a BlueField.",
        );
        return;
    }
    let names: Vec<&str> = candidates
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    report.good("nic-found", None, names.join(", "));
    for device in candidates {
        model(device, report);
        crypto(device, report);
        feature(device, report);
        said(facts, device, report);
        state(device, report);
        functions(device, report);
        eswitch(device, report);
        tc(device, report);
        stacked(facts, device, report);
        counters(device, report);
    }
}

fn name(device: &Device) -> String {
    device.name.clone()
}

fn model(device: &Device, report: &mut Report) {
    let driver = device
        .driver
        .as_deref()
        .unwrap_or("a driver without a name");
    let mut about = vec![format!("driver {driver}")];
    about.extend(
        device
            .firmware
            .as_ref()
            .map(|firmware| format!("firmware {firmware}")),
    );
    about.extend(device.board.as_ref().map(|board| format!("board {board}")));
    let about = about.join(", ");
    let known = device
        .pci
        .as_ref()
        .filter(|(vendor, _)| vendor == MELLANOX)
        .and_then(|(_, id)| MODELS.iter().find(|(found, ..)| found == id));
    match known {
        Some((_, model, true)) => {
            report.good("nic-model", name(device), format!("{model}, {about}"));
        }
        Some((_, model, false)) => report.add(
            "nic-model",
            name(device),
            Verdict::Fail,
            format!("{model} has no packet offload ({about})"),
            "use a ConnectX-6 Dx, ConnectX-7 or later.",
        ),
        None if device
            .pci
            .as_ref()
            .is_some_and(|(vendor, id)| vendor == MELLANOX && id == VIRTUAL_FUNCTION) =>
        {
            report.add(
                "nic-model",
                name(device),
                Verdict::Warn,
                format!("a virtual function, {about}"),
                "prefer the physical function: firmware may refuse tunnel mode on virtual ones.",
            );
        }
        None if device.driver.as_deref() == Some(MLX5) => report.add(
            "nic-model",
            name(device),
            Verdict::Warn,
            format!("a model that is not known, {about}"),
            "try it with doctor --live.",
        ),
        None => report.add(
            "nic-model",
            name(device),
            Verdict::Warn,
            format!("{about}; packet offload is known of {MLX5} only"),
            "try it with doctor --live.",
        ),
    }
}

/// Boards of one model are sold with and without cryptography; what they call themselves says which.
fn crypto(device: &Device, report: &mut Report) {
    let Some(product) = &device.product else {
        report.skip(
            "nic-crypto",
            name(device),
            "the board does not say what it is called (VPD); nic-feature is what the driver found",
        );
        return;
    };
    let lower = product.to_lowercase();
    if ["no crypto", "crypto disabled", "without crypto"]
        .iter()
        .any(|words| lower.contains(words))
    {
        report.add(
            "nic-crypto",
            name(device),
            Verdict::Fail,
            format!("a board without cryptography: {product}"),
            "use one that is sold as crypto-enabled.",
        );
    } else if lower.contains("crypto") {
        report.good("nic-crypto", name(device), product.clone());
    } else {
        report.skip(
            "nic-crypto",
            name(device),
            format!("its name does not tell: {product}; nic-feature is what the driver found"),
        );
    }
}

fn feature(device: &Device, report: &mut Report) {
    if device.esp_offload {
        report.good(
            "nic-feature",
            name(device),
            match device.esp_segmentation {
                Some(true) => {
                    "esp-hw-offload and tx-esp-segmentation are on, which promises crypto offload at \
                     least"
                }
                Some(false) => {
                    "esp-hw-offload is on, which promises crypto offload at least; \
                     tx-esp-segmentation is off, so that large sends are cut up by the CPU"
                }
                None => "esp-hw-offload is on, which promises crypto offload at least",
            },
        );
    } else {
        report.add(
            "nic-feature",
            name(device),
            Verdict::Fail,
            "esp-hw-offload is off: the driver found no IPsec in kernel, firmware or board",
            "check kernel-config, that the board is a crypto-enabled one, and the kernel log for \
             \"IPSec ESP acceleration enabled\".",
        );
    }
}

/// What the driver said about IPsec. A hint only: the log is a ring.
fn said(facts: &Facts, device: &Device, report: &mut Report) {
    let lines = match &facts.kernel_log {
        Answer::Known(lines) => lines,
        Answer::Unknown(why) => {
            report.skip("nic-log", name(device), why.clone());
            return;
        }
    };
    let Some(address) = &device.address else {
        report.skip("nic-log", name(device), "it has no address on a bus");
        return;
    };
    let last = lines
        .iter()
        .rfind(|line| line.contains(address.as_str()) && !is_fault(line));
    match last {
        Some(line) if line.contains("IPSec ESP acceleration enabled") => {
            report.good("nic-log", name(device), "IPSec ESP acceleration enabled");
        }
        Some(line) => report.add(
            "nic-log",
            name(device),
            Verdict::Warn,
            format!("the driver said: {line}"),
            "it failed at its IPsec tables: look at nic-eswitch and nic-steering, and for a newer \
             firmware.",
        ),
        None => report.skip(
            "nic-log",
            name(device),
            "the driver said nothing, or the log was overwritten since",
        ),
    }
}

fn state(device: &Device, report: &mut Report) {
    if device.up {
        report.good("nic-up", name(device), "up");
    } else {
        report.add(
            "nic-up",
            name(device),
            Verdict::Warn,
            "down: it takes no SA until it is up, and loses all when it goes down",
            format!("ip link set {} up.", device.name),
        );
    }
}

fn functions(device: &Device, report: &mut Report) {
    if device.vfs_with_ipsec > 0 {
        report.add(
            "nic-vf",
            name(device),
            Verdict::Fail,
            format!(
                "{} of its functions have IPsec switched on, so that the device itself answers \
                 EBUSY",
                device.vfs_with_ipsec
            ),
            "devlink port function set DEV ipsec_packet disable, and the same for ipsec_crypto.",
        );
    } else if device.vfs > 0 {
        report.good(
            "nic-vf",
            name(device),
            format!("{} virtual functions, none with IPsec", device.vfs),
        );
    } else {
        report.good("nic-vf", name(device), "no virtual functions");
    }
}

/// Only the physical function of mlx5 has one to be asked.
fn eswitch(device: &Device, report: &mut Report) {
    if device.driver.as_deref() != Some(MLX5) || device.is_vf {
        let why = "only the physical function of a ConnectX has one";
        report.skip("nic-eswitch", name(device), why);
        report.skip("nic-steering", name(device), why);
        return;
    }
    let switchdev = match &device.eswitch {
        Answer::Unknown(why) => {
            report.skip("nic-eswitch", name(device), why.clone());
            false
        }
        Answer::Known(eswitch) if eswitch.mode == "switchdev" && eswitch.encap => {
            report.add(
                "nic-eswitch",
                name(device),
                Verdict::Warn,
                "switchdev with encapsulation: \"Packet offload tunnel mode is disabled due to \
                 encap settings\"",
                format!(
                    "devlink dev eswitch set pci/{} encap-mode none, or use legacy mode.",
                    device.address.as_deref().unwrap_or("ADDRESS")
                ),
            );
            true
        }
        Answer::Known(eswitch) if eswitch.mode == "switchdev" => {
            report.good("nic-eswitch", name(device), "switchdev, no encapsulation");
            true
        }
        Answer::Known(eswitch) => {
            report.good("nic-eswitch", name(device), eswitch.mode.clone());
            false
        }
    };
    match device.steering.as_deref() {
        None => report.skip(
            "nic-steering",
            name(device),
            "devlink does not tell flow_steering_mode",
        ),
        Some(mode) if mode != "dmfs" && switchdev => report.add(
            "nic-steering",
            name(device),
            Verdict::Fail,
            format!("switchdev with steering mode {mode} has no packet offload"),
            format!(
                "devlink dev param set pci/{} name flow_steering_mode value dmfs cmode runtime, \
                 before switching to switchdev.",
                device.address.as_deref().unwrap_or("ADDRESS")
            ),
        ),
        Some(mode) => report.good("nic-steering", name(device), mode.to_owned()),
    }
}

fn tc(device: &Device, report: &mut Report) {
    match &device.tc_in_hw {
        Answer::Known(0) => report.good("nic-tc", name(device), "no tc rule is in the hardware"),
        Answer::Known(count) => report.add(
            "nic-tc",
            name(device),
            Verdict::Fail,
            format!("{count} tc rules are in the hardware: SAs are refused with EBUSY"),
            format!(
                "remove them, or add them with skip_hw (tc filter show dev {} ingress).",
                device.name
            ),
        ),
        Answer::Unknown(why) => report.skip("nic-tc", name(device), why.clone()),
    }
}

fn stacked(facts: &Facts, device: &Device, report: &mut Report) {
    let Some(devices) = facts.devices.known() else {
        return;
    };
    if let Some(master) = device.master.and_then(|index| facts.device(index))
        && master.kind.as_deref() == Some("bond")
    {
        report.add(
            "nic-bond",
            name(device),
            Verdict::Fail,
            format!(
                "a member of {}: a bond takes no policies, \"Policy offload is not supported\"",
                master.name
            ),
            "route to the peers through the member itself, or take it out of the bond.",
        );
    } else {
        report.good("nic-bond", name(device), "in no bond");
    }
    let vlans: Vec<&str> = devices
        .iter()
        .filter(|other| {
            other.kind.as_deref() == Some("vlan") && other.lower == Some(device.ifindex)
        })
        .map(|other| other.name.as_str())
        .collect();
    if !vlans.is_empty() {
        report.add(
            "nic-vlan",
            name(device),
            Verdict::Warn,
            format!("peers behind {} cannot be offloaded", vlans.join(", ")),
            "let the encrypted side leave untagged; VLANs on the clear side are fine.",
        );
    } else {
        report.good("nic-vlan", name(device), "no VLAN on top of it");
    }
}

/// Counters of the driver that betray trouble, and what each means
/// (Documentation/networking/device_drivers/ethernet/mellanox/mlx5/counters.rst).
const DROPS: &[(&str, &str)] = &[
    (
        "ipsec_rx_drop_pkts",
        "failed the integrity check, were replayed, or beyond a hard limit",
    ),
    (
        "ipsec_rx_drop_mismatch_sa_sel",
        "came through an SA whose selector they do not match",
    ),
    (
        "ipsec_rx_drop_sp_alloc",
        "found no memory for what they carry after decryption",
    ),
    (
        "ipsec_rx_drop_sadb_miss",
        "the NIC decrypted, but whose SA the kernel no longer has",
    ),
    (
        "ipsec_tx_drop_pkts",
        "found no SA in the NIC for their policy, or an SA beyond its hard limit",
    ),
    (
        "ipsec_tx_drop_bundle",
        "were to go through more than one SA, which is not offloaded",
    ),
    ("ipsec_tx_drop_no_state", "had no SA any more in the kernel"),
    ("ipsec_tx_drop_not_ip", "are not IP"),
    (
        "ipsec_tx_drop_trailer",
        "had an ESP trailer that could not be cut off",
    ),
];

/// Counters of the driver that say that packets were lost.
fn counters(device: &Device, report: &mut Report) {
    let lost = device
        .counters
        .iter()
        .filter(|(name, value)| name.contains("drop") && **value > 0);
    let mut clean = true;
    for (counter, value) in lost {
        clean = false;
        let meaning = DROPS
            .iter()
            .find(|(known, _)| known == counter)
            .map_or("the driver dropped", |(_, meaning)| meaning);
        report.add(
            "nic-counters",
            name(device),
            Verdict::Warn,
            format!("{counter} {value}: packets that {meaning}"),
            format!("watch whether it grows (ethtool -S {}).", device.name),
        );
    }
    if clean && !device.counters.is_empty() {
        report.good("nic-counters", name(device), "the driver dropped nothing");
    } else if clean && device.esp_offload {
        report.skip(
            "nic-counters",
            name(device),
            "the driver has no counters of IPsec (ethtool -S)",
        );
    }
}
