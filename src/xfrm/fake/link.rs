// SPDX-License-Identifier: GPL-2.0-or-later
//! Links, routes and neighbours of the modelled kernel, and what ethtool and devlink say.
//!
//! Owns rtnetlink and generic netlink of the model. Must not use the product's encoder.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::super::request::{Attributes, Reply, Request, ip_at, ip_octets, text_of, u8_at, u32_at};
use super::super::transport::Protocol;
use super::{FakeKernel, Recorded, Refusal, State};
use crate::model::{Prefix, family_of};

/// Numbers that this kernel gave to its families.
const ETHTOOL: u16 = 0x15;
const DEVLINK: u16 = 0x16;
const IFF_UP: u32 = libc::IFF_UP as u32;

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeLink {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Kind of a virtual device.
    pub kind: Option<String>,
    /// Bond, bridge or VRF it belongs to.
    pub master: Option<u32>,
    /// Device below.
    pub lower: Option<u32>,
    /// ID of an XFRM interface (kind "xfrm").
    pub if_id: Option<u32>,
    /// Has `esp-hw-offload`: takes SAs in crypto mode.
    pub esp_offload: bool,
    /// Takes SAs and policies in packet mode.
    pub packet_offload: bool,
    /// Driver, as devlink names it.
    pub driver: Option<String>,
}

/// A route; the longest prefix wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeRoute {
    /// Destination.
    pub dst: Prefix,
    /// Device and next hop; several make a multipath route.
    pub hops: Vec<(u32, Option<IpAddr>)>,
    /// Preferred source address.
    pub prefsrc: Option<IpAddr>,
    /// Table.
    pub table: u32,
    /// `RTN_*`, 1 = unicast, 2 = local
    pub kind: u8,
    /// Mark a packet must carry, 0 = any.
    pub mark: u32,
    /// VRF it belongs to, 0 = none.
    pub vrf: u32,
}

impl FakeRoute {
    /// A unicast route of the main table.
    pub fn new(dst: Prefix, oif: u32, gateway: Option<IpAddr>) -> Self {
        Self {
            dst,
            hops: vec![(oif, gateway)],
            prefsrc: None,
            table: 254,
            kind: libc::RTN_UNICAST,
            mark: 0,
            vrf: 0,
        }
    }
}

/// An entry of the neighbour table, or somebody who would answer.
pub(super) struct Neighbour {
    address: [u8; 6],
    state: u16,
    /// Requests that stay without answer.
    silent: u32,
}

impl FakeKernel {
    /// Adds or changes a device and reports that. One that goes down loses what is offloaded to it.
    pub fn put_link(&self, link: FakeLink) {
        let mut state = self.state();
        let ifindex = link.ifindex;
        let goes_down = !link.up
            && state
                .links
                .get(&ifindex)
                .is_some_and(|old| old.up && old.esp_offload);
        if goes_down {
            state.flush_device(ifindex);
        }
        let message = link_message(&link);
        state.links.insert(ifindex, link);
        state.emit(
            Protocol::Route,
            libc::RTNLGRP_LINK,
            libc::RTM_NEWLINK,
            message.payload(),
        );
    }

    /// Sets a device up or down. False if there is none.
    pub fn set_link_up(&self, ifindex: u32, up: bool) -> bool {
        let link = self.state().links.get(&ifindex).cloned();
        match link {
            Some(link) => {
                self.put_link(FakeLink { up, ..link });
                true
            }
            None => false,
        }
    }

    /// Removes a device with what is offloaded to it, and reports that. False if there is none.
    pub fn remove_link(&self, ifindex: u32) -> bool {
        let mut state = self.state();
        let Some(link) = state.links.remove(&ifindex) else {
            return false;
        };
        state.flush_device(ifindex);
        let message = link_message(&link);
        state.emit(
            Protocol::Route,
            libc::RTNLGRP_LINK,
            libc::RTM_DELLINK,
            message.payload(),
        );
        true
    }

    /// Adds a route and reports that.
    pub fn put_route(&self, route: FakeRoute) {
        let mut state = self.state();
        state.report_route(libc::RTM_NEWROUTE, &route);
        state.routes.push(route);
    }

    /// Removes all routes and reports that.
    pub fn clear_routes(&self) {
        let mut state = self.state();
        for route in std::mem::take(&mut state.routes) {
            state.report_route(libc::RTM_DELROUTE, &route);
        }
    }

