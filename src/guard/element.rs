// SPDX-License-Identifier: GPL-2.0-or-later
//! Elements of the sets: in which set, and under which key.
//!
//! Owns the sets' names, in both directions. Called by all who hold or release something, several times per CHILD_SA, so
//! an element allocates nothing. Must not know who holds it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::model::Pair;
use super::nft::ElementKey;
use super::ruleset::{self, Category};

/// A set of table `inet fastswan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// Guarded selectors.
    Gates(Category),
    /// What SAs may deliver; the category is about all packets.
    Delivered(Category),
    /// Outer addresses of SAs.
    Peers4,
    /// The same, IPv6.
    Peers6,
    /// UDP ports of charon.
    IkePorts,
    /// Reqids of guarded inbound SAs.
    Reqids,
    /// Reqids of CHILD_SAs of which a policy leaves, or left, its device.
    Shut,
    /// Devices that hold guarded SAs in packet mode.
    Nics,
}

impl Place {
    const FIXED: [(Self, &'static str); 6] = [
        (Self::Peers4, ruleset::PEERS4),
        (Self::Peers6, ruleset::PEERS6),
        (Self::IkePorts, ruleset::IKE_PORTS),
        (Self::Reqids, ruleset::REQIDS),
        (Self::Shut, ruleset::SHUT),
        (Self::Nics, ruleset::NICS),
    ];

    /// Whether its elements stay for a time after nobody holds them any more.
    pub(super) fn lingers(self) -> bool {
        matches!(self, Self::Gates(_) | Self::Shut)
    }

    /// The set's name.
    pub(super) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Gates(category) => category.gates().into(),
            Self::Delivered(category) => category.deliveries().into(),
            _ => Self::FIXED
                .iter()
                .find(|(place, _)| *place == self)
                .map_or("", |(_, name)| name)
                .into(),
        }
    }

    /// The set of that name, unless it is none of these.
    pub(super) fn read(name: &str) -> Option<Self> {
        if let Some((place, _)) = Self::FIXED.iter().find(|(_, fixed)| *fixed == name) {
            return Some(*place);
        }
        Category::of_gates(name)
            .map(Self::Gates)
            .or_else(|| Category::of_deliveries(name).map(Self::Delivered))
    }
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) set: Place,
    pub(super) key: ElementKey,
}

impl Key {
    /// An element whose key is yet to be put.
    pub(super) fn of(set: Place) -> Self {
        Self {
            set,
            key: ElementKey::new(),
        }
    }

    /// An element that the kernel has; nothing if no set of ours has so long a key.
    pub(super) fn read(set: Place, bytes: &[u8]) -> Option<Self> {
        let key = ElementKey::try_from(bytes).ok()?;
        Some(Self { set, key })
    }

    /// The next part of the key.
    pub(super) fn put(mut self, bytes: &[u8]) -> Self {
        let fits = self.key.try_extend_from_slice(bytes);
        debug_assert!(fits.is_ok(), "the longest has KEY_MAX bytes");
        self
    }

    /// The next part, an address.
    pub(super) fn address(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
    }

    /// Whether it is a guarded selector.
    pub(super) fn is_gate(&self) -> bool {
        matches!(self.set, Place::Gates(_))
    }

    /// The guarded selectors, if it is one.
    pub(super) fn pair(&self) -> Option<Pair> {
        match self.set {
            Place::Gates(category) => Pair::read(category, &self.key),
            _ => None,
        }
    }
}
