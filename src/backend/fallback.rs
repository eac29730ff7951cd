// SPDX-License-Identifier: GPL-2.0-or-later
//! `auto` after a refusal: a whole generation goes to a lower mode, or nothing does.
//!
//! Owns the move of what is installed already. Called by `place.rs`, `sa.rs` and `policy.rs` when a
//! rule or the driver refuses one object of a unit, within the unit's turn and without the turn of a
//! policy: the unit's policies are visited one by one.

use crate::error::{Error, KernelError, Result};
use crate::model::{Placement, Proto};
use crate::offload::{Cause, Refusal};
use crate::xfrm::SaMove;

use super::Core;
use super::device::{Question, mode_of};
use super::place::no_lower_mode;
use super::units::{Member, SaName, UnitTurn};

/// What was refused, and so which generation it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Newcomer<'a> {
    /// The first SA of a generation.
    Inbound,
    /// The second one, of the CHILD_SA with this name.
    Outbound(&'a str),
    /// A policy, with the SA it names unless it is a trap's.
    Policy(Option<SaName>),
}

impl Core {
    /// Moves the newcomer's generation down from `from` and has the next ones follow; older ones stay
    /// where they are until they are closed. An SA that has carried packets cannot be moved, since
    /// only the NIC knows its sequence number: the newcomer fails then, and charon rekeys into the
    /// lower mode.
    pub(super) fn lower(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        from: Placement,
        why: &Refusal,
        newcomer: &Newcomer<'_>,
    ) -> Result<Placement> {
        let Some(next) = mode_of(from).next() else {
            return Err(no_lower_mode(why));
        };
        log::info!(
            "HW offload auto for {}: no {from} offload: {why}",
            question.name
        );
        // What somebody demanded in packet mode stays there, whoever shares its reqid.
        if from.is_packet() && !question.apart && turn.view(|unit| unit.packet_is_demanded()) {
            return Err(Error::Refused {
                reason: format!(
                    "{}, and reqid {} is shared with a CHILD_SA that has hw_offload = packet",
                    why.reason, question.reqid
                ),
                remedy: "use the same hw_offload for connections that share selectors or reqid"
                    .to_owned(),
            });
        }
        if from.is_packet() {
            turn.change(|unit| unit.refused_by = from.device());
        }
        let mut to = self.decide(question, next)?.placement;
        // A reason that passes at one step makes the whole worth another try.
        let cause = match (from.is_packet(), turn.view(|unit| unit.cause)) {
            (false, Some(earlier)) if earlier != Cause::Rule => earlier,
            _ => why.cause,
        };
        let generation = turn.view(|unit| match newcomer {
            Newcomer::Inbound | Newcomer::Policy(None) => Vec::new(),
            Newcomer::Outbound(child) => unit
                .awaits_outbound(child)
                .map(|name| unit.generation(name))
                .unwrap_or_default(),
            Newcomer::Policy(Some(name)) => unit.generation(*name),
        });
        let live = self.live(&generation, from)?;
        if from.is_packet()
            && let Some((used, _)) = live.iter().find(|(_, used)| *used)
        {
            self.lead(turn, question, to, cause);
            return Err(self.must_be_rekeyed(used, &generation, newcomer, why));
        }
        // Crypto mode needs room in the NIC as well, and what the SA had is freed late: a try would
        // cost the SA, which could not even be put back.
        if cause == Cause::Room && !live.is_empty() {
            to = Placement::Software;
        }
        while let Some((member, error)) = live
            .iter()
            .find_map(|(member, _)| Some((*member, self.move_member(turn, member, to).err()?)))
        {
            let key = &member.key;
            if to != Placement::Software {
                log::info!(
                    "HW offload auto for {}: unable to move {} SA with SPI {} to {to} mode: {error}",
                    question.name,
                    key.proto,
                    key.spi
                );
                to = Placement::Software;
                continue;
            }
            self.give_up(member, &error);
            return Err(no_lower_mode(why));
        }
        self.lead(turn, question, to, cause);
        self.settle(turn)?;
        Ok(to)
    }

