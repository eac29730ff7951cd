// SPDX-License-Identifier: GPL-2.0-or-later
//! `auto` after a refusal: the whole unit goes to a lower mode, or nothing does.
//!
//! Owns the move of what is installed already. Called by `device.rs`, `sa.rs` and `policy.rs` when
//! a rule or the driver refuses one object of a unit. The caller must not hold a turn: the unit's
//! policies are visited one by one.

use crate::error::{Error, Result};
use crate::model::Placement;
use crate::offload::Refusal;
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
        if from.is_packet() {
            for record in &sas {
                let state = self.kernel.get_sa(&record.id.key(), record.id.src.ip)?;
                if state.packets > 0 {
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
        for record in &sas {
            let key = record.id.key();
            self.kernel.move_sa(&SaMove {
                key: &key,
                src: record.id.src.ip,
                new_src: record.id.src,
                new_dst: record.id.dst,
                encap: false,
                new_encap: false,
                new_reqid: None,
                placement: to,
            })?;
            self.sad.place(&key, to);
        }
        for key in self.spd.keys() {
            let Some(mut turn) = self.spd.existing(&key) else {
                continue;
            };
            let offloaded_here = turn.entry.installed.as_ref().is_some_and(|installed| {
                installed.reqid == question.reqid && installed.offload.is_some()
            });
            if offloaded_here {
                self.install(&mut turn)?;
            }
        }
        Ok(())
    }
}
