// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel reports by itself: acquire, expire, mapping, migrate, delete, flush.
//!
//! Owns the reading of these messages. Called by `events/`, which owns the socket and decides.
//! Must not panic on any bytes, nor act on an event.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::consts::{
    XFRM_MSG_ACQUIRE, XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA, XFRM_MSG_EXPIRE, XFRM_MSG_FLUSHPOLICY,
    XFRM_MSG_FLUSHSA, XFRM_MSG_MAPPING, XFRM_MSG_MIGRATE, XFRMA_IF_ID, XFRMA_KMADDRESS, XFRMA_MARK,
    XFRMA_MIGRATE, XFRMA_POLICY_TYPE, XFRMA_SA_PCPU, XFRMA_SEC_CTX, XFRMA_TMPL, acquire, expire,
    kmaddress, mapping, migrate, policy_id, selector as sel, usersa, usersa_id,
};
use super::policy::{PolicyKey, decode_label, deleted_policy, template_reqid};
use super::request::{Attributes, Reply, be16_at, be32_at, ip_at, u8_at, u16_at, u32_at};
use super::sa::{decode_mark, decode_selector};
use crate::host;
use crate::model::{
    Addr, Direction, Mark, PortMatch, Prefix, Proto, SaKey, Selector, Spi, TrafficSelector,
};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// Something the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet needs an SA.
    Acquire(host::Acquire),
    /// An SA reached a limit. Those of IPComp are not reported: charon knows no such SA.
    Expire {
        /// The SA.
        key: SaKey,
        /// It is gone.
        hard: bool,
    },
    /// ESP in UDP came from another address or port.
    Mapping {
        /// The SA; the kernel tells neither its mark nor its interface ID here.
        key: SaKey,
        /// Where it comes from now.
        new: Addr,
        /// Port it came from.
        old_port: u16,
    },
    /// Addresses changed (Mobile IPv6), one entry per reqid.
    Migrate(Vec<host::Migrate>),
    /// An SA was deleted, by us or by others. An expired one is not reported so.
    SaDeleted(SaKey),
    /// A policy of one of the three directions was deleted.
    PolicyDeleted(PolicyKey),
    /// All SAs of a protocol were deleted. A device that flushes its own does not say so.
    SasFlushed,
    /// All policies were deleted.
    PoliciesFlushed,
}

/// Reads an event; `None` for messages and protocols that are none of ours, for mappings of an SA
/// that accepts any port of the peer, and for garbage.
pub fn decode_event(reply: &Reply) -> Option<Event> {
    match reply.kind() {
        XFRM_MSG_ACQUIRE => decode_acquire(reply),
        XFRM_MSG_EXPIRE => decode_expire(reply),
        XFRM_MSG_MAPPING => decode_mapping(reply.payload()),
        XFRM_MSG_MIGRATE => decode_migrate(reply),
        XFRM_MSG_DELSA => decode_deleted_sa(reply),
        XFRM_MSG_DELPOLICY => deleted_policy(reply).map(Event::PolicyDeleted),
        // struct xfrm_usersa_flush is the protocol, of which any may be ours.
        XFRM_MSG_FLUSHSA => u8_at(reply.payload(), 0).map(|_| Event::SasFlushed),
        XFRM_MSG_FLUSHPOLICY => decode_flushed_policies(reply),
        _ => None,
    }
}

fn decode_acquire(reply: &Reply) -> Option<Event> {
    let body = reply.payload().get(..acquire::LEN)?;
    // Protocol 0 is a trap that takes any.
    if !matches!(u8_at(body, acquire::PROTO)?, 0 | 50 | 51) {
        return None;
    }
    let selector = decode_selector(&body[acquire::SEL..])?;
    let mut event = host::Acquire {
        reqid: 0,
        cpu: None,
        seq: u32_at(body, acquire::SEQ)?,
        src: traffic_selector(&selector, true),
        dst: traffic_selector(&selector, false),
        label: None,
    };
    for (kind, value) in reply.attributes(acquire::LEN) {
        match kind {
            XFRMA_TMPL => event.reqid = template_reqid(value).unwrap_or(0),
            XFRMA_SA_PCPU => event.cpu = u32_at(value, 0),
            XFRMA_SEC_CTX => event.label = decode_label(value),
            _ => {}
        }
    }
    Some(Event::Acquire(event))
}

