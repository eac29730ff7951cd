// SPDX-License-Identifier: GPL-2.0-or-later
//! `auto` after a refusal: the whole unit goes to a lower mode, or nothing does.
//!
//! Owns the move of what is installed already. Called by `device.rs`, `sa.rs` and `policy.rs` when
//! a rule or the driver refuses one object of a unit. The caller must not hold a turn: the unit's
//! policies are visited one by one.

use crate::error::{Error, Result};
use crate::model::{Offload, Placement};
use crate::offload::Refusal;
use crate::sad::SaRecord;
use crate::xfrm::SaMove;

use super::Core;
use super::device::{Question, mode_of};

impl Core {
    /// Moves a unit down from `from`. An SA that has carried packets cannot be moved, since only the
    /// NIC knows its sequence number: the object that was refused fails then, and the unit stays
    /// whole where it is.
    pub(super) fn lower(
        &self,
        question: &Question<'_>,
        from: Placement,
        why: &Refusal,
    ) -> Result<()> {
        let Some(next) = mode_of(from).next() else {
            return Err(Error::Refused {
                reason: why.reason.clone(),
                remedy: why.remedy.to_owned(),
            });
        };
        log::info!(
            "HW offload auto for {}: no {from} offload: {why}",
            question.name
        );
        let to = self.decide(question, next)?;
        let sas = self
            .sad
            .select(|record| record.reqid == question.reqid && record.placement == from);
        // What somebody demanded in packet mode stays there, whoever shares its reqid.
        if from.is_packet() && self.packet_is_demanded(question.reqid, &sas) {
            return Err(Error::Refused {
                reason: format!(
                    "{}, and reqid {} is shared with a CHILD_SA that has hw_offload = packet",
                    why.reason, question.reqid
                ),
                remedy: "use the same hw_offload for connections that share selectors or reqid"
                    .to_owned(),
            });
        }
        let mut live = Vec::new();
        for record in &sas {
            match self.kernel.get_sa(&record.id.key(), record.id.src.ip) {
                // Flushed with its device, or expired: nothing is left to be moved.
                Err(error) if error.errno == libc::ESRCH => continue,
                Err(error) => return Err(error.into()),
                Ok(state) => live.push((record, state.packets)),
            }
        }
        if from.is_packet() {
            for (record, packets) in &live {
                if *packets > 0 {
                    return Err(Error::Refused {
                        reason: format!(
                            "{}, and the unit cannot leave packet mode: {} has carried packets",
                            why.reason, record.id
                        ),
                        remedy: "the CHILD_SA goes on until it is closed; set it up again to have \
                                 it in a lower mode"
                            .to_owned(),
                    });
                }
            }
        }
        if !self.units.relocate(question.reqid, from, to) {
            // Gone, or moved by another thread: the caller looks again.
            return Ok(());
        }
        for (record, _) in &live {
            let key = record.id.key();
            let moved = self.kernel.move_sa(&SaMove {
                key: &key,
                src: record.id.src.ip,
                new_src: record.id.src,
                new_dst: record.id.dst,
                encap: false,
                new_encap: false,
                new_reqid: None,
                placement: to,
            });
            if let Err(error) = moved {
                // The unit is in one mode or it is not there: charon closes what cannot come along.
                log::error!(
                    "unable to move {} to {to} mode, it is removed: {error}",
                    record.id
                );
                let _ = self.kernel.del_sa(&key, record.id.src.ip);
                self.host
                    .expire(record.id.proto, record.id.spi, record.id.dst.ip, true);
            }
        }
        for record in &sas {
            self.sad.place(&record.id.key(), to);
        }
        let mut result = Ok(());
        for key in self.spd.keys() {
            let Some(mut turn) = self.spd.existing(&key) else {
                continue;
            };
            let offloaded_here = turn.entry.installed.as_ref().is_some_and(|installed| {
                installed.reqid == question.reqid && installed.device().is_some()
            });
            if offloaded_here && let Err(error) = self.install(&mut turn) {
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

    fn packet_is_demanded(&self, reqid: u32, sas: &[SaRecord]) -> bool {
        sas.iter().any(|record| record.wanted == Offload::Packet)
            || self.spd.keys().iter().any(|key| {
                self.spd.existing(key).is_some_and(|turn| {
                    turn.entry.users.iter().any(|user| {
                        user.in_unit
                            && user.spec.sa.reqid == reqid
                            && user.spec.offload == Offload::Packet
                    })
                })
            })
    }
}
