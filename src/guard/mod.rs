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
//! * `model`: who holds what closed, and until when; no I/O
//! * `ruleset`: chains, sets and rules as data; no I/O
//! * `nft/`: how they look as messages
//! * `kernel`: transactions
//! * [`admin`]: listing and opening without a daemon, for fastswanctl
#![forbid(unsafe_code)]

pub mod admin;
mod kernel;
mod model;
mod nft;
mod ruleset;
mod settings;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, KernelError, Result};
use crate::model::{
    Direction, Mark, Offload, PolicyId, PolicyKind, PolicySpec, PriorityClass, SaId, SaKey, SaSpec,
    Selector, TrafficSelector,
};
use crate::xfrm::{PolicyKey, Transport, thread_id};

pub use model::{GateState, Hold, Pair, Scope};
pub use settings::{Cover, OnStop, Settings};
pub(crate) use watch::GuardWatch;

use model::{Key, Model};
use ruleset::{Layout, Pass};

/// How long a thread waits for the transaction of another. Each is bounded by the transport.
const PATIENCE: Duration = Duration::from_secs(25);

/// How many transactions a thread executes before it leaves the rest to others.
const ROUNDS: usize = 16;

/// What an SA holds.
#[derive(Clone, Debug, Default)]
struct Held {
    name: String,
    inbound: bool,
    gates: Vec<Pair>,
    delivers: Vec<Pair>,
    others: Vec<Key>,
}

/// A policy that holds a gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PolicyHolder {
    dir: Direction,
    pair: Pair,
    name: String,
}

#[derive(Default)]
struct State {
    model: Model,
    layout: Layout,
    /// Devices that hold packet-mode SAs, by index.
    devices: BTreeMap<u32, String>,
    sas: HashMap<SaKey, Held>,
    policies: HashMap<PolicyHolder, usize>,
    /// How many of those are outbound, by what they protect.
    outbound: HashMap<Pair, usize>,
    waits: Waits,
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
    /// Counts transactions, so that who has read the kernel knows whether one came in between.
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
}

/// How long the removal of policies may wait for packets on their way. A wait takes some milliseconds: one by one, ten
/// thousand CHILD_SAs would keep a daemon from ending in time. Behind the credit a quarter of the time is spent so.
#[derive(Debug)]
struct Waits {
    credit: Duration,
    /// When the credit was reckoned.
    at: Duration,
}

impl Waits {
    const CREDIT: Duration = Duration::from_secs(2);

