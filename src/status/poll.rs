// SPDX-License-Identifier: GPL-2.0-or-later
//! Several sockets and a clock behind one descriptor.
//!
//! Owns an epoll instance and a timerfd in it. charon's watcher knows "readable" only, and an epoll
//! instance is readable when any of its sockets is ready to be read or written: so it watches this
//! one descriptor, however many clients there are. Called by `server`. Must not wait.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Events taken at a time; more are there the next time.
const BATCH: usize = 32;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// Number given to [`Poll::add`].
    pub(super) token: u64,
    /// To be read, or at its end.
    pub(super) read: bool,
    /// To be written.
    pub(super) write: bool,
}

/// The instance.
pub(super) struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
}

/// A new descriptor, or the error behind -1.
fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The kernel just gave it to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

impl Poll {
    /// With a clock that is not set, which reports as `timer`.
    pub(super) fn new(timer: u64) -> io::Result<Self> {
        // SAFETY: Takes flags only.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: Takes a clock and flags only.
        let clock = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        let poll = Self {
            epoll,
            timer: clock,
        };
        poll.add(poll.timer.as_raw_fd(), timer)?;
        Ok(poll)
    }

    /// To be watched for readability.
    pub(super) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        token: u64,
        (read, write): (bool, bool),
    ) -> io::Result<()> {
        let mut events = 0;
        if read {
            events |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if write {
            events |= libc::EPOLLOUT;
        }
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: Both descriptors are numbers to the kernel, and it only reads the event.
        checked(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Adds a socket, for reading. It is removed when it is closed.
    pub(super) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, (true, false))
    }

    /// Chooses what is reported of a socket: that it can be read, that it can be written. What is not
    /// wanted must not be asked for, or we would be called again and again. That it is broken is
    /// reported in either case.
    pub(super) fn want(&self, fd: RawFd, token: u64, wanted: (bool, bool)) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, wanted)
    }

    /// Sets the clock to go off once after a time, or takes that back.
    pub(super) fn set_timer(&self, after: Option<Duration>) -> io::Result<()> {
        // A time of zero would take it back as well.
        let after = after.map_or(Duration::ZERO, |after| after.max(Duration::from_millis(1)));
        let value = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: after.subsec_nanos().into(),
            },
        };
        // SAFETY: The value outlives the call, which only reads it; the old one is not asked for.
        checked(unsafe {
            libc::timerfd_settime(
                self.timer.as_raw_fd(),
                0,
                &raw const value,
                std::ptr::null_mut(),
            )
        })?;
        Ok(())
    }

    /// What is ready now.
    pub(super) fn ready(&self) -> io::Result<Vec<Ready>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // SAFETY: There is room for BATCH events, and a timeout of 0 does not wait.
        let count = checked(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH as libc::c_int,
                0,
            )
        })?;
        let count = usize::try_from(count).unwrap_or(0);
        Ok(events
            .iter()
            .take(count)
            .map(|event| Ready {
                token: event.u64,
                read: event.events & !(libc::EPOLLOUT as u32) != 0,
                write: event.events & libc::EPOLLOUT as u32 != 0,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_and_the_clock_are_reported() {
        let poll = Poll::new(7).unwrap();
        let (mut one, mut other) = UnixStream::pair().unwrap();
        poll.add(one.as_raw_fd(), 1).unwrap();
        assert_eq!(poll.ready().unwrap(), []);
        other.write_all(b"x").unwrap();
        let read = Ready {
            token: 1,
            read: true,
            write: false,
        };
        assert_eq!(poll.ready().unwrap(), [read]);
        one.read_exact(&mut [0]).unwrap();
        poll.want(one.as_raw_fd(), 1, (true, true)).unwrap();
        assert_eq!(
            poll.ready().unwrap(),
            [Ready {
                token: 1,
                read: false,
                write: true
            }]
        );
        poll.want(one.as_raw_fd(), 1, (false, false)).unwrap();
        other.write_all(b"y").unwrap();
        assert_eq!(poll.ready().unwrap(), [], "nobody wants to read it");
        drop(one);
        assert_eq!(poll.ready().unwrap(), [], "a closed socket is gone");
        poll.set_timer(Some(Duration::ZERO)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(poll.ready().unwrap()[0].token, 7);
        poll.set_timer(None).unwrap();
        assert_eq!(poll.ready().unwrap(), []);
    }
}
