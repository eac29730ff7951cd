// SPDX-License-Identifier: GPL-2.0-or-later
//! What we ask of the kernel, as a trait.
//!
//! Owns the questions in their rawest form: messages out, messages in. `netlink.rs` asks the real
//! kernel, `fake.rs` a model of it. Called by `xfrm/` and `nic/` only; everybody else uses what
//! they make of it. Must not know what a message means.
#![forbid(unsafe_code)]

use std::os::fd::RawFd;

use super::request::{Reply, Request};
use crate::error::KernelError;

/// Netlink family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `NETLINK_XFRM`: SAs and policies.
    Xfrm,
    /// `NETLINK_ROUTE`: links, routes, neighbours.
    Route,
    /// `NETLINK_GENERIC`: ethtool, devlink.
    Generic,
    /// `NETLINK_NETFILTER`: nftables.
    Netfilter,
}

/// What an event socket gets.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// Netlink family.
    pub protocol: Protocol,
    /// Multicast groups.
    pub groups: &'a [u32],
    /// Message types that are delivered; the kernel drops others before they take up room, and with
    /// them what our own requests led to. Empty: all. Only for families that send one message at a
    /// time.
    pub kinds: &'a [u16],
    /// Size of the receive buffer in bytes, for a socket that would rather lose than queue. `None`:
    /// as large as may be.
    pub buffer: Option<i32>,
}

/// Something that arrived on an event socket.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Reply),
    /// The kernel had no room for some messages: whatever is believed must be read again.
    Overrun,
}

/// A socket that the kernel reports events on.
pub trait EventSocket: Send + Sync {
    /// To be watched for readability.
    fn fd(&self) -> RawFd;
    /// The next message, without waiting; `None` if there is no more.
    fn read(&self) -> Result<Option<Received>, KernelError>;
}

/// The kernel. Calls may be made from any number of threads at once; none waits for another, and
/// each ends within a bounded time.
pub trait Transport: Send + Sync {
    /// One request and its acknowledgement.
    fn ack(&self, protocol: Protocol, request: &Request) -> Result<(), KernelError>;
    /// Several requests in one datagram, for what the kernel does as a whole or not at all (a batch
    /// of nftables). Ends with the first refusal, whose name is that of the refused request, or with
    /// the answer to the request that asks for one (`NLM_F_ACK`); there must be such a one.
    fn batch(&self, protocol: Protocol, requests: &[Request]) -> Result<(), KernelError>;
    /// One request and its one reply.
    fn get(&self, protocol: Protocol, request: &Request) -> Result<Reply, KernelError>;
    /// A request for everything. A dump that the kernel marks as inconsistent ends in `EINTR`
    /// after some tries; for [`Protocol::Xfrm`], whose replies are handed over as they come,
    /// at once.
    fn dump(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError>;
    /// A socket that gets the events of the groups.
    fn subscribe(
        &self,
        protocol: Protocol,
        groups: &[u32],
    ) -> Result<Box<dyn EventSocket>, KernelError>;
    /// As [`Transport::subscribe`], but choosy where the transport can be.
    fn subscribe_to(
        &self,
        subscription: &Subscription<'_>,
    ) -> Result<Box<dyn EventSocket>, KernelError> {
        self.subscribe(subscription.protocol, subscription.groups)
    }
    /// Returns when packets that the stack had in hand have reached their devices: what the caller has changed before
    /// holds for all that come after.
    fn wait_for_packets(&self) {}
}
