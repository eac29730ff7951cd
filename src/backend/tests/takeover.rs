// SPDX-License-Identifier: GPL-2.0-or-later
//! A NIC that was full, and the units that waited.

use super::*;
use crate::xfrm::consts::XFRM_MSG_NEWSA;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);

/// Makes the NIC hold `size` SAs in packet mode.
fn limit(gateway: &Gateway, size: usize) -> Arc<AtomicUsize> {
    let size = Arc::new(AtomicUsize::new(size));
    let (max, kernel) = (size.clone(), Arc::downgrade(&gateway.kernel));
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        // struct xfrm_user_offload with the flag PACKET
        let packet = request
            .payload
            .windows(8)
            .any(|bytes| bytes[..4] == P0.to_ne_bytes() && bytes[4] & 4 != 0 && bytes[4] & !7 == 0);
        if request.kind != XFRM_MSG_NEWSA || !packet {
            return Ok(());
        }
        let sas = kernel.upgrade().unwrap().sas();
        let used = sas.iter().filter(|sa| sa.placement.is_packet()).count();
        if used < max.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(KernelError {
            text: Some("other: SA table is full".into()),
            ..KernelError::new("XFRM_MSG_NEWSA", libc::ENOSPC)
        })
    })));
    size
}

fn modes(gateway: &Gateway, child: &Child) -> Vec<bool> {
    let sas = gateway.kernel.sas();
    [true, false]
        .iter()
        .map(|inbound| {
            let key = child.sa_id(*inbound).key();
            let sa = sas.iter().find(|sa| sa.id.key() == key).unwrap();
            sa.placement.is_packet()
        })
        .collect()
}

#[test]
fn units_that_found_no_room_are_taken_over_as_a_whole_when_there_is_some() {
    let gateway = Gateway::new();
    limit(&gateway, 4);
    let children: Vec<Child> = (5..9)
        .map(|number| Child::number(PACKET_PEER, Offload::Auto, number))
        .collect();
    for child in &children {
        gateway.add_child(child).unwrap();
    }
    let in_nic = |child| modes(&gateway, child);
    assert_eq!(in_nic(&children[1]), [true, true]);
    assert_eq!(in_nic(&children[2]), [false, false]);
    assert_eq!(gateway.backend.core.takeover.len(), 2);
    for _ in 0..30 {
        gateway.advance(SECOND);
    }
    assert_eq!(gateway.host.take_expires(), [], "there is no room");
    gateway.delete_child(&children[0]);
    for _ in 0..3 {
        gateway.advance(2 * SECOND);
    }
    // charon rekeys what it is told to.
    let told = gateway.host.take_expires();
    let first = children[2].sa_id(false).spi;
    assert_eq!(told, [(first, false)], "the first in the line, alone");
    let new = Child {
        spi: 0x2222_0000,
        ..children[2].clone()
    };
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&children[2]);
    assert_eq!(in_nic(&new), [true, true]);
    let policies = gateway.kernel.policies();
    let of_new = policies
        .iter()
        .filter(|policy| policy.reqid == Some(new.reqid) && policy.key.dir != Direction::Fwd);
    assert!(of_new.clone().count() == 2 && of_new.clone().all(|policy| policy.offload.is_some()));
    assert_eq!(
        gateway.backend.core.takeover.len(),
        1,
        "the other still waits"
    );
    for child in [&children[1], &children[3], &new] {
        gateway.delete_child(child);
    }
    gateway.kernel.set_rule(None);
    for _ in 0..3 {
        gateway.advance(2 * SECOND);
    }
    assert_eq!(
        gateway.backend.core.takeover.len(),
        0,
        "closed ones wait no more"
    );
    gateway.assert_empty();
}

#[test]
fn a_generation_that_finds_room_for_one_sa_only_stays_whole() {
    let gateway = Gateway::new();
    limit(&gateway, 1);
    let child = Child::number(PACKET_PEER, Offload::Auto, 5);
    gateway.add_child(&child).unwrap();
    assert_eq!(modes(&gateway, &child), [false, false]);
    let packet = Child::number(PACKET_PEER, Offload::Packet, 6);
    let text = line(gateway.add_child(&packet));
    assert!(text.contains("table is full"), "{text}");
    assert!(text.contains("hw_offload = auto"), "{text}");
    gateway.delete_child(&packet);
    assert_eq!(gateway.kernel.sas().len(), 2, "a clean refusal");
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_waiting_unit_can_be_left_where_it_is() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.takeover_interval", 0)]);
    limit(&gateway, 0);
    let child = Child::number(PACKET_PEER, Offload::Auto, 5);
    gateway.add_child(&child).unwrap();
    assert_eq!(gateway.backend.core.takeover.len(), 0);
}
