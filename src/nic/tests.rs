// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the device cache and the lookups, on the modelled kernel; messages are compared with
//! netlink-packet-route, which encodes and decodes independently of us.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netlink_packet_core::{Emitable, NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, route::RouteProtocol};

use super::links::decode_link;
use super::neighbour::{self, Entry};
use super::{Link, LinkChange, Links, Route, features, lookup_route, resolve_neighbour, route};
use crate::error::KernelError;
use crate::model::Prefix;
use crate::xfrm::fake::{FakeKernel, FakeLink, FakeRoute, Knobs, Recorded};
use crate::xfrm::{Protocol, Reply, Transport};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (ip, len) = text.split_once('/').unwrap();
    Prefix::new(ip.parse().unwrap(), len.parse().unwrap())
}

fn nic(ifindex: u32) -> FakeLink {
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

fn link(ifindex: u32) -> Link {
    Link {
        ifindex,
        name: format!("nic{ifindex}"),
        up: true,
        kind: None,
        master: None,
        lower: None,
        esp_offload: true,
        driver: Some("mlx5_core".to_owned()),
    }
}

fn decode_request(request: &Recorded) -> RouteNetlinkMessage {
    let mut header = NetlinkHeader::default();
    header.message_type = request.kind;
    header.flags = request.flags;
    RouteNetlinkMessage::deserialize(&header, &request.payload).unwrap()
}

fn emit(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

#[test]
fn the_cache_starts_with_one_dump_and_asks_drivers_of_offloading_devices() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    fake.put_link(FakeLink {
        ifindex: 1,
        name: "lo".to_owned(),
        up: true,
        ..FakeLink::default()
    });
    fake.put_link(FakeLink {
        ifindex: 9,
        name: "nic4.100".to_owned(),
        kind: Some("vlan".to_owned()),
        lower: Some(4),
        master: Some(12),
        driver: Some("8021q".to_owned()),
        ..FakeLink::default()
    });
    let links = Links::new(fake.clone()).unwrap();
    assert_eq!(
        fake.request_names(),
        [
            "RTM_GETLINK",
            "CTRL_CMD_GETFAMILY",
            "ETHTOOL_MSG_FEATURES_GET",
            "CTRL_CMD_GETFAMILY",
            "DEVLINK_CMD_INFO_GET",
        ]
    );
    let lo = Link {
        ifindex: 1,
        name: "lo".to_owned(),
        esp_offload: false,
        driver: None,
        ..link(1)
    };
    let vlan = Link {
        ifindex: 9,
        name: "nic4.100".to_owned(),
        up: false,
        kind: Some("vlan".to_owned()),
        master: Some(12),
        lower: Some(4),
        esp_offload: false,
        driver: None,
    };
    assert_eq!(links.all(), [lo.clone(), link(4), vlan.clone()]);
    assert_eq!(links.get(4), Some(link(4)));
    assert_eq!(links.by_name("lo"), Some(lo));
    assert_eq!(links.by_name("nic4.100"), Some(vlan));
    assert_eq!((links.get(2), links.by_name("x")), (None, None));
    assert!(links.update().is_empty());
    fake.clear_requests();
    let _ = links.all();
    assert!(fake.requests().is_empty(), "answers come from the cache");
}

#[test]
fn changes_are_reported_once_and_in_words() {
    let fake = FakeKernel::new();
    let links = Links::new(fake.clone()).unwrap();
    fake.put_link(nic(4));
    assert_eq!(links.update(), [LinkChange::Up(link(4))]);
    fake.put_link(nic(4));
    assert_eq!(links.update(), []);
    fake.set_link_up(4, false);
    let down = Link {
        up: false,
        ..link(4)
    };
    assert_eq!(links.update(), [LinkChange::Down(down.clone())]);
    assert_eq!(links.get(4), Some(down));
    // Down and up again while nobody looked: both are seen.
    fake.set_link_up(4, true);
    fake.set_link_up(4, false);
    fake.set_link_up(4, true);
    let changes = links.update();
    assert!(
        matches!(
            changes[..],
            [LinkChange::Up(_), LinkChange::Down(_), LinkChange::Up(_)]
        ),
        "{changes:?}"
    );
    // Offload is switched off: reported as a change of the link that says nothing of it.
    fake.put_link(FakeLink {
        esp_offload: false,
        ..nic(4)
    });
    let off = Link {
        esp_offload: false,
        driver: None,
        ..link(4)
    };
    assert_eq!(links.update(), [LinkChange::Features(off.clone())]);
    fake.put_link(FakeLink {
        esp_offload: false,
        name: "wan".to_owned(),
        master: Some(7),
        ..nic(4)
    });
    let renamed = Link {
        name: "wan".to_owned(),
        master: Some(7),
        ..off
    };
    assert_eq!(links.update(), [LinkChange::Features(renamed.clone())]);
    assert_eq!(links.by_name("nic4"), None);
    fake.remove_link(4);
    assert_eq!(links.update(), [LinkChange::Gone(renamed)]);
    assert_eq!(links.get(4), None);
    fake.put_link(FakeLink {
        up: false,
        ..nic(5)
    });
    assert!(matches!(links.update()[..], [LinkChange::Features(_)]));
}

#[test]
fn lost_events_mean_that_everything_is_read_again() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    fake.put_link(nic(5));
    let links = Links::new(fake.clone()).unwrap();
    fake.overrun(Protocol::Route);
    fake.remove_link(5);
    fake.put_link(nic(6));
    fake.put_link(FakeLink {
        up: false,
        ..nic(4)
    });
    let changes = links.update();
    let down = Link {
        up: false,
        ..link(4)
    };
    // What was queued behind the overrun changes nothing any more.
    assert_eq!(
        changes,
        [
            LinkChange::Resynced,
            LinkChange::Gone(link(5)),
            LinkChange::Down(down),
            LinkChange::Up(link(6)),
        ]
    );
    // A device of the same index that is another one is gone and new.
    fake.overrun(Protocol::Route);
    fake.put_link(FakeLink {
        name: "other".to_owned(),
        driver: Some("netdevsim".to_owned()),
        ..nic(6)
    });
    let changes = links.update();
    assert!(changes.contains(&LinkChange::Gone(link(6))), "{changes:?}");
    // If the kernel cannot be asked, the cache stays.
    fake.overrun(Protocol::Route);
    fake.refuse_next(libc::RTM_GETLINK, libc::ENOMEM, None);
    assert!(links.update().is_empty());
    assert_eq!(links.all().len(), 2);
}

