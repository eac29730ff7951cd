// SPDX-License-Identifier: GPL-2.0-or-later
//! Talks XFRM netlink: the one place that knows how an SA, a policy or an event looks as a message.
//!
//! Owns messages and sockets. Called by `backend/`, `events/`, `sad/`, `spd/` and, for the bare
//! transport, `nic/`. Must not decide anything: what is installed where, and what to do about a
//! refusal, is the caller's business.
//!
//! * [`request`]: message buffers that are wiped, attributes with checked lengths
//! * [`transport`]: the trait; `netlink` is the kernel behind it, `fake` a model of it for tests
//! * `ack`: verdicts and the extended ACK
//! * `abilities`: what this kernel can do
//! * `sa/`, `policy/`: the messages of the SAD and the SPD
//! * [`event`]: what the kernel reports by itself
//! * [`sockopt`], `clock`, `timer`, `driverstats`, [`consts`]: small things
//!
//! SA messages carry keys. They are written into and read from buffers of our own that are wiped;
//! `netlink-packet-xfrm` encodes what has no key, and checks the rest in the tests.

mod abilities;
mod ack;
mod alive;
mod clock;
pub mod consts;
mod driverstats;
pub mod event;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod mapped;
mod netlink;
mod policy;
pub mod request;
mod sa;
pub mod sockopt;
mod timer;
pub mod transport;
mod uname;

#[cfg(test)]
mod garbage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use netlink_packet_xfrm::nlas::XfrmAttrs;

pub use alive::{FileLock, is_gone, thread_id, try_lock};
pub use clock::{monotonic_from_unix, monotonic_now, unix_now};
pub use consts::{
    XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING, XFRMNLGRP_MIGRATE, XFRMNLGRP_POLICY,
    XFRMNLGRP_SA,
};
pub use driverstats::driver_stats;
pub use event::{Event, decode_event};
pub use mapped::MappedRoom;
pub use netlink::{NetlinkSettings, NetlinkTransport};
pub use policy::{
    Action, HashThresholds, PolicyKey, PolicyMessage, PolicyState, Template, Threshold,
};
pub use request::{Reply, Request};
pub use sa::{Iptfs, Replay, ReplayState, SaMessage, SaMove, SaState};
pub use timer::{Timer, TimerFd};
pub use transport::{EventSocket, Protocol, Received, Subscription, Transport};
pub use uname::kernel_release;

use crate::model::Mark;

/// The kernel's SAD and SPD. Clones share the transport.
#[derive(Clone)]
pub struct Kernel {
    transport: Arc<dyn Transport>,
    abilities: Arc<abilities::Abilities>,
}

impl Kernel {
    /// Over a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            abilities: Arc::default(),
        }
    }

    /// The transport, for `nic/` and subscriptions.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }
}

/// The attributes that select by mark and interface ID; none where there is nothing to select.
fn lookup_attributes(mark: Mark, if_id: u32) -> Vec<XfrmAttrs> {
    let mut attributes = Vec::with_capacity(4);
    if mark.is_set() {
        attributes.push(XfrmAttrs::Mark(netlink_packet_xfrm::nlas::Mark {
            value: mark.value,
            mask: mark.mask,
        }));
    }
    if if_id != 0 {
        attributes.push(XfrmAttrs::IfId(if_id));
    }
    attributes
}
