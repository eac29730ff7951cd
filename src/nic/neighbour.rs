// SPDX-License-Identifier: GPL-2.0-or-later
//! The link-layer address of a next hop.
//!
//! Owns asking for it, making the kernel resolve it, and writing an entry. Called by `backend/` before
//! an SA goes to a NIC, which puts the address it finds at that moment into its own tables, and when
//! that address changes. Must not decide whose entries may be written.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::KernelError;
use crate::model::family_of;
use crate::xfrm::consts::NLMSG_HDRLEN;
use crate::xfrm::request::{Reply, Request, ip_octets, u16_at};
use crate::xfrm::{Protocol, Transport};

/// `struct ndmsg`
const NDMSG_LEN: usize = 12;
const NDMSG_STATE: usize = 8;
/// States in which the address is usable (`NUD_VALID` in the kernel): permanent, without ARP,
/// reachable, probe, stale, delay.
const NUD_VALID: u16 = libc::NUD_PERMANENT
    | libc::NUD_NOARP
    | libc::NUD_REACHABLE
    | libc::NUD_PROBE
    | libc::NUD_STALE
    | libc::NUD_DELAY;
/// First pause between two looks; it doubles up to the longest. An answer on the local link takes
/// well under a millisecond.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Whether the link-layer address of a next hop is known, without asking for it.
pub fn neighbour_is_valid(
    transport: &dyn Transport,
    ifindex: u32,
    hop: IpAddr,
) -> Result<bool, KernelError> {
    Ok(matches!(look(transport, ifindex, hop)?, Entry::Valid(_)))
}

/// The valid link-layer address of a next hop. If there is none, asks the kernel to resolve it and
/// waits up to `wait`. `None`: nobody answered, or the device has no such addresses.
pub fn resolve_neighbour(
    transport: &dyn Transport,
    ifindex: u32,
    hop: IpAddr,
    wait: Duration,
) -> Result<Option<[u8; 6]>, KernelError> {
    if let Entry::Valid(address) = look(transport, ifindex, hop)? {
        return Ok(address);
    }
    transport.ack(Protocol::Route, &probe(ifindex, hop))?;
    let deadline = Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Entry::Valid(address) = look(transport, ifindex, hop)? {
            return Ok(address);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether there is an entry, in whatever state.
pub fn neighbour_exists(
    transport: &dyn Transport,
    ifindex: u32,
    ip: IpAddr,
) -> Result<bool, KernelError> {
    let request = message("RTM_GETNEIGH", libc::RTM_GETNEIGH, 0, ifindex, 0, ip);
    match transport.get(Protocol::Route, &request) {
        Ok(_) => Ok(true),
        Err(error) if error.errno == libc::ENOENT => Ok(false),
        Err(error) => Err(error),
    }
}

/// The address in a permanent entry, which somebody wrote; `None` if there is no such entry.
pub fn permanent_neighbour(
    transport: &dyn Transport,
    ifindex: u32,
    ip: IpAddr,
) -> Result<Option<[u8; 6]>, KernelError> {
    let request = message("RTM_GETNEIGH", libc::RTM_GETNEIGH, 0, ifindex, 0, ip);
    match transport.get(Protocol::Route, &request) {
        Ok(reply) => Ok(
            match (u16_at(reply.payload(), NDMSG_STATE), decode(&reply)) {
                (Some(libc::NUD_PERMANENT), Entry::Valid(address)) => address,
                _ => None,
            },
        ),
        // The device may be gone, too.
        Err(error) if matches!(error.errno, libc::ENOENT | libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Uses an entry as a packet would, so that the kernel confirms it if it is old. A permanent one needs
/// no confirmation, and would not be permanent any more afterwards (net/core/neighbour.c: __neigh_update
/// with NEIGH_UPDATE_F_USE).
pub fn use_neighbour(
    transport: &dyn Transport,
    ifindex: u32,
    hop: IpAddr,
) -> Result<(), KernelError> {
    if permanent_neighbour(transport, ifindex, hop)?.is_some() {
        return Ok(());
    }
    transport.ack(Protocol::Route, &probe(ifindex, hop))
}

/// Writes a permanent entry, or another address into it.
pub fn write_neighbour(
    transport: &dyn Transport,
    ifindex: u32,
    ip: IpAddr,
    address: [u8; 6],
) -> Result<(), KernelError> {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    let mut request = message("RTM_NEWNEIGH", libc::RTM_NEWNEIGH, flags, ifindex, 0, ip);
    request.patch(
        NLMSG_HDRLEN + NDMSG_STATE,
        &libc::NUD_PERMANENT.to_ne_bytes(),
    );
    request.attribute(libc::NDA_LLADDR, &address);
    transport.ack(Protocol::Route, &request)
}

/// Removes an entry.
pub fn drop_neighbour(
    transport: &dyn Transport,
    ifindex: u32,
    ip: IpAddr,
) -> Result<(), KernelError> {
    let request = message("RTM_DELNEIGH", libc::RTM_DELNEIGH, 0, ifindex, 0, ip);
    transport.ack(Protocol::Route, &request)
}

/// What the neighbour table has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing usable.
    Unresolved,
    /// Usable, with an address unless the device has none.
    Valid(Option<[u8; 6]>),
}

fn look(transport: &dyn Transport, ifindex: u32, hop: IpAddr) -> Result<Entry, KernelError> {
    let request = message("RTM_GETNEIGH", libc::RTM_GETNEIGH, 0, ifindex, 0, hop);
    match transport.get(Protocol::Route, &request) {
        Ok(reply) => Ok(decode(&reply)),
        Err(error) if error.errno == libc::ENOENT => Ok(Entry::Unresolved),
        Err(error) => Err(error),
    }
}

/// Creates the entry if need be and uses it as a packet would, which starts resolution.
fn probe(ifindex: u32, hop: IpAddr) -> Request {
    message(
        "RTM_NEWNEIGH",
        libc::RTM_NEWNEIGH,
        (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16,
        ifindex,
        libc::NTF_USE,
        hop,
    )
}

fn message(
    name: &'static str,
    kind: u16,
    netlink_flags: u16,
    ifindex: u32,
    flags: u8,
    hop: IpAddr,
) -> Request {
    let mut request = Request::new(name, kind, netlink_flags);
    // Family and padding; index; state (none), flags, type.
    request.put(&[family_of(hop) as u8, 0, 0, 0]);
    request.put_u32(ifindex);
    request.put(&[0, 0, flags, 0]);
    let (octets, len) = ip_octets(hop);
    request.attribute(libc::NDA_DST, &octets[..len]);
    request
}

pub(super) fn decode(reply: &Reply) -> Entry {
    if reply.kind() != libc::RTM_NEWNEIGH {
        return Entry::Unresolved;
    }
    match u16_at(reply.payload(), NDMSG_STATE) {
        Some(state) if state & NUD_VALID != 0 => Entry::Valid(
            reply
                .attributes(NDMSG_LEN)
                .value_of(libc::NDA_LLADDR)
                .and_then(|address| address.try_into().ok()),
        ),
        _ => Entry::Unresolved,
    }
}
