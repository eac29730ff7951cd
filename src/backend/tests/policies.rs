// SPDX-License-Identifier: GPL-2.0-or-later
//! Policies: templates, users, routes, shunts, the exemption of IKE.

use std::os::fd::AsRawFd;

use super::*;
use crate::xfrm::PolicyState;

fn policy(gateway: &Gateway, dir: Direction) -> PolicyState {
    let policies = gateway.kernel.policies();
    let mut found = policies
        .into_iter()
        .filter(|policy| policy.key.dir == dir && policy.templates > 0);
    let first = found.next().expect("there is one");
    assert!(found.next().is_none(), "there is only one");
    first
}

#[test]
fn a_rekey_moves_the_policy_to_the_new_sa_and_the_old_one_goes() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&old).unwrap();
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    // The order of a responder: inbound first, outbound when the old one is deleted.
    gateway
        .backend
        .add_sa(&new.sa_id(true), &new.sa(true))
        .unwrap();
    for dir in [Direction::In, Direction::Fwd] {
        gateway
            .backend
            .add_policy(&new.policy_id(dir), &new.policy(dir))
            .unwrap();
    }
    assert_eq!(policy(&gateway, Direction::Out).spi, Some(Spi(0x1000)));
    gateway.kernel.clear_requests();
    gateway
        .backend
        .add_sa(&new.sa_id(false), &new.sa(false))
        .unwrap();
    let dir = Direction::Out;
    gateway
        .backend
        .add_policy(&new.policy_id(dir), &new.policy(dir))
        .unwrap();
    assert_eq!(policy(&gateway, Direction::Out).spi, Some(Spi(0x2000)));
    assert!(
        gateway
            .kernel
            .request_names()
            .contains(&"XFRM_MSG_UPDPOLICY"),
        "the policy is replaced, never removed: {:?}",
        gateway.kernel.request_names()
    );
    gateway.kernel.clear_requests();
    gateway.delete_child(&old);
    let names = gateway.kernel.request_names();
    assert!(!names.contains(&"XFRM_MSG_DELPOLICY"), "{names:?}");
    gateway.advance(Duration::from_secs(2));
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn a_trap_waits_below_its_child_and_comes_back() {
    let gateway = Gateway::new();
    let trap = Child {
        class: PriorityClass::Routed,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    gateway.add_policies(&trap).unwrap();
    assert_eq!(policy(&gateway, Direction::Out).spi, None);
    assert_eq!(policy(&gateway, Direction::Out).offload, Some(P0));
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    assert_eq!(policy(&gateway, Direction::Out).spi, Some(Spi(0x1000)));
    gateway.delete_child(&child);
    assert_eq!(
        policy(&gateway, Direction::Out).spi,
        None,
        "the trap is back"
    );
    assert_eq!(policy(&gateway, Direction::Out).offload, Some(P0));
    gateway.delete_child(&trap);
    gateway.assert_empty();
}

#[test]
fn a_packet_trap_without_a_known_peer_is_refused_and_auto_waits_in_software() {
    let gateway = Gateway::new();
    let trap = Child {
        class: PriorityClass::Routed,
        ..Child::new("0.0.0.0", Offload::Packet)
    };
    let dir = Direction::Out;
    let text = line(
        gateway
            .backend
            .add_policy(&trap.policy_id(dir), &trap.policy(dir)),
    );
    assert!(text.contains("remote_addrs"), "{text}");
    gateway.delete_child(&trap);
    gateway.assert_empty();
    let auto = Child {
        offload: Offload::Auto,
        ..trap
    };
    gateway.add_policies(&auto).unwrap();
    assert_eq!(policy(&gateway, Direction::Out).offload, None);
    // The CHILD_SA that it triggers has a peer: the trap is no reason to keep it out of the NIC.
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&child).unwrap();
    let (sas, policies) = gateway.placements();
    assert_eq!(
        (sas, policies),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.delete_child(&child);
    assert_eq!(policy(&gateway, Direction::Out).offload, Some(P0));
    gateway.delete_child(&auto);
    gateway.assert_empty();
}

#[test]
fn ike_is_exempt_on_a_nic_while_it_has_policies() {
    let gateway = Gateway::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    // The option itself needs root and XFRM: by port it is the model's business alone.
    gateway.host.set("plugins.kernel-fastswan.port_bypass", 1);
    gateway.backend.reload();
    gateway
        .backend
        .bypass_socket(socket.as_raw_fd(), libc::AF_INET)
        .unwrap();
    let exempt = |offload: Option<u32>| {
        gateway
            .kernel
            .policies()
            .iter()
            .filter(|policy| policy.templates == 0 && policy.offload == offload)
            .count()
    };
    assert_eq!(
        (exempt(None), exempt(Some(P0))),
        (2, 0),
        "in software, by port"
    );
    let (first, second) = (
        Child::number(PACKET_PEER, Offload::Packet, 5),
        Child::number(PACKET_PEER, Offload::Packet, 6),
    );
    gateway.add_child(&first).unwrap();
    assert_eq!(exempt(Some(P0)), 2, "in and out");
    gateway.add_child(&second).unwrap();
    assert_eq!(exempt(Some(P0)), 2, "once per device");
    gateway.delete_child(&first);
    assert_eq!(exempt(Some(P0)), 2, "still in use");
    gateway.delete_child(&second);
    assert_eq!(exempt(Some(P0)), 0);
    gateway.backend.shutdown();
    gateway.assert_empty();
}

#[test]
fn a_nic_that_refuses_the_exemption_gets_no_policy() {
    let gateway = Gateway::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    gateway.host.set("plugins.kernel-fastswan.port_bypass", 1);
    gateway.backend.reload();
    gateway
        .backend
        .bypass_socket(socket.as_raw_fd(), libc::AF_INET)
        .unwrap();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.kernel.refuse_next(
        crate::xfrm::consts::XFRM_MSG_NEWPOLICY,
        libc::ENOSPC,
        Some("policy table is full"),
    );
    let text = line(gateway.add_child(&child));
    assert!(text.contains("policy table is full"), "{text}");
    gateway.delete_child(&child);
    gateway.backend.shutdown();
    gateway.assert_empty();
}

#[test]
fn routes_follow_the_policy() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let routes = gateway.host.routes.lock().unwrap().clone();
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0].net.to_string(), "10.2.0.0/16");
    assert_eq!(routes[0].interface, "p0");
    assert_eq!(routes[0].src, Some("10.1.0.1".parse().unwrap()));
    assert_eq!(
        routes[0].gateway,
        Some(PACKET_PEER.parse().unwrap()),
        "local packets must not look for the neighbours behind the peer"
    );
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn no_routes_without_install_routes_or_in_transport_mode() {
    let gateway = Gateway::with_settings(&[("install_routes", 0)]);
    gateway
        .add_child(&Child::new(PACKET_PEER, Offload::Packet))
        .unwrap();
    assert!(gateway.host.routes.lock().unwrap().is_empty());
    let gateway = Gateway::new();
    let transport = Child {
        mode: Mode::Transport,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    gateway.add_child(&transport).unwrap();
    assert!(gateway.host.routes.lock().unwrap().is_empty());
    assert!(gateway.kernel.sas().iter().all(|sa| sa.selector.is_some()));
}

fn shunt(child: &Child, kind: PolicyKind) -> PolicySpec {
    let any = Addr::new("0.0.0.0".parse().unwrap());
    PolicySpec {
        kind,
        class: PriorityClass::Pass,
        src: Some(any),
        dst: Some(any),
        sa: SaReference {
            mode: Some(Mode::Transport),
            reqid: 0,
            policy_count: 1,
            esp: None,
            ah: None,
            ipcomp: 0,
            cpi: 0,
        },
        ..child.policy(Direction::Out)
    }
}

#[test]
fn shunts_go_to_the_nic_behind_their_route_or_stay_in_software() {
    for kind in [PolicyKind::Pass, PolicyKind::Drop] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Packet);
        let spec = shunt(&child, kind);
        let id = child.policy_id(Direction::Out);
        // Nobody knows where 10.2.0.0/16 is.
        gateway.backend.add_policy(&id, &spec).unwrap();
        assert_eq!(gateway.kernel.policies()[0].offload, None);
        gateway.backend.del_policy(&id, &spec).unwrap();
        gateway.assert_empty();
        let net = Prefix::new("10.2.0.0".parse().unwrap(), 16);
        let via = Some(PACKET_PEER.parse().unwrap());
        gateway.kernel.put_route(FakeRoute::new(net, P0, via));
        gateway.backend.add_policy(&id, &spec).unwrap();
        assert_eq!(gateway.kernel.policies()[0].offload, Some(P0));
        gateway.backend.del_policy(&id, &spec).unwrap();
        gateway.assert_empty();
        // The device says no: software, and no failure.
        gateway.kernel.refuse_next(
            crate::xfrm::consts::XFRM_MSG_NEWPOLICY,
            libc::EINVAL,
            Some("other: Cannot offload it"),
        );
        gateway.backend.add_policy(&id, &spec).unwrap();
        assert_eq!(gateway.kernel.policies()[0].offload, None);
        gateway.backend.del_policy(&id, &spec).unwrap();
        gateway.assert_empty();
    }
}

