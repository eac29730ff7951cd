// SPDX-License-Identifier: GPL-2.0-or-later
//! Foreign changes of the gate: found by the kernel's events and by a slow comparison, and undone.
//!
//! Owns the reading of nftables events. Called by charon's watcher and by the ticker. Must not react
//! to changes of our own.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::element::Place;
use super::nft::{self, Change, ReadElement};
use super::ruleset::TABLE;
use super::settle::Busy;
use super::{Guard, State, kernel};
use crate::error::KernelError;
use crate::host::Readable;
use crate::xfrm::{EventSocket, Protocol, Received};

/// How often the tables are compared with what they should be.
const PERIOD: Duration = Duration::from_secs(60);
/// How often the tables are read again if a transaction of our own came in between.
const LOOKS: usize = 3;

/// Listens to changes of nftables.
pub(crate) struct GuardWatch {
    guard: Arc<Guard>,
    socket: Box<dyn EventSocket>,
    /// Our tables were changed in the set of changes that is being read.
    touched: AtomicBool,
}

impl GuardWatch {
    /// Subscribes. Fails if the kernel has no nftables.
    pub(crate) fn open(guard: &Arc<Guard>) -> Result<Self, KernelError> {
        let socket = guard
            .transport
            .subscribe(Protocol::Netfilter, &[nft::GROUP])?;
        Ok(Self {
            guard: Arc::clone(guard),
            socket,
            touched: AtomicBool::new(false),
        })
    }

    /// To be watched.
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    /// Reads what there is; whether somebody else changed our tables.
    fn foreign_change(&self) -> Result<bool, KernelError> {
        let mut foreign = false;
        while let Some(received) = self.socket.read()? {
            let change = match &received {
                Received::Overrun => {
                    foreign = true;
                    None
                }
                Received::Message(reply) => nft::decode_change(reply),
            };
            match change {
                Some(Change::Table(table)) if table == TABLE => {
                    self.touched.store(true, Ordering::Relaxed);
                }
                Some(Change::Generation(process)) => {
                    let touched = self.touched.swap(false, Ordering::Relaxed);
                    foreign |= touched && !self.guard.lock().writers.contains(&process);
                }
                _ => {}
            }
        }
        Ok(foreign)
    }
}

impl Readable for GuardWatch {
    fn readable(&self) -> bool {
        match self.foreign_change() {
            Ok(true) => {
                self.guard.verify(true);
            }
            Ok(false) => {}
            Err(error) => {
                log::error!("unable to read changes of nftables: {error}");
                self.guard.verify(true);
            }
        }
        true
    }
}

impl GuardWatch {
    /// Compares the tables with what they should be; how long until the next time, if there is
    /// something to look after.
    pub(crate) fn tick(&self) -> Option<Duration> {
        if !self.guard.is_active() || self.guard.rest() {
            return None;
        }
        self.guard.verify(false);
        Some(PERIOD)
    }
}

/// What the kernel has at a moment at which nothing of ours is under way.
struct Seen<'a> {
    sets: Vec<(String, Vec<ReadElement>)>,
    /// As in [`State::written`].
    rules: BTreeMap<String, Vec<u64>>,
    state: MutexGuard<'a, State>,
}

impl Guard {
    /// Whether there is a table to look after.
    pub(crate) fn is_active(&self) -> bool {
        self.lock().active
    }

    /// Takes the tables away if nothing is guarded any more: no packet is asked for nothing, and there is nothing to
    /// look after. Returns whether there is no table.
    fn rest(&self) -> bool {
        let now = self.now();
        let mut state = self.lock();
        state.model.expire(now);
        if state.busy || state.model.has_gates() {
            return false;
        }
        // Whoever closes a gate meanwhile waits for the end of this transaction, and builds them anew.
        state.begin();
        state.active = false;
        let busy = Busy(self);
        drop(state);
        if let Err(error) = kernel::remove(self.transport.as_ref()) {
            log::error!("unable to take the empty tables of the gate away: {error}");
        }
        std::mem::forget(busy);
        let mut state = self.lock();
        state.end();
        state.model.forget_shut();
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Compares the tables with what they should be, and mends them. `rewrite` writes the rules anew
    /// even if they look untouched. Returns whether something was wrong.
    pub(crate) fn verify(&self, rewrite: bool) -> bool {
        if !self.is_active() {
            return false;
        }
        match self.compare(rewrite) {
            Ok(wrong) => {
                self.finish();
                wrong
            }
            Err(error) => {
                log::error!("unable to read the tables of the gate: {error}");
                false
            }
        }
    }

    /// What the kernel has, and the state it belongs to; nothing if changes of our own kept coming in between.
    fn look(&self) -> Result<Option<Seen<'_>>, KernelError> {
        let transport = self.transport.as_ref();
        for _ in 0..LOOKS {
            let (before, busy) = {
                let state = self.lock();
                (state.transactions, state.busy)
            };
            let mut sets = Vec::new();
            for set in kernel::read_sets(transport)? {
                let elements = kernel::read_elements(transport, &set)?;
                sets.push((set, elements));
            }
            let rules = kernel::read_rules(transport)?;
            let state = self.lock();
            // One that was under way when the reading began has ended in its midst.
            if !busy && !state.busy && state.transactions == before {
                return Ok(Some(Seen { sets, rules, state }));
            }
        }
        Ok(None)
    }

    fn compare(&self, rewrite: bool) -> Result<bool, KernelError> {
        let Some(Seen {
            sets: elements,
            rules,
            mut state,
        }) = self.look()?
        else {
            if rewrite {
                // Somebody changed something, and it cannot be seen what: all of it is written again.
                let mut state = self.lock();
                state.model.doubt();
                state.rules_dirty = true;
            }
            return Ok(rewrite);
        };
        if elements.is_empty() {
            state.model.lost();
            state.rules_dirty = true;
            drop(state);
            log::warn!("somebody removed table inet {TABLE}: the gate is closed again");
            return Ok(true);
        }
        let sets: Vec<String> = elements.iter().map(|(set, _)| set.clone()).collect();
        let now = self.now();
        state.model.expire(now);
        let mut wrong = false;
        if rewrite || (!state.rules_dirty && rules != state.written) {
            wrong = rules != state.written;
            state.rules_dirty = true;
        }
        let (mut again, mut opened, mut strays) = (0, 0, 0);
        for (set, found) in &elements {
            let Some(place) = Place::read(set) else {
                continue;
            };
            let (a, o) = state.model.compare(place, found, now);
            again += a;
            opened += o;
            if !matches!(place, Place::Gates(_)) {
                strays += state.remove_strays(place, found);
            }
        }
        // A set that is gone took its elements along.
        let gates = state.layout.categories.iter().copied().map(Place::Gates);
        let delivered = state.layout.delivered.iter().copied();
        let gone: Vec<Place> = gates
            .chain(delivered.map(Place::Delivered))
            .filter(|place| !sets.contains(&place.name().into_owned()))
            .collect();
        for place in gone {
            again += state.model.compare(place, &[], now).0;
            state.rules_dirty = true;
        }
        drop(state);
        if wrong {
            log::warn!("somebody changed the rules of table {TABLE}: they are written anew");
        }
        if again + strays > 0 {
            log::warn!(
                "somebody changed table inet {TABLE}: {again} elements are put back, {strays} removed"
            );
        }
        if opened > 0 {
            log::warn!("{opened} gates that nobody held were opened by hand");
        }
        Ok(wrong || again + strays > 0)
    }
}
