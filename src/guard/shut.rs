// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeping packets from a device that a policy is about to leave.
//!
//! A device sends in clear what reaches it behind its policy. Owns the set of CHILD_SAs whose packets get no further than
//! their transform meanwhile, and how long removals may wait for those that did. Called by `backend/policy.rs` under the
//! turn of the policy's key. Must not know which selectors are guarded.

use std::sync::Arc;
use std::time::Duration;

use super::element::{Key, Place};
use super::model::Hold;
use super::{Cover, Guard};

/// How long the removal of policies may wait for packets on their way. A wait takes some milliseconds: one by one, ten
/// thousand CHILD_SAs would keep a daemon from ending in time. Behind the credit a quarter of the time is spent so.
#[derive(Debug)]
pub(super) struct Waits {
    credit: Duration,
    /// When the credit was reckoned.
    at: Duration,
}

impl Waits {
    const CREDIT: Duration = Duration::from_secs(2);

    /// Whether there is time for another one.
    pub(super) fn may(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.at) / 4;
        self.credit = self.credit.saturating_add(gained).min(Self::CREDIT);
        self.at = now;
        !self.credit.is_zero()
    }

    pub(super) fn took(&mut self, time: Duration) {
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

/// CHILD_SAs whose packets get no further than their transform, until this is dropped.
#[must_use]
pub struct Shut<'a> {
    guard: &'a Guard,
    keys: Vec<Key>,
    holder: Arc<str>,
}

/// Who holds the elements.
const HOLDER: &str = "removal of policies";

impl Guard {
    /// Before outbound policies of these reqids leave their devices. When it returns no packet of theirs is sent to a
    /// device any more, and those on their way have left, as far as there is time to wait for them.
    pub fn shut(&self, reqids: impl IntoIterator<Item = u32>) -> Option<Shut<'_>> {
        let mut keys: Vec<Key> = reqids.into_iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() || self.settings().cover == Cover::No {
            return None;
        }
        let holder: Arc<str> = Arc::from(HOLDER);
        {
            let mut state = self.lock();
            if !state.active {
                return None;
            }
            for key in &keys {
                state.model.hold(key, &holder);
            }
        }
        let settled = self.settle(&keys);
        let shut = Shut {
            guard: self,
            keys,
            holder,
        };
        if let Err(error) = settled {
            log::error!("packets may leave in clear while policies are removed: {error}");
            return None;
        }
        let begin = self.now();
        if self.lock().waits.may(begin) {
            self.transport.wait_for_packets();
            let end = self.now();
            self.lock().waits.took(end.saturating_sub(begin));
        }
        Some(shut)
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let now = self.guard.now();
        {
            let mut state = self.guard.lock();
            for key in &self.keys {
                let at_once = Hold::For(Duration::ZERO);
                state.model.release(key, &self.holder, at_once, now);
            }
        }
        self.guard.finish();
    }
}

fn key(reqid: u32) -> Key {
    Key::of(Place::Shut).put(&reqid.to_ne_bytes())
}
