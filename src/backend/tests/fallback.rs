// SPDX-License-Identifier: GPL-2.0-or-later
//! `auto`: one mode for the whole unit, whichever of its objects is refused, and when.

use super::*;
use crate::xfrm::consts::{XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA};

/// All of the unit is where `want` says.
fn assert_all(gateway: &Gateway, want: Placement) {
    let (sas, policies) = gateway.placements();
    assert!(sas.iter().all(|placement| *placement == want), "{sas:?}");
    let offload = match want {
        Placement::Packet(ifindex) => Some(ifindex),
        _ => None,
    };
    assert!(
        policies.iter().all(|policy| *policy == offload),
        "{policies:?}"
    );
}

#[test]
fn auto_takes_the_best_the_device_has() {
    for (peer, want) in [
        (PACKET_PEER, Placement::Packet(P0)),
        (PLAIN_PEER, Placement::Software),
    ] {
        let gateway = Gateway::new();
        let child = Child::new(peer, Offload::Auto);
        gateway.add_child(&child).unwrap();
        assert_all(&gateway, want);
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn auto_finds_out_by_asking_that_a_device_does_crypto_only() {
    let gateway = Gateway::new();
    let child = Child::new(CRYPTO_PEER, Offload::Auto);
    gateway.add_child(&child).unwrap();
    assert_all(&gateway, Placement::Crypto(C0));
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn whichever_object_is_refused_the_unit_stays_whole() {
    let refusal = Some("other: Packet offload is not supported");
    // The n-th SA, then the n-th policy of the CHILD_SA (FWD is never offloaded).
    for (kind, nth) in [
        (XFRM_MSG_NEWSA, 1),
        (XFRM_MSG_NEWSA, 2),
        (XFRM_MSG_NEWPOLICY, 1),
        (XFRM_MSG_NEWPOLICY, 3),
    ] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Auto);
        let seen = Mutex::new(0);
        gateway.kernel.set_rule(Some(Arc::new(move |request| {
            let mut seen = seen.lock().unwrap();
            if request.kind == kind {
                *seen += 1;
                if *seen == nth {
                    return Err(KernelError {
                        text: refusal.map(str::to_owned),
                        ..KernelError::new("", libc::EINVAL)
                    });
                }
            }
            Ok(())
        })));
        gateway.add_child(&child).unwrap();
        gateway.kernel.set_rule(None);
        assert_all(&gateway, Placement::Crypto(P0));
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn packet_fails_where_auto_goes_lower() {
    for kind in [XFRM_MSG_NEWSA, XFRM_MSG_NEWPOLICY] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Packet);
        gateway
            .kernel
            .refuse_next(kind, libc::ENOSPC, Some("other: table is full"));
        let text = line(gateway.add_child(&child));
        assert!(text.contains("table is full"), "{text}");
        let (sas, policies) = gateway.placements();
        assert!(sas.iter().all(|placement| placement.is_packet()), "{sas:?}");
        assert!(policies.iter().all(Option::is_some), "{policies:?}");
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn a_generation_that_the_nic_refuses_goes_lower_and_the_old_one_stays_until_it_is_closed() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&old).unwrap();
    gateway
        .kernel
        .set_counters(&old.sa_id(false).key(), 100, 1, None);
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    let full = Some("other: SA table is full");
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::ENOSPC, full);
    let placement = |child: &Child, inbound| {
        let key = child.sa_id(inbound).key();
        let sas = gateway.kernel.sas();
        sas.iter().find(|sa| sa.id.key() == key).unwrap().placement
    };
    let offload = |dir| {
        let policies = gateway.kernel.policies();
        let mut tunnels = policies.iter().filter(|policy| policy.templates > 0);
        let policy = tunnels.find(|policy| policy.key.dir == dir).unwrap();
        (policy.offload, policy.spi)
    };
    let add = |inbound| {
        gateway
            .backend
            .add_sa(&new.sa_id(inbound), &new.sa(inbound))
    };
    add(true).unwrap();
    add(false).unwrap();
    for inbound in [true, false] {
        assert_eq!(placement(&old, inbound), Placement::Packet(P0));
        assert_eq!(placement(&new, inbound), Placement::Crypto(P0));
    }
    // The old outbound SA is of use to the policy until the policy changes over.
    assert_eq!(
        offload(Direction::Out),
        (Some(P0), Some(old.sa_id(false).spi))
    );
    gateway.add_policies(&new).unwrap();
    assert_eq!(offload(Direction::Out), (None, Some(new.sa_id(false).spi)));
    // What the NIC still decrypts for local sockets is accepted with an offloaded policy only.
    assert_eq!(offload(Direction::In).0, Some(P0));
    gateway.delete_child(&old);
    assert_all(&gateway, Placement::Crypto(P0));
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn an_sa_that_carried_packets_is_not_moved_and_charon_rekeys_into_the_lower_mode() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway
        .backend
        .add_sa(&child.sa_id(true), &child.sa(true))
        .unwrap();
    gateway
        .kernel
        .set_counters(&child.sa_id(true).key(), 100, 1, None);
    let full = Some("other: SA table is full");
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::ENOSPC, full);
    let text = line(
        gateway
            .backend
            .add_sa(&child.sa_id(false), &child.sa(false)),
    );
    assert!(text.contains("may have carried packets"), "{text}");
    assert_all(&gateway, Placement::Packet(P0));
    assert_eq!(
        gateway.host.take_expires(),
        [(child.sa_id(true).spi, false)]
    );
    let next = Child {
        spi: 0x2000,
        ..child.clone()
    };
    gateway.delete_child(&child);
    gateway.add_child(&next).unwrap();
    gateway.delete_child(&next);
    gateway.assert_empty();
}

