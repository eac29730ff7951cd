// SPDX-License-Identifier: GPL-2.0-or-later
//! A timer that charon's watcher can wait for: timerfd(2) on the monotonic clock.
//!
//! Owns the descriptor and the calls to it, and the trait behind which tests have a clock that they
//! set. Called by `backend/ticker.rs` only, which knows what is due. Must not decide anything.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A clock and an alarm on it. Calls never wait.
pub trait Timer: Send + Sync {
    /// Time since some start that stays the same (`CLOCK_MONOTONIC`).
    fn now(&self) -> Duration;
    /// The descriptor is readable from `at` on; with `None` never. Replaces the alarm before.
    fn arm(&self, at: Option<Duration>);
    /// To be watched for readability.
    fn fd(&self) -> RawFd;
    /// Lets time pass: only for short, bounded pauses.
    fn pause(&self, time: Duration);
    /// Takes back the readability of an alarm that went off.
    fn acknowledge(&self);
}

/// The real one.
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// A timer that is not armed.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Timer for TimerFd {
    fn now(&self) -> Duration {
        super::clock::monotonic()
    }

    fn arm(&self, at: Option<Duration>) {
        // All zero disarms, so "at the start of the clock" has to be a nanosecond later.
        let at = at.map(|at| at.max(Duration::from_nanos(1)));
        let value = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: at.map_or(0, |at| {
                    libc::time_t::try_from(at.as_secs()).unwrap_or(libc::time_t::MAX)
                }),
                tv_nsec: at.map_or(0, |at| at.subsec_nanos() as libc::c_long),
            },
        };
        // SAFETY: the descriptor is open as long as `self`, `value` outlives the call, and the kernel
        // is not asked for the old value.
        let result = unsafe {
            libc::timerfd_settime(
                self.0.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const value,
                std::ptr::null_mut(),
            )
        };
        debug_assert_eq!(result, 0, "a valid time on a timer of ours");
    }

    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn acknowledge(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the kernel writes at most eight bytes to `count`, which outlives the call. Without
        // an alarm that went off it answers EAGAIN, which is as good.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// A clock that stands still until a test moves it.
#[cfg(any(test, feature = "fake"))]
pub(super) mod fake {
    use std::os::fd::RawFd;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use super::Timer;

    #[derive(Debug)]
    struct State {
        now: Duration,
        armed: Option<Duration>,
    }

    /// See [`fake`](self).
    #[derive(Debug)]
    pub struct FakeTimer(Mutex<State>);

    impl Default for FakeTimer {
        fn default() -> Self {
            Self(Mutex::new(State {
                // Never 0, which means "never" in charon's times.
                now: Duration::from_secs(1_000),
                armed: None,
            }))
        }
    }

    impl FakeTimer {
        /// The descriptor it pretends to have.
        pub const FD: RawFd = i32::MAX;

        /// Moves the clock; true if the alarm goes off by that.
        pub fn advance(&self, by: Duration) -> bool {
            let mut state = self.state();
            state.now += by;
            state.armed.is_some_and(|at| at <= state.now)
        }

        /// When the alarm goes off, if ever.
        pub fn armed(&self) -> Option<Duration> {
            self.state().armed
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Timer for FakeTimer {
        fn now(&self) -> Duration {
            self.state().now
        }
        fn arm(&self, at: Option<Duration>) {
            self.state().armed = at;
        }
        fn fd(&self) -> RawFd {
            Self::FD
        }
        fn pause(&self, time: Duration) {
            self.state().now += time;
        }
        fn acknowledge(&self) {
            let mut state = self.state();
            if state.armed.is_some_and(|at| at <= state.now) {
                state.armed = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the descriptor becomes readable within `wait`.
    fn readable(timer: &TimerFd, wait: Duration) -> bool {
        let mut poll = libc::pollfd {
            fd: timer.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd that outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, wait.as_millis() as i32) == 1 }
    }

    #[test]
    fn an_alarm_goes_off_once_and_not_before_it_is_set() {
        let timer = TimerFd::new().unwrap();
        assert!(!readable(&timer, Duration::ZERO));
        timer.acknowledge();
        let start = timer.now();
        timer.arm(Some(start + Duration::from_millis(20)));
        assert!(readable(&timer, Duration::from_secs(10)));
        assert!(timer.now() >= start + Duration::from_millis(20));
        timer.acknowledge();
        assert!(!readable(&timer, Duration::ZERO), "it does not repeat");
    }

    #[test]
    fn an_alarm_in_the_past_goes_off_at_once_and_one_taken_back_never() {
        let timer = TimerFd::new().unwrap();
        timer.arm(Some(Duration::ZERO));
        assert!(readable(&timer, Duration::from_secs(10)));
        timer.arm(None);
        assert!(!readable(&timer, Duration::from_millis(20)));
    }
}
