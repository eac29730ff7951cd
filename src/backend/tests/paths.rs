// SPDX-License-Identifier: GPL-2.0-or-later
//! The way to a peer that moves, and next hops that change.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::links::{nic9, rekeyed, trap};
use super::*;
use crate::error::KernelError;

const SECOND: Duration = Duration::from_secs(1);
/// A peer behind a gateway on p0, without an entry in the neighbour table.
pub(super) const FAR_PEER: &str = "198.18.0.2";
pub(super) const GATEWAY: &str = "192.0.2.254";
/// A gateway that does not answer.
const SILENT: &str = "192.0.2.77";
pub(super) const OLD: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
pub(super) const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x11];

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Gateway {
    /// One whose far peer is behind a gateway.
    fn routed(settings: &[(&str, i64)], text: &[(&str, &str)]) -> Self {
        let gateway = Self::with_texts(settings, text);
        gateway.route_far_peer(GATEWAY);
        gateway.kernel.put_neighbour(P0, ip(GATEWAY), OLD);
        gateway.host.pump();
        gateway
    }

    pub(super) fn route_far_peer(&self, hop: &str) {
        let net = Prefix::new(ip("198.18.0.0"), 24);
        self.kernel
            .put_route(FakeRoute::new(net, P0, Some(ip(hop))));
    }

    fn lookups(&self) -> usize {
        let names = self.kernel.request_names();
        let lookups = names
            .iter()
            .filter(|name| matches!(**name, "RTM_GETROUTE" | "RTM_GETNEIGH"));
        lookups.count()
    }

    fn round(&self) {
        self.host.pump();
        self.advance(SECOND);
    }
}

#[test]
fn a_child_to_a_known_peer_costs_no_lookup() {
    let gateway = Gateway::new();
    let child = |number| Child::number(PACKET_PEER, Offload::Packet, number);
    gateway.add_child(&child(3)).unwrap();
    gateway.kernel.clear_requests();
    gateway.add_child(&child(4)).unwrap();
    assert_eq!(gateway.lookups(), 0, "{:?}", gateway.kernel.request_names());
    gateway.add_child(&child(9)).unwrap();
    assert_eq!(gateway.lookups(), 0);
}

#[test]
fn routes_to_others_cost_nothing_however_many_flap() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.round();
    gateway.kernel.clear_requests();
    for number in 0..60 {
        let net = Prefix::new(ip(&format!("100.{number}.0.0")), 16);
        gateway.kernel.put_route(FakeRoute::new(net, E0, None));
    }
    gateway.round();
    assert_eq!(gateway.lookups(), 0);
}

#[test]
fn a_storm_costs_one_look_at_each_peer_per_round() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.round();
    gateway.kernel.clear_requests();
    let watch = gateway.backend.path_watch.clone();
    for _ in 0..150 {
        let net = Prefix::new(ip("192.0.2.0"), 24);
        gateway.kernel.put_route(FakeRoute::new(net, P0, None));
    }
    assert!(!watch.readable(), "it is not watched for a round");
    gateway.host.watched.lock().unwrap().remove(&watch.fd());
    gateway.advance(SECOND);
    gateway.advance(SECOND);
    assert!(
        gateway
            .host
            .watched
            .lock()
            .unwrap()
            .contains_key(&watch.fd())
    );
    assert_eq!(gateway.lookups(), 1, "{:?}", gateway.kernel.request_names());
    // One that does not end: what is queued is bounded by the real socket's buffer.
    for _ in 0..1000 {
        let net = Prefix::new(ip("192.0.2.0"), 24);
        gateway.kernel.put_route(FakeRoute::new(net, P0, None));
    }
    gateway.kernel.clear_requests();
    assert!(!watch.readable());
    for _ in 0..20 {
        gateway.advance(SECOND / 10);
    }
    // One for the route and, after an overrun, one for the next hop.
    let lookups = gateway.lookups();
    assert!((1..=6).contains(&lookups), "{lookups}");
    assert!(gateway.host.take_expires().is_empty(), "nothing moved");
}

#[test]
fn a_child_is_rekeyed_onto_the_nic_that_its_peer_is_behind() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.route_to_other_nic(nic9("p1"));
    gateway.advance(SECOND);
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2]),
        "nothing is deleted before its successor works"
    );
    let new = rekeyed(&child);
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&child);
    gateway.advance(2 * SECOND);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(9); 2], vec![Some(9); 2])
    );
    gateway.advance(600 * SECOND);
    assert!(gateway.host.take_expires().is_empty());
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn a_trap_moves_at_once() {
    let gateway = Gateway::new();
    gateway.add_policies(&trap()).unwrap();
    gateway.route_to_other_nic(nic9("p1"));
    gateway.advance(SECOND);
    assert_eq!(gateway.placements().1, [Some(9); 2]);
}

