// SPDX-License-Identifier: GPL-2.0-or-later
//! A refusal in words: the rule that was broken and what to do about it.
//!
//! Owns the texts. The reasons are the drivers' own words where a driver has some, so that a search
//! for one finds the other, whether we refused before asking or the driver did.

use std::fmt;

use crate::error::KernelError;

/// What kind of reason it is, and so whether it can pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What is asked for cannot be done: that stays until the configuration changes.
    Rule,
    /// The way to the peer does not lead through a device that is able: a route or a link may
    /// change.
    Way,
    /// No room in the device.
    Room,
    /// Something else blocks the device for now.
    Busy,
}

/// Why something cannot be offloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is broken.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
    /// Whether it can pass.
    pub cause: Cause,
}

impl Refusal {
    /// A refusal whose remedy is found by its reason.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let remedy = remedy(&reason);
        Self {
            reason,
            remedy,
            cause: Cause::Rule,
        }
    }

    /// As [`Refusal::new`], for a reason that a route or a link can mend.
    pub fn way(reason: impl Into<String>) -> Self {
        Self {
            cause: Cause::Way,
            ..Self::new(reason)
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// What the kernel's refusal means for the configuration. The kernel's own words stay in front.
pub fn explain(error: &KernelError) -> Refusal {
    let remedy = match error.plain_text() {
        Some(text) => remedy(text),
        None => match error.errno {
            libc::EINVAL => {
                "the driver gave no reason: it may not do packet offload at all; \
                 check the NIC, its firmware and the kernel log"
            }
            libc::EOPNOTSUPP => "the device offers no IPsec offload: use hw_offload = no or auto",
            libc::EBUSY => BUSY,
            libc::ENOSPC | libc::ENOMEM => FULL,
            libc::EPERM => "charon lacks CAP_NET_ADMIN",
            _ => "",
        },
    };
    let cause = match (error.errno, error.plain_text()) {
        (libc::ENOSPC | libc::ENOMEM, _) => Cause::Room,
        (_, Some(text)) if text.ends_with("table is full") => Cause::Room,
        (libc::EBUSY, _) => Cause::Busy,
        _ => Cause::Rule,
    };
    Refusal {
        reason: error.to_string(),
        remedy,
        cause,
    }
}

const BUSY: &str = "the device is busy: offloaded tc rules (tc filter show dev ... in_hw), a VF with \
                    IPsec, or a mode change of the eswitch block IPsec offload; remove them or use \
                    hw_offload = auto or no";
const FULL: &str = "the NIC's table is full: use hw_offload = auto or fewer CHILD_SAs";
const AEAD: &str = "use esp_proposals = aes256gcm16-esn or aes128gcm16-esn \
                    (with a key exchange method for PFS)";
const SELECTOR: &str = "use selectors without a protocol, or with TCP or UDP";
const WINDOW: &str = "set replay_window = 32, 64, 128 or 256";
const LIMITS: &str = "set the rekey limit below the life limit, and neither to 0";
const NO_PACKET: &str = "use hw_offload = crypto, auto or no, or a NIC with packet offload \
                         (ConnectX-6 Dx, ConnectX-7 or later)";

/// Pairs of a text, as it begins, and its remedy. Texts of drivers/net/ethernet/mellanox/mlx5/core/
/// en_accel/ipsec.c and net/xfrm/xfrm_device.c.
const REMEDIES: &[(&str, &str)] = &[
    ("Cannot offload authenticated xfrm states", AEAD),
    ("Only AES-GCM-ICV16 xfrm state may be offloaded", AEAD),
    ("Cannot offload xfrm states without aead", AEAD),
    ("Cannot offload xfrm states with AEAD ICV length", AEAD),
    ("Cannot offload xfrm states with AEAD key length", AEAD),
    ("Cannot offload xfrm states without geniv", AEAD),
    (
        "Cannot offload xfrm states with geniv other than seqiv",
        AEAD,
    ),
    ("Cannot offload compressed xfrm states", "set ipcomp = no"),
    (
        "Cannot offload xfrm states with tfc padding",
        "set tfc_padding = 0",
    ),
    ("TFC padding can't be offloaded", "set tfc_padding = 0"),
    (
        "Cannot offload ESN xfrm states",
        "use a proposal without esn, or newer firmware",
    ),
    (
        "Device doesn't support offload with ESN",
        "use a proposal without esn, or hw_offload = packet",
    ),
    (
        "Only IPv4/6 xfrm states may be offloaded",
        "use IPv4 or IPv6 addresses",
    ),
    (
        "Only ESP xfrm state may be offloaded",
        "use esp_proposals, not ah_proposals",
    ),
    (
        "Encapsulation is supported in transport mode only",
        "a tunnel through a NAT cannot be offloaded: remove the NAT or use hw_offload = auto or no",
    ),
    (
        "Encapsulation is not supported",
        "ESP in UDP cannot be offloaded by this device: remove the NAT, set encap = no, or use \
         hw_offload = auto or no",
    ),
    (
        "Encapsulation other than UDP is not supported",
        "use ESP in UDP (RFC 3948)",
    ),
    (
        "Encapsulation is supported in packet offload mode only",
        "use hw_offload = packet in transport mode, or no",
    ),
    (
        "Device does not support upper protocol other than TCP/UDP",
        SELECTOR,
    ),
    (
        "Only transport and tunnel xfrm states may be offloaded",
        "use mode = tunnel or transport",
    ),
    (
        "Crypto offload is not supported",
        "use hw_offload = no or auto",
    ),
    ("Packet offload is not supported for tunnel mode", NO_PACKET),
    ("Packet offload is not supported", NO_PACKET),
    ("Device doesn't support IPsec packet offload", NO_PACKET),
    ("Policy offload is not supported", NO_PACKET),
    ("Unsupported ipsec offload type", NO_PACKET),
    ("Unsupported xfrm offload", NO_PACKET),
    ("Unsupported replay window size", WINDOW),
    (
        "the device arms anti-replay with",
        "use a proposal with -esn, or accept replayed packets with allow_no_replay = yes",
    ),
    ("Cannot offload without reqid", "do not set reqid = 0"),
    (
        "belongs to an SA in the device that is not ours",
        "set charon.reqid_base, or reqid of the CHILD_SA, to a number that others do not use, or end \
         what installed the other SA (ip xfrm state)",
    ),
    (
        "belongs to a CHILD_SA with other traffic selectors",
        "give each of them a reqid of its own or none, or set hw_offload = auto or no for one",
    ),
    ("Hard byte limit must be greater than soft one", LIMITS),
    ("Soft/hard byte limits can't be 0", LIMITS),
    ("Hard packet limit must be greater than soft one", LIMITS),
    ("Soft/hard packet limits can't be 0", LIMITS),
    (
        "Packet offload tunnel mode is disabled due to encap settings",
        "set the eswitch encap mode to none, or use legacy mode (devlink dev eswitch)",
    ),
    (
        "XFRM if_id is not supported in RX path",
        "XFRM interfaces cannot be offloaded: leave if_id_in and if_id_out out, or use \
         hw_offload = no",
    ),
    (
        "Type doesn't support offload",
        "load the modules esp4_offload and esp6_offload",
    ),
    ("Cannot offload more than one template", "set ipcomp = no"),
    ("Cannot offload non-main policy types", "use main policies"),
    (
        "Cannot offload forward policy",
        "forward policies stay in software",
    ),
    (
        "Unsupported policy with reqid 0",
        "a shunt needs an address or a protocol to be offloaded: use hw_offload = no for it",
    ),
    (
        "Device does not support policy priority",
        "the kernel lacks CONFIG_MLX5_CLS_ACT, or the firmware ignore_flow_level",
    ),
    (
        "Device doesn't support requested policy priority",
        "set priority below 4294967295",
    ),
    ("Device failed to offload this state", BUSY),
    ("Device failed to offload this policy", BUSY),
    ("SA table is full", FULL),
    ("policy table is full", FULL),
    (
        "through a packet offload tunnel of the other",
        "use selectors of the same family as the outer addresses, or hw_offload = no",
    ),
    (
        "choose among SAs by CPU",
        "set per_cpu_sas = no, or use hw_offload = no",
    ),
    (
        "choose among SAs by security label",
        "use hw_offload = no with labels",
    ),
    (
        "does not match marks",
        "leave mark_in and mark_out out, or use hw_offload = auto or no",
    ),
    (
        "does not match security labels",
        "use hw_offload = no with labels",
    ),
    (
        "does not know XFRM interfaces",
        "leave if_id_in and if_id_out out, or use hw_offload = no",
    ),
    (
        "would match all addresses instead of",
        "split the selector into prefixes that do not begin with zeroes, use 0.0.0.0/0 or ::/0, or \
         hw_offload = auto or no",
    ),
    (
        "would match all ports instead of",
        "use a port range that does not begin with 0, or no ports",
    ),
    (
        "would match the first address instead of",
        "use Linux 6.15 or later, single addresses, or, if the kernel has the fix, name it in \
         kernel_fixes",
    ),
    (
        "this kernel panics",
        "use Linux 6.14 or later or a stable release with the fix, or, if the kernel has it, name it \
         in kernel_fixes",
    ),
    (
        "the kernel ignores the request for offload",
        "it needs a kernel with CONFIG_XFRM_OFFLOAD",
    ),
    (
        "no IPsec offload",
        "use a NIC with packet offload (ConnectX-6 Dx, ConnectX-7 or later) for the route to the \
         peer, or set hw_offload = auto or no",
    ),
    (
        "device is a",
        "only a route straight through the physical port can be offloaded: move the outer address \
         to the port, or set hw_offload = auto or no",
    ),
    ("device is down", "bring the link up (ip link set up)"),
    (
        "no route to the peer",
        "add a route to the peer, or name the remote address (remote_addrs)",
    ),
    (
        "the peer is not known yet",
        "name the peer in remote_addrs, or set hw_offload = auto or no for this trap",
    ),
];

/// The remedy for a reason, empty if none is known.
fn remedy(reason: &str) -> &'static str {
    REMEDIES
        .iter()
        .find(|(text, _)| reason.contains(text))
        .map_or("", |(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_words_find_their_remedy_whatever_the_driver_is_called() {
        for driver in ["mlx5_core", "other"] {
            let error = KernelError {
                request: "XFRM_MSG_NEWSA",
                errno: libc::EINVAL,
                text: Some(format!(
                    "{driver}: Only AES-GCM-ICV16 xfrm state may be offloaded"
                )),
                attribute: None,
            };
            let refusal = explain(&error);
            assert_eq!(refusal.remedy, AEAD);
            assert!(refusal.reason.contains(driver), "the kernel's words stay");
        }
    }

    #[test]
    fn the_longer_text_is_found_before_the_shorter_one() {
        let long = Refusal::new("Encapsulation is supported in transport mode only");
        assert!(long.remedy.contains("tunnel through a NAT"));
        let no_tunnel = Refusal::new("Packet offload is not supported for tunnel mode");
        assert_eq!(no_tunnel.remedy, NO_PACKET);
    }

    #[test]
    fn an_error_without_text_is_explained_by_its_number() {
        let error = |errno| explain(&KernelError::new("XFRM_MSG_NEWSA", errno));
        assert_eq!(error(libc::EBUSY).remedy, BUSY);
        assert_eq!(error(libc::ENOSPC).remedy, FULL);
        assert!(error(libc::EINVAL).remedy.contains("gave no reason"));
        assert!(error(libc::EPERM).remedy.contains("CAP_NET_ADMIN"));
    }
}