#[test]
fn offloaded_shunts_are_installed_after_what_they_overlap() {
    let gateway = Gateway::new();
    let net = Prefix::new("10.2.0.0".parse().unwrap(), 16);
    let via = Some(PACKET_PEER.parse().unwrap());
    gateway.kernel.put_route(FakeRoute::new(net, P0, via));
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let spec = shunt(&child, PolicyKind::Pass);
    let mut id = child.policy_id(Direction::Out);
    id.dst_ts.to = "10.2.0.255".parse().unwrap();
    gateway.backend.add_policy(&id, &spec).unwrap();
    gateway.kernel.clear_requests();
    gateway.add_child(&child).unwrap();
    let names = gateway.kernel.request_names();
    let last = names.iter().rev().find(|name| name.contains("POLICY"));
    assert_eq!(
        last,
        Some(&"XFRM_MSG_UPDPOLICY"),
        "the exception must come to the front again: {names:?}"
    );
    // One that does not overlap stays where it is.
    gateway.kernel.clear_requests();
    let other = Child::number(PACKET_PEER, Offload::Packet, 7);
    gateway.add_child(&other).unwrap();
    assert!(
        !gateway
            .kernel
            .request_names()
            .contains(&"XFRM_MSG_UPDPOLICY")
    );
    gateway.backend.del_policy(&id, &spec).unwrap();
    gateway.delete_child(&child);
    gateway.delete_child(&other);
    gateway.assert_empty();
    assert!(gateway.backend.core.shunts.lock().unwrap().is_empty());
}

