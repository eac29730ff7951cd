// SPDX-License-Identifier: GPL-2.0-or-later
//! Making the kernel have what is wanted.
//!
//! Owns the sharing of transactions: one thread executes what all of them want at that moment. Called by all who change
//! the state. Must not hold the lock while it talks to the kernel, and must not decide what is wanted.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::element::Key;
use super::{Guard, State, kernel};
use crate::error::{Error, KernelError, Result};

/// How long a thread waits for the transaction of another. Each is bounded by the transport.
const PATIENCE: Duration = Duration::from_secs(25);

/// How many transactions a thread executes before it leaves the rest to others.
const ROUNDS: usize = 16;

impl Guard {
    /// Does what is to be done and only logs a failure: the way out is never blocked.
    pub(super) fn finish(&self) {
        if let Err(error) = self.settle(&[]) {
            log::error!("unable to update the gate: {error}");
        }
    }

    /// Makes the kernel have what is wanted. Whoever comes first executes what is to be done at that
    /// moment, for all; the others wait for the end of that transaction. Returns when `keys` are
    /// as wanted, or if the transaction that was to make them so failed.
    pub(super) fn settle(&self, keys: &[Key]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        let mut failures = state.failures;
        let mut tries = 0;
        let mut executed = 0;
        loop {
            if !state.active {
                // The first gate brings the table; without one there is nothing to exempt.
                if !keys.iter().any(Key::is_gate) {
                    return Ok(());
                }
                state.active = true;
                state.rules_dirty = true;
                // It may be there if it could not be taken away.
                state.model.doubt();
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
        let devices = if rules {
            state.devices.clone()
        } else {
            BTreeMap::new()
        };
        drop(state);
        let transport = self.transport.as_ref();
        let mut missing = Vec::new();
        let result = kernel::commit(transport, layout.as_ref(), &plan).and_then(|()| {
            for (ifindex, egress) in &devices {
                let mark = layout.as_ref().map_or(0, |layout| layout.mark);
                match kernel::guard_egress(transport, mark, &egress.name) {
                    // A kernel before 6.16 wants the device to be there. Others must not suffer from one that was
                    // unplugged or renamed.
                    Err(error) if error.errno == libc::ENOENT => {
                        log::warn!("the egress of {} is not guarded: {error}", egress.name);
                        missing.push(*ifindex);
                    }
                    other => other?,
                }
            }
            Ok(())
        });
        let written = match (&result, rules) {
            (Ok(()), true) => kernel::read_rules(transport).ok(),
            _ => None,
        };
        std::mem::forget(busy);
        let mut state = self.lock();
        state.end();
        for (ifindex, egress) in &devices {
            if let Some(now) = state.devices.get_mut(ifindex)
                && now.name == egress.name
            {
                now.missing = missing.contains(ifindex);
            }
        }
        match result {
            Ok(()) => {
                state.model.applied(&plan.outcome);
                if let Some(written) = written {
                    state.written = written;
                }
                state.last_error = None;
            }
            Err(error) => {
                state.model.failed(&plan.outcome);
                if error.errno == libc::ENOENT {
                    // Somebody removed the table, or part of it: all of it is written anew.
                    state.model.doubt();
                }
                state.rules_dirty = true;
                state.failures += 1;
                state.last_error = Some(error);
            }
        }
        self.changed.notify_all();
        state
    }
}

/// A transaction that is under way, so that not even a panic leaves the others waiting.
pub(super) struct Busy<'a>(pub(super) &'a Guard);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.end();
        state.failures += 1;
        state.model.give_up();
        state.rules_dirty = true;
        drop(state);
        self.0.changed.notify_all();
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