#[test]
fn what_offload_is_not_to_blame_for_is_no_reason_to_go_lower() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::EEXIST, None);
    assert!(gateway.add_child(&child).is_err());
    gateway.delete_child(&child);
    gateway.add_child(&child).unwrap();
    assert_all(&gateway, Placement::Packet(P0));
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn packet_does_not_join_a_unit_in_software() {
    let gateway = Gateway::new();
    let auto = Child::new(PLAIN_PEER, Offload::Auto);
    gateway.add_child(&auto).unwrap();
    let packet = Child {
        spi: 0x2000,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    let text = line(gateway.add_child(&packet));
    assert!(
        text.contains("reqid 1 belongs to a unit in software mode"),
        "{text}"
    );
    gateway.delete_child(&packet);
    gateway.delete_child(&auto);
    gateway.assert_empty();
}

#[test]
fn auto_goes_lower_when_its_sas_were_flushed() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&old).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    gateway.add_child(&new).unwrap();
    assert_all(&gateway, Placement::Software);
    gateway.delete_child(&old);
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn auto_does_not_take_packet_along() {
    let gateway = Gateway::new();
    let packet = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&packet).unwrap();
    let auto = Child {
        spi: 0x2000,
        offload: Offload::Auto,
        ..packet.clone()
    };
    gateway.kernel.refuse_next(
        XFRM_MSG_NEWSA,
        libc::ENOSPC,
        Some("other: SA table is full"),
    );
    let _ = gateway.add_child(&auto);
    assert_all(&gateway, Placement::Packet(P0));
}

