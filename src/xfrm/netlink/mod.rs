// SPDX-License-Identifier: GPL-2.0-or-later
//! The real transport: blocking netlink sockets.
//!
//! Owns the pool of sockets (`socket` makes them, `events` is the other kind) and what is asked
//! again. A caller takes one out of a pool for the length of its request and so shares it with
//! nobody; the pool's lock is held only to take it and to put it back. A socket on which
//! anything unexpected happened is closed instead, so that no late answer meets another request.
//! Called through [`Transport`]. Must not know what a message means; must wipe what it received,
//! since SAs are reported with their keys.
#![deny(unsafe_code)]

mod events;
#[cfg(test)]
mod retransmission;
mod socket;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::events::NetlinkEvents;
use self::socket::{Channel, TIMEOUT, errno_of, open};
use super::ack::{read_done, read_error};
use super::request::{Messages, Reply, Request};
use super::sockopt;
use super::transport::{EventSocket, Protocol, Subscription, Transport};
use crate::error::KernelError;

/// Pauses before a request that was answered by `EBUSY` is sent again: a driver holds a lock of its
/// own for a moment (mlx5: the eswitch's). Together below half a second.
const BUSY_PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(70),
    Duration::from_millis(140),
    Duration::from_millis(200),
];
/// How often a dump is begun again that the kernel calls inconsistent.
const DUMP_TRIES: usize = 5;
/// Sockets kept per protocol. charon has 16 threads by default.
const IDLE_MAX: usize = 16;
/// Receive buffer of event sockets, as large as kernel-netlink's.
const EVENT_BUFFER: i32 = 8 << 20;

const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLMSG_NOOP: u16 = libc::NLMSG_NOOP as u16;
const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing can panic while one of these locks is held in a way that leaves half a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sockets of one protocol that nobody uses at the moment.
#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Channel>>,
}

/// Settings of the sockets, with kernel-netlink's names and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetlinkSettings {
    /// `buflen`: room for one datagram; what is smaller than the largest the kernel sends is taken
    /// for that.
    pub buffer_len: u32,
    /// `receive_buffer_size`: of each socket in bytes, 0 = the system's default.
    pub receive_buffer: u32,
    /// `timeout`: milliseconds to wait for an answer, 0 = as long as is bearable.
    pub timeout_ms: u32,
    /// `retries`: how often a request is sent again after that time, if there is one.
    pub retries: u32,
    /// `ignore_retransmit_errors`: a request that was sent again and is refused because it was
    /// executed before has succeeded.
    pub ignore_retransmit_errors: bool,
}

impl Default for NetlinkSettings {
    fn default() -> Self {
        Self {
            buffer_len: 0,
            receive_buffer: EVENT_BUFFER as u32,
            timeout_ms: 0,
            retries: 0,
            ignore_retransmit_errors: false,
        }
    }
}

impl NetlinkSettings {
    fn timeout(&self) -> Duration {
        match self.timeout_ms {
            0 => TIMEOUT,
            timeout => Duration::from_millis(u64::from(timeout)),
        }
    }

    fn retries(&self) -> u32 {
        if self.timeout_ms == 0 {
            0
        } else {
            self.retries
        }
    }

    /// Whether a refusal only says that the request was executed when it was sent before
    /// (kernel_netlink_shared.c: ignore_retransmit_error).
    fn was_executed(&self, protocol: Protocol, kind: u16, errno: i32) -> bool {
        use super::consts::{
            XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA, XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA,
        };
        // Numbers of messages count within their protocol. The SAD says ESRCH, the SPD ENOENT.
        self.ignore_retransmit_errors
            && match (protocol, errno) {
                (Protocol::Xfrm, libc::EEXIST) => {
                    matches!(kind, XFRM_MSG_NEWPOLICY | XFRM_MSG_NEWSA)
                }
                (Protocol::Xfrm, libc::ENOENT | libc::ESRCH) => {
                    matches!(kind, XFRM_MSG_DELPOLICY | XFRM_MSG_DELSA)
                }
                (Protocol::Route, libc::EEXIST) => {
                    matches!(kind, libc::RTM_NEWLINK | libc::RTM_NEWNEIGH)
                }
                (Protocol::Route, libc::ENODEV) => kind == libc::RTM_DELLINK,
                _ => false,
            }
    }
}