#[test]
fn a_drop_of_last_resort_stays_in_software() {
    let gateway = Gateway::new();
    let net = Prefix::new("10.2.0.0".parse().unwrap(), 16);
    gateway.kernel.put_route(FakeRoute::new(net, P0, None));
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let spec = PolicySpec {
        class: PriorityClass::Fallback,
        ..shunt(&child, PolicyKind::Drop)
    };
    let id = child.policy_id(Direction::Out);
    gateway.backend.add_policy(&id, &spec).unwrap();
    assert_eq!(gateway.kernel.policies()[0].offload, None);
    gateway.backend.del_policy(&id, &spec).unwrap();
    gateway.assert_empty();
}

#[test]
fn an_unknown_interface_is_refused_and_one_that_vanished_is_no_obstacle() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    let spec = child.policy(Direction::Out);
    let mut id = child.policy_id(Direction::Out);
    id.interface = Some("nowhere0".into());
    let text = line(gateway.backend.add_policy(&id, &spec));
    assert!(text.contains("nowhere0"), "{text}");
    gateway.assert_empty();
    id.interface = Some("e0".into());
    gateway.backend.add_policy(&id, &spec).unwrap();
    assert_eq!(gateway.kernel.policies()[0].key.selector.ifindex, E0);
    gateway.kernel.remove_link(E0);
    gateway.host.pump();
    gateway.backend.del_policy(&id, &spec).unwrap();
    gateway.assert_empty();
}

