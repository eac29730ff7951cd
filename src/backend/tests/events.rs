// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel reports reaches charon, also what was lost on the way.

use super::*;

#[test]
fn expiries_reach_charon() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let key = child.sa_id(false).key();
    assert!(gateway.kernel.expire(&key, false));
    gateway.host.pump();
    assert!(gateway.kernel.expire(&key, true));
    gateway.host.pump();
    assert_eq!(
        gateway.host.take_expires(),
        [(Spi(0x1000), false), (Spi(0x1000), true)]
    );
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn an_expiry_that_was_lost_is_found() {
    let gateway = Gateway::new();
    let (child, other) = (
        Child::number(PACKET_PEER, Offload::Packet, 3),
        Child::number(PLAIN_PEER, Offload::No, 4),
    );
    gateway.add_child(&child).unwrap();
    gateway.add_child(&other).unwrap();
    gateway.kernel.remove_sa(&child.sa_id(false).key());
    gateway.host.pump();
    assert!(gateway.host.take_expires().is_empty(), "nobody said so");
    gateway.kernel.overrun(crate::xfrm::Protocol::Xfrm);
    gateway.host.pump();
    gateway.advance(Duration::ZERO);
    assert_eq!(
        gateway.host.take_expires(),
        [(Spi(0x3000), false)],
        "a rekeying mends it, whatever happened to it"
    );
}

#[test]
fn a_lost_link_event_is_found() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.remove_link(P0);
    gateway.kernel.overrun(crate::xfrm::Protocol::Route);
    gateway.host.pump();
    let other = Child::number(PACKET_PEER, Offload::Packet, 3);
    assert!(gateway.add_child(&other).is_err(), "the device is gone");
    gateway.delete_child(&other);
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_new_mapping_reaches_charon() {
    let gateway = Gateway::new();
    let mut child = Child::new(PLAIN_PEER, Offload::No);
    child.update = false;
    let mut id = child.sa_id(true);
    id.src.port = 4500;
    id.dst.port = 4500;
    let spec = SaSpec {
        encap: true,
        ..child.sa(true)
    };
    gateway.backend.add_sa(&id, &spec).unwrap();
    let moved = Addr {
        port: 1234,
        ..id.src
    };
    assert!(gateway.kernel.mapping(&id.key(), moved));
    gateway.host.pump();
    assert_eq!(*gateway.host.mappings.lock().unwrap(), [moved]);
}

#[test]
fn what_expired_is_charons_to_close_and_not_missed() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.truth_interval", 10)]);
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let key = child.sa_id(false).key();
    assert!(gateway.kernel.expire(&key, true));
    gateway.kernel.remove_sa(&key);
    gateway.host.pump();
    let second = Duration::from_secs(1);
    for _ in 0..60 {
        gateway.advance(second);
    }
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), true)]);
    // One that charon did not close for long is taken up.
    for _ in 0..200 {
        gateway.advance(second);
    }
    assert!(!gateway.host.take_expires().is_empty());
    gateway.delete_child(&child);
    gateway.assert_empty();
}