/// The kernel of this machine, in the network namespace of the thread that opens a socket.
#[derive(Default)]
pub struct NetlinkTransport {
    settings: NetlinkSettings,
    xfrm: Pool,
    route: Pool,
    generic: Pool,
    netfilter: Pool,
}

/// Takes type, flags and payload of one message of an answer.
type OnMessage<'a> = dyn FnMut(u16, u16, &[u8]) -> Result<Step, KernelError> + 'a;

/// What a conversation does with one message.
enum Step {
    /// Wait for more.
    More,
    /// The answer is complete.
    Done,
}

impl NetlinkTransport {
    /// Opens a first XFRM socket, so that a kernel without XFRM is noticed at once.
    pub fn new() -> Result<Self, KernelError> {
        Self::with_settings(NetlinkSettings::default())
    }

    /// As [`NetlinkTransport::new`], with settings.
    pub fn with_settings(settings: NetlinkSettings) -> Result<Self, KernelError> {
        let transport = Self {
            settings,
            ..Self::default()
        };
        let channel = transport.take(Protocol::Xfrm, "NETLINK_XFRM socket")?;
        transport.put_back(Protocol::Xfrm, channel);
        Ok(transport)
    }

    fn pool(&self, protocol: Protocol) -> &Pool {
        match protocol {
            Protocol::Xfrm => &self.xfrm,
            Protocol::Route => &self.route,
            Protocol::Generic => &self.generic,
            Protocol::Netfilter => &self.netfilter,
        }
    }

    fn take(&self, protocol: Protocol, name: &'static str) -> Result<Channel, KernelError> {
        let idle = lock(&self.pool(protocol).idle).pop();
        match idle {
            Some(channel) => Ok(channel),
            None => Channel::open(protocol, &self.settings)
                .map_err(|error| open_error(protocol, name, &error)),
        }
    }

    fn put_back(&self, protocol: Protocol, mut channel: Channel) {
        channel.buffer.wipe();
        let mut surplus = Some(channel);
        {
            let mut idle = lock(&self.pool(protocol).idle);
            if idle.len() < IDLE_MAX {
                idle.extend(surplus.take());
            }
        }
        // Closed, if at all, with the lock released.
        drop(surplus);
    }

    /// Sends a request and hands each message of the answer to `on` until it says that it is done or
    /// refused. A failure of the conversation itself closes the socket.
    fn converse(
        &self,
        protocol: Protocol,
        request: &Request,
        flags: u16,
        on: &mut OnMessage<'_>,
    ) -> Result<(), KernelError> {
        request.check()?;
        let name = request.name();
        let mut channel = self.take(protocol, name)?;
        let sequence = channel
            .send(request, flags | libc::NLM_F_REQUEST as u16)
            .map_err(|error| KernelError::new(name, errno_of(&error)))?;
        let mut deadline = Instant::now() + self.settings.timeout();
        let (mut lost, mut answered, mut sent_again) = (false, false, 0);
        loop {
            // After an overrun the answer may still be there, but it is not worth a wait.
            let wait = if lost { libc::MSG_DONTWAIT } else { 0 };
            let datagram = match channel.buffer.receive(&channel.socket, wait) {
                Ok(datagram) => datagram,
                Err(error) if errno_of(&error) == libc::ENOBUFS && !lost => {
                    lost = true;
                    continue;
                }
                // Once there is an answer, the request has arrived.
                Err(error)
                    if errno_of(&error) == libc::EAGAIN
                        && !lost
                        && !answered
                        && sent_again < self.settings.retries() =>
                {
                    sent_again += 1;
                    log::warn!(
                        "retransmitting Netlink request {name} ({sent_again}/{})",
                        self.settings.retries()
                    );
                    channel
                        .send_again(request, flags | libc::NLM_F_REQUEST as u16)
                        .map_err(|error| KernelError::new(name, errno_of(&error)))?;
                    deadline = Instant::now() + self.settings.timeout();
                    continue;
                }
                Err(error) => return Err(receive_error(name, &error, lost)),
            };
            for raw in Messages::new(datagram) {
                if raw.sequence != sequence || raw.kind == NLMSG_NOOP {
                    continue;
                }
                answered = true;
                match on(raw.kind, raw.flags, raw.payload) {
                    Ok(Step::More) => {}
                    Ok(Step::Done) => {
                        self.put_back(protocol, channel);
                        return Ok(());
                    }
                    Err(refusal) => {
                        // The kernel's verdict ends the conversation as well.
                        self.put_back(protocol, channel);
                        if sent_again > 0
                            && self
                                .settings
                                .was_executed(protocol, request.kind(), refusal.errno)
                        {
                            return Ok(());
                        }
                        return Err(refusal);
                    }
                }
            }
            if Instant::now() > deadline {
                return Err(receive_error(
                    name,
                    &io::Error::from_raw_os_error(libc::EAGAIN),
                    lost,
                ));
            }
        }
    }

