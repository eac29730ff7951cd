// SPDX-License-Identifier: GPL-2.0-or-later
//! What we have in the SPD, and for whom.
//!
//! The kernel holds one policy per selector, direction, mark, interface ID and label; charon may
//! want several (generations of a CHILD_SA during a rekey, traps, CHILD_SAs that share selectors).
//! Owns the list of those users per key, in the order in which they count, and what was installed
//! for the first of them. Called by `backend/`. Must not do I/O.
//!
//! Calls for one key take turns: who holds a [`Turn`] owns the entry and may talk to the kernel,
//! while no lock is held and other keys go on.
#![forbid(unsafe_code)]

mod priority;

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use priority::priority;

use crate::host::HostRoute;
use crate::model::{Addr, PolicyId, PolicySpec, SaReference};
use crate::xfrm::PolicyKey;

/// One CHILD_SA, trap or shunt that wants a policy.
#[derive(Clone, Debug)]
pub struct User {
    /// As charon named it.
    pub id: PolicyId,
    /// What charon wants.
    pub spec: PolicySpec,
    /// Priority in the kernel; a smaller number counts more.
    pub priority: u32,
    /// Priority by selector and class, which decides between equal ones set by hand.
    pub auto_priority: u32,
    /// It counts as an object of the unit with its reqid.
    pub in_unit: bool,
    /// NIC for a policy that belongs to no unit (PASS, DROP), if it goes to one.
    pub device: Option<u32>,
}

impl User {
    /// Computes the priorities.
    pub fn new(id: &PolicyId, spec: &PolicySpec, key: &PolicyKey) -> Self {
        let auto_priority = priority(&key.selector, spec.class, id.interface.is_some());
        Self {
            id: id.clone(),
            spec: spec.clone(),
            priority: match spec.manual_prio {
                0 => auto_priority,
                manual => manual,
            },
            auto_priority,
            in_unit: false,
            device: None,
        }
    }

    /// Whether `other` was added by the same call, as far as del_policy can tell.
    fn same(&self, other: &User) -> bool {
        let ip = |addr: Option<Addr>| addr.map(|addr| addr.ip);
        let (a, b) = (&self.spec, &other.spec);
        self.priority == other.priority
            && self.auto_priority == other.auto_priority
            && a.kind == b.kind
            && a.pcpu_acquires == b.pcpu_acquires
            && a.forward_icmp == b.forward_icmp
            && ip(a.src) == ip(b.src)
            && ip(a.dst) == ip(b.dst)
            && same_reference(&a.sa, &b.sa)
    }

    /// Whether this user goes in front of `other`: by priority, then the automatic one; among equal
    /// ones those with a reqid first, and the newest first.
    fn precedes(&self, other: &User) -> bool {
        (self.priority, self.auto_priority) < (other.priority, other.auto_priority)
            || (self.priority, self.auto_priority) == (other.priority, other.auto_priority)
                && (other.spec.sa.reqid == 0 || self.spec.sa.reqid != 0)
    }
}

/// policy_count is left out: it tells how many policies share the SAs, not which.
fn same_reference(a: &SaReference, b: &SaReference) -> bool {
    a.mode == b.mode
        && a.reqid == b.reqid
        && a.esp == b.esp
        && a.ah == b.ah
        && a.ipcomp == b.ipcomp
        && a.cpi == b.cpi
}

/// What the kernel holds for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Interface index of the NIC that has it too, if any.
    pub offload: Option<u32>,
    /// reqid of the templates, 0 = none.
    pub reqid: u32,
    /// NIC that should have it and cannot at the moment. What the kernel has stands in for it, in
    /// software: a PASS or DROP as it is, an IPsec policy as a block.
    pub away: Option<u32>,
}

impl Installed {
    /// The NIC it belongs to, there or not.
    pub fn device(&self) -> Option<u32> {
        self.offload.or(self.away)
    }
}

/// All about one key.
#[derive(Debug, Default)]
pub struct Entry {
    /// Who wants it; the kernel has what the first one wants.
    pub users: Vec<User>,
    /// What the kernel has; `None` if nothing, or if it was flushed.
    pub installed: Option<Installed>,
    /// Route that was installed with it.
    pub route: Option<Box<HostRoute>>,
}

impl Entry {
    /// Adds a user; `true` if it is the first now, so that the kernel must be told.
    pub fn insert(&mut self, user: User) -> bool {
        let at = self
            .users
            .iter()
            .position(|other| user.precedes(other))
            .unwrap_or(self.users.len());
        // There is one nearly always.
        self.users.reserve_exact(1);
        self.users.insert(at, user);
        at == 0
    }

    /// Removes the user that was added with the same arguments, and tells whether it was the first.
    /// `None` if there is none.
    pub fn remove(&mut self, user: &User) -> Option<(User, bool)> {
        let at = self.users.iter().position(|other| other.same(user))?;
        Some((self.users.remove(at), at == 0))
    }

    fn is_unused(&self) -> bool {
        self.users.is_empty() && self.installed.is_none() && self.route.is_none()
    }
}

#[derive(Debug, Default)]
struct Slot {
    entry: Entry,
    busy: bool,
    waiting: usize,
}

/// The table.
#[derive(Debug, Default)]
pub struct Spd {
    slots: Mutex<HashMap<PolicyKey, Slot>>,
    turn_over: Condvar,
}

impl Spd {
    /// Waits until nobody works on `key` and takes the entry, a new one if there is none. The wait
    /// is as long as the system calls of those in front of us, which are bounded.
    pub fn turn(&self, key: &PolicyKey) -> Turn<'_> {
        self.take(key, true).unwrap_or_else(|| Turn {
            spd: self,
            key: key.clone(),
            entry: Entry::default(),
        })
    }

    /// As [`Spd::turn`], but `None` if there is no entry.
    pub fn existing(&self, key: &PolicyKey) -> Option<Turn<'_>> {
        self.take(key, false)
    }

    fn take(&self, key: &PolicyKey, create: bool) -> Option<Turn<'_>> {
        let mut slots = self.lock();
        let mut waits = false;
        loop {
            // A slot with somebody waiting is never removed.
            let slot = if create && !waits {
                slots.entry(key.clone()).or_default()
            } else {
                slots.get_mut(key)?
            };
            if !slot.busy {
                slot.busy = true;
                slot.waiting -= usize::from(waits);
                return Some(Turn {
                    spd: self,
                    key: key.clone(),
                    entry: std::mem::take(&mut slot.entry),
                });
            }
            if !waits {
                waits = true;
                slot.waiting += 1;
            }
            slots = self
                .turn_over
                .wait(slots)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The keys at this moment.
    pub fn keys(&self) -> Vec<PolicyKey> {
        self.lock().keys().cloned().collect()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Nothing is installed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PolicyKey, Slot>> {
        // Nothing that runs under the lock can panic halfway through a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on one key; ends when dropped, also by a panic.
#[derive(Debug)]
pub struct Turn<'a> {
    spd: &'a Spd,
    key: PolicyKey,
    /// The entry, ours until the turn ends.
    pub entry: Entry,
}

impl Turn<'_> {
    /// What this turn is about.
    pub fn key(&self) -> &PolicyKey {
        &self.key
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut slots = self.spd.lock();
        if let Some(slot) = slots.get_mut(&self.key) {
            slot.entry = std::mem::take(&mut self.entry);
            slot.busy = false;
            if slot.waiting > 0 {
                self.spd.turn_over.notify_all();
            } else if slot.entry.is_unused() {
                slots.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
