// SPDX-License-Identifier: GPL-2.0-or-later
//! From the `log` crate to charon's log.
//!
//! Owns the mapping of levels and the one logger of the process. The core logs through `log` and
//! knows nothing of charon; `entry::create` installs this logger before anything else. Must not
//! hold memory: the logger is a static, and a line lives as long as the call.
//!
//! charon has no way to ask for the level that is configured, so every line is formatted; levels
//! are 1 for what an operator must see, 2 for a line per operation, 3 for messages in detail.

use std::ffi::{CString, c_char};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::c;

/// Type of `fs_host.log`.
pub(super) type LogFunction = unsafe extern "C" fn(u32, i32, *const c_char);

/// The function of the last instance; NULL before the first. It is code of the shim, which is never
/// unmapped, so that it may be called whenever it is set.
static FUNCTION: AtomicPtr<()> = AtomicPtr::new(null_mut());

struct HostLog;

static LOGGER: HostLog = HostLog;

/// Sends all lines to `function` from now on. The logger of the `log` crate can be set once per
/// process: if somebody else was first (a test does that), their logger stays, and nothing is lost
/// but charon's log.
pub(super) fn install(function: LogFunction) {
    FUNCTION.store(function as *mut (), Ordering::Release);
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// charon's level of a line. Lines of other crates are details: what matters we say ourselves.
fn level_of(metadata: &Metadata<'_>) -> i32 {
    let ours = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
    match metadata.level() {
        _ if !ours => 3,
        Level::Error | Level::Warn | Level::Info => 1,
        Level::Debug => 2,
        Level::Trace => 3,
    }
}

/// The text as C wants it: a NUL inside would cut the line.
fn c_text(text: String) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let mut bytes = error.into_vec();
        bytes.retain(|&byte| byte != 0);
        CString::new(bytes).unwrap_or_default()
    })
}

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        !FUNCTION.load(Ordering::Acquire).is_null()
    }

    fn log(&self, record: &Record<'_>) {
        let address = FUNCTION.load(Ordering::Acquire);
        if address.is_null() {
            return;
        }
        // SAFETY: The only value ever stored besides NULL is a LogFunction, and pointers to
        // functions are as wide as others on every platform with XFRM.
        let function = unsafe { std::mem::transmute::<*mut (), LogFunction>(address) };
        let text = c_text(record.args().to_string());
        // SAFETY: The text is NUL terminated and outlives the call, which only reads it.
        unsafe { function(c::FS_LOG_KNL, level_of(record.metadata()), text.as_ptr()) };
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(target: &str, level: Level) -> i32 {
        level_of(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn levels_are_those_an_operator_expects() {
        let ours = concat!(env!("CARGO_CRATE_NAME"), "::backend");
        assert_eq!(level(ours, Level::Error), 1);
        assert_eq!(level(ours, Level::Info), 1);
        assert_eq!(level(ours, Level::Debug), 2);
        assert_eq!(level(ours, Level::Trace), 3);
        assert_eq!(level("netlink_sys", Level::Error), 3);
    }

    #[test]
    fn a_nul_does_not_cut_the_line() {
        assert_eq!(c_text("a\0b".into()).to_bytes(), b"ab");
        assert_eq!(c_text(String::new()).to_bytes(), b"");
    }
}