#[test]
fn one_link_can_be_read_again() {
    let fake = FakeKernel::new();
    let links = Links::new(fake.clone()).unwrap();
    fake.put_link(nic(4));
    assert_eq!(links.get(4), None);
    fake.clear_requests();
    assert_eq!(links.refresh(4), Some(link(4)));
    let RouteNetlinkMessage::GetLink(message) = decode_request(&fake.requests()[0]) else {
        panic!("no RTM_GETLINK");
    };
    assert_eq!(message.header.index, 4);
    assert_eq!(message.header.interface_family, AddressFamily::Unspec);
    assert_eq!(links.get(4), Some(link(4)));
    assert_eq!(links.refresh(99), None);
    fake.refuse_next(libc::RTM_GETLINK, libc::EPERM, None);
    assert_eq!(links.refresh(4), None);
}

#[test]
fn an_event_wins_over_an_older_read() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let links = Arc::new(Links::new(fake.clone()).unwrap());
    // While the read is under way, the device goes and the event is taken in.
    let armed = Mutex::new(Some((fake.clone(), links.clone())));
    fake.set_rule(Some(Arc::new(move |request: &Recorded| {
        let taken = (request.name == "ETHTOOL_MSG_FEATURES_GET")
            .then(|| armed.lock().unwrap().take())
            .flatten();
        if let Some((fake, links)) = taken {
            fake.remove_link(4);
            links.update();
        }
        Ok(())
    })));
    assert_eq!(links.refresh(4), None);
    assert_eq!(links.get(4), None);
    fake.set_rule(None);
}