#[test]
fn a_route_to_a_device_that_cannot_take_it_is_no_reason_to_lose_a_child() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let host = Prefix::new(ip(PACKET_PEER), 32);
    gateway.kernel.put_route(FakeRoute::new(host, E0, None));
    gateway.round();
    gateway.advance(60 * SECOND);
    assert!(
        gateway.host.take_expires().is_empty(),
        "a rekeying would fail and charon lose it"
    );
    gateway.kernel.clear_routes();
    let net = Prefix::new(ip("192.0.2.0"), 24);
    gateway.kernel.put_route(FakeRoute::new(net, P0, None));
    gateway.round();
    gateway.advance(600 * SECOND);
    assert!(gateway.host.take_expires().is_empty(), "the way came back");
}

#[test]
fn auto_follows_to_a_device_without_offload() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&child).unwrap();
    let host = Prefix::new(ip(PACKET_PEER), 32);
    gateway.kernel.put_route(FakeRoute::new(host, E0, None));
    gateway.round();
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
    let new = rekeyed(&child);
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&child);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Software; 2], vec![None; 2])
    );
}

#[test]
fn events_that_were_lost_make_every_way_suspect() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.put_link(nic9("p1"));
    gateway.host.pump();
    gateway.advance(SECOND);
    gateway.kernel.put_neighbour(9, ip(PACKET_PEER), OLD);
    // The events themselves never arrive.
    gateway.kernel.clear_routes();
    let net = Prefix::new(ip("192.0.2.0"), 24);
    gateway.kernel.put_route(FakeRoute::new(net, 9, None));
    gateway.kernel.drop_events();
    gateway.advance(SECOND);
    assert!(gateway.host.take_expires().is_empty());
    gateway.kernel.overrun(crate::xfrm::Protocol::Route);
    gateway.round();
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
}

#[test]
fn a_gateway_with_another_address_is_told_to_the_nic_by_a_neighbour_entry() {
    let gateway = Gateway::routed(&[], &[]);
    let child = Child::new(FAR_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
    gateway.host.pump();
    let entry = || gateway.kernel.neighbour(P0, ip(FAR_PEER));
    assert_eq!(entry(), Some((NEW, libc::NUD_PERMANENT)));
    gateway.kernel.put_neighbour(P0, ip(GATEWAY), OLD);
    gateway.host.pump();
    assert_eq!(
        entry(),
        Some((OLD, libc::NUD_PERMANENT)),
        "ours is rewritten"
    );
    gateway.advance(SECOND);
    assert!(gateway.host.take_expires().is_empty(), "no rekeying");
    gateway.delete_child(&child);
    for _ in 0..40 {
        gateway.advance(SECOND);
    }
    assert_eq!(entry(), None, "it goes with the last SA of the peer");
    gateway.assert_empty();
}

#[test]
fn a_peer_that_comes_onto_the_link_answers_for_itself() {
    let gateway = Gateway::routed(&[], &[]);
    gateway
        .add_child(&Child::new(FAR_PEER, Offload::Packet))
        .unwrap();
    gateway.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
    gateway.host.pump();
    let host = Prefix::new(ip(FAR_PEER), 32);
    gateway.kernel.put_route(FakeRoute::new(host, P0, None));
    gateway.round();
    assert_eq!(gateway.kernel.neighbour(P0, ip(FAR_PEER)), None);
}

#[test]
fn another_gateway_on_the_same_device_is_followed() {
    let gateway = Gateway::routed(&[], &[]);
    gateway
        .add_child(&Child::new(FAR_PEER, Offload::Packet))
        .unwrap();
    gateway.kernel.put_neighbour(P0, ip("192.0.2.253"), NEW);
    let host = Prefix::new(ip(FAR_PEER), 32);
    gateway
        .kernel
        .put_route(FakeRoute::new(host, P0, Some(ip("192.0.2.253"))));
    gateway.round();
    assert_eq!(
        gateway.kernel.neighbour(P0, ip(FAR_PEER)),
        Some((NEW, libc::NUD_PERMANENT))
    );
}

#[test]
fn a_gateway_that_answers_late_is_told_to_the_nic() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.neighbour_timeout", 0)]);
    gateway.route_far_peer(GATEWAY);
    gateway.host.pump();
    gateway
        .add_child(&Child::new(FAR_PEER, Offload::Packet))
        .unwrap();
    gateway.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
    gateway.host.pump();
    assert_eq!(
        gateway.kernel.neighbour(P0, ip(FAR_PEER)),
        Some((NEW, libc::NUD_PERMANENT))
    );
}

