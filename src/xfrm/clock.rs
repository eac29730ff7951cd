// SPDX-License-Identifier: GPL-2.0-or-later
//! The two clocks: charon counts on the monotonic one, the kernel reports SA times on that of the
//! day.
//!
//! Owns reading them. Called by `backend/` and by the conversions here. Must not cache.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds of `CLOCK_MONOTONIC`, which charon calls time_monotonic.
pub fn monotonic_now() -> i64 {
    i64::try_from(monotonic().as_secs()).unwrap_or(i64::MAX)
}

/// `CLOCK_MONOTONIC`.
pub(super) fn monotonic() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec that the kernel may write for the length of the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    debug_assert_eq!(result, 0, "CLOCK_MONOTONIC exists on every Linux");
    #[allow(
        clippy::useless_conversion,
        reason = "time_t has 32 bits on some targets"
    )]
    let seconds = i64::from(now.tv_sec);
    Duration::new(seconds as u64, now.tv_nsec as u32)
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

/// A time of the kernel (seconds since 1970) on the monotonic clock; 0 stays 0, which is "never".
/// The clock of the day may have been set in between, so the result is kept between 1 and now.
pub fn monotonic_from_unix(time: u64) -> i64 {
    convert(time, unix_now(), monotonic_now())
}

fn convert(time: u64, unix: i64, monotonic: i64) -> i64 {
    if time == 0 {
        return 0;
    }
    let age = unix
        .saturating_sub(i64::try_from(time).unwrap_or(i64::MAX))
        .max(0);
    monotonic.saturating_sub(age).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run() {
        assert!(monotonic_now() > 0);
        assert!(unix_now() > 1_700_000_000);
        let ago = monotonic_now() - monotonic_from_unix((unix_now() - 5) as u64);
        assert!((4..=6).contains(&ago), "{ago}");
    }

    #[test]
    fn never_stays_never_and_the_future_is_now() {
        assert_eq!(convert(0, 1000, 50), 0);
        assert_eq!(convert(990, 1000, 50), 40);
        assert_eq!(convert(1005, 1000, 50), 50);
        assert_eq!(convert(1, 1000, 50), 1);
        assert_eq!(convert(u64::MAX, 1000, 50), 50);
    }
}
