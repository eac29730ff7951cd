// SPDX-License-Identifier: GPL-2.0-or-later
//! One CHILD_SA is one unit: all of its SAs and policies are in one place.
//!
//! Owns, per reqid, where a unit is and how many of its objects there are. A unit is all
//! generations and traps of a CHILD_SA; charon gives them one reqid. Called by `sa.rs` and
//! `policy.rs`. Must not do I/O.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Placement;

#[derive(Clone, Copy, Debug)]
struct Unit {
    placement: Placement,
    objects: usize,
}

/// The table of units.
#[derive(Debug, Default)]
pub(crate) struct Units {
    units: Mutex<HashMap<u32, Unit>>,
}

impl Units {
    /// Where a unit is, if it exists.
    pub(crate) fn placement(&self, reqid: u32) -> Option<Placement> {
        self.lock().get(&reqid).map(|unit| unit.placement)
    }

    /// Adds an object to a unit, which is made at `proposal` if it is new. The claim tells where the
    /// unit is: another thread may have decided in the meantime.
    pub(crate) fn claim(&self, reqid: u32, proposal: Placement) -> Claim<'_> {
        let mut units = self.lock();
        let unit = units.entry(reqid).or_insert(Unit {
            placement: proposal,
            objects: 0,
        });
        unit.objects += 1;
        Claim {
            units: self,
            reqid,
            placement: unit.placement,
            kept: false,
        }
    }

    /// Takes an object from a unit; the unit ends with its last one.
    pub(crate) fn leave(&self, reqid: u32) {
        let mut units = self.lock();
        if let Some(unit) = units.get_mut(&reqid) {
            unit.objects -= 1;
            if unit.objects == 0 {
                units.remove(&reqid);
            }
        }
    }

    /// Moves a unit from one place to another; `false` if it is somewhere else by now, or gone.
    pub(crate) fn relocate(&self, reqid: u32, from: Placement, to: Placement) -> bool {
        match self.lock().get_mut(&reqid) {
            Some(unit) if unit.placement == from => {
                unit.placement = to;
                true
            }
            _ => false,
        }
    }

    /// Number of units.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Unit>> {
        // Counters are changed in one step each: a panic leaves nothing half done.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One object of a unit, given back when dropped unless it was kept.
#[must_use]
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    units: &'a Units,
    reqid: u32,
    placement: Placement,
    kept: bool,
}

impl Claim<'_> {
    /// Where the unit was when the claim was made.
    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    /// The object is installed: it stays until [`Units::leave`].
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.units.leave(self.reqid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decides_for_all() {
        let units = Units::default();
        let first = units.claim(1, Placement::Packet(2));
        let second = units.claim(1, Placement::Software);
        assert_eq!(second.placement(), Placement::Packet(2));
        first.keep();
        drop(second);
        assert_eq!(units.placement(1), Some(Placement::Packet(2)));
        units.leave(1);
        assert_eq!(units.len(), 0, "the last one ends the unit");
    }

    #[test]
    fn only_one_thread_moves_a_unit() {
        let units = Units::default();
        units.claim(1, Placement::Packet(2)).keep();
        assert!(units.relocate(1, Placement::Packet(2), Placement::Crypto(2)));
        assert!(!units.relocate(1, Placement::Packet(2), Placement::Software));
        assert_eq!(units.placement(1), Some(Placement::Crypto(2)));
        assert!(!units.relocate(9, Placement::Packet(2), Placement::Software));
    }
}
