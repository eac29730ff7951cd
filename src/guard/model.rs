// SPDX-License-Identifier: GPL-2.0-or-later
//! What the gate holds closed, who wants it so, and what of it is in the kernel.
//!
//! Owns reference counts and closing times of everything that is an element of a set: guarded
//! selectors, what SAs may deliver, outer addresses, ports, devices. Called by `mod.rs` under its
//! lock. Must not do I/O and must not read a clock: the time is handed in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::element::{Key, Place};
use super::nft::{Element, ReadElement};
use super::ruleset::{Category, Which};
use crate::few::Few;
use crate::model::{Mark, Prefix};

/// The selectors of a CHILD_SA as the gate sees them: two networks, perhaps a protocol, perhaps a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// On this side.
    pub local: Prefix,
    /// On the peer's side.
    pub remote: Prefix,
    /// Protocol number, 0 for all.
    pub proto: u8,
    /// Which of these packets are meant.
    pub scope: Scope,
}

/// Which packets between two networks a CHILD_SA is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those that leave with a mark, as `mark_out` names it. Never has bits outside its mask.
    MarkedOut(Mark),
    /// Those that enter with a mark, as `mark_in` names it. Never has bits outside its mask.
    MarkedIn(Mark),
    /// Those that were sent into an XFRM interface.
    Interface,
}

impl Scope {
    fn mark(self) -> Option<Mark> {
        match self {
            Self::All | Self::Interface => None,
            Self::MarkedOut(mark) | Self::MarkedIn(mark) => Some(mark),
        }
    }
}

impl Pair {
    pub(super) fn category(&self) -> Category {
        Category {
            v6: self.local.first().is_ipv6(),
            local: self.local.len(),
            remote: self.remote.len(),
            proto: self.proto != 0,
            scope: match self.scope {
                Scope::All => Which::All,
                Scope::MarkedOut(mark) => Which::MaskedOut(mark.mask),
                Scope::MarkedIn(mark) => Which::MaskedIn(mark.mask),
                Scope::Interface => Which::Interface,
            },
        }
    }

    /// Its element in the set of guarded selectors.
    pub(super) fn gate(&self) -> Key {
        let mut key = Key::of(Place::Gates(self.category()));
        if let Some(mark) = self.scope.mark() {
            key = key.put(&mark.value.to_ne_bytes());
        }
        self.networks(key)
    }

    /// Its element in the set of what SAs may deliver.
    pub(super) fn delivery(&self, reqid: u32) -> Key {
        let key = Key::of(Place::Delivered(self.category().networks()));
        self.networks(key.put(&reqid.to_ne_bytes()))
    }

    fn networks(&self, key: Key) -> Key {
        let key = key.address(self.local.first()).address(self.remote.first());
        match self.proto {
            0 => key,
            // Fields of an element have whole words.
            proto => key.put(&[proto, 0, 0, 0]),
        }
    }

    /// Reads an element of a set of guarded selectors.
    pub(super) fn read(category: Category, key: &[u8]) -> Option<Self> {
        let width = if category.v6 { 16 } else { 4 };
        let marked = |mask: u32, scope: fn(Mark) -> Scope| {
            let (value, rest) = key.split_first_chunk()?;
            let value = u32::from_ne_bytes(*value);
            (value & !mask == 0).then(|| (scope(Mark { value, mask }), rest))
        };
        let (scope, networks) = match category.scope {
            Which::All => (Scope::All, key),
            Which::Interface => (Scope::Interface, key),
            Which::MaskedOut(mask) => marked(mask, Scope::MarkedOut)?,
            Which::MaskedIn(mask) => marked(mask, Scope::MarkedIn)?,
        };
        let ip = |bytes: &[u8]| -> Option<std::net::IpAddr> {
            Some(if category.v6 {
                <[u8; 16]>::try_from(bytes).ok()?.into()
            } else {
                <[u8; 4]>::try_from(bytes).ok()?.into()
            })
        };
        let pair = Self {
            local: Prefix::new(ip(networks.get(..width)?)?, category.local),
            remote: Prefix::new(ip(networks.get(width..2 * width)?)?, category.remote),
            proto: if category.proto {
                *networks.get(2 * width)?
            } else {
                0
            },
            scope,
        };
        (pair.gate().key[..] == *key && pair.category() == category).then_some(pair)
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} === {}", self.local, self.remote)?;
        if self.proto != 0 {
            write!(f, "[{}]", self.proto)?;
        }
        match self.scope {
            Scope::All => Ok(()),
            Scope::MarkedOut(mark) => write!(f, " mark_out {:#x}/{:#x}", mark.value, mark.mask),
            Scope::MarkedIn(mark) => write!(f, " mark_in {:#x}/{:#x}", mark.value, mark.mask),
            Scope::Interface => f.write_str(" xfrmi"),
        }
    }
}

