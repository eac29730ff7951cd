// SPDX-License-Identifier: GPL-2.0-or-later
//! Which device a unit goes to, and in which mode.
//!
//! Owns the questions that come before the decision: the route to the peer, the device behind it and
//! its next hop. The decision itself is `offload/`'s. Called by `sa.rs` and `policy.rs`.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::{Offload, Placement};
use crate::nic::{Route, lookup_route, resolve_neighbour};
use crate::offload::{self, Device, Mode, Refusal, check_device};

use super::Core;
use super::units::Claim;

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
    /// Whether all that is known of the unit fits a device in a mode.
    pub(super) check: &'a dyn Fn(&Device, Mode) -> std::result::Result<(), Refusal>,
}

impl Core {
    /// Finds the place of a unit, the one it has or a new one, and claims it for one more object.
    pub(super) fn place(&self, question: &Question<'_>) -> Result<Claim<'_>> {
        while let Some(placement) = self.units.placement(question.reqid) {
            if self.must_leave(question, placement) {
                let to = self.decide(question, Mode::Packet)?;
                self.rehome(question, placement, to)?;
                continue;
            }
            match self.check_existing(question, placement) {
                Ok(()) => return Ok(self.units.claim(question.reqid, placement)),
                Err(refusal) if question.wanted == Offload::Auto => {
                    self.lower(question, placement, &refusal)?;
                }
                Err(refusal) => return Err(refused(question, &refusal)),
            }
        }
        let placement = self.decide(question, Mode::Packet)?;
        Ok(self.units.claim(question.reqid, placement))
    }

    /// For a policy of a unit whose device is away: it joins the unit and blocks until the device is
    /// back. charon puts policies back while it moves a CHILD_SA (child_sa.c: update) and does not
    /// look whether that worked, so a refusal would leave nothing in their place.
    pub(super) fn claim_away(&self, question: &Question<'_>) -> Option<Claim<'_>> {
        let placement = self.units.placement(question.reqid)?;
        match placement {
            Placement::Packet(ifindex) if !self.links.is_up(ifindex) => {
                let claim = self.units.claim(question.reqid, placement);
                (claim.placement() == placement).then_some(claim)
            }
            _ => None,
        }
    }

    /// The way to the peer goes through another device than the unit's, for all of its SAs.
    fn must_leave(&self, question: &Question<'_>, placement: Placement) -> bool {
        let Some(old) = placement.device() else {
            return false;
        };
        if !matches!(self.device_towards(question), Ok(device) if device.ifindex != old) {
            return false;
        }
        let sas = self.sad.select(|record| {
            record.reqid == question.reqid && record.placement.device() == Some(old)
        });
        !sas.iter().any(|record| {
            let (local, peer) = if record.inbound {
                (record.id.dst.ip, record.id.src.ip)
            } else {
                (record.id.src.ip, record.id.dst.ip)
            };
            self.route_to(peer, Some(local), 0)
                .is_some_and(|route| route.oif == old)
        })
    }

    /// The unit's next generation goes elsewhere; the old one stays where it is until it is closed.
    fn rehome(&self, question: &Question<'_>, from: Placement, to: Placement) -> Result<()> {
        if !self.units.relocate(question.reqid, from, to) {
            return Ok(());
        }
        log::info!("{} moves from {from} to {to}: its route did", question.name);
        for key in self.spd.keys() {
            if let Some(mut turn) = self.spd.existing(&key)
                && turn.entry.installed.as_ref().is_some_and(|installed| {
                    installed.reqid == question.reqid && installed.device().is_some()
                })
            {
                self.install(&mut turn)?;
            }
        }
        Ok(())
    }

    /// An object joins a unit that is somewhere already.
    fn check_existing(
        &self,
        question: &Question<'_>,
        placement: Placement,
    ) -> std::result::Result<(), Refusal> {
        if question.wanted == Offload::Packet && !placement.is_packet() {
            return Err(Refusal {
                reason: format!(
                    "reqid {} belongs to a unit in {placement} mode already",
                    question.reqid
                ),
                remedy: "use the same hw_offload for connections that share selectors or reqid",
            });
        }
        let (Some(ifindex), mode) = (placement.device(), mode_of(placement)) else {
            return Ok(());
        };
        let device = self.device_facts(ifindex)?;
        check_device(&device, mode)?;
        (question.check)(&device, mode)
    }

    /// Decides for a unit; `auto` takes nothing better than `best`.
    pub(super) fn decide(&self, question: &Question<'_>, best: Mode) -> Result<Placement> {
        if question.wanted == Offload::No {
            return Ok(Placement::Software);
        }
        let device = self.device_towards(question);
        let decision = offload::decide(question.wanted, best, |mode| {
            let device = device.as_ref().map_err(Clone::clone)?;
            check_device(device, mode)?;
            (question.check)(device, mode)
        })
        .map_err(|refusal| refused(question, &refusal))?;
        for step in &decision.steps {
            log::info!(
                "HW offload auto for {}: no {} offload: {}",
                question.name,
                step.mode,
                step.refusal
            );
        }
        Ok(match (decision.mode, device) {
            (Mode::Packet, Ok(device)) => Placement::Packet(device.ifindex),
            (Mode::Crypto, Ok(device)) => Placement::Crypto(device.ifindex),
            _ => Placement::Software,
        })
    }

    /// The device behind the route to the peer.
    fn device_towards(&self, question: &Question<'_>) -> std::result::Result<Device, Refusal> {
        let Some(peer) = question.peer.filter(|peer| !peer.is_unspecified()) else {
            return Err(Refusal::new("the peer is not known yet"));
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
            .route_to(peer, local, mark)
            .ok_or_else(|| Refusal::new(format!("no route to the peer {peer}")))?;
        self.device_facts(route.oif)
    }

    /// The route that packets to `dst` take. An own address that is not up yet must not hide it.
    pub(super) fn route_to(&self, dst: IpAddr, src: Option<IpAddr>, mark: u32) -> Option<Route> {
        let transport = self.kernel.transport().as_ref();
        let src = src.filter(|src| !src.is_unspecified());
        let route = lookup_route(transport, dst, src, mark);
        match (route, src) {
            (Err(_), Some(_)) => lookup_route(transport, dst, None, mark).ok(),
            (route, _) => route.ok(),
        }
    }

    /// Facts about a device, from the cache.
    pub(super) fn device_facts(&self, ifindex: u32) -> std::result::Result<Device, Refusal> {
        let link = self
            .links
            .get(ifindex)
            .or_else(|| self.links.refresh(ifindex))
            .ok_or_else(|| {
                Refusal::new(format!("device {ifindex} is gone: it has no IPsec offload"))
            })?;
        Ok(Device {
            ifindex: link.ifindex,
            name: link.name,
            up: link.up,
            kind: link.kind,
            esp_offload: link.esp_offload,
            driver: link.driver,
        })
    }

    /// Name of a device for messages.
    pub(super) fn device_name(&self, ifindex: u32) -> String {
        self.links
            .get(ifindex)
            .map_or_else(|| format!("device {ifindex}"), |link| link.name)
    }

    /// Makes sure that the next hop's link-layer address is known: the NIC takes it once, when the
    /// SA is added (mlx5e_ipsec_init_macs), and sends to nobody if it is not there.
    pub(super) fn prepare_next_hop(&self, ifindex: u32, peer: IpAddr, local: IpAddr, mark: u32) {
        let Some(route) = self.route_to(peer, Some(local), mark) else {
            return;
        };
        let hop = route.gateway.unwrap_or(peer);
        let wait = Duration::from_millis(self.config().neighbour_timeout_ms);
        match resolve_neighbour(self.kernel.transport().as_ref(), ifindex, hop, wait) {
            Ok(Some(_)) => {}
            Ok(None) => log::warn!(
                "next hop {hop} towards {peer} has no link-layer address on {}: the NIC cannot \
                 send until it is resolved; check the gateway",
                self.device_name(ifindex)
            ),
            Err(error) => log::warn!(
                "unable to resolve next hop {hop} towards {peer} on {}: {error}",
                self.device_name(ifindex)
            ),
        }
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

fn refused(question: &Question<'_>, refusal: &Refusal) -> Error {
    Error::Refused {
        reason: format!("no {} HW offload: {}", question.wanted, refusal.reason),
        remedy: refusal.remedy.to_owned(),
    }
}
