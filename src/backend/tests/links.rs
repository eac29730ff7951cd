// SPDX-License-Identifier: GPL-2.0-or-later
//! Devices that go down, come back, or disappear.

use super::*;

#[test]
fn after_a_flap_policies_are_back_and_charon_rekeys() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    assert!(gateway.kernel.sas().is_empty(), "the kernel flushed them");
    assert!(
        gateway.host.take_expires().is_empty(),
        "not while the link is down"
    );
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    assert_eq!(
        gateway.host.take_expires(),
        [(Spi(0x1000), false)],
        "one rekey per CHILD_SA"
    );
    let (sas, policies) = gateway.placements();
    assert!(sas.is_empty(), "an SA with used keys never comes back");
    assert_eq!(policies, [Some(P0); 2]);
    // What charon does then.
    let new = Child {
        spi: 0x2000,
        ..child.clone()
    };
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&child);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn a_flap_of_another_device_is_nothing_to_a_unit() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    for up in [false, true] {
        gateway.kernel.set_link_up(C0, up);
        gateway.host.pump();
    }
    assert!(gateway.host.take_expires().is_empty());
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn deletes_work_while_the_device_is_down_or_gone() {
    for gone in [false, true] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Packet);
        gateway.add_child(&child).unwrap();
        if gone {
            gateway.kernel.remove_link(P0);
        } else {
            gateway.kernel.set_link_up(P0, false);
        }
        gateway.host.pump();
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn a_device_that_is_down_takes_no_unit() {
    let gateway = Gateway::new();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let text = line(gateway.add_child(&child));
    assert!(
        text.contains("p0") && text.contains("device is down"),
        "{text}"
    );
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_flap_that_was_lost_is_repaired() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.overrun(crate::xfrm::Protocol::Route);
    gateway.kernel.set_link_up(P0, false);
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    assert_eq!(gateway.placements().1, [Some(P0); 2], "policies are back");
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
}

#[test]
fn a_unit_follows_its_device_that_came_back_under_another_index() {
    let gateway = Gateway::new();
    let trap = Child {
        class: PriorityClass::Routed,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    gateway.add_policies(&trap).unwrap();
    gateway.kernel.remove_link(P0);
    gateway.host.pump();
    gateway.kernel.put_link(FakeLink {
        ifindex: 9,
        name: "p0".into(),
        up: true,
        esp_offload: true,
        packet_offload: true,
        ..FakeLink::default()
    });
    gateway.kernel.clear_routes();
    gateway.kernel.put_route(FakeRoute::new(
        Prefix::new("192.0.2.0".parse().unwrap(), 24),
        9,
        None,
    ));
    gateway
        .kernel
        .put_neighbour(9, PACKET_PEER.parse().unwrap(), [2, 0, 0, 0, 0, 1]);
    gateway.host.pump();
    gateway
        .add_child(&Child::new(PACKET_PEER, Offload::Packet))
        .unwrap();
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(9); 2], vec![Some(9); 2])
    );
}

#[test]
fn a_rekey_follows_the_route() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&old).unwrap();
    gateway.kernel.put_link(FakeLink {
        ifindex: 9,
        name: "p1".into(),
        up: true,
        esp_offload: true,
        packet_offload: true,
        ..FakeLink::default()
    });
    gateway.kernel.clear_routes();
    gateway.kernel.put_route(FakeRoute::new(
        Prefix::new("192.0.2.0".parse().unwrap(), 24),
        9,
        None,
    ));
    gateway
        .kernel
        .put_neighbour(9, PACKET_PEER.parse().unwrap(), [2, 0, 0, 0, 0, 1]);
    gateway.host.pump();
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&old);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(9); 2], vec![Some(9); 2])
    );
}