fn decode_expire(reply: &Reply) -> Option<Event> {
    let body = reply.payload().get(..expire::LEN)?;
    let proto = charon_proto(u8_at(body, usersa::PROTO)?)?;
    let family = u16_at(body, usersa::FAMILY)?;
    let mut key = SaKey {
        dst: ip_at(body, usersa::DADDR, family)?,
        spi: Spi(be32_at(body, usersa::SPI)?),
        proto,
        mark: Mark::default(),
        if_id: 0,
    };
    for (kind, value) in reply.attributes(expire::LEN) {
        match kind {
            XFRMA_MARK => key.mark = decode_mark(value)?,
            XFRMA_IF_ID => key.if_id = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Event::Expire {
        key,
        hard: u8_at(body, expire::HARD)? != 0,
    })
}

fn decode_mapping(payload: &[u8]) -> Option<Event> {
    let body = payload.get(..mapping::LEN)?;
    let family = u16_at(body, usersa_id::FAMILY)?;
    if u8_at(body, usersa_id::PROTO)? != Proto::Esp.number() {
        return None;
    }
    let old_port = be16_at(body, mapping::OLD_SPORT)?;
    // An SA of one CPU has port 0, which every packet differs from.
    if old_port == 0 {
        return None;
    }
    Some(Event::Mapping {
        key: SaKey {
            dst: ip_at(body, usersa_id::DADDR, family)?,
            spi: Spi(be32_at(body, usersa_id::SPI)?),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: 0,
        },
        new: Addr {
            ip: ip_at(body, mapping::NEW_SADDR, family)?,
            port: be16_at(body, mapping::NEW_SPORT)?,
        },
        old_port,
    })
}

fn decode_deleted_sa(reply: &Reply) -> Option<Event> {
    let body = reply.payload().get(..usersa_id::LEN)?;
    let mut key = SaKey {
        dst: ip_at(body, usersa_id::DADDR, u16_at(body, usersa_id::FAMILY)?)?,
        spi: Spi(be32_at(body, usersa_id::SPI)?),
        proto: Proto::from_number(u8_at(body, usersa_id::PROTO)?)?,
        mark: Mark::default(),
        if_id: 0,
    };
    for (kind, value) in reply.attributes(usersa_id::LEN) {
        match kind {
            XFRMA_MARK => key.mark = decode_mark(value)?,
            XFRMA_IF_ID => key.if_id = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Event::SaDeleted(key))
}

/// The type is `struct xfrm_userpolicy_type`, main if it is not told.
fn decode_flushed_policies(reply: &Reply) -> Option<Event> {
    let kind = Attributes::new(reply.payload()).value_of(XFRMA_POLICY_TYPE);
    kind.is_none_or(|value| u8_at(value, 0) == Some(0))
        .then_some(Event::PoliciesFlushed)
}

fn decode_migrate(reply: &Reply) -> Option<Event> {
    let body = reply.payload().get(..policy_id::LEN)?;
    let selector = decode_selector(&body[policy_id::SEL..])?;
    let dir = Direction::from_xfrm(u8_at(body, policy_id::DIR)?)?;
    // The addresses that IKE shall use; without them there is nothing charon could do.
    let (local, remote) = reply
        .attributes(policy_id::LEN)
        .value_of(XFRMA_KMADDRESS)
        .and_then(key_management_addresses)?;
    let mut migrates: Vec<host::Migrate> = Vec::new();
    for (kind, value) in reply.attributes(policy_id::LEN) {
        if kind != XFRMA_MIGRATE {
            continue;
        }
        for one in value.chunks_exact(migrate::LEN) {
            let reqid = u32_at(one, migrate::REQID)?;
            // One entry per template: those of one reqid differ in protocol only.
            if migrates.iter().any(|seen| seen.reqid == reqid) {
                continue;
            }
            migrates.push(host::Migrate {
                reqid,
                dir,
                src_ts: traffic_selector(&selector, true),
                dst_ts: traffic_selector(&selector, false),
                local: Addr::new(local),
                remote: Addr::new(remote),
            });
        }
    }
    (!migrates.is_empty()).then_some(Event::Migrate(migrates))
}

fn key_management_addresses(value: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let value = value.get(..kmaddress::LEN)?;
    let family = u16_at(value, kmaddress::FAMILY)?;
    Some((
        ip_at(value, kmaddress::LOCAL, family)?,
        ip_at(value, kmaddress::REMOTE, family)?,
    ))
}

/// charon knows ESP and AH by their SPIs, but not the SAs of IPComp.
fn charon_proto(number: u8) -> Option<Proto> {
    Proto::from_number(number).filter(|proto| *proto != Proto::Comp)
}

/// One side of a selector. For ICMP the kernel has the type as source port and the code as
/// destination port, IKE has both in one.
fn traffic_selector(selector: &Selector, source: bool) -> TrafficSelector {
    let (prefix, ports): (Prefix, PortMatch) = if source {
        (selector.src, selector.sport)
    } else {
        (selector.dst, selector.dport)
    };
    let (from_port, to_port) = if matches!(selector.proto, IPPROTO_ICMP | IPPROTO_ICMPV6) {
        let kind = selector.sport.port << 8;
        match (selector.sport.mask, selector.dport.mask) {
            (0, _) => (0, u16::MAX),
            (_, 0) => (kind, kind | 0xff),
            (_, _) => {
                let both = kind | (selector.dport.port & 0xff);
                (both, both)
            }
        }
    } else if ports.mask == 0 {
        (0, u16::MAX)
    } else {
        (ports.port & ports.mask, ports.port | !ports.mask)
    };
    TrafficSelector {
        from: prefix.first(),
        to: prefix.last(),
        proto: selector.proto,
        from_port,
        to_port,
    }
}

// The layout that `decode_selector` relies on.
const _: () = assert!(sel::LEN <= policy_id::LEN && acquire::SEL + sel::LEN <= acquire::LEN);