    fn dump_once(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError> {
        let mut reply = Reply::default();
        let mut interrupted = false;
        self.converse(
            protocol,
            request,
            libc::NLM_F_DUMP as u16,
            &mut |kind, flags, payload| {
                interrupted |= flags & NLM_F_DUMP_INTR != 0;
                match kind {
                    NLMSG_ERROR => read_error(flags, payload, request).map(|()| Step::More),
                    NLMSG_DONE => read_done(payload, request).map(|()| Step::Done),
                    _ => {
                        reply.refill(kind, payload);
                        each(&reply);
                        Ok(Step::More)
                    }
                }
            },
        )?;
        if interrupted {
            return Err(KernelError {
                request: request.name(),
                errno: libc::EINTR,
                text: Some("the dump changed while it was read".to_owned()),
                attribute: None,
            });
        }
        Ok(())
    }
}

/// Sends again what was answered by `EBUSY`, after each of the pauses.
fn retry_busy(
    pauses: &[Duration],
    mut send: impl FnMut() -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    for pause in pauses {
        match send() {
            Err(error) if error.errno == libc::EBUSY => std::thread::sleep(*pause),
            other => return other,
        }
    }
    send()
}

fn open_error(protocol: Protocol, name: &'static str, error: &io::Error) -> KernelError {
    let errno = errno_of(error);
    let text = match (protocol, errno) {
        (Protocol::Xfrm, libc::EPROTONOSUPPORT) => {
            Some("the kernel has no XFRM netlink: module xfrm_user is missing".to_owned())
        }
        (Protocol::Netfilter, libc::EPROTONOSUPPORT) => {
            Some("the kernel has no netfilter netlink: module nfnetlink is missing".to_owned())
        }
        _ => Some("cannot open a netlink socket".to_owned()),
    };
    KernelError {
        request: name,
        errno,
        text,
        attribute: None,
    }
}

fn receive_error(name: &'static str, error: &io::Error, lost: bool) -> KernelError {
    let errno = errno_of(error);
    let (errno, text) = if lost {
        (
            libc::ENOBUFS,
            Some("the kernel could not deliver its answer, the request may have been executed"),
        )
    } else if errno == libc::EAGAIN {
        (
            libc::ETIMEDOUT,
            Some("no answer from the kernel in time, the request may still be executed"),
        )
    } else {
        (errno, None)
    };
    KernelError {
        request: name,
        errno,
        text: text.map(str::to_owned),
        attribute: None,
    }
}

impl Transport for NetlinkTransport {
    fn wait_for_packets(&self) {
        socket::wait_for_packets();
    }

    fn ack(&self, protocol: Protocol, request: &Request) -> Result<(), KernelError> {
        retry_busy(&BUSY_PAUSES, || {
            self.converse(
                protocol,
                request,
                libc::NLM_F_ACK as u16,
                &mut |kind, flags, payload| match kind {
                    NLMSG_ERROR => read_error(flags, payload, request).map(|()| Step::Done),
                    _ => Ok(Step::More),
                },
            )
        })
    }