#[test]
fn a_policy_that_is_there_already_is_taken_over() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_policies(&child).unwrap();
    // A new daemon over the same kernel, as after a crash.
    let host = Arc::new(FakeHost::default());
    let next = Backend::with_transport(host, "6.0.1", gateway.kernel.clone()).unwrap();
    let dir = Direction::Out;
    next.add_policy(&child.policy_id(dir), &child.policy(dir))
        .unwrap();
    assert_eq!(gateway.kernel.policies().len(), 3);
}

#[test]
fn marks_that_differ_in_the_mask_are_two_policies() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    let spec = child.policy(Direction::Out);
    let mut ids = Vec::new();
    for mask in [0xf0, 0xff] {
        let mut id = child.policy_id(Direction::Out);
        id.mark = Mark { value: 0x10, mask };
        gateway.backend.add_policy(&id, &spec).unwrap();
        ids.push(id);
    }
    assert_eq!(gateway.kernel.policies().len(), 2);
    for id in &ids {
        gateway.backend.del_policy(id, &spec).unwrap();
    }
    gateway.assert_empty();
}

#[test]
fn query_tells_the_use_on_charons_clock() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_policies(&child).unwrap();
    let id = child.policy_id(Direction::Out);
    assert_eq!(gateway.backend.query_policy(&id).unwrap(), 0);
    let key = policy(&gateway, Direction::Out).key;
    gateway
        .kernel
        .set_policy_use(&key, crate::xfrm::unix_now() as u64);
    let used = gateway.backend.query_policy(&id).unwrap();
    assert!((crate::xfrm::monotonic_now() - used).abs() <= 1);
    let other = Child::number(PLAIN_PEER, Offload::No, 9).policy_id(Direction::Out);
    assert!(matches!(
        gateway.backend.query_policy(&other),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn a_policy_of_an_interface_that_was_made_anew_is_removed() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    let mut id = child.policy_id(Direction::Out);
    id.interface = Some("e0".into());
    gateway
        .backend
        .add_policy(&id, &child.policy(Direction::Out))
        .unwrap();
    gateway.kernel.remove_link(4);
    gateway.kernel.put_link(FakeLink {
        ifindex: 9,
        name: "e0".into(),
        up: true,
        ..FakeLink::default()
    });
    gateway.host.pump();
    let result = gateway
        .backend
        .del_policy(&id, &child.policy(Direction::Out));
    assert!(result.is_ok(), "{result:?}");
    gateway.assert_empty();
}

#[test]
fn readback_failure_leaves_no_policy() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway
        .kernel
        .refuse_next(crate::xfrm::consts::XFRM_MSG_GETPOLICY, libc::ENOBUFS, None);
    let dir = Direction::In;
    assert!(
        gateway
            .backend
            .add_policy(&child.policy_id(dir), &child.policy(dir))
            .is_err()
    );
    let _ = gateway
        .backend
        .del_policy(&child.policy_id(dir), &child.policy(dir));
    gateway.assert_empty();
}

#[test]
fn a_drop_that_takes_over_and_is_refused_by_the_nic_is_in_software() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    // What charon does when the address changes: a drop of the same class, then the policy goes.
    let id = child.policy_id(Direction::Out);
    let drop = PolicySpec {
        kind: PolicyKind::Drop,
        ..child.policy(Direction::Out)
    };
    gateway.kernel.refuse_next(
        crate::xfrm::consts::XFRM_MSG_UPDPOLICY,
        libc::ENOSPC,
        Some("other: policy table is full"),
    );
    gateway.backend.add_policy(&id, &drop).unwrap();
    gateway
        .backend
        .del_policy(&id, &child.policy(Direction::Out))
        .unwrap();
    let policies = gateway.kernel.policies();
    let out = policies
        .iter()
        .find(|policy| policy.key.dir == Direction::Out)
        .unwrap();
    assert_eq!(
        (out.action, out.offload),
        (crate::xfrm::Action::Block, None)
    );
    gateway.backend.del_policy(&id, &drop).unwrap();
    gateway.delete_child(&child);
    gateway.assert_empty();
}
