// SPDX-License-Identifier: GPL-2.0-or-later
//! Which device and next hop a packet to an address takes.
//!
//! Owns the route lookup. Called by `backend/` for outer addresses. Must not dump: a lookup costs
//! the same with a million routes. Must not cache: the kernel's answer of this moment counts.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use crate::error::KernelError;
use crate::model::family_of;
use crate::xfrm::request::{Reply, Request, ip_at, ip_octets, u8_at, u16_at, u32_at};
use crate::xfrm::{Protocol, Transport};

/// `struct rtmsg`
const RTMSG_LEN: usize = 12;
const RTMSG_TABLE: usize = 4;
const RTMSG_TYPE: usize = 7;
/// `RTM_F_LOOKUP_TABLE`: report the table that has the route; without it the kernel says "main".
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
/// `RTM_F_FIB_MATCH`: the entry of the table that matched, not a copy made for this destination.
const RTM_F_FIB_MATCH: u32 = 0x2000;

const NAME: &str = "RTM_GETROUTE";

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Device.
    pub oif: u32,
    /// Next hop; `None` if the address is on the link.
    pub gateway: Option<IpAddr>,
    /// Source address that the route prefers.
    pub prefsrc: Option<IpAddr>,
    /// Routing table.
    pub table: u32,
    /// The address is one of this host (`RTN_LOCAL`).
    pub local: bool,
}

/// Looks up the route to `dst`. With `src`, policy routing by source applies; the kernel then
/// insists that `src` is an address of this host. With `mark` not 0, so does policy routing by mark.
pub fn lookup_route(
    transport: &dyn Transport,
    dst: IpAddr,
    src: Option<IpAddr>,
    mark: u32,
) -> Result<Route, KernelError> {
    lookup_route_from(transport, dst, src, mark, 0)
}

/// As [`lookup_route`]; with `oif` not 0 the route must lead through that device, or belong to that
/// VRF.
pub fn lookup_route_from(
    transport: &dyn Transport,
    dst: IpAddr,
    src: Option<IpAddr>,
    mark: u32,
    oif: u32,
) -> Result<Route, KernelError> {
    let ask = |flags| transport.get(Protocol::Route, &request(dst, src, (mark, oif), flags));
    let reply = ask(RTM_F_FIB_MATCH)?;
    match decode(&reply, dst)? {
        Some(route) => Ok(route),
        // Several next hops: the matching entry lists them all, so the kernel is asked which one
        // it takes.
        None => {
            let reply = ask(0)?;
            decode(&reply, dst)?.ok_or_else(|| refuse(libc::ENETUNREACH, "route without a device"))
        }
    }
}

fn request(dst: IpAddr, src: Option<IpAddr>, (mark, oif): (u32, u32), flags: u32) -> Request {
    let bits = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
    let mut request = Request::new(NAME, libc::RTM_GETROUTE, 0);
    // Family, lengths of destination and source, TOS; table, protocol, scope, type; flags.
    request.put(&[family_of(dst) as u8, bits(dst), src.map_or(0, bits), 0]);
    request.put(&[0; 4]);
    request.put_u32(flags | RTM_F_LOOKUP_TABLE);
    let mut address = |kind, ip| {
        let (octets, len) = ip_octets(ip);
        request.attribute(kind, &octets[..len]);
    };
    address(libc::RTA_DST, dst);
    if let Some(src) = src {
        address(libc::RTA_SRC, src);
    }
    if mark != 0 {
        request.attribute_u32(libc::RTA_MARK, mark);
    }
    if oif != 0 {
        request.attribute_u32(libc::RTA_OIF, oif);
    }
    request
}

fn refuse(errno: i32, text: &str) -> KernelError {
    KernelError {
        request: NAME,
        errno,
        text: Some(text.to_owned()),
        attribute: None,
    }
}

/// `Ok(None)`: the entry has several next hops.
pub(super) fn decode(reply: &Reply, dst: IpAddr) -> Result<Option<Route>, KernelError> {
    let garbage = || refuse(libc::EBADMSG, "the kernel's reply cannot be read");
    if reply.kind() != libc::RTM_NEWROUTE {
        return Err(garbage());
    }
    let body = reply.payload().get(..RTMSG_LEN).ok_or_else(garbage)?;
    let family = family_of(dst);
    let kind = u8_at(body, RTMSG_TYPE).ok_or_else(garbage)?;
    if !matches!(kind, libc::RTN_UNICAST | libc::RTN_LOCAL) {
        // The matching entry is reported even if it forbids.
        return Err(match kind {
            libc::RTN_BLACKHOLE => refuse(libc::EINVAL, "blackhole route"),
            libc::RTN_PROHIBIT => refuse(libc::EACCES, "prohibit route"),
            libc::RTN_UNREACHABLE => refuse(libc::EHOSTUNREACH, "unreachable route"),
            _ => refuse(libc::EHOSTUNREACH, "not a unicast route"),
        });
    }
    let mut route = Route {
        oif: 0,
        gateway: None,
        prefsrc: None,
        table: u32::from(u8_at(body, RTMSG_TABLE).ok_or_else(garbage)?),
        local: kind == libc::RTN_LOCAL,
    };
    for (kind, value) in reply.attributes(RTMSG_LEN) {
        match kind {
            libc::RTA_OIF => route.oif = u32_at(value, 0).ok_or_else(garbage)?,
            libc::RTA_GATEWAY => route.gateway = ip_at(value, 0, family),
            // A next hop of the other family: struct rtvia is a family and the address.
            libc::RTA_VIA => {
                route.gateway = u16_at(value, 0).and_then(|family| ip_at(value, 2, family));
            }
            libc::RTA_PREFSRC => route.prefsrc = ip_at(value, 0, family),
            libc::RTA_TABLE => route.table = u32_at(value, 0).ok_or_else(garbage)?,
            _ => {}
        }
    }
    Ok((route.oif != 0).then_some(route))
}
