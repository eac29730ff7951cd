// SPDX-License-Identifier: GPL-2.0-or-later
//! What the developer reads while a command works.
//!
//! Owns the form of every progress line: elapsed time since the command began, then one sentence. All rooms call
//! it. It must not be used for results (tables, summaries): those are printed by the command that owns them, so that
//! a reader can tell progress from outcome.

use std::{
    fmt::Display,
    sync::OnceLock,
    time::{Duration, Instant},
};

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock; called once, first thing in `main`.
pub(crate) fn start() {
    START.get_or_init(Instant::now);
}

/// Time since the command began.
pub(crate) fn elapsed() -> Duration {
    START.get_or_init(Instant::now).elapsed()
}

/// Prints one progress line.
pub(crate) fn step(text: impl Display) {
    println!("[{:6.1}s] {text}", elapsed().as_secs_f64());
}
