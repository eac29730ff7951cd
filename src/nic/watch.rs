// SPDX-License-Identifier: GPL-2.0-or-later
//! What may change the way to a peer: routes, rules, addresses, next hops, neighbours.
//!
//! Owns the event socket for these and the reading of its messages. Called by `backend/paths.rs`,
//! which knows the peers. Must not look anything up, and must not queue: the socket's buffer is small
//! on purpose. A table of a million routes that flaps costs the kernel one failed delivery each and
//! us one overrun, which stands for "anything may have changed".
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use super::neighbour::{self, Entry};
use crate::error::KernelError;
use crate::model::Prefix;
use crate::xfrm::request::{Reply, ip_at, u8_at, u32_at};
use crate::xfrm::{EventSocket, Protocol, Received, Subscription, Transport};

/// `struct rtmsg`
const RTMSG_LEN: usize = 12;
const RTMSG_DST_LEN: usize = 1;
const RTMSG_FLAGS: usize = 8;
/// `RTM_F_CLONED`: an entry of a route cache, no route.
const RTM_F_CLONED: u32 = 0x200;
/// `struct ndmsg`
const NDMSG_LEN: usize = 12;
const NDMSG_IFINDEX: usize = 4;
/// Messages about next hop objects (kernel 5.3), which libc lacks.
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
const RTNLGRP_NEXTHOP: u32 = 32;
/// Receive buffer; the kernel doubles it and counts its own structures, so that some 100 messages
/// fit.
const BUFFER: i32 = 64 << 10;

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// Routes to a network, of any table.
    Routes(Prefix),
    /// Any way: rules, addresses or next hop objects changed, or events were lost.
    Everything,
    /// A neighbour: its usable link-layer address, `None` if it has none.
    Neighbour {
        /// Device.
        ifindex: u32,
        /// Address.
        ip: IpAddr,
        /// Link-layer address.
        address: Option<[u8; 6]>,
    },
    /// Events were lost: neighbours may have changed, too.
    Lost,
}

/// The event socket.
pub struct PathEvents {
    socket: Box<dyn EventSocket>,
}

impl PathEvents {
    /// Joins the groups.
    pub fn new(transport: &dyn Transport) -> Result<Self, KernelError> {
        let groups = [
            libc::RTNLGRP_IPV4_ROUTE,
            libc::RTNLGRP_IPV6_ROUTE,
            libc::RTNLGRP_IPV4_RULE,
            libc::RTNLGRP_IPV6_RULE,
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV6_IFADDR,
            libc::RTNLGRP_NEIGH,
            RTNLGRP_NEXTHOP,
        ];
        let socket = transport.subscribe_to(&Subscription {
            protocol: Protocol::Route,
            groups: &groups,
            kinds: &[],
            buffer: Some(BUFFER),
        })?;
        Ok(Self { socket })
    }

    /// To be watched for readability.
    pub fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    /// Takes in up to `limit` messages without waiting; true if there may be more.
    pub fn read(&self, limit: usize, changes: &mut Vec<PathChange>) -> bool {
        for _ in 0..limit {
            match self.socket.read() {
                Ok(Some(Received::Message(reply))) => changes.extend(decode(&reply)),
                Ok(Some(Received::Overrun)) => changes.push(PathChange::Lost),
                Ok(None) => return false,
                Err(error) => {
                    log::error!("unable to read route events: {error}");
                    return false;
                }
            }
        }
        true
    }
}

/// `None` for what changes no way.
pub(super) fn decode(reply: &Reply) -> Option<PathChange> {
    match reply.kind() {
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => decode_route(reply),
        libc::RTM_NEWRULE
        | libc::RTM_DELRULE
        | libc::RTM_NEWADDR
        | libc::RTM_DELADDR
        | RTM_NEWNEXTHOP
        | RTM_DELNEXTHOP => Some(PathChange::Everything),
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => decode_neighbour(reply),
        _ => None,
    }
}

fn decode_route(reply: &Reply) -> Option<PathChange> {
    let body = reply.payload().get(..RTMSG_LEN)?;
    let family = u16::from(u8_at(body, 0)?);
    if u32_at(body, RTMSG_FLAGS)? & RTM_F_CLONED != 0 {
        return None;
    }
    let any: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    // A default route has no destination.
    let dst = match reply.attributes(RTMSG_LEN).value_of(libc::RTA_DST) {
        Some(value) => ip_at(value, 0, family)?,
        None => any,
    };
    let net = Prefix::new(dst, u8_at(body, RTMSG_DST_LEN)?);
    Some(PathChange::Routes(net))
}

fn decode_neighbour(reply: &Reply) -> Option<PathChange> {
    let body = reply.payload().get(..NDMSG_LEN)?;
    // Entries of bridges and VXLAN devices come as messages of another family.
    let family = u16::from(u8_at(body, 0)?);
    let ip = reply
        .attributes(NDMSG_LEN)
        .value_of(libc::NDA_DST)
        .and_then(|value| ip_at(value, 0, family))?;
    let address = match (reply.kind(), neighbour::decode(reply)) {
        (libc::RTM_NEWNEIGH, Entry::Valid(address)) => address,
        _ => None,
    };
    Some(PathChange::Neighbour {
        ifindex: u32_at(body, NDMSG_IFINDEX)?,
        ip,
        address,
    })
}