    /// What the neighbour table says about an address: its link-layer address and state.
    pub fn neighbour(&self, ifindex: u32, ip: IpAddr) -> Option<([u8; 6], u16)> {
        let state = self.state();
        let neighbour = state.neighbours.get(&(ifindex, ip))?;
        (neighbour.state != libc::NUD_NONE).then_some((neighbour.address, neighbour.state))
    }

    /// Puts a resolved entry into the neighbour table.
    pub fn put_neighbour(&self, ifindex: u32, ip: IpAddr, address: [u8; 6]) {
        let mut state = self.state();
        let neighbour = Neighbour {
            address,
            state: libc::NUD_REACHABLE,
            silent: 0,
        };
        let message = neighbour_message(&(ifindex, ip), &neighbour);
        state.neighbours.insert((ifindex, ip), neighbour);
        state.emit(
            Protocol::Route,
            libc::RTNLGRP_NEIGH,
            libc::RTM_NEWNEIGH,
            message.payload(),
        );
    }

    /// Adds somebody who answers when asked: after `silent` looks into the table.
    pub fn put_answering(&self, ifindex: u32, ip: IpAddr, address: [u8; 6], silent: u32) {
        self.state().neighbours.insert(
            (ifindex, ip),
            Neighbour {
                address,
                state: libc::NUD_NONE,
                silent,
            },
        );
    }
}

/// `RTM_NEWLINK` as far as it matters, with what else the kernel sends around it.
fn link_message(link: &FakeLink) -> Request {
    let mut message = Request::new("", libc::RTM_NEWLINK, 0);
    message.put(&[libc::AF_UNSPEC as u8, 0]);
    message.put_u16(libc::ARPHRD_ETHER);
    message.put_u32(link.ifindex);
    message.put_u32(if link.up { IFF_UP } else { 0 });
    message.put_u32(0);
    message.attribute_parts(libc::IFLA_IFNAME, &[link.name.as_bytes(), &[0]]);
    message.attribute_u32(libc::IFLA_MTU, 1500);
    if let Some(master) = link.master {
        message.attribute_u32(libc::IFLA_MASTER, master);
    }
    if let Some(lower) = link.lower {
        message.attribute_u32(libc::IFLA_LINK, lower);
    }
    if let Some(kind) = &link.kind {
        // The kernel leaves the nested bit of this one unset.
        let info = message.begin_nest(libc::IFLA_LINKINFO);
        message.attribute_parts(libc::IFLA_INFO_KIND, &[kind.as_bytes(), &[0]]);
        if let Some(if_id) = link.if_id {
            let data = message.begin_nest(libc::IFLA_INFO_DATA);
            if let Some(lower) = link.lower {
                message.attribute_u32(1, lower);
            }
            message.attribute_u32(2, if_id);
            message.end_nest(data);
        }
        message.end_nest(info);
    }
    if link.driver.is_some() {
        message.attribute_parts(56, &[link.name.as_bytes(), &[0]]);
        message.attribute_parts(57, &[b"pci\0"]);
    }
    message
}

/// `ETHTOOL_MSG_FEATURES_GET_REPLY`: header, then bitsets, of which the active one lists only the
/// bits that are set.
fn features_message(link: &FakeLink) -> Reply {
    let mut message = Request::new("", ETHTOOL, 0);
    message.put(&[11, 1, 0, 0]);
    let header = message.begin_nest(1);
    message.attribute_u32(1, link.ifindex);
    message.attribute_parts(2, &[link.name.as_bytes(), &[0]]);
    message.end_nest(header);
    for (bitset, list) in [(2, false), (3, true), (4, true), (5, true)] {
        let nest = message.begin_nest(bitset);
        if list {
            message.attribute(1, &[]);
        }
        message.attribute_u32(2, 64);
        let bits = message.begin_nest(3);
        // The set of what can be changed names every feature there is.
        for (index, name, active) in [
            (0u32, "tx-scatter-gather", true),
            (44, "esp-hw-offload", link.esp_offload),
            (45, "tx-esp-segmentation", false),
        ] {
            if list && !(active && bitset == 4) {
                continue;
            }
            let bit = message.begin_nest(1);
            message.attribute_u32(1, index);
            message.attribute_parts(2, &[name.as_bytes(), &[0]]);
            message.end_nest(bit);
        }
        message.end_nest(bits);
        message.end_nest(nest);
    }
    Reply::new(ETHTOOL, message.payload())
}

