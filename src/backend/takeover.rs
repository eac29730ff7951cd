// SPDX-License-Identifier: GPL-2.0-or-later
//! Units that wait for room in a NIC, and their way into it.
//!
//! Owns the list of units of `auto` that a device refused for want of room, or because it was busy.
//! When something was deleted from the device since, one of them is rekeyed: charon is told that its
//! outbound SA expires softly, and the next generation is placed anew (`place.rs`). One at a time, in
//! pace, and rarer if it is in vain. Filled by `sa.rs`; works on the ticker. Must not hold its lock
//! while it tells charon.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::model::{Offload, Placement};
use crate::offload::Cause;

use super::Core;
use super::ticker::{Task, TaskId};
use super::units::Unit;

/// Units that are looked at in one round, so that a long list does not hold a worker.
const ROUND: usize = 64;

/// A unit that waits, and for which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    reqid: u32,
    ifindex: u32,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    waiting: Mutex<VecDeque<Waiting>>,
    task: OnceLock<TaskId>,
}

impl Takeover {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of units that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// The work on the list.
pub(super) struct Mover(Weak<Core>);

impl Mover {
    /// Registers with the ticker.
    pub(super) fn register(core: &Arc<Core>) -> Arc<Self> {
        let task = Arc::new(Self(Arc::downgrade(core)));
        let weak: Weak<Self> = Arc::downgrade(&task);
        let _ = core.takeover.task.set(core.ticker.register(weak));
        task
    }
}

/// Whether a unit still waits for room.
fn waits(unit: &Unit) -> bool {
    matches!(unit.cause, Some(Cause::Room | Cause::Busy))
        && !unit.next.is_some_and(Placement::is_packet)
}

impl Core {
    /// A unit has been set up below packet mode because `ifindex` had no room.
    pub(super) fn wait_for_room(&self, reqid: u32, ifindex: u32) {
        let interval = self.config().takeover_interval_ms;
        if interval == 0 {
            return;
        }
        let entry = Waiting { reqid, ifindex };
        {
            let mut waiting = self.takeover.lock();
            if waiting.contains(&entry) {
                return;
            }
            waiting.push_back(entry);
        }
        if let Some(task) = self.takeover.task.get() {
            self.ticker.wake_in(*task, Duration::from_millis(interval));
        }
    }

    /// Has charon rekey the next unit that can be expected to find room.
    fn take_over_one(&self, now: Duration) {
        let length = self.takeover.lock().len();
        for _ in 0..length.min(ROUND) {
            let entry = self.takeover.lock().pop_front();
            let Some(entry) = entry else {
                return;
            };
            let sa = self.units.look(entry.reqid, |unit| {
                if !waits(unit) {
                    return None;
                }
                let mut outbound = unit.sas().filter(|sa| {
                    !sa.inbound && sa.wanted == Offload::Auto && !sa.placement.is_packet()
                });
                Some(outbound.next().map(|sa| (sa.key, sa.name.clone())))
            });
            // Taken over, closed, or there is no SA that could be rekeyed.
            let Some(Some(Some((key, name)))) = sa else {
                continue;
            };
            if !self.patience.may_have_room(entry.ifindex, now) {
                self.takeover.lock().push_back(entry);
                continue;
            }
            log::info!(
                "{name} is rekeyed: {} may have room for it now",
                self.device_name(entry.ifindex)
            );
            self.patience.asked(entry.ifindex, now);
            // If that is in vain it is on the list again, by its next generation.
            self.host.expire(key.proto, key.spi, key.dst, false);
            return;
        }
    }
}

impl Task for Mover {
    fn run(&self, now: Duration) -> Option<Duration> {
        let core = self.0.upgrade()?;
        let interval = core.config().takeover_interval_ms;
        core.take_over_one(now);
        (interval != 0 && !core.takeover.lock().is_empty())
            .then(|| now + Duration::from_millis(interval))
    }
}