#[test]
fn a_move_that_fails_leaves_one_mode() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    // The outbound SA is refused, then what the inbound one was to become.
    let seen = Mutex::new(0);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        let mut seen = seen.lock().unwrap();
        if request.kind == XFRM_MSG_NEWSA {
            *seen += 1;
            if *seen == 2 || *seen == 3 {
                return Err(KernelError::new("", libc::EINVAL));
            }
        }
        Ok(())
    })));
    let _ = gateway.add_child(&child);
    gateway.kernel.set_rule(None);
    assert_eq!(gateway.kernel.sas().len(), 2);
    assert_all(&gateway, Placement::Software);
    assert!(gateway.host.take_expires().is_empty(), "nothing is deleted");
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn an_sa_that_cannot_be_moved_to_software_either_is_removed_and_charon_closes_its_child() {
    // The restored SA of the move to software is refused, or it is put back and removed.
    for refused in [&[2, 3, 5, 6][..], &[2, 3, 5]] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Auto);
        let inbound = child.sa_id(true);
        gateway.backend.add_sa(&inbound, &child.sa(true)).unwrap();
        let seen = Mutex::new(1);
        gateway.kernel.set_rule(Some(Arc::new(move |request| {
            let mut seen = seen.lock().unwrap();
            if request.kind == XFRM_MSG_NEWSA {
                *seen += 1;
                if refused.contains(&*seen) {
                    return Err(KernelError::new("", libc::EINVAL));
                }
            }
            Ok(())
        })));
        let result = gateway
            .backend
            .add_sa(&child.sa_id(false), &child.sa(false));
        gateway.kernel.set_rule(None);
        assert!(result.is_err(), "the outbound one has no partner");
        assert!(
            gateway.kernel.sas().is_empty(),
            "{:?}",
            gateway.kernel.sas()
        );
        assert_eq!(gateway.host.take_expires(), [(inbound.spi, true)]);
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn units_without_packet_offload_do_not_join_one_that_has_it_nor_the_other_way_round() {
    for (first, second, fits) in [
        (Offload::Packet, Offload::No, false),
        (Offload::Packet, Offload::Crypto, false),
        (Offload::Auto, Offload::No, false),
        (Offload::No, Offload::Packet, false),
        (Offload::No, Offload::Auto, true),
        (Offload::Crypto, Offload::No, true),
        (Offload::No, Offload::Crypto, true),
    ] {
        let gateway = Gateway::new();
        let one = Child::new(PACKET_PEER, first);
        gateway.add_child(&one).unwrap();
        let other = Child {
            spi: 0x2000,
            ..Child::new(PACKET_PEER, second)
        };
        let result = gateway.add_child(&other);
        assert_eq!(result.is_ok(), fits, "{first} {second}: {result:?}");
        if !fits {
            let text = line(result);
            assert!(text.contains("reqid 1"), "{text}");
            assert!(text.contains("use the same hw_offload"), "{text}");
        }
        let (sas, policies) = gateway.placements();
        let packet = sas.iter().filter(|sa| sa.is_packet()).count();
        assert!(packet == 0 || packet == sas.len(), "{sas:?}");
        assert!(
            policies
                .iter()
                .all(|policy| policy.is_some() == (packet > 0)),
            "{sas:?} {policies:?}"
        );
        gateway.delete_child(&other);
        gateway.delete_child(&one);
        gateway.assert_empty();
    }
}

#[test]
fn crypto_that_the_kernel_put_in_software_is_known_as_software() {
    let gateway = Gateway::new();
    // The feature went away, and the event is not read yet.
    gateway.kernel.put_link(FakeLink {
        ifindex: C0,
        name: "c0".into(),
        up: true,
        ..FakeLink::default()
    });
    let child = Child::new(CRYPTO_PEER, Offload::Crypto);
    gateway.add_child(&child).unwrap();
    for inbound in [true, false] {
        let record = gateway.backend.core.sad.get(&child.sa_id(inbound).key());
        assert_eq!(record.unwrap().placement, Placement::Software);
    }
    assert_all(&gateway, Placement::Software);
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_crypto_trap_needs_neither_peer_nor_device() {
    let gateway = Gateway::new();
    for peer in ["0.0.0.0", PLAIN_PEER] {
        let trap = Child {
            class: PriorityClass::Routed,
            ..Child::new(peer, Offload::Crypto)
        };
        let result = gateway.add_policies(&trap);
        assert!(result.is_ok(), "{peer}: {result:?}");
        gateway.delete_child(&trap);
    }
}

#[test]
fn a_nic_that_frees_late_keeps_no_unit_from_software() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    let (id, spec) = (child.sa_id(true), child.sa(true));
    gateway.backend.add_sa(&id, &spec).unwrap();
    // The one slot there was stays taken, whatever is deleted: nothing more goes to the NIC.
    gateway.kernel.set_rule(Some(Arc::new(|request| {
        let takes = matches!(request.kind, XFRM_MSG_NEWSA | XFRM_MSG_MIGRATE_STATE);
        // struct nlattr of XFRMA_OFFLOAD_DEV: length 12, type 28.
        let header = [12u16.to_ne_bytes(), 28u16.to_ne_bytes()].concat();
        if takes && request.payload.windows(4).any(|bytes| bytes == header) {
            return Err(KernelError {
                text: Some("other: SA table is full".to_owned()),
                ..KernelError::new("", libc::ENOSPC)
            });
        }
        Ok(())
    })));
    let (id, spec) = (child.sa_id(false), child.sa(false));
    gateway.backend.add_sa(&id, &spec).unwrap();
    gateway.kernel.set_rule(None);
    gateway.add_policies(&child).unwrap();
    assert_eq!(gateway.kernel.sas().len(), 2);
    assert_all(&gateway, Placement::Software);
    assert!(gateway.host.take_expires().is_empty());
    gateway.delete_child(&child);
    gateway.assert_empty();
}
