// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares what we believe with what the kernel has, slowly and without end.
//!
//! Owns the round: a list of everything that is installed, worked off a few at a time, so that each
//! is looked at once within `truth_interval`. Most differences are reported by events; this finds
//! those that nobody reports (net/xfrm/xfrm_device.c flushes in silence) and those that we missed.
//! Differences go to `recovery.rs`. Works on the ticker; sleeps while nothing is installed. Must
//! not dump: its cost per second is bounded, whatever there is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::model::SaKey;
use crate::xfrm::PolicyKey;

use super::Core;
use super::ticker::Task;

/// Time between two steps of a round.
pub(super) const STEP: Duration = Duration::from_secs(1);
/// Most objects that one step looks at: some milliseconds.
const MOST: usize = 256;

#[derive(Debug, Default)]
struct Round {
    sas: Vec<SaKey>,
    policies: Vec<PolicyKey>,
    /// Objects per step.
    portion: usize,
}

/// The round that is under way.
pub(crate) struct Truth {
    core: Arc<Core>,
    round: Mutex<Round>,
}

impl Truth {
    pub(super) fn register(core: &Arc<Core>) -> Arc<Self> {
        let truth = Arc::new(Self {
            core: Arc::clone(core),
            round: Mutex::default(),
        });
        let weak: Weak<Self> = Arc::downgrade(&truth);
        core.recovery.set_truth(core.ticker.register(weak));
        truth
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        // Whole lists only: there is no half-made change to fear after a panic.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is looked at in this step; begins another round if the last one is over. Nothing once
    /// there is nothing installed.
    fn portion(&self, interval: u32) -> (Vec<SaKey>, Vec<PolicyKey>) {
        let over = {
            let round = self.round();
            round.sas.is_empty() && round.policies.is_empty()
        };
        if over {
            let sas: Vec<_> = self.core.sad.select(|_| true);
            let sas: Vec<_> = sas.iter().map(|record| record.id.key()).collect();
            let policies = self.core.spd.keys();
            let steps = interval.max(1) as usize;
            let portion = (sas.len() + policies.len()).div_ceil(steps).clamp(1, MOST);
            *self.round() = Round {
                sas,
                policies,
                portion,
            };
        }
        let mut round = self.round();
        let from_sas = round.portion.min(round.sas.len());
        let from_policies = (round.portion - from_sas).min(round.policies.len());
        let keep = round.sas.len() - from_sas;
        let sas = round.sas.split_off(keep);
        let keep = round.policies.len() - from_policies;
        let policies = round.policies.split_off(keep);
        (sas, policies)
    }
}

impl Task for Truth {
    fn run(&self, now: Duration) -> Option<Duration> {
        let interval = self.core.config().truth_interval;
        if interval == 0 {
            return None;
        }
        let (sas, policies) = self.portion(interval);
        if sas.is_empty() && policies.is_empty() {
            return None;
        }
        self.core.recovery.suspect(sas);
        self.core.recovery.suspect_policies(policies);
        Some(now + STEP)
    }
}
