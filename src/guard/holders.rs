// SPDX-License-Identifier: GPL-2.0-or-later
//! Who holds which gate closed: SAs, policies, devices.
//!
//! Owns the way of a CHILD_SA through the gate: closed before its first SA or policy, released behind the last. Called by
//! `backend/gate.rs`. Which elements that is comes from `selectors.rs`; the kernel is told by `settle.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::element::Key;
use super::model::{Hold, Pair};
use super::ruleset::Pass;
use super::selectors::{deliveries, device, is_peers, pass_of, peers};
use super::{Cover, Guard, State};
use crate::error::{Error, Result};
use crate::model::{
    Direction, Offload, PolicyId, PolicyKind, PolicySpec, PriorityClass, SaId, SaKey, SaSpec,
};
use crate::xfrm::PolicyKey;

/// What an SA holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    name: Arc<str>,
    inbound: bool,
    gates: Vec<Pair>,
    delivers: Vec<Pair>,
    others: Vec<Key>,
}

/// A policy that holds a gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PolicyHolder {
    key: PolicyKey,
    name: Arc<str>,
}

/// The gate such a policy closed. The settings of that time are part of it, so it is not told from the policy again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pair: Pair,
    count: usize,
}

/// The egress of a device.
#[derive(Clone, Debug)]
pub(super) struct Egress {
    /// The device's name when its rules were written.
    pub(super) name: String,
    /// There was none of that name.
    pub(super) missing: bool,
}

impl Guard {
    /// Before an SA is installed: closes the gate of its selectors, and says what an inbound one may deliver. Fails, with
    /// what to do about it, if that is impossible. An inbound SA of `auto` or `crypto` closes nothing by itself.
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
            let scope = self.scope(!spec.inbound, id.mark, id.if_id, &spec.name);
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
            name: Arc::from(&spec.name[..]),
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
        let Some(holder) = self
            .covers(spec.offload)
            .then(|| PolicyHolder::of(spec, key))
            .flatten()
        else {
            return Ok(());
        };
        let pair = self.pair_of_policy(id, spec, key);
        let gate = {
            let mut state = self.lock();
            let claim = state
                .policies
                .entry(holder.clone())
                .or_insert(Claim { pair, count: 0 });
            claim.count += 1;
            let pair = claim.pair;
            state.hold_gate(pair, &holder.name);
            pair.gate()
        };
        self.settle(&[gate]).inspect_err(|_| {
            self.open_for_policy(spec, key);
        })
    }

    /// A policy is gone, or was not installed.
    pub fn open_for_policy(&self, spec: &PolicySpec, key: &PolicyKey) {
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
        let Some(holder) = PolicyHolder::of(spec, key) else {
            return;
        };
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            let Some(claim) = state.policies.get_mut(&holder) else {
                return;
            };
            let pair = claim.pair;
            claim.count -= 1;
            if claim.count == 0 {
                state.policies.remove(&holder);
            }
            state.model.release(&pair.gate(), &holder.name, hold, now);
        }
        self.finish();
    }

    /// All policies are gone.
    pub fn open_for_all_policies(&self) {
        let hold = self.settings().hold;
        let now = self.now();
        {
            let mut state = self.lock();
            for (holder, claim) in std::mem::take(&mut state.policies) {
                for _ in 0..claim.count {
                    state
                        .model
                        .release(&claim.pair.gate(), &holder.name, hold, now);
                }
            }
            state.passes.clear();
            state.rewrite_passes();
        }
        self.finish();
    }

    /// Before something in packet mode is installed on a device: its egress stops what it would not
    /// encrypt. Costs nothing once that is so.
    pub fn use_device(&self, ifindex: u32, name: &str) -> Result<()> {
        if self.settings().cover == Cover::No {
            return Ok(());
        }
        let key = device(ifindex);
        {
            let mut state = self.lock();
            let known = |egress: &Egress| egress.name == name && !egress.missing;
            if !state.devices.get(&ifindex).is_some_and(known) {
                // One that was made anew has another index, one that was renamed the same.
                state.forget_device(ifindex);
                let stale: Vec<u32> = state
                    .devices
                    .iter()
                    .filter(|(_, egress)| egress.name == name)
                    .map(|(index, _)| *index)
                    .collect();
                for index in stale {
                    state.forget_device(index);
                }
                let egress = Egress {
                    name: name.to_owned(),
                    missing: false,
                };
                state.devices.insert(ifindex, egress);
                state.model.hold(&key, &Arc::from(name));
                // Its rules are written with it, and whoever waits for it waits for them.
                state.model.rewrite(&key);
                state.rules_dirty = true;
            }
        }
        let settled = self.settle(std::slice::from_ref(&key));
        let mut state = self.lock();
        match settled {
            Ok(())
                if state
                    .devices
                    .get(&ifindex)
                    .is_some_and(|egress| egress.missing) =>
            {
                Err(Error::Refused {
                    reason: format!(
                        "there is no device {name} any more, or none with a hook at its egress"
                    ),
                    remedy: "see why it went away or was renamed".to_owned(),
                })
            }
            Ok(()) => Ok(()),
            Err(error) => {
                state.forget_device(ifindex);
                state.rules_dirty = true;
                Err(error)
            }
        }
    }

    /// Whether the egress of the device of this name stops what it would not encrypt, or need not.
    pub fn uses_device(&self, ifindex: u32, name: &str) -> bool {
        if self.settings().cover == Cover::No {
            return true;
        }
        let state = self.lock();
        let ready = |egress: &Egress| egress.name == name && !egress.missing;
        state.devices.get(&ifindex).is_some_and(ready)
            && state.model.settled([&device(ifindex)].into_iter())
    }
}

impl Held {
    fn keys(&self) -> Vec<Key> {
        let gates = self.gates.iter().map(Pair::gate);
        gates.chain(self.others.iter().cloned()).collect()
    }
}

impl PolicyHolder {
    /// Nothing for a policy that protects nothing. The forward policy goes with the inbound one.
    fn of(spec: &PolicySpec, key: &PolicyKey) -> Option<Self> {
        if spec.kind != PolicyKind::Ipsec || key.dir == Direction::Fwd || spec.sa.reqid == 0 {
            return None;
        }
        let name = match spec.class {
            PriorityClass::Routed => format!("{} (trap)", spec.name).into(),
            _ => Arc::from(&spec.name[..]),
        };
        Some(Self {
            key: key.clone(),
            name,
        })
    }
}

impl State {
    fn hold_gate(&mut self, pair: Pair, name: &Arc<str>) {
        if self.layout.categories.insert(pair.category()) {
            self.rules_dirty = true;
        }
        self.model.hold(&pair.gate(), name);
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
            self.model.hold(key, &held.name);
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

    pub(super) fn forget_device(&mut self, ifindex: u32) {
        if let Some(egress) = self.devices.remove(&ifindex) {
            let at_once = Hold::For(Duration::ZERO);
            let holder = Arc::from(egress.name);
            self.model
                .release(&device(ifindex), &holder, at_once, Duration::ZERO);
        }
    }

    fn rewrite_passes(&mut self) {
        let mut passes: Vec<Pass> = self.passes.keys().copied().collect();
        passes.sort_by_key(|pass| (pass.outbound, pass.selector.to_string()));
        self.layout.passes = passes;
        self.rules_dirty = true;
    }
}