#[test]
fn a_kernel_without_ethtool_netlink_has_no_offload() {
    let fake = FakeKernel::new();
    fake.set_knobs(Knobs {
        ethtool: false,
        ..Knobs::default()
    });
    fake.put_link(nic(4));
    let links = Links::new(fake.clone()).unwrap();
    assert!(!links.get(4).unwrap().esp_offload);
    fake.put_link(nic(5));
    links.update();
    assert!(!links.get(5).unwrap().esp_offload);
    let asked = fake
        .request_names()
        .iter()
        .filter(|name| **name == "CTRL_CMD_GETFAMILY")
        .count();
    assert_eq!(asked, 1, "the answer is remembered");
}

#[test]
fn a_failure_to_start_is_reported() {
    let fake = FakeKernel::new();
    fake.refuse_next(libc::RTM_GETLINK, libc::EPERM, None);
    let error = Links::new(fake).err().unwrap();
    assert_eq!((error.request, error.errno), ("RTM_GETLINK", libc::EPERM));
}

#[test]
fn link_messages_are_read_as_the_crate_writes_them() {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.flags = LinkFlags::Up | LinkFlags::Running;
    message.attributes = vec![
        LinkAttribute::IfName("eth0.5".to_owned()),
        LinkAttribute::Link(3),
        LinkAttribute::Controller(4),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan)]),
    ];
    let decode =
        |message: &LinkMessage| decode_link(&Reply::new(libc::RTM_NEWLINK, &emit(message)));
    let expected = Link {
        ifindex: 7,
        name: "eth0.5".to_owned(),
        up: true,
        kind: Some("vlan".to_owned()),
        master: Some(4),
        lower: Some(3),
        esp_offload: false,
        driver: None,
    };
    assert_eq!(decode(&message), Some(expected.clone()));
    // The lower device is in another network namespace.
    message.attributes.push(LinkAttribute::LinkNetNsId(0));
    assert_eq!(
        decode(&message),
        Some(Link {
            lower: None,
            ..expected
        })
    );
    // A bridge reports its ports by the same message.
    message.header.interface_family = AddressFamily::Bridge;
    assert_eq!(decode(&message), None);
    message.header.interface_family = AddressFamily::Unspec;
    message.attributes.clear();
    assert_eq!(decode(&message), None);
}

#[test]
fn a_removal_from_a_bridge_is_no_removal() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let links = Links::new(fake.clone()).unwrap();
    let mut message = LinkMessage::default();
    message.header.index = 4;
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes = vec![LinkAttribute::IfName("nic4".to_owned())];
    fake.emit(
        Protocol::Route,
        libc::RTNLGRP_LINK,
        libc::RTM_DELLINK,
        &emit(&message),
    );
    assert!(links.update().is_empty());
    assert_eq!(links.get(4), Some(link(4)));
}

#[test]
fn routes_are_looked_up_and_never_dumped() {
    let fake = FakeKernel::new();
    let mut via = FakeRoute::new(prefix("0.0.0.0/0"), 2, Some(ip("192.0.2.254")));
    via.prefsrc = Some(ip("192.0.2.1"));
    fake.put_route(via);
    fake.put_route(FakeRoute::new(prefix("198.51.100.0/24"), 3, None));
    let mut local = FakeRoute::new(prefix("192.0.2.1/32"), 2, None);
    local.kind = libc::RTN_LOCAL;
    local.table = 255;
    fake.put_route(local);
    let mut marked = FakeRoute::new(prefix("0.0.0.0/0"), 9, None);
    marked.mark = 0x2a;
    marked.table = 220;
    fake.put_route(marked);
    fake.put_route(FakeRoute::new(
        prefix("203.0.113.0/24"),
        4,
        Some(ip("fe80::1")),
    ));
    let mut blackhole = FakeRoute::new(prefix("10.0.0.0/8"), 1, None);
    blackhole.kind = libc::RTN_BLACKHOLE;
    fake.put_route(blackhole);
    let look = |dst: &str, mark| lookup_route(&*fake, ip(dst), None, mark);
    let default = Route {
        oif: 2,
        gateway: Some(ip("192.0.2.254")),
        prefsrc: Some(ip("192.0.2.1")),
        table: 254,
        local: false,
    };
    assert_eq!(look("8.8.8.8", 0), Ok(default.clone()));
    let plain = Route {
        gateway: None,
        prefsrc: None,
        ..default
    };
    assert_eq!(
        look("198.51.100.7", 0),
        Ok(Route {
            oif: 3,
            ..plain.clone()
        })
    );
    assert_eq!(
        look("192.0.2.1", 0),
        Ok(Route {
            local: true,
            table: 255,
            ..plain.clone()
        })
    );
    assert_eq!(
        look("8.8.8.8", 0x2a),
        Ok(Route {
            oif: 9,
            table: 220,
            ..plain.clone()
        })
    );
    assert_eq!(
        look("203.0.113.1", 0),
        Ok(Route {
            oif: 4,
            gateway: Some(ip("fe80::1")),
            ..plain
        })
    );
    let error = look("10.1.1.1", 0).unwrap_err();
    assert_eq!(
        (error.errno, error.text.as_deref()),
        (libc::EINVAL, Some("blackhole route"))
    );
    assert_eq!(look("2001:db8::1", 0).unwrap_err().errno, libc::ENETUNREACH);
    assert!(fake.requests().iter().all(|request| !request.dump));
    assert_eq!(fake.requests().len(), 7);
}