fn neighbour_message(key: &(u32, IpAddr), neighbour: &Neighbour) -> Request {
    let mut message = Request::new("", libc::RTM_NEWNEIGH, 0);
    message.put(&[family_of(key.1) as u8, 0, 0, 0]);
    message.put_u32(key.0);
    message.put_u16(neighbour.state);
    message.put(&[0, libc::RTN_UNICAST]);
    let (octets, len) = ip_octets(key.1);
    message.attribute(libc::NDA_DST, &octets[..len]);
    if neighbour.state & (libc::NUD_REACHABLE | libc::NUD_PERMANENT) != 0 {
        message.attribute(libc::NDA_LLADDR, &neighbour.address);
    }
    message
}

impl State {
    fn report_route(&mut self, kind: u16, route: &FakeRoute) {
        let mut message = Request::new("", kind, 0);
        let v4 = route.dst.first().is_ipv4();
        let family = family_of(route.dst.first());
        message.put(&[family as u8, route.dst.len(), 0, 0]);
        message.put(&[route.table.min(252) as u8, 0, 0, route.kind]);
        message.put_u32(0);
        message.attribute_u32(libc::RTA_TABLE, route.table);
        // The kernel leaves the destination of a default route out.
        if !route.dst.is_empty() {
            let (octets, len) = ip_octets(route.dst.first());
            message.attribute(libc::RTA_DST, &octets[..len]);
        }
        let group = if v4 {
            libc::RTNLGRP_IPV4_ROUTE
        } else {
            libc::RTNLGRP_IPV6_ROUTE
        };
        self.emit(Protocol::Route, group, kind, message.payload());
    }

    fn flush_device(&mut self, ifindex: u32) {
        self.sad.flush_device(ifindex);
        self.spd.flush_device(ifindex);
    }