#[test]
fn entries_of_ours_go_at_the_end_and_foreign_ones_stay() {
    let gateway = Gateway::routed(&[], &[]);
    gateway
        .add_child(&Child::new(FAR_PEER, Offload::Packet))
        .unwrap();
    let foreign = ip("198.18.0.9");
    gateway.kernel.put_neighbour(P0, foreign, OLD);
    gateway.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
    gateway.host.pump();
    assert!(gateway.kernel.neighbour(P0, ip(FAR_PEER)).is_some());
    gateway.backend.shutdown();
    assert_eq!(gateway.kernel.neighbour(P0, ip(FAR_PEER)), None);
    assert!(gateway.kernel.neighbour(P0, foreign).is_some());
}

#[test]
fn a_foreign_entry_for_the_peer_is_not_touched_and_its_children_are_rekeyed() {
    for settings in [
        &[][..],
        &[("plugins.kernel-fastswan.next_hop_change", "rekey")],
    ] {
        let gateway = Gateway::routed(&[], settings);
        if settings.is_empty() {
            gateway.kernel.put_neighbour(P0, ip(FAR_PEER), OLD);
        }
        gateway
            .add_child(&Child::new(FAR_PEER, Offload::Packet))
            .unwrap();
        gateway.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
        gateway.round();
        assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
        let entry = gateway.kernel.neighbour(P0, ip(FAR_PEER));
        assert_eq!(entry.is_some(), settings.is_empty());
        assert!(entry.is_none_or(|(address, _)| address == OLD));
    }
}

#[test]
fn a_peer_on_the_link_is_the_drivers_business() {
    let gateway = Gateway::new();
    gateway
        .add_child(&Child::new(PACKET_PEER, Offload::Packet))
        .unwrap();
    gateway.kernel.clear_requests();
    gateway.kernel.put_neighbour(P0, ip(PACKET_PEER), NEW);
    gateway.round();
    assert!(gateway.host.take_expires().is_empty());
    let (address, state) = gateway.kernel.neighbour(P0, ip(PACKET_PEER)).unwrap();
    assert_eq!((address, state), (NEW, libc::NUD_REACHABLE));
}

#[test]
fn next_hops_in_use_are_kept_alive_and_no_others() {
    let settings = [("plugins.kernel-fastswan.truth_interval", 0)];
    // The gate's time would go by on another clock.
    let gateway = Gateway::routed(&settings, &[("plugins.kernel-fastswan.guard_hold", "0")]);
    let far = Child::new(FAR_PEER, Offload::Packet);
    let soft = Child::number(PLAIN_PEER, Offload::No, 4);
    gateway.add_child(&far).unwrap();
    gateway.add_child(&soft).unwrap();
    let used = |seconds: u32| {
        gateway.kernel.clear_requests();
        for _ in 0..seconds {
            gateway.advance(SECOND);
        }
        let names = gateway.kernel.request_names();
        names.iter().filter(|name| **name == "RTM_NEWNEIGH").count()
    };
    let count = used(60);
    assert!((3..=4).contains(&count), "each 15 s: {count}");
    gateway.delete_child(&far);
    gateway.delete_child(&soft);
    used(100);
    assert_eq!(gateway.backend.core.paths.len(), 0, "forgotten");
    assert_eq!(used(1000), 0);
    assert_eq!(gateway.timer.armed(), None, "it sleeps");
}

#[test]
fn a_permanent_neighbour_stays_permanent() {
    let gateway = Gateway::routed(&[], &[]);
    let transport = gateway.kernel.clone();
    crate::nic::write_neighbour(transport.as_ref(), P0, ip(GATEWAY), OLD).unwrap();
    gateway
        .add_child(&Child::new(FAR_PEER, Offload::Packet))
        .unwrap();
    for _ in 0..60 {
        gateway.advance(SECOND);
    }
    assert_eq!(
        gateway.kernel.neighbour(P0, ip(GATEWAY)),
        Some((OLD, libc::NUD_PERMANENT))
    );
}

#[test]
fn a_next_hop_that_does_not_answer_is_waited_for_once() {
    let settings = [("plugins.kernel-fastswan.neighbour_timeout", 300)];
    let gateway = Gateway::with_settings(&settings);
    gateway.route_far_peer(SILENT);
    // Who waits looks again and again.
    let waits = |number| {
        gateway.kernel.clear_requests();
        gateway
            .add_child(&Child::number(FAR_PEER, Offload::Packet, number))
            .unwrap();
        let names = gateway.kernel.request_names();
        let looks = names.iter().filter(|name| **name == "RTM_GETNEIGH");
        // One before and one behind the question, for each of the two SAs.
        looks.count() > 4
    };
    assert!(waits(10));
    for number in 11..16 {
        assert!(!waits(number), "the {number}th waits again");
    }
    // It may be there again.
    gateway.advance(Duration::from_secs(60));
    assert!(waits(16));
    assert!(!waits(17));
    // Or on a link that was down.
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    gateway.advance(SECOND);
    assert!(waits(18));
}

