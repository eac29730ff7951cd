// SPDX-License-Identifier: GPL-2.0-or-later
//! The gate: what a CHILD_SA protects neither leaves nor enters in clear.
//!
//! Owns the nftables tables `inet fastswan` and `netdev fastswan` and everything in them. The backend
//! says which SAs and policies are about to be installed and which are gone; the gate is closed
//! before the first and opened, after its time, behind the last. docs/guard.md describes the rules
//! and proves them. Called by `backend/`. Must not start a program, and must not hold its lock while
//! it talks to the kernel.
//!
//! * `settings`: `guard*` in strongswan.conf
//! * `holders`: what a CHILD_SA or trap closes and releases
//! * `selectors`: which elements that is
//! * `shut`: keeping packets from a device that a policy is about to leave
//! * `element`: sets and the keys of their elements
//! * `model`: elements, their holders and closing times; no I/O
//! * `settle`: sharing of transactions
//! * `ruleset`: chains, sets and rules as data; no I/O
//! * `nft/`: how they look as messages
//! * `kernel`: transactions
//! * `watch`: changes by others, found and undone
//! * [`admin`]: listing and opening without a daemon, for fastswanctl
#![forbid(unsafe_code)]

pub mod admin;
mod element;
mod holders;
mod kernel;
mod model;
mod nft;
mod ruleset;
mod selectors;
mod settings;
mod settle;
mod shut;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, KernelError, Result};
use crate::model::{Offload, SaKey};
use crate::xfrm::{Transport, thread_id};

pub use model::{GateState, Hold, Pair, Scope};
#[cfg(test)]
pub(crate) use nft::NEWRULE;
pub use settings::{Cover, OnStop, Settings};
pub use shut::Shut;
pub(crate) use watch::GuardWatch;

use element::{Key, Place};
use holders::{Claim, Egress, Held, PolicyHolder};
use model::Model;
use nft::ReadElement;
use ruleset::{Category, Layout, Pass};
use shut::Waits;

#[derive(Default)]
struct State {
    model: Model,
    layout: Layout,
    /// Devices that hold packet-mode SAs, by index.
    devices: BTreeMap<u32, Egress>,
    sas: HashMap<SaKey, Held>,
    policies: HashMap<PolicyHolder, Claim>,
    waits: Waits,
    /// Of those that are shut, reqids for which a policy was installed meanwhile.
    reused: HashSet<u32>,
    passes: HashMap<Pass, usize>,
    /// There is a table of ours, or there is to be one.
    active: bool,
    /// The rules must be written anew.
    rules_dirty: bool,
    /// A thread is executing a transaction.
    busy: bool,
    /// Counts transactions that failed, so that those who waited know.
    failures: u64,
    last_error: Option<KernelError>,
    /// Rules as they were after they were written.
    written: BTreeMap<String, Vec<u64>>,
    widened: BTreeSet<String>,
    /// Counts beginnings and ends of transactions, so that who has read the kernel knows whether one came in between.
    transactions: u64,
    /// Threads of ours that have changed the tables.
    writers: BTreeSet<u32>,
}

impl State {
    /// The calling thread begins a transaction.
    fn begin(&mut self) {
        self.busy = true;
        self.transactions += 1;
        self.writers.insert(thread_id());
    }

    /// Elements that nobody here put there go with the next transaction; how many there are.
    fn remove_strays(&mut self, place: Place, found: &[ReadElement]) -> usize {
        // Their set has to be there to be told so.
        if let Place::Delivered(category) = place
            && self.layout.delivered.insert(category)
        {
            self.rules_dirty = true;
        }
        self.model.remove_strays(place, found)
    }

    /// It is over.
    fn end(&mut self) {
        self.busy = false;
        self.transactions += 1;
    }
}

/// The gate.
pub struct Guard {
    transport: Arc<dyn Transport>,
    settings: Mutex<Arc<Settings>>,
    state: Mutex<State>,
    changed: Condvar,
    epoch: Instant,
}

impl Guard {
    /// Opens nothing and closes nothing yet; [`Guard::adopt`] takes over what a former daemon left.
    pub fn new(transport: Arc<dyn Transport>, settings: Settings) -> Self {
        let guard = Self {
            transport,
            settings: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            epoch: Instant::now(),
        };
        guard.apply(settings);
        guard
    }

    /// New settings. They hold for what comes; the bit of the mark and the exempt networks are
    /// changed at once.
    pub fn configure(&self, settings: Settings) {
        self.apply(settings);
        if let Err(error) = self.settle(&[]) {
            log::error!("unable to change the gate: {error}");
        }
    }