    /// Whether there is time for another one.
    fn may(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.at) / 4;
        self.credit = self.credit.saturating_add(gained).min(Self::CREDIT);
        self.at = now;
        !self.credit.is_zero()
    }

    fn took(&mut self, time: Duration) {
        self.credit = self.credit.saturating_sub(time);
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            credit: Self::CREDIT,
            at: Duration::ZERO,
        }
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
        if state.layout.mark != settings.mark || state.layout.exempt != settings.exempt {
            state.layout.mark = settings.mark;
            state.layout.exempt.clone_from(&settings.exempt);
            state.rules_dirty = true;
        }
        drop(state);
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
        let mut strays = Vec::new();
        for set in &sets {
            let elements = kernel::read_elements(transport, set)?;
            match ruleset::Category::of_gates(set) {
                Some(category) => found.extend(
                    elements
                        .into_iter()
                        .filter_map(|element| Some((Pair::read(category, &element.key)?, element))),
                ),
                None if ruleset::constants().iter().any(|(name, _)| name == set) => {}
                None => strays.push((set.clone(), elements)),
            }
        }
        if sets.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut state = self.lock();
        for (pair, element) in &found {
            state.layout.categories.insert(pair.category());
            state.model.adopt(*pair, element, now);
            log::info!(
                "the gate of {pair} is closed, left by a former daemon for '{}'",
                element.comment
            );
        }
        for (set, elements) in strays {
            state.model.remove_strays(&set, &elements);
        }
        state.active = true;
        state.rules_dirty = true;
        drop(state);
        self.settle(&[])
    }

    /// With `guard = no` nothing is taken over; an operator who meant to be without has to know what is still closed.
    pub fn say_what_is_left(&self) {
        let left = admin::list(self.transport.as_ref()).unwrap_or_default();
        if let Some(first) = left.first() {
            log::warn!(
                "guard = no, but a former daemon left {} gates closed, that of {} for one: `fastswanctl guard open --all` opens them",
                left.len(),
                first.pair
            );
        }
    }

    /// Before an SA is installed: closes the gate of its selectors. Fails, with what to do about it,
    /// if that is impossible.
    ///
    /// With `guard = no`, too, it is noted whose outer addresses these are: the settings may change.
    pub fn close_for_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        let covered = self.covers(spec.offload);
        let (local, remote) = if spec.inbound {
            (&spec.dst_ts, &spec.src_ts)
        } else {
            (&spec.src_ts, &spec.dst_ts)
        };
        let pairs = if covered {
            let scope = self.scope(id.mark, id.if_id, &spec.name);
            self.pairs(local, remote, scope, &spec.name)
        } else {
            Vec::new()
        };
        // An inbound SA has the mark of its policies only with `mark_in_sa`. Where there may be one, the policies and
        // the outbound SA close the gate, before which nothing is protected that was not; no device takes it in packet mode.
        let claims = !spec.inbound || spec.offload == Offload::Packet;
        let (local, remote) = if spec.inbound {
            (id.dst.ip, id.src.ip)
        } else {
            (id.src.ip, id.dst.ip)
        };
        let mut others: Vec<Key> = peers(local, remote).into_iter().collect();
        let delivers = if spec.inbound {
            pairs.clone()
        } else {
            Vec::new()
        };
        others.extend(deliveries(&delivers, spec.reqid));
        let held = Held {
            name: spec.name.clone(),
            inbound: spec.inbound,
            gates: if claims { pairs } else { Vec::new() },
            delivers,
            others,
        };
        let keys = held.keys();
        let before = {
            let mut state = self.lock();
            state.hold(&held);
            state.sas.insert(id.key(), held)
        };
        if let Some(before) = before {
            let now = self.now();
            let hold = self.settings().hold;
            self.lock().release(&before, hold, now);
        }
        self.settle(&keys).inspect_err(|_| {
            self.open_for_sa(&id.key());
        })
    }

    /// An SA is gone, or was not installed.
    pub fn open_for_sa(&self, key: &SaKey) {
        let hold = self.settings().hold;
        let now = self.now();
        let released = {
            let mut state = self.lock();
            let held = state.sas.remove(key);
            if let Some(held) = &held {
                state.release(held, hold, now);
            }
            held.is_some()
        };
        if released {
            self.finish();
        }
    }

    /// All SAs are gone.
    pub fn open_for_all_sas(&self) {
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            for held in std::mem::take(&mut state.sas).into_values() {
                state.release(&held, hold, now);
            }
        }
        self.finish();
    }

    /// An SA was moved to other addresses, and perhaps to another reqid.
    pub fn move_sa(&self, from: &SaKey, id: &SaId, new_reqid: Option<u32>) {
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            let Some(before) = state.sas.remove(from) else {
                return;
            };
            let (local, remote) = if before.inbound {
                (id.dst.ip, id.src.ip)
            } else {
                (id.src.ip, id.dst.ip)
            };
            let mut after = before.clone();
            after.others.retain(|key| !is_peers(key));
            if let Some(new) = new_reqid {
                after.others = deliveries(&before.delivers, new);
            }
            after.others.extend(peers(local, remote));
            state.hold(&after);
            state.release(&before, hold, now);
            state.sas.insert(id.key(), after);
        }
        self.finish();
    }

    /// Before a policy is installed.
    pub fn close_for_policy(
        &self,
        id: &PolicyId,
        spec: &PolicySpec,
        key: &PolicyKey,
    ) -> Result<()> {
        if spec.kind == PolicyKind::Pass {
            let pass = pass_of(key);
            {
                let mut state = self.lock();
                let count = state.passes.entry(pass).or_default();
                *count += 1;
                if *count == 1 {
                    state.rewrite_passes();
                }
            }
            return self.settle(&[]);
        }
        let Some(holder) = self.policy_holder(id, spec, key) else {
            return Ok(());
        };
        let gate = holder.pair.gate();
        {
            let mut state = self.lock();
            *state.policies.entry(holder.clone()).or_default() += 1;
            if key.dir == Direction::Out {
                *state.outbound.entry(holder.pair).or_default() += 1;
            }
            state.hold_gate(holder.pair, &holder.name);
        }
        self.settle(&[gate]).inspect_err(|_| {
            self.open_for_policy(id, spec, key);
        })
    }

    /// Before a policy is removed. If it is the last that leads packets between its networks into a device, none is sent
    /// there any more, and those on their way have left when this returns: a device sends in clear what reaches it behind
    /// its policy.
    pub fn shut_for_policy(&self, id: &PolicyId, spec: &PolicySpec, key: &PolicyKey) {
        if key.dir != Direction::Out {
            return;
        }
        let scope = self.scope(key.mark, key.if_id, &spec.name);
        let Some(holder) = holder_of(id, spec, key, scope) else {
            return;
        };
        let shut = holder.pair.shut();
        {
            let mut state = self.lock();
            let last = state.outbound.get(&holder.pair) == Some(&1);
            if !last || state.devices.is_empty() || !state.policies.contains_key(&holder) {
                return;
            }
            state.model.hold(&shut, None, &holder.name);
        }
        if let Err(error) = self.settle(&[shut]) {
            log::error!("packets may leave in clear while a policy is removed: {error}");
            return;
        }
        let begin = self.now();
        if self.lock().waits.may(begin) {
            self.transport.wait_for_packets();
            let end = self.now();
            self.lock().waits.took(end.saturating_sub(begin));
        }
    }

    /// A policy is gone, or was not installed.
    pub fn open_for_policy(&self, id: &PolicyId, spec: &PolicySpec, key: &PolicyKey) {
        if spec.kind == PolicyKind::Pass {
            let pass = pass_of(key);
            let mut state = self.lock();
            let Some(count) = state.passes.get_mut(&pass) else {
                return;
            };
            *count -= 1;
            if *count > 0 {
                return;
            }
            state.passes.remove(&pass);
            state.rewrite_passes();
            drop(state);
            self.finish();
            return;
        }
        let scope = self.scope(key.mark, key.if_id, &spec.name);
        let Some(holder) = holder_of(id, spec, key, scope) else {
            return;
        };
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            let Some(count) = state.policies.get_mut(&holder) else {
                return;
            };
            *count -= 1;
            if *count == 0 {
                state.policies.remove(&holder);
            }
            let name = holder.name.clone();
            state.model.release(&holder.pair.gate(), &name, hold, now);
            if key.dir == Direction::Out {
                state.outbound_gone(holder.pair);
                state.model.release(&holder.pair.shut(), &name, hold, now);
            }
        }
        self.finish();
    }

    /// All policies are gone.
    pub fn open_for_all_policies(&self) {
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            for (holder, count) in std::mem::take(&mut state.policies) {
                for _ in 0..count {
                    state
                        .model
                        .release(&holder.pair.gate(), &holder.name, hold, now);
                }
            }
            state.outbound.clear();
            state.passes.clear();
            state.rewrite_passes();
        }
        self.finish();
    }

    /// Before something in packet mode is installed on a device: its egress stops what it would not
    /// encrypt.
    pub fn use_device(&self, ifindex: u32, name: &str) -> Result<()> {
        let key = device(ifindex);
        {
            let mut state = self.lock();
            if self.settings().cover == Cover::No
                || state
                    .devices
                    .get(&ifindex)
                    .is_some_and(|known| known == name)
            {
                return Ok(());
            }
            // A device that was made anew has another index.
            let stale: Vec<u32> = state
                .devices
                .iter()
                .filter(|(_, known)| *known == name)
                .map(|(index, _)| *index)
                .collect();
            for index in stale {
                state.devices.remove(&index);
                let now = Duration::ZERO;
                state
                    .model
                    .release(&device(index), name, Hold::For(now), now);
            }
            state.devices.insert(ifindex, name.to_owned());
            state.model.hold(&key, None, name);
            state.rules_dirty = true;
        }
        self.settle(std::slice::from_ref(&key)).inspect_err(|_| {
            let now = self.now();
            let mut state = self.lock();
            state.devices.remove(&ifindex);
            state.rules_dirty = true;
            state
                .model
                .release(&key, name, Hold::For(Duration::ZERO), now);
        })
    }

    /// A UDP port of charon.
    pub fn use_ike_port(&self, port: u16) {
        {
            let mut state = self.lock();
            let key = Key {
                set: ruleset::IKE_PORTS.to_owned(),
                key: port.to_be_bytes().to_vec(),
            };
            state.model.hold(&key, None, "charon");
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
        let found = self.lock().model.open(pair);
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
            state.outbound.clear();
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

    /// Does what is to be done and only logs a failure: the way out is never blocked.
    fn finish(&self) {
        if let Err(error) = self.settle(&[]) {
            log::error!("unable to update the gate: {error}");
        }
    }

    /// Makes the kernel have what is wanted. Whoever comes first executes what is to be done at that
    /// moment, for all; the others wait for the end of that transaction. Returns when `keys` are
    /// as wanted, or if the transaction that was to make them so failed.
    fn settle(&self, keys: &[Key]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        let mut failures = state.failures;
        let mut tries = 0;
        let mut executed = 0;
        loop {
            if !state.active {
                if !state.model.has_gates() {
                    // Nothing is guarded: there is no table, and nothing to exempt.
                    return Ok(());
                }
                state.active = true;
                state.rules_dirty = true;
                state.model.lost();
            }
            let mine = !keys.is_empty() && state.model.settled(keys.iter()) && !state.rules_dirty;
            // Who executed does it for those who did not wait, too.
            if (mine && (state.busy || executed == 0 || executed >= ROUNDS))
                || (!state.model.is_dirty() && !state.rules_dirty && !state.busy)
            {
                return Ok(());
            }
            if state.failures != failures {
                failures = state.failures;
                tries += 1;
                if tries >= 2 {
                    return Err(refusal(state.last_error.clone()));
                }
            }
            if state.busy {
                if keys.is_empty() {
                    // Whoever executes looks again before it ends.
                    return Ok(());
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(refusal(None));
                }
                state = self
                    .changed
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            state = self.transact(state);
            executed += 1;
        }
    }

    /// One transaction, with the lock released while it is executed.
    fn transact<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.begin();
        let busy = Busy(self);
        let now = self.now();
        let plan = state.model.plan(now);
        let rules = std::mem::take(&mut state.rules_dirty);
        let layout = rules.then(|| state.layout.clone());
        let devices: Vec<String> = state.devices.values().cloned().collect();
        drop(state);
        let transport = self.transport.as_ref();
        let result = kernel::commit(
            transport,
            layout.as_ref().map(|layout| (layout, &devices[..])),
            &plan,
        );
        let written = match (&result, rules) {
            (Ok(()), true) => kernel::read_rules(transport).ok(),
            _ => None,
        };
        std::mem::forget(busy);
        let mut state = self.lock();
        state.busy = false;
        match result {
            Ok(()) => {
                state.model.applied(&plan.outcome);
                if let Some(written) = written {
                    state.written = written;
                }
                state.last_error = None;
            }
            Err(error) => {
                log::debug!("a transaction of the gate failed: {error}");
                state.model.failed(&plan.outcome);
                if error.errno == libc::ENOENT {
                    // Somebody removed the table, or part of it: all of it is written anew.
                    state.model.lost();
                }
                state.rules_dirty = true;
                state.failures += 1;
                state.last_error = Some(error);
            }
        }
        self.changed.notify_all();
        state
    }

    /// Which of the packets between its networks a CHILD_SA is about.
    fn scope(&self, mark: Mark, if_id: u32, name: &str) -> Scope {
        if if_id != 0 {
            return Scope::Interface;
        }
        let own = self.settings().mark;
        if mark.value & own != 0 {
            self.say_once(format!(
                "the mark {:#x}/{:#x} of CHILD_SA {name} has the bit of guard_mark: it is guarded without that bit",
                mark.value, mark.mask
            ));
        }
        // Mark bits that the mask does not have never match; without them more is guarded.
        let mask = mark.mask & !own;
        match mask {
            0 => Scope::All,
            mask => Scope::Marked(Mark {
                value: mark.value & mask,
                mask,
            }),
        }
    }

    fn say_once(&self, text: String) {
        if self.lock().widened.insert(text.clone()) {
            log::warn!("{text}");
        }
    }

    /// The pairs of networks of two lists of traffic selectors. What cannot be matched exactly is
    /// guarded more widely, and it is said.
    fn pairs(
        &self,
        local: &[TrafficSelector],
        remote: &[TrafficSelector],
        scope: Scope,
        name: &str,
    ) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for local in local {
            for remote in remote {
                if local.from.is_ipv4() != remote.from.is_ipv4() {
                    continue;
                }
                let pair = pair_of(local, remote, scope);
                if !local.is_any_port() || !remote.is_any_port() {
                    self.say_once(format!(
                        "CHILD_SA {name}: {local} === {remote} is guarded as {pair}, with all ports"
                    ));
                }
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        pairs
    }

    fn policy_holder(
        &self,
        id: &PolicyId,
        spec: &PolicySpec,
        key: &PolicyKey,
    ) -> Option<PolicyHolder> {
        if !self.covers(spec.offload) {
            return None;
        }
        let scope = self.scope(key.mark, key.if_id, &spec.name);
        let holder = holder_of(id, spec, key, scope)?;
        let (local, remote) = sides(id);
        // Says what is guarded more widely.
        self.pairs(
            std::slice::from_ref(local),
            std::slice::from_ref(remote),
            scope,
            &spec.name,
        );
        Some(holder)
    }
}

/// A transaction that is under way, so that not even a panic leaves the others waiting.
struct Busy<'a>(&'a Guard);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy = false;
        state.failures += 1;
        state.model.give_up();
        state.rules_dirty = true;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Held {
    fn keys(&self) -> Vec<Key> {
        let gates = self.gates.iter().map(Pair::gate);
        gates.chain(self.others.iter().cloned()).collect()
    }
}

impl State {
    fn hold_gate(&mut self, pair: Pair, name: &str) {
        if self.layout.categories.insert(pair.category()) {
            self.rules_dirty = true;
        }
        self.model.hold(&pair.gate(), Some(pair), name);
    }

    fn hold(&mut self, held: &Held) {
        for pair in &held.gates {
            self.hold_gate(*pair, &held.name);
        }
        // Its set must be there, whoever closes the gate, and when.
        for pair in &held.delivers {
            if self.layout.delivered.insert(pair.category().networks()) {
                self.rules_dirty = true;
            }
        }
        for key in &held.others {
            self.model.hold(key, None, &held.name);
        }
    }

    fn release(&mut self, held: &Held, hold: Hold, now: Duration) {
        for pair in &held.gates {
            self.model.release(&pair.gate(), &held.name, hold, now);
        }
        for key in &held.others {
            self.model.release(key, &held.name, hold, now);
        }
    }

    fn outbound_gone(&mut self, pair: Pair) {
        if let Some(count) = self.outbound.get_mut(&pair) {
            *count -= 1;
            if *count == 0 {
                self.outbound.remove(&pair);
            }
        }
    }

    fn rewrite_passes(&mut self) {
        let mut passes: Vec<Pass> = self.passes.keys().copied().collect();
        passes.sort_by_key(|pass| (pass.outbound, pass.selector.to_string()));
        self.layout.passes = passes;
        self.rules_dirty = true;
    }
}

fn refusal(error: Option<KernelError>) -> Error {
    let reason = match error {
        Some(error) => format!("unable to close the gate against traffic in clear: {error}"),
        None => "unable to close the gate against traffic in clear: another thread is at it for too long".to_owned(),
    };
    Error::Refused {
        reason,
        remedy: "the kernel needs nf_tables with nft_xfrm, nft_fib_inet, nft_socket and egress hooks (Linux 6.3 or later); charon.plugins.kernel-fastswan.guard = no goes without"
            .to_owned(),
    }
}

fn pair_of(local: &TrafficSelector, remote: &TrafficSelector, scope: Scope) -> Pair {
    Pair {
        local: local.prefix(),
        remote: remote.prefix(),
        proto: if local.proto == 0 {
            remote.proto
        } else {
            local.proto
        },
        scope,
    }
}

fn sides(id: &PolicyId) -> (&TrafficSelector, &TrafficSelector) {
    match id.dir {
        Direction::Out => (&id.src_ts, &id.dst_ts),
        Direction::In | Direction::Fwd => (&id.dst_ts, &id.src_ts),
    }
}

/// The gate a policy holds, if it is one that protects. The forward policy goes with the inbound one.
fn holder_of(
    id: &PolicyId,
    spec: &PolicySpec,
    key: &PolicyKey,
    scope: Scope,
) -> Option<PolicyHolder> {
    if spec.kind != PolicyKind::Ipsec || key.dir == Direction::Fwd || spec.sa.reqid == 0 {
        return None;
    }
    let (local, remote) = sides(id);
    let name = match spec.class {
        PriorityClass::Routed => format!("{} (trap)", spec.name),
        _ => spec.name.clone(),
    };
    Some(PolicyHolder {
        dir: key.dir,
        pair: pair_of(local, remote, scope),
        name,
    })
}

fn pass_of(key: &PolicyKey) -> Pass {
    Pass {
        outbound: key.dir == Direction::Out,
        selector: Selector { ..key.selector },
    }
}

fn peers(local: IpAddr, remote: IpAddr) -> Option<Key> {
    if local.is_ipv4() != remote.is_ipv4() {
        return None;
    }
    let set = if local.is_ipv4() {
        ruleset::PEERS4
    } else {
        ruleset::PEERS6
    };
    let mut key = ruleset::octets(local);
    key.extend(ruleset::octets(remote));
    Some(Key {
        set: set.to_owned(),
        key,
    })
}

fn is_peers(key: &Key) -> bool {
    key.set == ruleset::PEERS4 || key.set == ruleset::PEERS6
}

/// What an inbound SA with this reqid may deliver, and that it may deliver nothing else.
fn deliveries(pairs: &[Pair], reqid: u32) -> Vec<Key> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let judged = Key {
        set: ruleset::REQIDS.to_owned(),
        key: reqid.to_ne_bytes().to_vec(),
    };
    let mut keys = vec![judged];
    keys.extend(pairs.iter().map(|pair| pair.delivery(reqid)));
    keys
}

fn device(ifindex: u32) -> Key {
    Key {
        set: ruleset::NICS.to_owned(),
        key: ifindex.to_ne_bytes().to_vec(),
    }
}
