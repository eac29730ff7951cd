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

/// CHILD_SAs whose packets get no further than their transform. Dropped, it opens them once those that passed meanwhile
/// by an old route have left.
#[must_use]
pub struct Shut<'a> {
    guard: &'a Guard,
    keys: Vec<Key>,
    holder: Arc<str>,
    gone: bool,
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
        let mut shut = Shut {
            guard: self,
            keys,
            holder,
            gone: false,
        };
        if let Err(error) = settled {
            log::error!("packets may leave in clear while policies are removed: {error}");
            shut.gone = true;
            return None;
        }
        self.wait_for_packets();
        Some(shut)
    }

    /// Before a policy of this reqid is installed: what was shut for the sake of a former one is open.
    pub fn open_shut(&self, reqid: u32) {
        let key = key(reqid);
        let found = {
            let mut state = self.lock();
            if !state.active {
                return;
            }
            let found = state.model.open(&key);
            if found == Some(false) {
                // Whoever removes another policy meanwhile must not leave it shut.
                state.reused.insert(reqid);
            }
            found
        };
        if found == Some(true)
            && let Err(error) = self.settle(&[key])
        {
            log::error!("packets of reqid {reqid} may be dropped: {error}");
        }
    }

    fn wait_for_packets(&self) {
        let begin = self.now();
        if self.lock().waits.may(begin) {
            self.transport.wait_for_packets();
            let end = self.now();
            self.lock().waits.took(end.saturating_sub(begin));
        }
    }
}

impl Shut<'_> {
    /// The CHILD_SAs are gone with their policies. A socket can have a packet in hand, with its route, as long as it
    /// likes (`MSG_MORE`), so they stay shut as long as their gates stay closed, or until a policy takes a reqid again.
    pub fn keep(mut self) {
        self.gone = true;
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let guard = self.guard;
        if !self.gone {
            guard.wait_for_packets();
        }
        let hold = if self.gone {
            guard.settings().hold
        } else {
            Hold::For(Duration::ZERO)
        };
        let now = guard.now();
        let kept = {
            let mut state = guard.lock();
            let mut kept = self.gone;
            for key in &self.keys {
                let reused = state.reused.remove(&reqid_of(key));
                kept &= !reused;
                let hold = if reused {
                    Hold::For(Duration::ZERO)
                } else {
                    hold
                };
                state.model.release(key, &self.holder, hold, now);
            }
            kept
        };
        // The time can be put on it with the next transaction: there is one behind the last SA.
        if !kept {
            guard.finish();
        }
    }
}

fn key(reqid: u32) -> Key {
    Key::of(Place::Shut).put(&reqid.to_ne_bytes())
}

fn reqid_of(key: &Key) -> u32 {
    key.key.first_chunk().copied().map_or(0, u32::from_ne_bytes)
}