/// Whether an element is in the kernel, and until when (on the monotonic clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// A transaction failed, or somebody else changed the tables meanwhile: it may be there in any form.
    Unknown,
    Permanent,
    Until(Duration),
}

/// How long a gate stays closed after its last holder left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// So long; zero opens it at once.
    For(Duration),
    /// Until it is opened by hand.
    Forever,
}

#[derive(Debug)]
struct Entry {
    /// Many where many CHILD_SAs share a pair, as all do that have an XFRM interface.
    holders: Few<Arc<str>, u32>,
    /// A name to be shown when nobody holds it any more.
    last_holder: Arc<str>,
    target: Presence,
    installed: Presence,
    /// A transaction that changes it is under way: what comes of it is not known yet.
    in_flight: bool,
    /// Somebody else changed the tables meanwhile: nor will it be.
    doubted: bool,
}

impl Entry {
    fn new(name: &Arc<str>, target: Presence, installed: Presence) -> Self {
        Self {
            holders: Few::default(),
            last_holder: Arc::clone(name),
            target,
            installed,
            in_flight: false,
            doubted: false,
        }
    }

    /// The name that administrators see.
    fn shown(&self) -> &Arc<str> {
        self.holders.keys().next().unwrap_or(&self.last_holder)
    }
}

/// A gate, for those who list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    /// What is guarded.
    pub pair: Pair,
    /// Names of the CHILD_SAs and traps that hold it; empty if nobody does any more.
    pub holders: Vec<String>,
    /// Who held it last, or whom a former daemon wrote down.
    pub last_holder: String,
    /// How long it stays closed; `None` if until it is released or opened.
    pub left: Option<Duration>,
}

/// Changes that make the kernel have what is wanted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) destroy: BTreeMap<Place, Vec<Element>>,
    pub(super) add: BTreeMap<Place, Vec<Element>>,
    pub(super) outcome: Vec<(Key, Presence)>,
}

/// All elements.
#[derive(Debug, Default)]
pub(super) struct Model {
    entries: HashMap<Key, Entry>,
    dirty: HashSet<Key>,
}