#[test]
fn of_several_next_hops_the_kernel_chooses() {
    let fake = FakeKernel::new();
    let mut route = FakeRoute::new(prefix("2001:db8::/32"), 2, Some(ip("fe80::2")));
    route.hops.push((3, Some(ip("fe80::3"))));
    fake.put_route(route);
    let route = lookup_route(&*fake, ip("2001:db8::1"), None, 0).unwrap();
    assert_eq!((route.oif, route.gateway), (2, Some(ip("fe80::2"))));
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn a_route_request_is_what_the_crate_would_send() {
    let fake = FakeKernel::new();
    for (dst, src, mark) in [
        ("192.0.2.9", Some("192.0.2.1"), 0x2a),
        ("2001:db8::9", None, 0),
    ] {
        fake.clear_requests();
        let _ = lookup_route(&*fake, ip(dst), src.map(ip), mark);
        let requests = fake.requests();
        let RouteNetlinkMessage::GetRoute(message) = decode_request(&requests[0]) else {
            panic!("no RTM_GETROUTE");
        };
        let address = |ip| match ip {
            IpAddr::V4(v4) => RouteAddress::Inet(v4),
            IpAddr::V6(v6) => RouteAddress::Inet6(v6),
        };
        let mut expected = RouteMessage::default();
        expected.header = RouteHeader {
            address_family: if ip(dst).is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            },
            destination_prefix_length: if ip(dst).is_ipv4() { 32 } else { 128 },
            source_prefix_length: if src.is_some() { 32 } else { 0 },
            protocol: RouteProtocol::Unspec,
            kind: RouteType::Unspec,
            flags: RouteFlags::FibMatch,
            ..Default::default()
        };
        expected
            .attributes
            .push(RouteAttribute::Destination(address(ip(dst))));
        if let Some(src) = src {
            expected
                .attributes
                .push(RouteAttribute::Source(address(ip(src))));
        }
        if mark != 0 {
            expected.attributes.push(RouteAttribute::Mark(mark));
        }
        assert_eq!(message, expected);
        assert_eq!(requests[0].payload, emit(&expected));
    }
}

#[test]
fn route_replies_are_read_as_the_crate_writes_them() {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.kind = RouteType::Unicast;
    message.header.table = 254;
    message.attributes = vec![
        RouteAttribute::Table(1000),
        RouteAttribute::Oif(5),
        RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap())),
        RouteAttribute::PrefSource(RouteAddress::Inet("192.0.2.1".parse().unwrap())),
    ];
    let decode = |message: &RouteMessage| {
        route::decode(
            &Reply::new(libc::RTM_NEWROUTE, &emit(message)),
            ip("192.0.2.9"),
        )
    };
    assert_eq!(
        decode(&message),
        Ok(Some(Route {
            oif: 5,
            gateway: Some(ip("fe80::1")),
            prefsrc: Some(ip("192.0.2.1")),
            table: 1000,
            local: false,
        }))
    );
    for (kind, errno) in [
        (RouteType::BlackHole, libc::EINVAL),
        (RouteType::Prohibit, libc::EACCES),
        (RouteType::Unreachable, libc::EHOSTUNREACH),
        (RouteType::Broadcast, libc::EHOSTUNREACH),
    ] {
        message.header.kind = kind;
        assert_eq!(decode(&message).unwrap_err().errno, errno);
    }
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