    fn apply(&self, settings: Settings) {
        if settings.cover == Cover::No {
            log::info!(
                "guard = no: nothing keeps protected traffic from leaving in clear if SAs or policies are lost"
            );
        }
        let mut state = self.lock();
        let marked = |category: &Category| category.scope.mask().is_some();
        let behind =
            state.layout.mark != settings.mark && state.layout.categories.iter().any(marked);
        if state.layout.mark != settings.mark || state.layout.exempt != settings.exempt {
            state.layout.mark = settings.mark;
            state.layout.exempt.clone_from(&settings.exempt);
            state.rules_dirty = true;
        }
        drop(state);
        if behind {
            log::warn!(
                "guard_mark is {:#x} now: gates of CHILD_SAs with marks that are up take no account of that bit before charon is started anew",
                settings.mark
            );
        }
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// The settings of this moment.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn covers(&self, offload: Offload) -> bool {
        self.settings().cover.covers(offload)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is made in one step; a panic leaves at most something that is done again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Takes over the gates that are in the kernel: a daemon that crashed, or that was told to keep
    /// them, left them. They stay closed until a CHILD_SA claims and releases them, or somebody opens
    /// them.
    pub fn adopt(&self) -> Result<()> {
        let transport = self.transport.as_ref();
        let mut found = Vec::new();
        let sets = match kernel::read_sets(transport) {
            Ok(sets) => sets,
            // Said when a gate is needed.
            Err(_) => return Ok(()),
        };
        let (mut strays, mut shut) = (Vec::new(), Vec::new());
        for set in &sets {
            let elements = kernel::read_elements(transport, set)?;
            match Place::read(set) {
                Some(Place::Gates(category)) => found.extend(
                    elements
                        .into_iter()
                        .filter_map(|element| Some((Pair::read(category, &element.key)?, element))),
                ),
                Some(Place::Shut) => shut = elements,
                Some(place) => strays.push((place, elements)),
                // A constant, or of another version: no rule of ours refers to it.
                None => {}
            }
        }
        if sets.is_empty() {
            return Ok(());
        }
        let (now, hold) = (self.now(), self.settings().hold);
        let mut state = self.lock();
        for (pair, element) in &found {
            state.layout.categories.insert(pair.category());
            state.model.adopt(&pair.gate(), element, Hold::Forever, now);
        }
        for element in &shut {
            if let Some(key) = Key::read(Place::Shut, &element.key) {
                state.model.adopt(&key, element, hold, now);
            }
        }
        for (place, elements) in strays {
            state.remove_strays(place, &elements);
        }
        state.active = true;
        state.rules_dirty = true;
        drop(state);
        for (pair, element) in &found {
            log::info!(
                "the gate of {pair} is closed, left by a former daemon for '{}'",
                element.comment
            );
        }
        self.settle(&[])
    }

    /// With `guard = no` nothing is taken over; an operator who meant to be without has to know what is still closed.
    /// What a crash left beside gates is taken away: reqids are given out anew, and new CHILD_SAs would meet it.
    pub fn leave_what_is_left(&self) {
        let transport = self.transport.as_ref();
        let left = admin::list(transport).unwrap_or_default();
        if let Some(first) = left.first() {
            log::warn!(
                "guard = no, but a former daemon left {} gates closed, that of {} for one: `fastswanctl guard open --all` opens them",
                left.len(),
                first.pair
            );
        }
        if let Err(error) = kernel::forget_reqids(transport) {
            log::error!("unable to take away what a former daemon's gate knew of reqids: {error}");
        }
    }

    /// A UDP port of charon.
    pub fn use_ike_port(&self, port: u16) {
        {
            let mut state = self.lock();
            let key = Key::of(Place::IkePorts).put(&port.to_be_bytes());
            state.model.hold(&key, &Arc::from("charon"));
        }
        self.finish();
    }

    /// All gates.
    pub fn gates(&self) -> Vec<GateState> {
        let now = self.now();
        let mut state = self.lock();
        state.model.expire(now);
        state.model.gates(now)
    }

    /// Opens a gate that nobody holds any more. Fails if there is none, or if it is held.
    pub fn open(&self, pair: &Pair) -> Result<()> {
        let found = self.lock().model.open(&pair.gate());
        match found {
            None => Err(Error::NotFound(format!("there is no gate for {pair}"))),
            Some(false) => Err(Error::Refused {
                reason: format!("the gate of {pair} is held by a CHILD_SA or a trap"),
                remedy: "terminate or uninstall that first".to_owned(),
            }),
            Some(true) => {
                log::warn!("the gate of {pair} is opened by hand");
                self.settle(&[pair.gate()])
            }
        }
    }

    /// The daemon ends cleanly: does what `guard_on_stop` says.
    pub fn stop(&self) {
        let settings = self.settings();
        let now = self.now();
        let remove = {
            let mut state = self.lock();
            state.model.expire(now);
            state.sas.clear();
            state.policies.clear();
            match settings.on_stop {
                OnStop::Open => {}
                OnStop::HoldTime => state.model.end_all(settings.hold, now),
                OnStop::Hold => state.model.end_all(Hold::Forever, now),
            }
            let remove = settings.on_stop == OnStop::Open || !state.model.has_gates();
            if !state.active {
                return;
            }
            if remove {
                state.active = false;
                state.writers.insert(thread_id());
            }
            remove
        };
        if remove {
            if let Err(error) = kernel::remove(self.transport.as_ref()) {
                log::error!("unable to take the gate away: {error}");
            }
            return;
        }
        self.finish();
        log::info!("the gate stays closed for what guard_on_stop and guard_hold name");
    }

    fn say_once(&self, text: String) {
        if self.lock().widened.insert(text.clone()) {
            log::warn!("{text}");
        }
    }
}