impl Model {
    /// One more holder.
    pub(super) fn hold(&mut self, key: &Key, name: &Arc<str>) {
        let entry = self
            .entries
            .entry(key.clone())
            .or_insert_with(|| Entry::new(name, Presence::Absent, Presence::Absent));
        match entry.holders.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                entry.holders.insert(Arc::clone(name), 1);
            }
        }
        entry.target = Presence::Permanent;
        self.touch(key);
    }

    /// One holder less. What does not linger goes at once.
    pub(super) fn release(&mut self, key: &Key, name: &Arc<str>, hold: Hold, now: Duration) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Some(count) = entry.holders.get_mut(name) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            entry.holders.remove(name);
        }
        if !entry.holders.is_empty() {
            return;
        }
        entry.last_holder = Arc::clone(name);
        entry.target = match hold {
            _ if !key.set.lingers() => Presence::Absent,
            Hold::For(Duration::ZERO) => Presence::Absent,
            Hold::For(time) => Presence::Until(now.saturating_add(time)),
            Hold::Forever => Presence::Permanent,
        };
        self.touch(key);
    }

    fn touch(&mut self, key: &Key) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        if entry.in_flight {
            return;
        }
        if entry.target != entry.installed {
            self.dirty.insert(key.clone());
            return;
        }
        self.dirty.remove(key);
        if entry.target == Presence::Absent && entry.holders.is_empty() {
            self.entries.remove(key);
        }
    }

    /// A gate that a former daemon left, or a reqid that it shut; one of these for good gets the time `hold`.
    pub(super) fn adopt(&mut self, key: &Key, element: &ReadElement, hold: Hold, now: Duration) {
        let installed = match element.left {
            None => Presence::Permanent,
            Some(left) => Presence::Until(now.saturating_add(left)),
        };
        let target = match (installed, hold) {
            (Presence::Permanent, Hold::For(time)) if !key.is_gate() => {
                Presence::Until(now.saturating_add(time))
            }
            _ => installed,
        };
        self.entries.entry(key.clone()).or_insert_with(|| {
            let name = Arc::from(&element.comment[..]);
            Entry::new(&name, target, installed)
        });
        self.touch(key);
    }

    /// Forgets what was shut, when there is no table.
    pub(super) fn forget_shut(&mut self) {
        self.entries
            .retain(|key, entry| key.set != Place::Shut || !entry.holders.is_empty());
        let entries = &self.entries;
        self.dirty.retain(|key| entries.contains_key(key));
    }

    /// It is to be written again, as it is.
    pub(super) fn rewrite(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.installed = Presence::Unknown;
            entry.doubted = entry.in_flight;
        }
        self.touch(key);
    }

    /// Whether somebody holds it.
    pub(super) fn is_held(&self, key: &Key) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| !entry.holders.is_empty())
    }

    /// Whether there is something to do.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether all of these are in the kernel as wanted.
    pub(super) fn settled<'a>(&self, mut keys: impl Iterator<Item = &'a Key>) -> bool {
        keys.all(|key| {
            let entry = self.entries.get(key);
            entry.is_none_or(|entry| entry.target == entry.installed && !entry.in_flight)
        })
    }

    /// What is to be done now. It is not dirty any more: whoever executes the plan says how it went.
    pub(super) fn plan(&mut self, now: Duration) -> Plan {
        let mut plan = Plan::default();
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            entry.in_flight = true;
            let (timeout, outcome) = match entry.target {
                Presence::Until(end) if end <= now => (None, Presence::Absent),
                Presence::Until(end) => (Some(end - now), entry.target),
                target => (None, target),
            };
            let element = Element {
                key: key.key.clone(),
                timeout,
                comment: Arc::clone(entry.shown()),
            };
            // An element cannot be changed: it is replaced, within one transaction.
            if entry.installed != Presence::Absent {
                let list = plan.destroy.entry(key.set).or_default();
                list.push(element.clone());
            }
            if outcome != Presence::Absent {
                plan.add.entry(key.set).or_default().push(element);
            }
            plan.outcome.push((key, outcome));
        }
        plan
    }

    /// A plan was executed.
    pub(super) fn applied(&mut self, outcome: &[(Key, Presence)]) {
        for (key, presence) in outcome {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.installed = match std::mem::take(&mut entry.doubted) {
                    true => Presence::Unknown,
                    false => *presence,
                };
                entry.in_flight = false;
                if matches!(entry.target, Presence::Until(_)) && *presence == Presence::Absent {
                    entry.target = Presence::Absent;
                }
                self.touch(key);
            }
        }
    }

    /// A plan failed: all of it is to be done again. A part of it may be done, or all, if only the answer is lost.
    pub(super) fn failed(&mut self, outcome: &[(Key, Presence)]) {
        for (key, _) in outcome {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.in_flight = false;
                entry.doubted = false;
                entry.installed = Presence::Unknown;
            }
            self.touch(key);
        }
    }

    /// The tables are not in the kernel. What somebody holds is to be put back, and so is what is
    /// kept closed.
    pub(super) fn lost(&mut self) {
        self.all_are(Presence::Absent);
    }

    /// The tables are there, but what is in them cannot be told: all of it is to be written again.
    pub(super) fn doubt(&mut self) {
        self.all_are(Presence::Unknown);
    }

    fn all_are(&mut self, presence: Presence) {
        for key in self.entries.keys().cloned().collect::<Vec<_>>() {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.installed = presence;
                entry.doubted = entry.in_flight;
            }
            self.touch(&key);
        }
    }

    /// As [`Model::doubt`], also for what is under way: the thread that executed it is gone.
    pub(super) fn give_up(&mut self) {
        for entry in self.entries.values_mut() {
            entry.in_flight = false;
        }
        self.doubt();
    }

    /// Closing times that are over: the kernel opened those gates by itself.
    pub(super) fn expire(&mut self, now: Duration) {
        self.entries.retain(|_, entry| {
            !entry.holders.is_empty()
                || entry.in_flight
                || !matches!(
                    (entry.installed, entry.target),
                    (Presence::Until(there), Presence::Until(end)) if there <= now && end <= now
                )
        });
        let entries = &self.entries;
        self.dirty.retain(|key| entries.contains_key(key));
    }

    /// Compares with the elements of a set as they are. Returns how many gates are to be closed again
    /// and how many were opened by somebody else.
    pub(super) fn compare(
        &mut self,
        set: Place,
        found: &[ReadElement],
        now: Duration,
    ) -> (usize, usize) {
        let in_kernel: HashMap<&[u8], &ReadElement> = found
            .iter()
            .map(|element| (&element.key[..], element))
            .collect();
        let (mut again, mut opened) = (0, 0);
        let known: Vec<Key> = self
            .entries
            .keys()
            .filter(|key| key.set == set)
            .cloned()
            .collect();
        for key in &known {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            if entry.installed == Presence::Absent || entry.in_flight || self.dirty.contains(key) {
                continue;
            }
            match in_kernel.get(&key.key[..]) {
                None if entry.holders.is_empty() => {
                    opened += usize::from(entry.target == Presence::Permanent);
                    entry.installed = Presence::Absent;
                    entry.target = Presence::Absent;
                }
                None => {
                    again += 1;
                    entry.installed = Presence::Absent;
                }
                // Somebody put a time on what is to stay.
                Some(ReadElement {
                    left: Some(left), ..
                }) if entry.installed == Presence::Permanent => {
                    again += 1;
                    entry.installed = Presence::Until(now.saturating_add(*left));
                }
                Some(_) => {}
            }
            self.touch(key);
        }
        (again, opened)
    }

    /// Elements of a set that nobody here put there; they go with the next plan.
    pub(super) fn remove_strays(&mut self, set: Place, found: &[ReadElement]) -> usize {
        let mut strays = 0;
        for element in found {
            let Some(key) = Key::read(set, &element.key) else {
                continue;
            };
            // The kernel's time begins, and ends, a transaction later than ours.
            if set == Place::Shut && element.left.is_some() {
                continue;
            }
            if self.entries.contains_key(&key) {
                continue;
            }
            strays += 1;
            let entry = Entry::new(&Arc::default(), Presence::Absent, Presence::Permanent);
            self.entries.insert(key.clone(), entry);
            self.touch(&key);
        }
        strays
    }

    /// Gives all gates, held or not, the same end: for a stop of the daemon. What is no gate stays
    /// as it is.
    pub(super) fn end_all(&mut self, hold: Hold, now: Duration) {
        for key in self.entries.keys().cloned().collect::<Vec<_>>() {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if !key.set.lingers() || entry.target == Presence::Absent {
                continue;
            }
            let held = !entry.holders.is_empty();
            entry.holders = Few::default();
            entry.target = match hold {
                Hold::Forever => Presence::Permanent,
                Hold::For(_) if !held => entry.target,
                Hold::For(time) => Presence::Until(now.saturating_add(time)),
            };
            self.touch(&key);
        }
    }

    /// Opens what nobody holds; `None` if it is not closed, `false` if it is held.
    pub(super) fn open(&mut self, key: &Key) -> Option<bool> {
        let entry = self.entries.get_mut(key)?;
        if !entry.holders.is_empty() {
            return Some(false);
        }
        entry.target = Presence::Absent;
        self.touch(key);
        Some(true)
    }

    /// All gates, in the order of their selectors.
    pub(super) fn gates(&self, now: Duration) -> Vec<GateState> {
        let mut gates: Vec<GateState> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.target != Presence::Absent)
            .filter_map(|(key, entry)| {
                let mut holders: Vec<String> =
                    entry.holders.keys().map(|name| name.to_string()).collect();
                holders.sort_unstable();
                Some(GateState {
                    pair: key.pair()?,
                    holders,
                    last_holder: entry.last_holder.to_string(),
                    left: match entry.target {
                        Presence::Until(end) => Some(end.saturating_sub(now)),
                        _ => None,
                    },
                })
            })
            .collect();
        gates.sort_by_key(|gate| gate.pair.gate());
        gates
    }

    /// Sets that have elements which are, or were, gates.
    pub(super) fn has_gates(&self) -> bool {
        self.entries
            .iter()
            .any(|(key, entry)| key.is_gate() && entry.target != Presence::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const TEN: Duration = Duration::from_secs(10);

    fn pair(local: &str, remote: &str) -> Pair {
        let prefix = |text: &str| {
            let (ip, len) = text.split_once('/').unwrap();
            Prefix::new(ip.parse().unwrap(), len.parse().unwrap())
        };
        Pair {
            local: prefix(local),
            remote: prefix(remote),
            proto: 0,
            scope: Scope::All,
        }
    }

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn net() -> Pair {
        pair("10.1.0.0/16", "10.2.0.0/16")
    }

    fn counts(plan: &Plan) -> (usize, usize) {
        let sum = |map: &BTreeMap<Place, Vec<Element>>| map.values().map(Vec::len).sum();
        (sum(&plan.destroy), sum(&plan.add))
    }

    fn run(model: &mut Model, now: Duration) -> (usize, usize) {
        let plan = model.plan(now);
        model.applied(&plan.outcome);
        counts(&plan)
    }

    #[test]
    fn the_last_holder_decides_and_the_gate_stays_closed_for_its_time() {
        let mut model = Model::default();
        let key = net().gate();
        model.hold(&key, &name("a"));
        assert!(!model.settled([&key].into_iter()));
        assert_eq!(run(&mut model, NOW), (0, 1));
        model.hold(&key, &name("b"));
        assert!(!model.is_dirty(), "a second holder costs nothing");
        model.release(&key, &name("a"), Hold::For(TEN), NOW);
        assert!(!model.is_dirty(), "b holds it still");
        model.release(&key, &name("b"), Hold::For(TEN), NOW);
        let plan = model.plan(NOW);
        assert_eq!(counts(&plan), (1, 1), "replaced by one with a timeout");
        assert_eq!(plan.add[&net().gate().set][0].timeout, Some(TEN));
        model.applied(&plan.outcome);
        assert_eq!(model.gates(NOW)[0].left, Some(TEN));
        model.expire(NOW + TEN - Duration::from_millis(1));
        assert_eq!(model.gates(NOW).len(), 1);
        model.expire(NOW + TEN);
        assert!(model.gates(NOW).is_empty());
    }

    #[test]
    fn a_gate_in_its_closing_time_is_closed_again_by_a_new_holder() {
        let mut model = Model::default();
        let key = net().gate();
        model.hold(&key, &name("a"));
        run(&mut model, NOW);
        model.release(&key, &name("a"), Hold::For(TEN), NOW);
        run(&mut model, NOW);
        model.hold(&key, &name("a"));
        let plan = model.plan(NOW + TEN + TEN);
        assert_eq!(counts(&plan), (1, 1), "the kernel may have removed it");
        assert_eq!(plan.add[&net().gate().set][0].timeout, None);
        model.applied(&plan.outcome);
        model.expire(NOW + TEN + TEN);
        assert_eq!(model.gates(NOW)[0].holders, ["a"]);
    }

    #[test]
    fn nothing_and_for_ever() {
        for (hold, then) in [(Hold::For(Duration::ZERO), (1, 0)), (Hold::Forever, (0, 0))] {
            let mut model = Model::default();
            let key = net().gate();
            model.hold(&key, &name("a"));
            run(&mut model, NOW);
            model.release(&key, &name("a"), hold, NOW);
            assert_eq!(run(&mut model, NOW), then);
            assert_eq!(model.gates(NOW).len(), usize::from(hold == Hold::Forever));
        }
    }

    #[test]
    fn what_is_no_gate_goes_at_once() {
        let mut model = Model::default();
        let key = net().delivery(7);
        model.hold(&key, &name("a"));
        run(&mut model, NOW);
        model.release(&key, &name("a"), Hold::Forever, NOW);
        assert_eq!(run(&mut model, NOW), (1, 0));
        assert!(model.entries.is_empty());
    }

    #[test]
    fn a_failure_leaves_it_to_be_done_again() {
        let mut model = Model::default();
        let key = net().gate();
        model.hold(&key, &name("a"));
        let plan = model.plan(NOW);
        assert!(!model.is_dirty());
        model.failed(&plan.outcome);
        assert!(model.is_dirty());
        assert_eq!(run(&mut model, NOW), (1, 1), "it may be there");
        model.lost();
        assert_eq!(run(&mut model, NOW), (0, 1));
    }

    #[test]
    fn a_change_while_a_plan_is_executed_is_not_lost() {
        let mut model = Model::default();
        let key = net().gate();
        model.hold(&key, &name("a"));
        let plan = model.plan(NOW);
        model.release(&key, &name("a"), Hold::For(Duration::ZERO), NOW);
        model.applied(&plan.outcome);
        assert_eq!(run(&mut model, NOW), (1, 0));
    }

    #[test]
    fn foreign_changes_of_what_is_held_are_undone_and_of_what_is_not_are_accepted() {
        let mut model = Model::default();
        let (held, kept) = (net(), pair("10.1.0.0/16", "10.3.0.0/16"));
        for pair in [held, kept] {
            model.hold(&pair.gate(), &name("a"));
        }
        model.release(&kept.gate(), &name("a"), Hold::Forever, NOW);
        run(&mut model, NOW);
        assert_eq!(model.compare(net().gate().set, &[], NOW), (1, 1));
        assert_eq!(run(&mut model, NOW), (0, 1));
        let timed = ReadElement {
            key: held.gate().key.to_vec(),
            left: Some(TEN),
            comment: String::new(),
        };
        assert_eq!(model.compare(net().gate().set, &[timed], NOW), (1, 0));
        assert_eq!(run(&mut model, NOW), (1, 1));
        assert_eq!(model.gates(NOW).len(), 1);
    }

    #[test]
    fn strays_are_removed() {
        let mut model = Model::default();
        let found = [ReadElement {
            key: vec![1, 0, 0, 0],
            left: None,
            comment: String::new(),
        }];
        assert_eq!(model.remove_strays(Place::Reqids, &found), 1);
        assert_eq!(run(&mut model, NOW), (1, 0));
    }

    #[test]
    fn an_adopted_gate_stays_and_can_be_claimed_or_opened() {
        let mut model = Model::default();
        let found = ReadElement {
            key: net().gate().key.to_vec(),
            left: None,
            comment: "net".to_owned(),
        };
        let read = Pair::read(net().category(), &found.key).unwrap();
        assert_eq!(read, net());
        model.adopt(&read.gate(), &found, Hold::Forever, NOW);
        assert!(!model.is_dirty());
        model.expire(NOW * 2);
        assert_eq!(model.gates(NOW)[0].last_holder, "net");
        model.hold(&net().gate(), &name("net"));
        assert!(!model.is_dirty(), "it is closed already");
        assert_eq!(model.open(&net().gate()), Some(false));
        model.release(&net().gate(), &name("net"), Hold::Forever, NOW);
        assert_eq!(model.open(&net().gate()), Some(true));
        assert_eq!(run(&mut model, NOW), (1, 0));
        assert_eq!(model.open(&net().gate()), None);
    }

    #[test]
    fn at_a_stop_held_gates_get_their_time_or_stay() {
        let mut model = Model::default();
        model.hold(&net().gate(), &name("a"));
        run(&mut model, NOW);
        model.end_all(Hold::For(TEN), NOW);
        assert_eq!(run(&mut model, NOW), (1, 1));
        model.end_all(Hold::Forever, NOW);
        assert_eq!(run(&mut model, NOW), (1, 1));
        assert_eq!(model.gates(NOW)[0].left, None);
    }

    #[test]
    fn names_of_sets_are_read_back_and_garbage_is_not() {
        let mut six = pair("fd00::/64", "::/0");
        six.proto = 47;
        let mut marked = six;
        marked.scope = Scope::MarkedOut(Mark {
            value: 0x2a,
            mask: 0xff,
        });
        let mut inner = net();
        inner.scope = Scope::Interface;
        let mut entering = six;
        entering.scope = Scope::MarkedIn(Mark {
            value: 0x2a,
            mask: 0xff,
        });
        for pair in [net(), six, marked, entering, inner] {
            let category = pair.category();
            for place in [pair.gate().set, pair.delivery(7).set] {
                assert_eq!(Place::read(&place.name()), Some(place));
            }
            assert_eq!(Pair::read(category, &pair.gate().key), Some(pair));
        }
        for name in [
            "gate",
            "gate4",
            "gate5_1_1",
            "gate4_16_16_16",
            "gate4_016_16",
            "gate4_16_16_markout",
            "gate4_16_16_markff",
            "gate4_16_16_markinxy",
            "gate4_16_16_markin0",
            "gate4_16_16_markout00ff",
            "gate4_16_16_markout+f",
            "gate4_16_16_xfrmi_proto",
            "sa4_1_1_xfrmi",
            "sa4_1",
            "",
        ] {
            assert_eq!(Place::read(name), None, "{name}");
        }
        assert_eq!(Pair::read(net().category(), &[1, 2, 3]), None);
        assert_eq!(
            Pair::read(net().category(), &[1, 2, 3, 4, 5, 6, 7, 8]),
            None
        );
        assert_eq!(Pair::read(net().category(), &[0; 9]), None);
        // Bits of the mark that its mask does not have.
        let masked = Category::of_gates("gate4_16_16_markoutff").unwrap();
        let mut key = 0x1ffu32.to_ne_bytes().to_vec();
        key.extend(net().gate().key);
        assert_eq!(Pair::read(masked, &key), None);
    }

    #[test]
    fn what_an_sa_delivers_has_no_mark() {
        let mut marked = net();
        marked.scope = Scope::MarkedOut(Mark { value: 1, mask: 1 });
        assert_ne!(marked.gate(), net().gate());
        assert_eq!(marked.delivery(7), net().delivery(7));
    }
}