#[test]
fn a_known_neighbour_costs_one_question() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let hop = ip("192.0.2.254");
    fake.put_neighbour(4, hop, MAC);
    let wait = Duration::from_secs(5);
    assert_eq!(resolve_neighbour(&*fake, 4, hop, wait), Ok(Some(MAC)));
    let requests = fake.requests();
    assert_eq!(requests.len(), 1);
    let RouteNetlinkMessage::GetNeighbour(message) = decode_request(&requests[0]) else {
        panic!("no RTM_GETNEIGH");
    };
    let mut expected = NeighbourMessage::default();
    expected.header.family = AddressFamily::Inet;
    expected.header.ifindex = 4;
    expected.attributes = vec![NeighbourAttribute::Destination(NeighbourAddress::Inet(
        "192.0.2.254".parse().unwrap(),
    ))];
    assert_eq!(message, expected);
    assert!(!requests[0].dump);
}

#[test]
fn an_unknown_neighbour_is_made_to_answer() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let hop = ip("2001:db8::254");
    fake.put_answering(4, hop, MAC, 3);
    let wait = Duration::from_secs(5);
    let started = Instant::now();
    assert_eq!(resolve_neighbour(&*fake, 4, hop, wait), Ok(Some(MAC)));
    assert!(started.elapsed() < wait);
    let names = fake.request_names();
    assert_eq!(names[..2], ["RTM_GETNEIGH", "RTM_NEWNEIGH"]);
    assert_eq!(names.len(), 6, "{names:?}");
    let probe = &fake.requests()[1];
    let RouteNetlinkMessage::NewNeighbour(message) = decode_request(probe) else {
        panic!("no RTM_NEWNEIGH");
    };
    assert_eq!(message.header.flags, NeighbourFlags::Use);
    assert_eq!(message.header.state, NeighbourState::None);
    assert_eq!(
        i32::from(probe.flags),
        libc::NLM_F_CREATE | libc::NLM_F_REPLACE
    );
}

#[test]
fn waiting_for_a_neighbour_ends() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let wait = Duration::from_millis(30);
    let started = Instant::now();
    assert_eq!(
        resolve_neighbour(&*fake, 4, ip("192.0.2.77"), wait),
        Ok(None)
    );
    assert!(started.elapsed() >= wait);
    // Pauses grow: the kernel is not asked without end.
    assert!(fake.requests().len() < 12, "{}", fake.requests().len());
    let error: KernelError = resolve_neighbour(&*fake, 99, ip("192.0.2.77"), wait).unwrap_err();
    assert_eq!((error.request, error.errno), ("RTM_NEWNEIGH", libc::ENODEV));
}

#[test]
fn neighbour_states_are_told_apart() {
    let entry = |state, address: Option<Vec<u8>>| {
        let mut message = NeighbourMessage::default();
        message.header.state = state;
        message.attributes = address
            .map(NeighbourAttribute::LinkLayerAddress)
            .into_iter()
            .collect();
        neighbour::decode(&Reply::new(libc::RTM_NEWNEIGH, &emit(&message)))
    };
    let mac = Some(MAC.to_vec());
    for state in [
        NeighbourState::Reachable,
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
        NeighbourState::Permanent,
        NeighbourState::Noarp,
    ] {
        assert_eq!(entry(state, mac.clone()), Entry::Valid(Some(MAC)));
    }
    for state in [
        NeighbourState::None,
        NeighbourState::Incomplete,
        NeighbourState::Failed,
    ] {
        assert_eq!(entry(state, mac.clone()), Entry::Unresolved);
    }
    assert_eq!(entry(NeighbourState::Noarp, None), Entry::Valid(None));
    // InfiniBand has 20 bytes.
    assert_eq!(
        entry(NeighbourState::Reachable, Some(vec![1; 20])),
        Entry::Valid(None)
    );
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
