// SPDX-License-Identifier: GPL-2.0-or-later
//! Routes and neighbours.

use std::time::{Duration, Instant};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
    RouteVia,
};

use super::super::neighbour::{self, Entry};
use super::super::{
    Route, drop_neighbour, lookup_route, neighbour_exists, resolve_neighbour, route,
    write_neighbour,
};
use super::*;
use crate::error::KernelError;

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
            flags: RouteFlags::FibMatch | RouteFlags::LookupTable,
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

#[test]
fn changes_of_ways_are_read() {
    use super::super::watch::{PathChange, decode};
    let read = |kind: u16, payload: &[u8]| decode(&Reply::new(kind, payload));
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.destination_prefix_length = 24;
    route.attributes = vec![RouteAttribute::Destination(RouteAddress::Inet(
        "198.51.100.0".parse().unwrap(),
    ))];
    let net = Some(PathChange::Routes(prefix("198.51.100.0/24")));
    assert_eq!(read(libc::RTM_NEWROUTE, &emit(&route)), net);
    assert_eq!(read(libc::RTM_DELROUTE, &emit(&route)), net);
    route.header.flags = RouteFlags::Cloned;
    assert_eq!(read(libc::RTM_NEWROUTE, &emit(&route)), None, "no route");
    let mut default = RouteMessage::default();
    default.header.address_family = AddressFamily::Inet6;
    assert_eq!(
        read(libc::RTM_NEWROUTE, &emit(&default)),
        Some(PathChange::Routes(prefix("::/0")))
    );
    for kind in [
        libc::RTM_NEWRULE,
        libc::RTM_DELRULE,
        libc::RTM_NEWADDR,
        libc::RTM_DELADDR,
        104,
        105,
    ] {
        assert_eq!(read(kind, &[]), Some(PathChange::Everything));
    }
    assert_eq!(read(libc::RTM_NEWLINK, &[]), None);
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = 4;
    neighbour.header.state = NeighbourState::Stale;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet("192.0.2.254".parse().unwrap())),
        NeighbourAttribute::LinkLayerAddress(MAC.to_vec()),
    ];
    let change = |address| {
        Some(PathChange::Neighbour {
            ifindex: 4,
            ip: ip("192.0.2.254"),
            address,
        })
    };
    let message = emit(&neighbour);
    assert_eq!(read(libc::RTM_NEWNEIGH, &message), change(Some(MAC)));
    assert_eq!(read(libc::RTM_DELNEIGH, &message), change(None));
    neighbour.header.state = NeighbourState::Failed;
    assert_eq!(read(libc::RTM_NEWNEIGH, &emit(&neighbour)), change(None));
}

#[test]
fn an_entry_is_written_and_removed_as_the_crate_would() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let peer = ip("198.51.100.9");
    assert_eq!(neighbour_exists(&*fake, 4, peer), Ok(false));
    fake.clear_requests();
    write_neighbour(&*fake, 4, peer, MAC).unwrap();
    let requests = fake.requests();
    let RouteNetlinkMessage::NewNeighbour(message) = decode_request(&requests[0]) else {
        panic!("no RTM_NEWNEIGH");
    };
    let mut expected = NeighbourMessage::default();
    expected.header.family = AddressFamily::Inet;
    expected.header.ifindex = 4;
    expected.header.state = NeighbourState::Permanent;
    expected.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet("198.51.100.9".parse().unwrap())),
        NeighbourAttribute::LinkLayerAddress(MAC.to_vec()),
    ];
    assert_eq!(message, expected);
    assert_eq!(neighbour_exists(&*fake, 4, peer), Ok(true));
    drop_neighbour(&*fake, 4, peer).unwrap();
    let error = drop_neighbour(&*fake, 4, peer).unwrap_err();
    assert_eq!(error.errno, libc::ENOENT);
}
