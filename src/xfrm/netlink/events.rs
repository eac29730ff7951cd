// SPDX-License-Identifier: GPL-2.0-or-later
//! The event socket: datagrams of the kernel, cut into messages.
//!
//! Owns what was received but not asked for yet. Called through [`EventSocket`]. Must not wait, and
//! must not hold a lock while it receives.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;

use netlink_sys::Socket;

use super::super::request::{Messages, Reply};
use super::super::transport::{EventSocket, Received};
use super::socket::{Buffer, errno_of};
use super::{NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, lock};
use crate::error::KernelError;

/// A socket joined to multicast groups.
pub(super) struct NetlinkEvents {
    socket: Socket,
    /// Messages of the last datagram that were not asked for yet.
    pending: Mutex<VecDeque<Reply>>,
    /// The receive buffer while nobody uses it.
    buffer: Mutex<Option<Buffer>>,
}

impl NetlinkEvents {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            pending: Mutex::new(VecDeque::new()),
            buffer: Mutex::new(None),
        }
    }
}

impl EventSocket for NetlinkEvents {
    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn read(&self) -> Result<Option<Received>, KernelError> {
        loop {
            if let Some(reply) = lock(&self.pending).pop_front() {
                return Ok(Some(Received::Message(reply)));
            }
            let mut buffer = lock(&self.buffer).take().unwrap_or_else(Buffer::new);
            let mut replies = VecDeque::new();
            let result = buffer
                .receive(&self.socket, libc::MSG_DONTWAIT)
                .map(|datagram| {
                    replies.extend(
                        Messages::new(datagram)
                            .filter(|raw| {
                                !matches!(raw.kind, NLMSG_ERROR | NLMSG_DONE | NLMSG_NOOP)
                            })
                            .map(|raw| Reply::new(raw.kind, raw.payload)),
                    );
                });
            buffer.wipe();
            *lock(&self.buffer) = Some(buffer);
            match result.as_ref().map_err(errno_of) {
                Ok(()) => lock(&self.pending).append(&mut replies),
                Err(libc::EAGAIN) => return Ok(None),
                // A datagram too large for us is lost just like one too large for the kernel.
                Err(libc::ENOBUFS | libc::EMSGSIZE) => return Ok(Some(Received::Overrun)),
                Err(errno) => {
                    return Err(KernelError::new("reading kernel events", errno));
                }
            }
        }
    }
}
