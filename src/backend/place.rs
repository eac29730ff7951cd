// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the next generation of a unit goes.
//!
//! Owns the decision when an object joins a unit: the place the unit has, or a new one because it
//! has none, its route moved, or what kept it out of the NIC has passed. What is installed already
//! stays where it is; policies follow their SAs (`units.rs`). Called by `sa.rs` and `policy.rs`
//! within the unit's turn.

use crate::error::{Error, Result};
use crate::model::{Offload, Placement};
use crate::offload::{self, Cause, Mode, Refusal, check_device};

use super::Core;
use super::device::{Question, mode_of, refused};
use super::fallback::Newcomer;
use super::units::{Unit, UnitTurn};

/// A place, and why it is not a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) placement: Placement,
    pub(super) cause: Option<Cause>,
}

impl Core {
    /// Finds the place for a new object of a unit. Nothing is recorded of an object that is refused.
    pub(super) fn place(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        newcomer: &Newcomer<'_>,
    ) -> Result<Placement> {
        // The rest of a generation goes where its first SA went.
        let bound = turn.view(|unit| {
            let first = match newcomer {
                Newcomer::Inbound | Newcomer::Policy(None) => None,
                Newcomer::Outbound(child) => unit.awaits_outbound(child),
                Newcomer::Policy(Some(name)) => Some(*name),
            };
            Some(unit.sa(first?)?.placement)
        });
        if let Some(placement) = bound {
            return self.join_at(turn, question, placement, newcomer);
        }
        if question.apart {
            return self.place_apart(question);
        }
        let Some(placement) = turn.view(|unit| unit.next) else {
            let place = self.decide(question, Mode::Packet)?;
            return self.adopt(turn, question, place);
        };
        if self.must_leave(turn, question, placement) {
            let place = self.decide(question, Mode::Packet)?;
            if place.placement != placement {
                log::info!(
                    "{} moves from {placement} to {}: its route did",
                    question.name,
                    place.placement
                );
            }
            return self.adopt(turn, question, place);
        }
        if self.may_rise(turn, question, placement) {
            let place = self.decide(question, Mode::Packet)?;
            if mode_of(place.placement) < mode_of(placement) {
                log::info!(
                    "{} moves from {placement} to {}: the device can take it now",
                    question.name,
                    place.placement
                );
                return self.adopt(turn, question, place);
            }
        }
        self.join_at(turn, question, placement, newcomer)
    }

    /// An SA whose reqid belongs to SAs with other selectors in some NIC. In packet mode on another
    /// device it does them no harm; outside of packet mode it would: the kernel takes it for the end
    /// of the list of SAs in NICs (net/xfrm/xfrm_state.c: xfrm_state_find, XFRM_STATE_INSERT) and
    /// finds none for their policies.
    fn place_apart(&self, question: &Question<'_>) -> Result<Placement> {
        let placement = self.decide(question, Mode::Packet)?.placement;
        if placement.is_packet() {
            return Ok(placement);
        }
        Err(Error::Refused {
            reason: format!(
                "reqid {} belongs to a CHILD_SA with other traffic selectors in packet mode, whose \
                 policies would find no SA beside one in {placement} mode",
                question.reqid
            ),
            remedy: "give each of them a reqid of its own or none".to_owned(),
        })
    }

    /// Checks whether an object can be where the rest is; `auto` takes the rest along.
    fn join_at(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        placement: Placement,
        newcomer: &Newcomer<'_>,
    ) -> Result<Placement> {
        turn.view(|unit| fits(unit, question, placement))
            .map_err(|refusal| refused(question, &refusal))?;
        match self.check_existing(question, placement) {
            Ok(()) => Ok(placement),
            Err(refusal) if question.wanted == Offload::Auto => {
                self.lower(turn, question, placement, &refusal, newcomer)
            }
            Err(refusal) => Err(refused(question, &refusal)),
        }
    }

    /// The unit's next generation goes there, unless that contradicts what others want of it.
    fn adopt(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        place: Place,
    ) -> Result<Placement> {
        turn.change(|unit| {
            fits(unit, question, place.placement)?;
            (unit.next, unit.cause) = (Some(place.placement), place.cause);
            Ok(place.placement)
        })
        .map_err(|refusal| refused(question, &refusal))
    }

    /// A unit that is not in packet mode gets another chance with its next generation: a trap that
    /// was installed before there was a route or a link, or a unit for which there was no room.
    fn may_rise(&self, turn: &UnitTurn<'_>, question: &Question<'_>, from: Placement) -> bool {
        if from.is_packet() || !matches!(question.wanted, Offload::Auto | Offload::Packet) {
            return false;
        }
        turn.view(|unit| {
            !unit.is_plain()
                && (unit.has_no_sas()
                    || question.wanted == Offload::Auto
                        && matches!(unit.cause, Some(Cause::Way | Cause::Room | Cause::Busy)))
        })
    }

    /// Whether an object that joins a unit can be done where the unit is.
    fn check_existing(
        &self,
        question: &Question<'_>,
        placement: Placement,
    ) -> std::result::Result<(), Refusal> {
        let (Some(ifindex), mode) = (placement.device(), mode_of(placement)) else {
            return Ok(());
        };
        let device = self.device_facts(ifindex)?;
        check_device(&device, mode)?;
        (question.check)(&device, mode)
    }

    /// Decides for a unit; `auto` takes nothing better than `best`.
    pub(super) fn decide(&self, question: &Question<'_>, best: Mode) -> Result<Place> {
        if question.wanted == Offload::No {
            return Ok(Place {
                placement: Placement::Software,
                cause: None,
            });
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
        let placement = match (decision.mode, device) {
            (Mode::Packet, Ok(device)) => Placement::Packet(device.ifindex),
            (Mode::Crypto, Ok(device)) => Placement::Crypto(device.ifindex),
            _ => Placement::Software,
        };
        Ok(Place {
            placement,
            cause: decision.steps.first().map(|step| step.refusal.cause),
        })
    }
}

/// Whether what is asked for can be had in a unit that goes to `placement`.
fn fits(
    unit: &Unit,
    question: &Question<'_>,
    placement: Placement,
) -> std::result::Result<(), Refusal> {
    let fits = match question.wanted {
        // A trap alone is no reason: it comes along.
        Offload::Packet => placement.is_packet() || (unit.has_no_sas() && !unit.is_plain()),
        Offload::Auto => !(placement.is_packet() && unit.is_plain()),
        // Below packet mode the SPD is the kernel's own: SAs of both kinds serve one policy.
        Offload::Crypto | Offload::No => !placement.is_packet(),
    };
    if fits {
        return Ok(());
    }
    let refusal = |reason| Refusal {
        reason,
        remedy: "use the same hw_offload for connections that share selectors or reqid; after a \
                 change of hw_offload, close the old CHILD_SA or trap first",
        cause: Cause::Rule,
    };
    Err(if placement.is_packet() && unit.is_plain() {
        refusal(format!(
            "reqid {} is shared with a CHILD_SA or trap without packet offload",
            question.reqid
        ))
    } else {
        refusal(format!(
            "reqid {} belongs to a unit in {placement} mode already",
            question.reqid
        ))
    })
}

/// As [`Core::place`] has it for an object that was refused before.
pub(super) fn no_lower_mode(why: &Refusal) -> Error {
    Error::Refused {
        reason: why.reason.clone(),
        remedy: why.remedy.to_owned(),
    }
}