#[test]
fn an_answer_that_comes_behind_the_look_is_no_change() {
    let settings = [("plugins.kernel-fastswan.neighbour_timeout", 0)];
    let gateway = Gateway::with_settings(&settings);
    gateway.route_far_peer(SILENT);
    gateway.round();
    let (kernel, host) = (gateway.kernel.clone(), gateway.host.clone());
    let looks = AtomicUsize::new(0);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.name == "RTM_GETNEIGH" && looks.fetch_add(1, Ordering::Relaxed) == 1 {
            // The look saw nothing, and the event is here before whoever looked goes on.
            kernel.put_neighbour(P0, ip(SILENT), NEW);
            host.pump();
            return Err(KernelError::new(request.name, libc::ENOENT));
        }
        Ok(())
    })));
    let child = Child::new(FAR_PEER, Offload::Packet);
    let id = child.sa_id(true);
    gateway.backend.add_sa(&id, &child.sa(true)).unwrap();
    gateway.kernel.set_rule(None);
    gateway.kernel.put_neighbour(P0, ip(SILENT), NEW);
    gateway.host.pump();
    assert_eq!(gateway.kernel.neighbour(P0, ip(FAR_PEER)), None);
    gateway.advance(SECOND);
    assert!(gateway.host.take_expires().is_empty(), "no rekeying");
}

#[test]
fn an_address_in_a_vrf_is_routed_there() {
    let gateway = Gateway::new();
    gateway.kernel.put_link(FakeLink {
        ifindex: 50,
        name: "red".into(),
        up: true,
        kind: Some("vrf".into()),
        ..FakeLink::default()
    });
    gateway.kernel.put_link(FakeLink {
        ifindex: P0,
        name: "p0".into(),
        up: true,
        esp_offload: true,
        packet_offload: true,
        master: Some(50),
        ..FakeLink::default()
    });
    gateway.kernel.put_route(FakeRoute {
        vrf: 50,
        ..FakeRoute::new(Prefix::new(ip("198.18.7.0"), 24), P0, None)
    });
    gateway.kernel.put_neighbour(P0, ip("198.18.7.2"), OLD);
    gateway.host.pump();
    gateway
        .add_child(&Child::new("198.18.7.2", Offload::Packet))
        .unwrap();
    assert_eq!(gateway.placements().0, [Placement::Packet(P0); 2]);
}

/// The calls of child_sa.c: update, in 6.0.1 and 6.1.0 alike, when an SA cannot be updated.
#[test]
fn a_child_that_roams_stays_as_it_is_until_it_is_rekeyed() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    // The old address is gone, and with it the route that preferred it.
    gateway.kernel.clear_routes();
    let net = Prefix::new(ip("192.0.2.0"), 24);
    gateway.kernel.put_route(FakeRoute::new(net, P0, None));
    gateway.host.pump();
    let policy = |dir| (child.policy_id(dir), child.policy(dir));
    let (out, spec) = policy(Direction::Out);
    let drop = PolicySpec {
        kind: PolicyKind::Drop,
        ..spec.clone()
    };
    gateway.backend.add_policy(&out, &drop).expect("the DROP");
    for dir in [Direction::Out, Direction::In, Direction::Fwd] {
        let (id, spec) = policy(dir);
        gateway.backend.del_policy(&id, &spec).unwrap();
    }
    let left = gateway.kernel.policies();
    let left: Vec<_> = left
        .iter()
        .filter(|policy| policy.key.selector.proto != 17)
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].action,
        crate::xfrm::Action::Block,
        "no leak meanwhile"
    );
    for inbound in [true, false] {
        let id = child.sa_id(inbound);
        let mut new = Child::local();
        new.ip = ip("192.0.2.77");
        let update = SaUpdate {
            new_src: if inbound { id.src } else { new },
            new_dst: if inbound { new } else { id.dst },
            sa: None,
            old_reqid: None,
            new_reqid: None,
            cpi: 0,
            encap: false,
            new_encap: false,
        };
        let result = gateway.backend.update_sa(&id, &update);
        assert!(matches!(result, Err(Error::NotSupported(_))), "{result:?}");
    }
    assert_eq!(gateway.kernel.sas().len(), 2, "nothing is deleted");
    for dir in [Direction::In, Direction::Fwd, Direction::Out] {
        let (id, spec) = policy(dir);
        gateway.backend.add_policy(&id, &spec).unwrap();
    }
    gateway.backend.del_policy(&out, &drop).unwrap();
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.delete_child(&child);
    gateway.assert_empty();
}