    fn batch(&self, protocol: Protocol, requests: &[Request]) -> Result<(), KernelError> {
        const NAME: &str = "batch of requests";
        for request in requests {
            request.check()?;
        }
        let acked = requests
            .iter()
            .rposition(|request| request.flags() & libc::NLM_F_ACK as u16 != 0)
            .ok_or_else(|| KernelError::new(NAME, libc::EINVAL))?;
        let mut channel = self.take(protocol, NAME)?;
        let first = channel
            .send_all(requests)
            .map_err(|error| KernelError::new(NAME, errno_of(&error)))?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let datagram = channel
                .buffer
                .receive(&channel.socket, 0)
                .map_err(|error| receive_error(NAME, &error, errno_of(&error) == libc::ENOBUFS))?;
            for raw in Messages::new(datagram) {
                let index = raw.sequence.wrapping_sub(first) as usize;
                let Some(request) = requests.get(index) else {
                    continue;
                };
                if raw.kind != NLMSG_ERROR {
                    continue;
                }
                // More refusals may follow: the socket is closed with them.
                read_error(raw.flags, raw.payload, request)?;
                if index == acked {
                    self.put_back(protocol, channel);
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                let error = io::Error::from_raw_os_error(libc::EAGAIN);
                return Err(receive_error(NAME, &error, false));
            }
        }
    }

    fn get(&self, protocol: Protocol, request: &Request) -> Result<Reply, KernelError> {
        let mut reply = None;
        self.converse(protocol, request, 0, &mut |kind, flags, payload| {
            match kind {
                NLMSG_ERROR => read_error(flags, payload, request)?,
                NLMSG_DONE => read_done(payload, request)?,
                _ => reply = Some(Reply::new(kind, payload)),
            }
            Ok(Step::Done)
        })?;
        reply.ok_or_else(|| KernelError {
            request: request.name(),
            errno: libc::ENODATA,
            text: Some("the kernel answered without data".to_owned()),
            attribute: None,
        })
    }

    fn dump(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError> {
        if protocol == Protocol::Xfrm {
            // Large and never marked as inconsistent: passed on as it comes.
            return self.dump_once(protocol, request, each);
        }
        let mut tries = 0;
        loop {
            let mut replies = Vec::new();
            let result = self.dump_once(protocol, request, &mut |reply| {
                replies.push(Reply::new(reply.kind(), reply.payload()));
            });
            tries += 1;
            match result {
                Err(error) if error.errno == libc::EINTR && tries < DUMP_TRIES => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    replies.iter().for_each(each);
                    return Ok(());
                }
            }
        }
    }

    fn subscribe(
        &self,
        protocol: Protocol,
        groups: &[u32],
    ) -> Result<Box<dyn EventSocket>, KernelError> {
        self.subscribe_to(&Subscription {
            protocol,
            groups,
            kinds: &[],
            buffer: None,
        })
    }

