// SPDX-License-Identifier: GPL-2.0-or-later
//! The sockets that charon watches for us.
//!
//! Owns the list from token to target. `host` adds and removes entries, `entry::readable` looks
//! one up. Must not hold its lock while a target or charon runs.
//!
//! C gets a number and never a pointer: a call that comes after the target is gone finds no entry,
//! or a [`Weak`] that does not upgrade, and ends the watching.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::guard::Poison;
use crate::host::Readable;

/// So many panics of one target, and it is not called any more: a message that it cannot take and
/// does not consume would otherwise come again and again.
const PANICS: u32 = 8;

struct Watch {
    token: u64,
    fd: RawFd,
    target: Weak<dyn Readable>,
    poison: Arc<Poison>,
    panics: u32,
}

struct List {
    last: u64,
    /// A handful: one per event socket.
    entries: Vec<Watch>,
}

static LIST: Mutex<List> = Mutex::new(List {
    last: 0,
    entries: Vec::new(),
});

thread_local! {
    /// Descriptor whose target runs on this thread.
    static RUNNING: Cell<Option<RawFd>> = const { Cell::new(None) };
    /// It was removed meanwhile, by its own target.
    static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// Adding and removing leaves the list valid at every point, so a panic elsewhere does not matter.
fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds an entry and returns its token.
pub(super) fn add(fd: RawFd, target: Weak<dyn Readable>, poison: Arc<Poison>) -> u64 {
    let mut list = list();
    list.last += 1;
    let token = list.last;
    list.entries.push(Watch {
        token,
        fd,
        target,
        poison,
        panics: 0,
    });
    token
}

/// Removes the entries for which `gone` holds and returns how many there were.
fn remove_if(gone: impl Fn(&Watch) -> bool) -> usize {
    let mut list = list();
    let before = list.entries.len();
    // A target's Weak may be the last one, which frees memory but runs no code of the target.
    list.entries.retain(|watch| !gone(watch));
    let removed = before - list.entries.len();
    if list.entries.is_empty() {
        // What stays allocated at the end is reported as a leak.
        list.entries = Vec::new();
    }
    removed
}

/// Removes one entry, after charon refused it or its target ended.
pub(super) fn remove(token: u64) {
    remove_if(|watch| watch.token == token);
}

/// What is left to do after [`remove_fd`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// charon must be told, and may wait for a call that is under way.
    TellCharon,
    /// The target itself asked, from within its call: charon must not be told, since it would wait
    /// for this very call. The call answers "no more" instead.
    WhenDone,
    /// There was no such entry.
    Unknown,
}

/// Removes what watches `fd` on behalf of the instance with this `poison`.
pub(super) fn remove_fd(fd: RawFd, poison: &Arc<Poison>) -> Removed {
    let removed = remove_if(|watch| watch.fd == fd && Arc::ptr_eq(&watch.poison, poison));
    if removed == 0 {
        Removed::Unknown
    } else if RUNNING.get() == Some(fd) {
        ENDED.set(true);
        Removed::WhenDone
    } else {
        Removed::TellCharon
    }
}

/// Descriptors that are still watched for the instance with this `poison`.
pub(super) fn left_over(poison: &Arc<Poison>) -> Vec<RawFd> {
    let list = list();
    let ours = list
        .entries
        .iter()
        .filter(|watch| Arc::ptr_eq(&watch.poison, poison));
    ours.map(|watch| watch.fd).collect()
}

/// The flag that a panic of the target behind `token` sets, if there is such a target.
pub(super) fn poison_of(token: u64) -> Option<Arc<Poison>> {
    let list = list();
    let watch = list.entries.iter().find(|watch| watch.token == token)?;
    Some(watch.poison.clone())
}

/// Calls the target behind `token`; `false` ends the watching.
pub(super) fn call(token: u64, fd: RawFd) -> bool {
    let target = {
        let list = list();
        let watch = list
            .entries
            .iter()
            .find(|watch| watch.token == token && watch.fd == fd);
        watch.map(|watch| watch.target.clone())
    };
    let Some(target) = target.and_then(|target| target.upgrade()) else {
        remove(token);
        return false;
    };
    RUNNING.set(Some(fd));
    ENDED.set(false);
    let more = target.readable();
    // Before RUNNING is reset: if this was the last reference, the target's drop may unwatch.
    drop(target);
    RUNNING.set(None);
    let more = more && !ENDED.get();
    if !more {
        remove(token);
    }
    more
}

/// After a panic of the target behind `token`: whether to go on calling it.
pub(super) fn after_panic(token: u64) -> bool {
    RUNNING.set(None);
    let mut list = list();
    let watch = list.entries.iter_mut().find(|watch| watch.token == token);
    let more = watch.is_some_and(|watch| {
        watch.panics += 1;
        watch.panics < PANICS
    });
    drop(list);
    if !more {
        remove(token);
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Counter {
        calls: AtomicU32,
        more: bool,
    }

    impl Readable for Counter {
        fn readable(&self) -> bool {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.more
        }
    }

    fn counter(more: bool) -> Arc<Counter> {
        Arc::new(Counter {
            calls: AtomicU32::new(0),
            more,
        })
    }

    fn weak(target: &Arc<Counter>) -> Weak<dyn Readable> {
        let weak: Weak<Counter> = Arc::downgrade(target);
        weak
    }

    #[test]
    fn a_late_call_finds_nothing() {
        let poison = Arc::new(Poison::default());
        let target = counter(true);
        let token = add(901, weak(&target), poison.clone());
        assert!(call(token, 901));
        assert!(!call(token + 1_000_000, 901), "unknown token");
        assert!(!call(token, 902), "another descriptor");
        let token = add(901, weak(&target), poison.clone());
        drop(target);
        assert!(!call(token, 901), "the target is gone");
        assert!(poison_of(token).is_none(), "and so is the entry");
    }

    #[test]
    fn a_target_ends_its_own_watching() {
        let poison = Arc::new(Poison::default());
        let target = counter(false);
        let token = add(903, weak(&target), poison.clone());
        assert!(!call(token, 903));
        assert_eq!(remove_fd(903, &poison), Removed::Unknown);
        assert_eq!(target.calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_target_that_unwatches_itself_does_not_wait_for_itself() {
        struct Own(Arc<Poison>);
        impl Readable for Own {
            fn readable(&self) -> bool {
                assert_eq!(remove_fd(904, &self.0), Removed::WhenDone);
                true
            }
        }
        let poison = Arc::new(Poison::default());
        let target = Arc::new(Own(poison.clone()));
        let weak: Weak<Own> = Arc::downgrade(&target);
        let token = add(904, weak, poison.clone());
        assert!(!call(token, 904));
        assert!(left_over(&poison).is_empty());
    }

    #[test]
    fn instances_do_not_remove_each_others_entries() {
        let (one, two) = (Arc::new(Poison::default()), Arc::new(Poison::default()));
        let target = counter(true);
        add(905, weak(&target), one.clone());
        assert_eq!(remove_fd(905, &two), Removed::Unknown);
        assert_eq!(left_over(&one), [905]);
        assert_eq!(remove_fd(905, &one), Removed::TellCharon);
        assert!(left_over(&one).is_empty());
    }

    #[test]
    fn a_target_that_keeps_panicking_is_given_up() {
        let poison = Arc::new(Poison::default());
        let target = counter(true);
        let token = add(906, weak(&target), poison);
        let calls = (0..100).take_while(|_| after_panic(token)).count();
        assert_eq!(calls, PANICS as usize - 1);
        assert!(poison_of(token).is_none());
    }
}