    pub(super) fn execute_route(&mut self, request: &Recorded) -> Result<Vec<Reply>, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let payload = &request.payload[..];
        match request.kind {
            libc::RTM_NEWLINK => self.new_link(request).map(|()| Vec::new()),
            libc::RTM_SETLINK | libc::RTM_DELLINK => {
                let name = name_of(payload).ok_or_else(bad)?;
                let link = self.links.values().find(|link| link.name == name).cloned();
                let mut link = link.ok_or(Refusal::silent(libc::ENODEV))?;
                if request.kind == libc::RTM_DELLINK {
                    self.links.remove(&link.ifindex);
                    self.report_link(&link, libc::RTM_DELLINK);
                } else {
                    link.up = u32_at(payload, 8).ok_or_else(bad)? & IFF_UP != 0;
                    self.links.insert(link.ifindex, link.clone());
                    self.report_link(&link, libc::RTM_NEWLINK);
                }
                Ok(Vec::new())
            }
            libc::RTM_GETLINK if request.dump => Ok(self
                .links
                .values()
                .filter(|link| {
                    // rtnl_dump_ifinfo: by type, if the request names one that is known.
                    kind_of(payload).is_none_or(|kind| link.kind.as_deref() == Some(&kind))
                })
                .map(|link| Reply::new(libc::RTM_NEWLINK, link_message(link).payload()))
                .collect()),
            libc::RTM_GETLINK => {
                let ifindex = u32_at(payload, 4).ok_or_else(bad)?;
                let link = self
                    .links
                    .get(&ifindex)
                    .ok_or(Refusal::silent(libc::ENODEV))?;
                Ok(vec![Reply::new(
                    libc::RTM_NEWLINK,
                    link_message(link).payload(),
                )])
            }
            libc::RTM_GETROUTE if !request.dump => self.route(payload).map(|reply| vec![reply]),
            libc::RTM_GETNEIGH if !request.dump => self.neighbour(payload).map(|reply| vec![reply]),
            libc::RTM_NEWNEIGH => {
                let key = neighbour_key(payload).ok_or_else(bad)?;
                let written = Attributes::behind(payload, 12)
                    .value_of(libc::NDA_LLADDR)
                    .and_then(|value| value.try_into().ok());
                if u8_at(payload, 10) != Some(libc::NTF_USE) && written.is_none() {
                    return Err(bad());
                }
                if !self.links.contains_key(&key.0) {
                    return Err(Refusal::silent(libc::ENODEV));
                }
                if let Some(address) = written {
                    let neighbour = Neighbour {
                        address,
                        state: libc::NUD_PERMANENT,
                        silent: 0,
                    };
                    self.neighbours.insert(key, neighbour);
                } else if let Some(neighbour) = self.neighbours.get_mut(&key)
                    // A permanent one becomes an ordinary one that is looked for.
                    && matches!(neighbour.state, libc::NUD_NONE | libc::NUD_PERMANENT)
                {
                    neighbour.state = libc::NUD_INCOMPLETE;
                }
                Ok(Vec::new())
            }
            libc::RTM_DELNEIGH => {
                let key = neighbour_key(payload).ok_or_else(bad)?;
                match self.neighbours.remove(&key) {
                    Some(_) => Ok(Vec::new()),
                    None => Err(Refusal::silent(libc::ENOENT)),
                }
            }
            _ => Err(Refusal::silent(libc::EOPNOTSUPP)),
        }
    }

    /// `rtnl_newlink` for kind "xfrm" (xfrm_interface_core.c: xfrmi_newlink).
    fn new_link(&mut self, request: &Recorded) -> Result<(), Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let payload = &request.payload[..];
        if self.knobs.no_xfrmi || kind_of(payload).as_deref() != Some("xfrm") {
            return Err(Refusal::silent(libc::EOPNOTSUPP));
        }
        let name = name_of(payload).ok_or_else(bad)?;
        let info = Attributes::behind(payload, 16)
            .value_of(libc::IFLA_LINKINFO)
            .and_then(|info| Attributes::new(info).value_of(libc::IFLA_INFO_DATA))
            .ok_or_else(bad)?;
        let number = |kind| {
            Attributes::new(info)
                .value_of(kind)
                .and_then(|value| u32_at(value, 0))
        };
        let if_id = number(2).unwrap_or(0);
        if if_id == 0 {
            return Err(Refusal::invalid("if_id must be non zero"));
        }
        let taken = |link: &FakeLink| link.name == name || link.if_id == Some(if_id);
        if self.links.values().any(taken) {
            return Err(Refusal::silent(libc::EEXIST));
        }
        let ifindex = self.links.keys().last().map_or(1, |last| last + 1);
        let link = FakeLink {
            ifindex,
            name,
            kind: Some("xfrm".to_owned()),
            lower: number(1),
            if_id: Some(if_id),
            ..FakeLink::default()
        };
        self.links.insert(ifindex, link.clone());
        self.report_link(&link, libc::RTM_NEWLINK);
        Ok(())
    }

    fn report_link(&mut self, link: &FakeLink, kind: u16) {
        let message = link_message(link);
        self.emit(Protocol::Route, libc::RTNLGRP_LINK, kind, message.payload());
    }

    fn route(&self, payload: &[u8]) -> Result<Reply, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let family = u16::from(u8_at(payload, 0).ok_or_else(bad)?);
        let flags = u32_at(payload, 8).ok_or_else(bad)?;
        let fib_match = flags & 0x2000 != 0;
        let attributes = Attributes::behind(payload, 12);
        let dst = attributes
            .clone()
            .value_of(libc::RTA_DST)
            .and_then(|value| ip_at(value, 0, family))
            .ok_or_else(bad)?;
        let number = |kind| {
            let value = attributes.clone().value_of(kind);
            value.and_then(|value| u32_at(value, 0)).unwrap_or(0)
        };
        let (mark, vrf) = (number(libc::RTA_MARK), number(libc::RTA_OIF));
        let route = self
            .routes
            .iter()
            .filter(|route| route.dst.contains(dst))
            .filter(|route| route.mark == 0 || route.mark == mark)
            .filter(|route| route.vrf == vrf)
            .max_by_key(|route| (route.mark != 0, route.dst.len()))
            .ok_or(Refusal::silent(libc::ENETUNREACH))?;
        let mut message = Request::new("", libc::RTM_NEWROUTE, 0);
        let len = if fib_match {
            route.dst.len()
        } else if dst.is_ipv4() {
            32
        } else {
            128
        };
        message.put(&[family as u8, len, 0, 0]);
        // Without RTM_F_LOOKUP_TABLE the kernel says "main", whichever it was.
        let table = if flags & 0x1000 != 0 {
            route.table
        } else {
            u32::from(libc::RT_TABLE_MAIN)
        };
        message.put(&[table.min(252) as u8, 0, 0, route.kind]);
        message.put_u32(0);
        message.attribute_u32(libc::RTA_TABLE, table);
        let (octets, len) = ip_octets(if fib_match { route.dst.first() } else { dst });
        message.attribute(libc::RTA_DST, &octets[..len]);
        if let Some(src) = route.prefsrc {
            let (octets, len) = ip_octets(src);
            message.attribute(libc::RTA_PREFSRC, &octets[..len]);
        }
        if fib_match && route.hops.len() > 1 {
            let nest = message.begin_nest(libc::RTA_MULTIPATH);
            for (oif, _) in &route.hops {
                // struct rtnexthop
                message.put(&[8, 0, 0, 0]);
                message.put_u32(*oif);
            }
            message.end_nest(nest);
        } else if let Some((oif, gateway)) = route.hops.first() {
            message.attribute_u32(libc::RTA_OIF, *oif);
            match gateway {
                Some(gateway) if family_of(*gateway) == family => {
                    let (octets, len) = ip_octets(*gateway);
                    message.attribute(libc::RTA_GATEWAY, &octets[..len]);
                }
                Some(gateway) => {
                    let (octets, len) = ip_octets(*gateway);
                    message.attribute_parts(
                        libc::RTA_VIA,
                        &[&family_of(*gateway).to_ne_bytes(), &octets[..len]],
                    );
                }
                None => {}
            }
        }
        Ok(Reply::new(libc::RTM_NEWROUTE, message.payload()))
    }

    fn neighbour(&mut self, payload: &[u8]) -> Result<Reply, Refusal> {
        let key = neighbour_key(payload).ok_or(Refusal::silent(libc::EINVAL))?;
        let neighbour = self
            .neighbours
            .get_mut(&key)
            .filter(|neighbour| neighbour.state != libc::NUD_NONE)
            .ok_or(Refusal::silent(libc::ENOENT))?;
        if neighbour.state == libc::NUD_INCOMPLETE {
            if neighbour.silent == 0 {
                neighbour.state = libc::NUD_REACHABLE;
            }
            neighbour.silent = neighbour.silent.saturating_sub(1);
        }
        let message = neighbour_message(&key, neighbour);
        Ok(Reply::new(libc::RTM_NEWNEIGH, message.payload()))
    }

    pub(super) fn execute_generic(&mut self, request: &Recorded) -> Result<Vec<Reply>, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let payload = &request.payload[..];
        let command = u8_at(payload, 0).ok_or_else(bad)?;
        let attributes = Attributes::behind(payload, 4);
        match (request.kind, command) {
            (16, 3) => {
                let id = match attributes.value_of(2).and_then(text_of) {
                    Some("ethtool") if self.knobs.ethtool => ETHTOOL,
                    Some("devlink") => DEVLINK,
                    _ => return Err(Refusal::silent(libc::ENOENT)),
                };
                let mut message = Request::new("", 16, 0);
                message.put(&[1, 2, 0, 0]);
                message.attribute(1, &id.to_ne_bytes());
                Ok(vec![Reply::new(16, message.payload())])
            }
            (ETHTOOL, 11) if request.dump => {
                Ok(self.links.values().map(features_message).collect())
            }
            (ETHTOOL, 11) => {
                let ifindex = attributes
                    .value_of(1)
                    .and_then(|header| Attributes::new(header).value_of(1))
                    .and_then(|value| u32_at(value, 0))
                    .ok_or_else(bad)?;
                let link = self
                    .links
                    .get(&ifindex)
                    .ok_or(Refusal::silent(libc::ENODEV))?;
                Ok(vec![features_message(link)])
            }
            (DEVLINK, 51) => {
                let device = attributes.value_of(2).and_then(text_of).ok_or_else(bad)?;
                let driver = self
                    .links
                    .values()
                    .find(|link| link.name == device)
                    .and_then(|link| link.driver.as_deref())
                    .ok_or(Refusal::silent(libc::ENODEV))?;
                let mut message = Request::new("", DEVLINK, 0);
                message.put(&[51, 1, 0, 0]);
                message.attribute_parts(98, &[driver.as_bytes(), &[0]]);
                Ok(vec![Reply::new(DEVLINK, message.payload())])
            }
            _ => Err(Refusal::silent(libc::EOPNOTSUPP)),
        }
    }
}

/// `IFLA_IFNAME` behind `struct ifinfomsg`.
fn name_of(payload: &[u8]) -> Option<String> {
    Attributes::behind(payload, 16)
        .value_of(libc::IFLA_IFNAME)
        .and_then(text_of)
        .map(str::to_owned)
}

/// `IFLA_INFO_KIND` behind `struct ifinfomsg`.
fn kind_of(payload: &[u8]) -> Option<String> {
    let info = Attributes::behind(payload, 16).value_of(libc::IFLA_LINKINFO)?;
    Attributes::new(info)
        .value_of(libc::IFLA_INFO_KIND)
        .and_then(text_of)
        .map(str::to_owned)
}

fn neighbour_key(payload: &[u8]) -> Option<(u32, IpAddr)> {
    let family = u16::from(u8_at(payload, 0)?);
    let ifindex = u32_at(payload, 4)?;
    let ip = Attributes::behind(payload, 12)
        .value_of(libc::NDA_DST)
        .and_then(|value| ip_at(value, 0, family))?;
    Some((ifindex, ip))
}
