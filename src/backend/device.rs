// SPDX-License-Identifier: GPL-2.0-or-later
//! Which device a unit goes to.
//!
//! Owns the questions that come before the decision: the route to the peer and the device behind it,
//! which `paths.rs` remembers. Called by `place.rs`, `sa.rs` and `policy.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::error::Error;
use crate::model::{Offload, Placement};
use crate::nic::{Route, lookup_route_from};
use crate::offload::fixes::KernelFixes;
use crate::offload::{Device, Mode, Refusal};

use super::Core;
use super::units::UnitTurn;

/// What is to be placed.
pub(super) struct Question<'a> {
    /// CHILD_SA and connection, for messages.
    pub(super) name: &'a str,
    /// reqid.
    pub(super) reqid: u32,
    /// What is asked for.
    pub(super) wanted: Offload,
    /// Own outer address.
    pub(super) local: Option<IpAddr>,
    /// Peer's outer address.
    pub(super) peer: Option<IpAddr>,
    /// Mark of the outer packets, 0 = none.
    pub(super) mark: u32,
    /// Its reqid belongs to SAs with other selectors in some NIC: where it goes decides nothing for
    /// them.
    pub(super) apart: bool,
    /// Whether all that is known of the unit fits a device in a mode.
    pub(super) check: &'a dyn Fn(&Device, Mode) -> std::result::Result<(), Refusal>,
}

impl Core {
    /// For a policy of a unit whose device is away: it joins the unit and blocks until the device is
    /// back. charon puts policies back while it moves a CHILD_SA (child_sa.c: update) and does not
    /// look whether that worked, so a refusal would leave nothing in their place.
    pub(super) fn place_away(&self, turn: &UnitTurn<'_>) -> Option<Placement> {
        let placement = turn.view(|unit| unit.next.filter(|_| !unit.is_empty()))?;
        match placement {
            Placement::Packet(ifindex) if !self.links.is_up(ifindex) => Some(placement),
            _ => None,
        }
    }

    /// The way to the peer goes through another device than the unit's, for all of its SAs.
    pub(super) fn must_leave(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        placement: Placement,
    ) -> bool {
        let Some(old) = placement.device() else {
            return false;
        };
        if !matches!(self.device_towards(question), Ok(device) if device.ifindex != old) {
            return false;
        }
        let ends: BTreeSet<(IpAddr, IpAddr)> = turn.view(|unit| {
            let here = unit.sas().filter(|sa| sa.placement.device() == Some(old));
            here.map(|sa| match sa.inbound {
                true => (sa.key.dst, sa.src),
                false => (sa.src, sa.key.dst),
            })
            .collect()
        });
        !ends.into_iter().any(|(local, peer)| {
            self.path_to(peer, Some(local), 0)
                .is_some_and(|route| route.oif == old)
        })
    }

    /// The device behind the route to the peer.
    pub(super) fn device_towards(
        &self,
        question: &Question<'_>,
    ) -> std::result::Result<Device, Refusal> {
        let Some(peer) = question.peer.filter(|peer| !peer.is_unspecified()) else {
            return Err(Refusal::way("the peer is not known yet"));
        };
        self.device_to(peer, question.local, question.mark)
    }

    /// The device that packets to a peer leave through.
    pub(super) fn device_to(
        &self,
        peer: IpAddr,
        local: Option<IpAddr>,
        mark: u32,
    ) -> std::result::Result<Device, Refusal> {
        let route = self
            .path_to(peer, local, mark)
            .ok_or_else(|| Refusal::way(format!("no route to the peer {peer}")))?;
        self.device_facts(route.oif)
    }

    /// The route that packets to `dst` take. An own address that is not up yet must not hide it.
    pub(super) fn route_to(&self, dst: IpAddr, src: Option<IpAddr>, mark: u32) -> Option<Route> {
        let transport = self.kernel.transport().as_ref();
        let src = src.filter(|src| !src.is_unspecified());
        let vrf = src.and_then(|src| self.vrf_of(src)).unwrap_or(0);
        let route = lookup_route_from(transport, dst, src, mark, vrf);
        match (route, src) {
            (Err(_), Some(_)) => lookup_route_from(transport, dst, None, mark, vrf).ok(),
            (route, _) => route.ok(),
        }
    }

    /// The VRF that an own address belongs to. What is sent from it is routed there
    /// (net/xfrm/xfrm_policy.c: xfrm_bundle_create takes the VRF of the flow for the outer route).
    fn vrf_of(&self, local: IpAddr) -> Option<u32> {
        if !self.links.any_vrf() {
            return None;
        }
        let name = self.host.interface_of(local)?;
        let link = self.links.by_name(&name)?;
        if link.kind.as_deref() == Some("vrf") {
            return Some(link.ifindex);
        }
        let master = self.links.get(link.master?)?;
        (master.kind.as_deref() == Some("vrf")).then_some(master.ifindex)
    }

    /// Facts about a device, from the cache.
    pub(super) fn device_facts(&self, ifindex: u32) -> std::result::Result<Device, Refusal> {
        let link = self
            .links
            .get(ifindex)
            .or_else(|| self.links.refresh(ifindex))
            .ok_or_else(|| {
                Refusal::way(format!("device {ifindex} is gone: it has no IPsec offload"))
            })?;
        let lacks = match link.driver.as_deref() {
            Some("mlx5_core") => self.kernel_lacks(),
            _ => Vec::new(),
        };
        Ok(Device {
            lacks,
            ifindex: link.ifindex,
            name: link.name,
            up: link.up,
            kind: link.kind,
            esp_offload: link.esp_offload,
            driver: link.driver,
        })
    }

    /// The fixes that this kernel lacks.
    fn kernel_lacks(&self) -> Vec<&'static str> {
        let declared = self.config().kernel_fixes.clone();
        let fixes = KernelFixes {
            release: self.release,
            declared,
        };
        fixes.missing().map(|fix| fix.id).collect()
    }

    /// Name of a device for messages.
    pub(super) fn device_name(&self, ifindex: u32) -> String {
        self.links
            .get(ifindex)
            .map_or_else(|| format!("device {ifindex}"), |link| link.name)
    }
}

/// The mode of a placement, without its device.
pub(super) fn mode_of(placement: Placement) -> Mode {
    match placement {
        Placement::Software => Mode::Software,
        Placement::Crypto(_) => Mode::Crypto,
        Placement::Packet(_) => Mode::Packet,
    }
}

/// A refusal as the answer to a question.
pub(super) fn refused(question: &Question<'_>, refusal: &Refusal) -> Error {
    Error::Refused {
        reason: format!("no {} HW offload: {}", question.wanted, refusal.reason),
        remedy: refusal.remedy.to_owned(),
    }
}
