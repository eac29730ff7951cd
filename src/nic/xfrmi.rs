// SPDX-License-Identifier: GPL-2.0-or-later
//! XFRM interfaces (route-based IPsec): whether the kernel has them, making, listing and deleting
//! them.
//!
//! Owns these messages of rtnetlink. Called by `backend/` for the manager that other plugins of
//! charon use, and by `links` to read the ID of one. Must not decide where a route leads.
#![forbid(unsafe_code)]

use crate::error::KernelError;
use crate::xfrm::request::{Attributes, Reply, Request, text_of, u8_at, u32_at};
use crate::xfrm::{Protocol, Transport};

/// `IFLA_XFRM_LINK`
const IFLA_XFRM_LINK: u16 = 1;
/// `IFLA_XFRM_IF_ID`
const IFLA_XFRM_IF_ID: u16 = 2;
/// `IFLA_INFO_KIND` of these interfaces
const KIND: &str = "xfrm";
/// `struct ifinfomsg`
const IFINFO_LEN: usize = 16;
const IFINFO_INDEX: usize = 4;
const IFF_UP: u32 = libc::IFF_UP as u32;
/// Name of an interface that is not meant to come into being.
const PROBE: &str = "xfrmi-test-0";

/// An XFRM interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xfrmi {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// ID that SAs and policies name.
    pub if_id: u32,
    /// Index of the interface below.
    pub lower: Option<u32>,
    /// Name of the interface below, once it was looked up.
    pub phys: Option<String>,
    /// MTU.
    pub mtu: u32,
}

/// `struct ifinfomsg`, which names an interface by its index if that is not 0.
fn request(name: &'static str, kind: u16, flags: i32, ifindex: u32, up: bool) -> Request {
    let mut request = Request::new(name, kind, flags as u16);
    request.put(&[libc::AF_UNSPEC as u8, 0, 0, 0]);
    request.put_u32(ifindex);
    let change = if up { IFF_UP } else { 0 };
    request.put_u32(change);
    request.put_u32(change);
    request
}

fn put_name(request: &mut Request, kind: u16, name: &str) {
    request.attribute_parts(kind, &[name.as_bytes(), &[0]]);
}

/// `RTM_NEWLINK` for an XFRM interface.
fn new_link(name: &str, if_id: u32, lower: Option<u32>, mtu: u32) -> Request {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let mut request = request("RTM_NEWLINK", libc::RTM_NEWLINK, flags, 0, false);
    put_name(&mut request, libc::IFLA_IFNAME, name);
    if mtu != 0 {
        request.attribute_u32(libc::IFLA_MTU, mtu);
    }
    let info = request.begin_nest(libc::IFLA_LINKINFO);
    put_name(&mut request, libc::IFLA_INFO_KIND, KIND);
    let data = request.begin_nest(libc::IFLA_INFO_DATA);
    request.attribute_u32(IFLA_XFRM_IF_ID, if_id);
    if let Some(lower) = lower {
        request.attribute_u32(IFLA_XFRM_LINK, lower);
    }
    request.end_nest(data);
    request.end_nest(info);
    request
}

/// Whether the kernel has XFRM interfaces and lets us make them. It is asked for one with ID 0, which
/// it refuses (net/xfrm/xfrm_interface_core.c: xfrmi_newlink), so that nobody
/// who watches interfaces sees one come and go. Kernels before 5.17 made it: then it is deleted again.
pub fn supported(transport: &dyn Transport) -> bool {
    match transport.ack(Protocol::Route, &new_link(PROBE, 0, None, 0)) {
        Ok(()) => {
            if let Err(error) = delete(transport, PROBE) {
                log::warn!("unable to delete interface {PROBE}: {error}");
            }
            true
        }
        // Kernels without them have no link of this type (EOPNOTSUPP); without CAP_NET_ADMIN it is
        // EPERM.
        Err(error) => matches!(error.errno, libc::EINVAL | libc::EEXIST),
    }
}

/// Makes an interface and sets it up. `EEXIST` if there is one of this name or ID.
pub fn create(
    transport: &dyn Transport,
    name: &str,
    if_id: u32,
    lower: Option<u32>,
    mtu: u32,
) -> Result<(), KernelError> {
    transport.ack(Protocol::Route, &new_link(name, if_id, lower, mtu))?;
    let mut up = request("RTM_SETLINK", libc::RTM_SETLINK, 0, 0, true);
    put_name(&mut up, libc::IFLA_IFNAME, name);
    transport.ack(Protocol::Route, &up)
}

/// Deletes an interface by name, of whatever type it is. `ENODEV` if there is none.
pub fn delete(transport: &dyn Transport, name: &str) -> Result<(), KernelError> {
    let mut request = request("RTM_DELLINK", libc::RTM_DELLINK, 0, 0, false);
    put_name(&mut request, libc::IFLA_IFNAME, name);
    transport.ack(Protocol::Route, &request)
}

/// All XFRM interfaces, by index. The kernel leaves out interfaces of other types if it has loaded
/// this one, else it reports all.
pub fn list(transport: &dyn Transport) -> Result<Vec<Xfrmi>, KernelError> {
    let mut dump = request("RTM_GETLINK", libc::RTM_GETLINK, 0, 0, false);
    let info = dump.begin_nest(libc::IFLA_LINKINFO);
    put_name(&mut dump, libc::IFLA_INFO_KIND, KIND);
    dump.end_nest(info);
    let mut all = Vec::new();
    transport.dump(Protocol::Route, &dump, &mut |reply| {
        all.extend(decode(reply));
    })?;
    all.sort_by_key(|interface: &Xfrmi| interface.ifindex);
    Ok(all)
}

/// The ID in `IFLA_LINKINFO`; `None` if the interface is of another type.
pub(super) fn if_id(link_info: &[u8]) -> Option<u32> {
    data_of(link_info)?
        .value_of(IFLA_XFRM_IF_ID)
        .and_then(|value| u32_at(value, 0))
}

fn data_of(link_info: &[u8]) -> Option<Attributes<'_>> {
    let info = Attributes::new(link_info);
    let kind = info.clone().value_of(libc::IFLA_INFO_KIND)?;
    if text_of(kind)? != KIND {
        return None;
    }
    // One that gets its IDs from routes (external) has none of its own.
    info.value_of(libc::IFLA_INFO_DATA).map(Attributes::new)
}

pub(super) fn decode(reply: &Reply) -> Option<Xfrmi> {
    if reply.kind() != libc::RTM_NEWLINK {
        return None;
    }
    let body = reply.payload().get(..IFINFO_LEN)?;
    if u8_at(body, 0)? != libc::AF_UNSPEC as u8 {
        return None;
    }
    let attributes = reply.attributes(IFINFO_LEN);
    let value = |kind| attributes.clone().value_of(kind);
    let link_info = value(libc::IFLA_LINKINFO)?;
    Some(Xfrmi {
        ifindex: u32_at(body, IFINFO_INDEX)?,
        name: text_of(value(libc::IFLA_IFNAME)?)?.to_owned(),
        if_id: if_id(link_info)?,
        lower: data_of(link_info)?
            .value_of(IFLA_XFRM_LINK)
            .and_then(|value| u32_at(value, 0))
            .filter(|lower| *lower != 0),
        phys: None,
        mtu: value(libc::IFLA_MTU)
            .and_then(|value| u32_at(value, 0))
            .unwrap_or(0),
    })
}
