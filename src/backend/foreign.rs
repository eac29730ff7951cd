// SPDX-License-Identifier: GPL-2.0-or-later
//! reqids that somebody else's SAs have in a NIC.
//!
//! Owns the list. A device finds the outbound SA by reqid alone, so one of ours with the reqid of a
//! stranger's would have its packets sent with the stranger's key, or the other way round; charon
//! numbers its reqids from `charon.reqid_base` on, as others do. What is in a NIC when charon starts,
//! and was not left by an earlier one, is a stranger's. Called at start and by `sa.rs`. Must not touch
//! what it finds.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Core;

/// Device and reqid of outbound SAs that are not ours.
#[derive(Debug, Default)]
pub(super) struct Foreign(Mutex<HashSet<(u32, u32)>>);

impl Foreign {
    fn lock(&self) -> MutexGuard<'_, HashSet<(u32, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Looks for what is in NICs before we put anything there.
    pub(super) fn find_foreign(&self) {
        let mut found = HashSet::new();
        let result = self.kernel.dump_esp(&mut |state| {
            if let Some(ifindex) = state.placement.device()
                && state.placement.is_packet()
                && state.inbound != Some(true)
            {
                found.insert((ifindex, state.reqid));
            }
        });
        if let Err(error) = result {
            log::error!("unable to look for SAs of others in NICs: {error}");
        }
        for (ifindex, reqid) in &found {
            log::warn!(
                "{} holds an SA with reqid {reqid} that is not ours",
                self.device_name(*ifindex)
            );
        }
        *self.foreign.lock() = found;
    }

    /// The devices on which a reqid is somebody else's. The kernel is asked again if there was one.
    pub(super) fn foreign_devices(&self, reqid: u32) -> Vec<u32> {
        let mut known: Vec<(u32, u32)> = {
            let foreign = self.foreign.lock();
            foreign
                .iter()
                .filter(|(_, of)| *of == reqid)
                .copied()
                .collect()
        };
        if known.is_empty() {
            return Vec::new();
        }
        let mut there = HashSet::new();
        let result = self.kernel.dump_esp(&mut |state| {
            if let Some(ifindex) = state.placement.device()
                && state.placement.is_packet()
                && state.inbound != Some(true)
                && self.sad.get(&state.id.key()).is_none()
            {
                there.insert((ifindex, state.reqid));
            }
        });
        if result.is_ok() {
            known.retain(|one| there.contains(one));
            self.foreign
                .lock()
                .retain(|one| one.1 != reqid || there.contains(one));
        }
        known.into_iter().map(|(ifindex, _)| ifindex).collect()
    }
}