    fn subscribe_to(
        &self,
        subscription: &Subscription<'_>,
    ) -> Result<Box<dyn EventSocket>, KernelError> {
        const NAME: &str = "subscription to kernel events";
        let protocol = subscription.protocol;
        let socket = open(protocol).map_err(|error| open_error(protocol, NAME, &error))?;
        let fail = |error: io::Error| KernelError::new(NAME, errno_of(&error));
        let fd = socket.as_raw_fd();
        let size = subscription
            .buffer
            .unwrap_or(self.settings.receive_buffer as i32);
        if size != 0 {
            sockopt::force_receive_buffer(fd, size).map_err(fail)?;
        }
        // Before the first group is joined: nothing else ever arrives.
        sockopt::accept_kinds(fd, subscription.kinds, socket::mark()).map_err(fail)?;
        for group in subscription.groups {
            socket.add_membership(*group).map_err(fail)?;
        }
        Ok(Box::new(NetlinkEvents::new(socket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_executed_before_has_succeeded_if_that_is_wanted() {
        let ignoring = NetlinkSettings {
            ignore_retransmit_errors: true,
            ..NetlinkSettings::default()
        };
        let strict = NetlinkSettings::default();
        for (kind, errno, executed) in [
            (16, libc::EEXIST, true),
            (17, libc::ESRCH, true),
            (19, libc::EEXIST, true),
            (20, libc::ENOENT, true),
            (26, libc::EEXIST, false),
            (16, libc::ESRCH, false),
            (18, libc::ESRCH, false),
            (16, libc::EINVAL, false),
        ] {
            let answer = ignoring.was_executed(Protocol::Xfrm, kind, errno);
            assert_eq!(answer, executed, "{kind} {errno}");
            assert!(!strict.was_executed(Protocol::Xfrm, kind, errno));
        }
    }

    #[test]
    fn the_same_number_means_another_message_in_another_protocol() {
        let ignoring = NetlinkSettings {
            ignore_retransmit_errors: true,
            ..NetlinkSettings::default()
        };
        // 17 is RTM_DELLINK and XFRM_MSG_DELSA, 19 RTM_SETLINK and XFRM_MSG_NEWPOLICY.
        for (kind, errno, executed) in [
            (16, libc::EEXIST, true),
            (17, libc::ENODEV, true),
            (17, libc::ESRCH, false),
            (19, libc::EEXIST, false),
        ] {
            let answer = ignoring.was_executed(Protocol::Route, kind, errno);
            assert_eq!(answer, executed, "{kind} {errno}");
        }
    }

    #[test]
    fn without_a_timeout_nothing_is_sent_again() {
        let mut settings = NetlinkSettings {
            retries: 3,
            ..NetlinkSettings::default()
        };
        assert_eq!((settings.timeout(), settings.retries()), (TIMEOUT, 0));
        settings.timeout_ms = 200;
        assert_eq!(settings.timeout(), Duration::from_millis(200));
        assert_eq!(settings.retries(), 3);
    }

    #[test]
    fn a_busy_driver_is_asked_again_but_not_for_ever() {
        assert!(BUSY_PAUSES.iter().sum::<Duration>() < Duration::from_millis(500));
        let pauses = [Duration::ZERO; 5];
        for (busy, calls, result) in [
            (0, 1, Ok(())),
            (5, 6, Ok(())),
            (6, 6, Err(libc::EBUSY)),
            (100, 6, Err(libc::EBUSY)),
        ] {
            let mut asked = 0;
            let answer = retry_busy(&pauses, || {
                asked += 1;
                if asked > busy {
                    return Ok(());
                }
                Err(KernelError::new("XFRM_MSG_NEWSA", libc::EBUSY))
            });
            assert_eq!(
                (asked, answer.map_err(|error| error.errno)),
                (calls, result)
            );
        }
        let mut asked = 0;
        let answer = retry_busy(&pauses, || {
            asked += 1;
            Err(KernelError::new("XFRM_MSG_NEWSA", libc::EINVAL))
        });
        assert_eq!((asked, answer.unwrap_err().errno), (1, libc::EINVAL));
    }

    #[test]
    fn failures_of_the_socket_say_what_became_of_the_request() {
        let error = |errno| io::Error::from_raw_os_error(errno);
        let timeout = receive_error("X", &error(libc::EAGAIN), false);
        assert_eq!(timeout.errno, libc::ETIMEDOUT);
        assert!(timeout.text.unwrap().contains("may still be executed"));
        let lost = receive_error("X", &error(libc::EAGAIN), true);
        assert_eq!(lost.errno, libc::ENOBUFS);
        assert!(lost.text.unwrap().contains("may have been executed"));
        let other = receive_error("X", &error(libc::EBADF), false);
        assert_eq!((other.errno, other.text), (libc::EBADF, None));
        let missing = open_error(Protocol::Xfrm, "X", &error(libc::EPROTONOSUPPORT));
        assert!(missing.text.unwrap().contains("xfrm_user"));
    }
}
