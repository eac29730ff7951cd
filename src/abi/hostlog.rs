// SPDX-License-Identifier: GPL-2.0-or-later
//! From the `log` crate to charon's log.
//!
//! Owns the mapping of levels and the one logger of the process. The core logs through `log` and
//! knows nothing of charon; `entry::create` installs this logger before anything else. Must not
//! hold memory: the logger is a static, and a line lives as long as the call.
//!
//! charon has no way to ask for the level that is configured, so every line is formatted; levels
//! are 1 for what an operator must see, 2 for a line per operation, 3 for messages in detail.

use std::ffi::{CStr, c_char};
use std::fmt::{self, Write};
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

/// Most lines are shorter. charon's own buffer for one has this size.
const USUAL: usize = 1024;

/// A line as C wants it, with one NUL at its end: one inside would cut it. On the stack as long as it fits.
struct Line {
    near: [u8; USUAL],
    used: usize,
    /// All of it, if it is longer.
    far: Vec<u8>,
}

impl Line {
    fn new() -> Self {
        Self {
            near: [0; USUAL],
            used: 0,
            far: Vec::new(),
        }
    }

    fn with_nul(&mut self) -> &CStr {
        if self.far.is_empty() {
            // It is zero behind what was used, see put().
            return CStr::from_bytes_until_nul(&self.near).unwrap_or_default();
        }
        self.far.push(0);
        CStr::from_bytes_until_nul(&self.far).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if self.far.is_empty() && end < USUAL {
            self.near[self.used..end].copy_from_slice(bytes);
            self.used = end;
            return;
        }
        if self.far.is_empty() {
            self.far.extend_from_slice(&self.near[..self.used]);
        }
        self.far.extend_from_slice(bytes);
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split('\0').for_each(|part| self.put(part.as_bytes()));
        Ok(())
    }
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
        let mut line = Line::new();
        // What cannot be shown is shown as far as it went.
        let _ = line.write_fmt(*record.args());
        let text = line.with_nul();
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
        let text = |text: &str| {
            let mut line = Line::new();
            line.write_str(text).unwrap();
            line.with_nul().to_str().unwrap().to_owned()
        };
        assert_eq!(text("a\0b"), "ab");
        assert_eq!(text(""), "");
    }

    #[test]
    fn a_line_may_be_of_any_length() {
        for len in [USUAL - 2, USUAL - 1, USUAL, 3 * USUAL] {
            let mut line = Line::new();
            let (whole, part) = ("x".repeat(len), "x".repeat(7));
            for _ in 0..len / 7 {
                line.write_str(&part).unwrap();
            }
            line.write_str(&part[..len % 7]).unwrap();
            assert_eq!(line.with_nul().to_str(), Ok(&*whole));
        }
    }
}