    /// Has the unit's next generations go there too.
    fn lead(&self, turn: &UnitTurn<'_>, question: &Question<'_>, to: Placement, cause: Cause) {
        if !question.apart {
            turn.change(|unit| (unit.next, unit.cause) = (Some(to), Some(cause)));
        }
    }

    /// Those of a generation that are at `from` and still in the kernel, and whether they may have
    /// carried packets.
    fn live<'a>(
        &self,
        generation: &'a [Member],
        from: Placement,
    ) -> Result<Vec<(&'a Member, bool)>> {
        let mut live = Vec::new();
        for member in generation.iter().filter(|sa| sa.placement == from) {
            match self.kernel.get_sa(&member.key, member.src) {
                // Flushed with its device, or expired: nothing is left to be moved.
                Err(error) if error.errno == libc::ESRCH => {}
                Err(error) => return Err(error.into()),
                Ok(state) => live.push((member, state.packets > 0 || member.pointed_at)),
            }
        }
        Ok(live)
    }

    /// The newcomer cannot be had in the mode its generation is in, nor can that be moved.
    fn must_be_rekeyed(
        &self,
        used: &Member,
        generation: &[Member],
        newcomer: &Newcomer<'_>,
        why: &Refusal,
    ) -> Error {
        // charon keeps a CHILD_SA whose outbound SA could not be installed after a rekey of the
        // peer's: it has to be rekeyed at once. All others it closes by itself.
        if matches!(newcomer, Newcomer::Outbound(_))
            && let Some(inbound) = generation.iter().find(|member| member.inbound)
        {
            let key = inbound.key;
            self.host.expire(key.proto, key.spi, key.dst, false);
        }
        Error::Refused {
            reason: format!(
                "{}, and {} SA with SPI {} cannot leave packet mode: it may have carried packets",
                why.reason, used.key.proto, used.key.spi
            ),
            remedy: "the next generation of the CHILD_SA takes the lower mode".to_owned(),
        }
    }

    fn move_member(
        &self,
        turn: &UnitTurn<'_>,
        member: &Member,
        to: Placement,
    ) -> std::result::Result<(), KernelError> {
        let key = &member.key;
        let name = (key.dst, key.spi);
        let id = self.sad.get(key).map(|record| record.id);
        let _in_hand = self.recovery.take_in_hand(key);
        match id {
            Some(id) => self.kernel.move_sa(&SaMove {
                key,
                src: member.src,
                new_src: id.src,
                new_dst: id.dst,
                encap: false,
                new_encap: false,
                new_reqid: None,
                selector: None,
                inbound: member.inbound,
                placement: to,
            }),
            None => Err(KernelError::new("XFRM_MSG_GETSA", libc::ESRCH)),
        }?;
        self.sad.place(key, to);
        turn.change(|unit| unit.place_sa(name, to));
        Ok(())
    }

    /// The generation is in one mode or it is not there: charon closes what cannot come along.
    fn give_up(&self, member: &Member, error: &KernelError) {
        let key = &member.key;
        log::error!(
            "unable to move {} SA with SPI {} to software, it is removed: {error}",
            key.proto,
            key.spi
        );
        let _ = self.kernel.del_sa(key, member.src);
        if key.proto != Proto::Comp {
            self.host.expire(key.proto, key.spi, key.dst, true);
        }
    }

    /// Has every policy of a unit follow its SA.
    pub(super) fn settle(&self, turn: &UnitTurn<'_>) -> Result<()> {
        let mut result = Ok(());
        for key in turn.view(|unit| unit.policies()) {
            let Some(mut policy) = self.spd.existing(&key) else {
                continue;
            };
            let wanted = self.offload_of(&policy);
            let elsewhere = policy
                .entry
                .installed
                .as_ref()
                .is_some_and(|installed| installed.device() != wanted);
            if elsewhere && let Err(error) = self.install(&mut policy) {
                log::error!(
                    "unable to move policy {} {}: {error}",
                    key.selector,
                    key.dir
                );
                result = Err(error.into());
            }
        }
        result
    }
}
