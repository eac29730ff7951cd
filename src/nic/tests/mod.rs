// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the device cache and the lookups, on the modelled kernel; messages are compared with
//! netlink-packet-route, which encodes and decodes independently of us.
//!
//! Owns what these tests share, and the garbage that all decoders are fed.

mod links;
mod lookup;

use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{Emitable, NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;

use super::links::decode_link;
use super::neighbour::{self, Entry};
use super::{Link, features, lookup_route, resolve_neighbour, route, watch};
use crate::model::Prefix;
use crate::xfrm::fake::{FakeKernel, FakeLink, FakeRoute, Recorded};
use crate::xfrm::{Protocol, Reply, Transport};

pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn prefix(text: &str) -> Prefix {
    let (ip, len) = text.split_once('/').unwrap();
    Prefix::new(ip.parse().unwrap(), len.parse().unwrap())
}

pub(super) fn nic(ifindex: u32) -> FakeLink {
    FakeLink {
        ifindex,
        name: format!("nic{ifindex}"),
        up: true,
        esp_offload: true,
        packet_offload: true,
        driver: Some("mlx5_core".to_owned()),
        ..FakeLink::default()
    }
}

pub(super) fn link(ifindex: u32) -> Link {
    Link {
        ifindex,
        name: format!("nic{ifindex}"),
        up: true,
        kind: None,
        master: None,
        lower: None,
        if_id: None,
        esp_offload: true,
        driver: Some("mlx5_core".to_owned()),
    }
}

pub(super) fn decode_request(request: &Recorded) -> RouteNetlinkMessage {
    let mut header = NetlinkHeader::default();
    header.message_type = request.kind;
    header.flags = request.flags;
    RouteNetlinkMessage::deserialize(&header, &request.payload).unwrap()
}

pub(super) fn emit(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// Every truncation, and many mutations, of what the modelled kernel answers.
#[test]
fn garbage_is_harmless() {
    let fake = FakeKernel::new();
    fake.put_link(FakeLink {
        kind: Some("vlan".to_owned()),
        lower: Some(2),
        master: Some(3),
        ..nic(4)
    });
    fake.put_route(FakeRoute::new(prefix("0.0.0.0/0"), 2, Some(ip("1.2.3.4"))));
    fake.put_neighbour(4, ip("1.2.3.4"), MAC);
    let mut messages: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut keep = |reply: &Reply| messages.push((reply.kind(), reply.payload().to_vec()));
    let mut dump = crate::xfrm::Request::new("", libc::RTM_GETLINK, 0);
    fake.dump(Protocol::Route, &dump, &mut keep).unwrap();
    dump.reset("", 0x15, 0);
    dump.put(&[11, 1, 0, 0]);
    fake.dump(Protocol::Generic, &dump, &mut keep).unwrap();
    for (name, kind) in [
        ("route", libc::RTM_GETROUTE),
        ("neighbour", libc::RTM_GETNEIGH),
    ] {
        let _ = lookup_route(&*fake, ip("9.9.9.9"), None, 0);
        let _ = resolve_neighbour(&*fake, 4, ip("1.2.3.4"), Duration::ZERO);
        let request = fake
            .requests()
            .into_iter()
            .find(|request| request.kind == kind)
            .unwrap();
        let mut again = crate::xfrm::Request::new(name, kind, 0);
        again.put(&request.payload);
        keep(&fake.get(Protocol::Route, &again).unwrap());
    }
    assert_eq!(messages.len(), 4);
    let feed = |kind: u16, payload: &[u8]| {
        let reply = Reply::new(kind, payload);
        // It takes many types, and the same bytes as another decoder.
        let _ = watch::decode(&reply);
        for kind in [
            libc::RTM_NEWROUTE,
            libc::RTM_DELNEIGH,
            libc::RTM_NEWADDR,
            104,
        ] {
            let _ = watch::decode(&Reply::new(kind, payload));
        }
        let understood = [
            decode_link(&reply).is_some(),
            features::decode(&reply)
                .is_some_and(|(ifindex, active)| kind == 0x15 && ifindex == 4 && active),
            route::decode(&reply, ip("9.9.9.9")).is_ok(),
            neighbour::decode(&reply) != Entry::Unresolved,
        ];
        understood.iter().filter(|one| **one).count()
    };
    for (kind, payload) in &messages {
        assert_eq!(feed(*kind, payload), 1, "{kind}");
        for len in 0..payload.len() {
            feed(*kind, &payload[..len]);
        }
    }
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut refused = 0;
    for round in 0..200_000 {
        let (kind, payload) = &messages[round % messages.len()];
        let mut payload = payload.clone();
        for _ in 0..=next() % 5 {
            let at = next() % payload.len();
            payload[at] = next() as u8;
        }
        payload.truncate(next() % (2 * payload.len()));
        refused += usize::from(feed(*kind, &payload) == 0);
    }
    assert!((10_000..190_000).contains(&refused), "{refused}");
}
