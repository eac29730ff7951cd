// SPDX-License-Identifier: GPL-2.0-or-later
//! No panic leaves Rust.
//!
//! Owns the guard around each entry, the flag that a panic leaves behind, and the panic hook that
//! puts the reason into charon's log. Called by `entry` for each call from C. Must not allocate
//! anything that outlives a call: charon's leak detective counts it as a leak.
//!
//! After a panic the state of the core may be half changed. Building on it could put an SA into
//! the wrong mode, so [`Access::Extends`] is refused from then on; taking away and asking
//! ([`Access::Any`]) goes on, so that charon can clean up what it has.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::c;

/// Whether an earlier panic makes it unsafe to take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Adds or changes something: refused after a panic.
    Extends,
    /// Removes, asks, or does not touch what is installed: tried even after a panic.
    Any,
}

/// The answer that means failure, for each type that C gets back.
pub(super) trait Failure {
    /// That answer.
    const FAILED: Self;
}

impl Failure for i32 {
    const FAILED: Self = c::FS_FAILED as i32;
}

/// A number of things: not known.
impl Failure for i64 {
    const FAILED: Self = -1;
}

impl Failure for bool {
    const FAILED: Self = false;
}

/// A set of features: none.
impl Failure for u32 {
    const FAILED: Self = 0;
}

impl Failure for () {
    const FAILED: Self = ();
}

impl Failure for *mut c::fs_backend {
    const FAILED: Self = std::ptr::null_mut();
}

#[cfg(feature = "plugin")]
impl Failure for *mut std::ffi::c_void {
    const FAILED: Self = std::ptr::null_mut();
}

thread_local! {
    /// Method that runs on this thread, for the message. Const and without a destructor, so that
    /// it neither allocates nor registers one with a thread of charon.
    static METHOD: Cell<&'static str> = const { Cell::new("") };
}

/// Set by the first panic, shared by whatever belongs to one instance.
#[derive(Debug, Default)]
pub(super) struct Poison(AtomicBool);

impl Poison {
    /// Whether there was a panic.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Remembers a panic and, the first time, tells what follows from it.
    fn set(&self) {
        if !self.0.swap(true, Ordering::AcqRel) {
            log::error!(
                "kernel-fastswan hit a bug and accepts no new SAs and policies from now on; what \
                 is installed can still be queried and deleted. Restart charon, and please report \
                 the line above"
            );
        }
    }
}

/// Runs `body` for the entry `method`. A panic becomes the answer that means failure, and sets
/// `poison` if there is an instance that it could have damaged.
pub(super) fn guarded<R: Failure>(
    method: &'static str,
    poison: Option<&Poison>,
    body: impl FnOnce() -> R,
) -> R {
    let outer = METHOD.replace(method);
    // Nothing the closure may leave half changed is trusted after a panic: see Access::Extends.
    let result = catch_unwind(AssertUnwindSafe(body));
    let result = result.unwrap_or_else(|payload| {
        forget_payload(payload);
        if let Some(poison) = poison {
            // The logger runs foreign Display code and charon's loggers; once more is enough.
            let _ = catch_unwind(AssertUnwindSafe(|| poison.set()));
        }
        R::FAILED
    });
    METHOD.set(outer);
    result
}

/// Whether `access` is to be refused; says so.
pub(super) fn refused(method: &str, poison: &Poison, access: Access) -> bool {
    let refused = access == Access::Extends && poison.is_set();
    if refused {
        log::warn!("{method} refused: kernel-fastswan hit a bug before; restart charon");
    }
    refused
}

/// Drops what a panic carried. Its destructor may panic again, which must not get out either.
fn forget_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// Sends the text of each panic in this library to charon's log instead of stderr, which a daemon
/// does not have. The standard library inside a plugin is a copy of its own, so that this hook is
/// never called for anybody else.
pub(super) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
}

fn report(info: &PanicHookInfo<'_>) {
    let method = METHOD.get();
    let method = if method.is_empty() {
        "a thread of its own"
    } else {
        method
    };
    let place = Place(info);
    log::error!(
        "kernel-fastswan panicked in {method}{place}: {}",
        text(info.payload())
    );
}

/// ` at file:line`, if known.
struct Place<'a>(&'a PanicHookInfo<'a>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.location() {
            Some(location) => write!(f, " at {}:{}", location.file(), location.line()),
            None => Ok(()),
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_failure_of_each_type_and_sets_the_flag() {
        let poison = Poison::default();
        assert_eq!(guarded("add_sa", Some(&poison), || 0_i32), 0);
        assert!(!poison.is_set());
        assert_eq!(
            guarded("add_sa", Some(&poison), || -> i32 { panic!("provoked") }),
            1
        );
        assert!(poison.is_set());
        assert!(!guarded("reload", Some(&poison), || -> bool {
            panic!("provoked")
        }));
        assert_eq!(
            guarded("get_features", None, || -> u32 { panic!("provoked") }),
            0
        );
        let null: *mut c::fs_backend = guarded("create", None, || panic!("provoked"));
        assert!(null.is_null());
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_not_get_out() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(
            guarded("del_sa", None, || -> i32 { std::panic::panic_any(Bomb) }),
            1
        );
    }

    #[test]
    fn the_method_is_restored_when_calls_nest() {
        guarded("outer", None, || {
            guarded("inner", None, || assert_eq!(METHOD.get(), "inner"));
            assert_eq!(METHOD.get(), "outer");
            let _: i32 = guarded("inner", None, || panic!("provoked"));
            assert_eq!(METHOD.get(), "outer");
        });
        assert_eq!(METHOD.get(), "");
    }

    #[test]
    fn only_what_extends_is_refused_after_a_panic() {
        let poison = Poison::default();
        assert!(!refused("add_sa", &poison, Access::Extends));
        poison.set();
        assert!(refused("add_sa", &poison, Access::Extends));
        assert!(!refused("del_sa", &poison, Access::Any));
    }
}
