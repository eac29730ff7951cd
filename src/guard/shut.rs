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
    end: End,
}

/// What becomes of them when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Their policies went elsewhere: they are opened behind another wait.
    Moved,
    /// They are gone, and stay shut for this time.
    Gone(Hold),
    /// It failed: they are as they were.
    Failed,
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
            end: End::Moved,
        };
        if let Err(error) = settled {
            log::error!("packets may leave in clear while policies are removed: {error}");
            shut.end = End::Failed;
            return None;
        }
        self.wait_for_packets();
        Some(shut)
    }

    /// A policy of this reqid was installed: what was shut for the sake of a former one is opened.
    pub fn open_shut(&self, reqid: u32) {
        let key = key(reqid);
        let found = {
            let mut state = self.lock();
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
        let hold = self.guard.settings().hold;
        if hold != Hold::For(Duration::ZERO) {
            self.end = End::Gone(hold);
        }
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let guard = self.guard;
        if self.end == End::Moved {
            guard.wait_for_packets();
        }
        let hold = match self.end {
            End::Gone(hold) => hold,
            End::Moved | End::Failed => Hold::For(Duration::ZERO),
        };
        let now = guard.now();
        let mut kept = matches!(self.end, End::Gone(_));
        {
            let mut state = guard.lock();
            for key in &self.keys {
                let reqid = reqid_of(key);
                let reused = state.reused.contains(&reqid);
                let hold = if reused {
                    Hold::For(Duration::ZERO)
                } else {
                    hold
                };
                state.model.release(key, &self.holder, hold, now);
                kept &= !reused;
                // All who hold it have to hear.
                if !state.model.is_held(key) {
                    state.reused.remove(&reqid);
                }
            }
        }
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
