// SPDX-License-Identifier: GPL-2.0-or-later
//! Devices that go down, come back, or disappear.

use super::*;
use crate::sad::SaRecord;

const SECOND: Duration = Duration::from_secs(1);

/// Directions and actions of the tunnel's policies, by the kernel's word.
fn blocked(gateway: &Gateway) -> Vec<bool> {
    let policies = gateway.kernel.policies();
    let ours = policies
        .iter()
        .filter(|policy| policy.key.dir != Direction::Fwd && policy.key.selector.proto != 17);
    ours.map(|policy| policy.action == crate::xfrm::Action::Block && policy.offload.is_none())
        .collect()
}

impl Gateway {
    fn flap(&self, ifindex: u32) {
        for up in [false, true] {
            self.kernel.set_link_up(ifindex, up);
            self.host.pump();
        }
    }

    /// The route to the packet peer leads through another NIC.
    pub(super) fn route_to_other_nic(&self, other: FakeLink) {
        let ifindex = other.ifindex;
        self.kernel.put_link(other);
        self.kernel.clear_routes();
        self.kernel.put_route(FakeRoute::new(
            Prefix::new("192.0.2.0".parse().unwrap(), 24),
            ifindex,
            None,
        ));
        self.kernel
            .put_neighbour(ifindex, PACKET_PEER.parse().unwrap(), [2, 0, 0, 0, 0, 1]);
        self.host.pump();
    }
}

pub(super) fn nic9(name: &str) -> FakeLink {
    FakeLink {
        ifindex: 9,
        name: name.into(),
        up: true,
        esp_offload: true,
        packet_offload: true,
        ..FakeLink::default()
    }
}

pub(super) fn rekeyed(child: &Child) -> Child {
    Child {
        spi: child.spi + 0x1000,
        ..child.clone()
    }
}

pub(super) fn trap() -> Child {
    Child {
        class: PriorityClass::Routed,
        ..Child::new(PACKET_PEER, Offload::Packet)
    }
}

#[test]
fn while_a_device_is_down_its_policies_block_and_after_that_charon_rekeys() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    gateway.advance(60 * SECOND);
    assert!(gateway.kernel.sas().is_empty(), "the kernel flushed them");
    assert_eq!(blocked(&gateway), [true; 2], "nothing leaves in clear");
    assert!(
        gateway.host.take_expires().is_empty(),
        "a rekeying would fail while the link is down"
    );
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    gateway.advance(Duration::ZERO);
    assert_eq!(
        gateway.host.take_expires(),
        [(Spi(0x1000), false)],
        "one rekey per CHILD_SA"
    );
    assert!(
        gateway.kernel.sas().is_empty(),
        "an SA with used keys never comes back"
    );
    assert_eq!(blocked(&gateway), [true; 2], "until there is an SA");
    // What charon does then.
    let new = rekeyed(&child);
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&child);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.advance(600 * SECOND);
    assert!(gateway.host.take_expires().is_empty(), "it is replaced");
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn a_trap_is_back_with_its_device() {
    let gateway = Gateway::new();
    gateway.add_policies(&trap()).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    assert_eq!(blocked(&gateway), [true; 2]);
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    assert_eq!(gateway.placements().1, [Some(P0); 2]);
    for dir in [Direction::Out, Direction::In, Direction::Fwd] {
        let (id, spec) = (trap().policy_id(dir), trap().policy(dir));
        gateway.backend.del_policy(&id, &spec).unwrap();
    }
    gateway.assert_empty();
}

#[test]
fn a_trap_below_a_lost_child_is_there_once_the_child_is_closed() {
    let gateway = Gateway::new();
    gateway.add_policies(&trap()).unwrap();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.flap(P0);
    assert_eq!(blocked(&gateway), [true; 2]);
    gateway.delete_child(&child);
    assert_eq!(gateway.placements().1, [Some(P0); 2], "the trap's");
}

#[test]
fn charon_is_told_again_and_at_last_that_the_sa_expired_hard() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.flap(P0);
    let mut told = Vec::new();
    for _ in 0..600 {
        gateway.advance(SECOND);
        told.extend(gateway.host.take_expires());
    }
    let soft = (Spi(0x1000), false);
    let hard = (Spi(0x1000), true);
    assert_eq!(told[..6], [soft, soft, soft, soft, soft, hard]);
    assert_eq!(told.len(), 8, "not for ever: {told:?}");
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_flap_between_the_two_sas_of_a_set_up_is_found() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let (inbound, outbound) = (child.sa_id(true), child.sa_id(false));
    gateway.backend.add_sa(&inbound, &child.sa(true)).unwrap();
    gateway.flap(P0);
    gateway.backend.add_sa(&outbound, &child.sa(false)).unwrap();
    gateway.add_policies(&child).unwrap();
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1001), false)]);
}

#[test]
fn an_sa_that_was_installed_before_a_flap_and_remembered_after_it_is_found() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let (kernel, host) = (gateway.kernel.clone(), gateway.host.clone());
    let asked = std::sync::atomic::AtomicBool::new(false);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.name == "XFRM_MSG_NEWSA"
            && request.payload.get(72..76) == Some(&0x1000u32.to_be_bytes()[..])
            && !asked.swap(true, std::sync::atomic::Ordering::Relaxed)
        {
            // charon's watcher sees the flap while this SA is in no list yet.
            let (kernel, host) = (kernel.clone(), host.clone());
            std::thread::spawn(move || {
                kernel.set_link_up(P0, false);
                kernel.set_link_up(P0, true);
                host.pump();
            })
            .join()
            .unwrap();
        }
        Ok(())
    })));
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_rule(None);
    gateway.kernel.remove_sa(&child.sa_id(false).key());
    gateway.advance(SECOND);
    let told = gateway.host.take_expires();
    assert!(
        told.contains(&(Spi(0x1000), false)),
        "its thread saw that there was a flap and looked again: {told:?}"
    );
}

#[test]
fn many_are_rekeyed_in_pace() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.rekey_pace", 10)]);
    for number in 3..103 {
        let child = Child::number(PACKET_PEER, Offload::Packet, number);
        gateway.add_child(&child).unwrap();
    }
    gateway.flap(P0);
    gateway.host.take_expires();
    let gateway2 = &gateway;
    let told = |seconds: u32| {
        let mut told = 0;
        for _ in 0..seconds * 10 {
            gateway2.advance(SECOND / 10);
            told += gateway2.host.take_expires().len();
        }
        told
    };
    let first = told(2);
    assert!((20..=36).contains(&first), "{first}");
    let all = first + told(12);
    assert!(all >= 100, "each was told once: {all}");
}

#[test]
fn one_that_lost_its_offload_feature_keeps_what_it_has() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let without = |up| FakeLink {
        ifindex: P0,
        name: "p0".into(),
        up,
        packet_offload: true,
        ..FakeLink::default()
    };
    gateway.kernel.put_link(without(true));
    gateway.host.pump();
    // NETDEV_DOWN flushes only while the feature is on.
    gateway.kernel.put_link(without(false));
    gateway.host.pump();
    gateway.kernel.put_link(without(true));
    gateway.host.pump();
    gateway.advance(10 * SECOND);
    assert!(gateway.host.take_expires().is_empty());
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
}

#[test]
fn a_lost_child_waits_for_a_device_that_can_take_it() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    let p0 = |esp_offload| FakeLink {
        ifindex: P0,
        name: "p0".into(),
        up: true,
        esp_offload,
        packet_offload: esp_offload,
        ..FakeLink::default()
    };
    gateway.kernel.put_link(p0(false));
    gateway.host.pump();
    gateway.advance(600 * SECOND);
    assert!(
        gateway.host.take_expires().is_empty(),
        "charon would lose the CHILD_SA by a rekeying that must fail"
    );
    assert_eq!(blocked(&gateway), [true; 2]);
    gateway.kernel.put_link(p0(true));
    gateway.host.pump();
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
}

#[test]
fn two_flaps_in_a_row_and_one_during_the_rekeying() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.flap(P0);
    gateway.flap(P0);
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1000), false)]);
    let new = rekeyed(&child);
    let (inbound, outbound) = (new.sa_id(true), new.sa_id(false));
    gateway.backend.add_sa(&inbound, &new.sa(true)).unwrap();
    gateway.flap(P0);
    gateway.backend.add_sa(&outbound, &new.sa(false)).unwrap();
    gateway.add_policies(&new).unwrap();
    gateway.delete_child(&child);
    let mut told = Vec::new();
    for _ in 0..10 {
        gateway.advance(SECOND);
        told.extend(gateway.host.take_expires());
    }
    assert!(told.contains(&(Spi(0x2001), false)), "{told:?}");
    let last = rekeyed(&new);
    gateway.add_child(&last).unwrap();
    gateway.delete_child(&new);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    gateway.delete_child(&last);
    gateway.assert_empty();
}

#[test]
fn charon_puts_policies_back_while_the_device_is_down() {
    // As child_sa.c: update does, when the SAs cannot be updated.
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    let (out, spec) = (
        child.policy_id(Direction::Out),
        child.policy(Direction::Out),
    );
    gateway.backend.del_policy(&out, &spec).unwrap();
    gateway.backend.add_policy(&out, &spec).unwrap();
    assert_eq!(blocked(&gateway), [true; 2]);
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn what_others_flush_is_repaired() {
    let gateway = Gateway::new();
    gateway.add_policies(&trap()).unwrap();
    let child = Child::number(PACKET_PEER, Offload::Packet, 3);
    gateway.add_child(&child).unwrap();
    let software = Child::number(PLAIN_PEER, Offload::No, 4);
    gateway.add_child(&software).unwrap();
    let before = gateway.kernel.policies().len();
    gateway.kernel.wipe();
    let (sa, policy) = (crate::xfrm::XFRMNLGRP_SA, crate::xfrm::XFRMNLGRP_POLICY);
    gateway
        .kernel
        .emit(crate::xfrm::Protocol::Xfrm, sa, 0x1c, &[0; 4]);
    gateway
        .kernel
        .emit(crate::xfrm::Protocol::Xfrm, policy, 0x1d, &[]);
    gateway.host.pump();
    gateway.advance(SECOND);
    let mut told = gateway.host.take_expires();
    told.sort();
    assert_eq!(told, [(Spi(0x3000), false), (Spi(0x4000), false)]);
    assert_eq!(gateway.kernel.policies().len(), before, "also IKE's");
    assert!(gateway.kernel.sas().is_empty(), "no key is used twice");
}

#[test]
fn one_sa_or_policy_that_others_delete_is_repaired() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let key = child.sa_id(true).key();
    assert!(gateway.kernel.remove_sa(&key));
    let mut message = crate::xfrm::Request::new("", 0x11, 0);
    message.put_address(key.dst);
    message.put(&key.spi.0.to_be_bytes());
    message.put_u16(libc::AF_INET as u16);
    message.put(&[50, 0]);
    gateway.kernel.emit(
        crate::xfrm::Protocol::Xfrm,
        crate::xfrm::XFRMNLGRP_SA,
        0x11,
        message.payload(),
    );
    gateway.host.pump();
    gateway.advance(SECOND);
    assert_eq!(gateway.host.take_expires(), [(Spi(0x1001), false)]);
}

#[test]
fn what_nobody_reports_is_found_in_time() {
    let gateway = Gateway::make(
        &[("plugins.kernel-fastswan.truth_interval", 60)],
        // The gate's time would go by on another clock.
        &[("plugins.kernel-fastswan.guard_hold", "0")],
        Knobs::default(),
    );
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let before = gateway.kernel.policies().len();
    gateway.kernel.wipe();
    for _ in 0..65 {
        gateway.advance(SECOND);
    }
    let told = gateway.host.take_expires();
    assert!(told.contains(&(Spi(0x1000), false)), "{told:?}");
    assert_eq!(gateway.kernel.policies().len(), before);
    gateway.delete_child(&child);
    for _ in 0..200 {
        gateway.advance(SECOND);
    }
    gateway.kernel.clear_requests();
    gateway.advance(1000 * SECOND);
    assert!(gateway.kernel.requests().is_empty(), "it sleeps");
    assert_eq!(gateway.timer.armed(), None);
}

#[test]
fn the_comparison_costs_the_same_whatever_there_is() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.truth_interval", 60)]);
    for number in 3..103 {
        let child = Child::number(PLAIN_PEER, Offload::No, number);
        gateway.add_child(&child).unwrap();
    }
    let mut most = 0;
    gateway.kernel.clear_requests();
    for _ in 0..60 {
        gateway.advance(SECOND);
        let requests = gateway.kernel.requests();
        assert!(requests.iter().all(|request| !request.dump));
        most = most.max(requests.len());
        gateway.kernel.clear_requests();
    }
    assert!((1..=10).contains(&most), "{most}");
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
    gateway.advance(Duration::ZERO);
    assert_eq!(blocked(&gateway), [true; 2], "policies are back, as blocks");
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
    gateway.route_to_other_nic(nic9("p0"));
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
    gateway.route_to_other_nic(nic9("p1"));
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    gateway.add_child(&new).unwrap();
    gateway.delete_child(&old);
    gateway.advance(2 * SECOND);
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(9); 2], vec![Some(9); 2])
    );
}

/// Whatever the moment of a flap: each CHILD_SA that charon believes in works, or charon was told.
#[test]
fn an_sa_that_charon_is_deleting_is_no_loss() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(false);
    let record = gateway.backend.core.sad.get(&id.key()).unwrap();
    let (kernel, core) = (gateway.kernel.clone(), gateway.backend.core.clone());
    let lost: Arc<Mutex<Option<Vec<SaRecord>>>> = Arc::default();
    let found = lost.clone();
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.name == "XFRM_MSG_DELSA" {
            // The ticker looks for it, in the moment when the kernel has deleted it.
            let (kernel, core, record) = (kernel.clone(), core.clone(), record.clone());
            let gone = std::thread::spawn(move || {
                assert!(kernel.remove_sa(&record.id.key()));
                core.missing(vec![record]).gone
            });
            *found.lock().unwrap() = Some(gone.join().unwrap());
        }
        Ok(())
    })));
    // It is the kernel's answer that there is none any more.
    assert!(matches!(
        gateway.backend.del_sa(&id, 0),
        Err(Error::NotFound(_))
    ));
    gateway.kernel.set_rule(None);
    let lost = lost.lock().unwrap().take();
    assert_eq!(lost.map(|lost| lost.len()), Some(0));
}

#[test]
fn flaps_while_many_threads_work_leave_no_dead_child_unnoticed() {
    let gateway = Gateway::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let installed: Mutex<Vec<Child>> = Mutex::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8u8)
            .map(|worker| {
                let (gateway, installed) = (&gateway, &installed);
                scope.spawn(move || {
                    for round in 0..12u8 {
                        let number = 3 + worker * 12 + round;
                        let child = Child::number(PACKET_PEER, Offload::Packet, number);
                        match gateway.add_child(&child) {
                            Ok(()) if round % 3 != 0 => installed.lock().unwrap().push(child),
                            // What charon does with a CHILD_SA that failed or is closed.
                            _ => gateway.delete_child(&child),
                        }
                    }
                })
            })
            .collect();
        let flapper = scope.spawn(|| {
            while !stop.load(relaxed) {
                gateway.flap(P0);
                std::thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        stop.store(true, relaxed);
        flapper.join().unwrap();
    });
    let mut told = std::collections::HashSet::new();
    for _ in 0..20 {
        gateway.host.pump();
        gateway.advance(SECOND);
        told.extend(
            gateway
                .host
                .take_expires()
                .into_iter()
                .map(|(spi, _)| spi.0),
        );
    }
    let sas: Vec<_> = gateway.kernel.sas().iter().map(|sa| sa.id.spi.0).collect();
    let installed = installed.into_inner().unwrap();
    assert!(!installed.is_empty());
    for child in &installed {
        let (out, inbound) = (child.spi, child.spi + 1);
        let works = sas.contains(&out) && sas.contains(&inbound);
        let noticed = told.contains(&out) || told.contains(&inbound);
        assert!(works || noticed, "{out:x} is dead and nobody knows");
    }
    for child in &installed {
        gateway.delete_child(child);
    }
    gateway.assert_empty();
}

#[test]
fn an_outbound_sa_of_a_rekey_that_is_refused_is_asked_for_again() {
    for offload in [Offload::Packet, Offload::Auto] {
        let gateway = Gateway::new();
        let mut child = Child::new(PACKET_PEER, offload);
        gateway.add_child(&child).unwrap();
        // A NIC that refuses for ever is not asked for ever.
        let mut asked = 0;
        for _ in 0..12 {
            let old = child.clone();
            child = rekeyed(&old);
            let add = |inbound| {
                let (id, spec) = (child.sa_id(inbound), child.sa(inbound));
                gateway.backend.add_sa(&id, &spec)
            };
            add(true).unwrap();
            let kind = crate::xfrm::consts::XFRM_MSG_NEWSA;
            gateway.kernel.refuse_next(kind, libc::EEXIST, None);
            assert!(add(false).is_err());
            // What charon does then.
            gateway.delete_child(&old);
            assert!(
                gateway.host.take_expires().is_empty(),
                "not before its time"
            );
            gateway.advance(64 * SECOND);
            let told = gateway.host.take_expires();
            if !told.is_empty() {
                assert_eq!(told, [(child.sa_id(true).spi, false)]);
                asked += 1;
            }
        }
        assert_eq!(asked, 8);
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn the_first_generation_that_is_refused_is_charons_to_give_up() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let (id, spec) = (child.sa_id(true), child.sa(true));
    gateway.backend.add_sa(&id, &spec).unwrap();
    let kind = crate::xfrm::consts::XFRM_MSG_NEWSA;
    gateway.kernel.refuse_next(kind, libc::EINVAL, None);
    let (id, spec) = (child.sa_id(false), child.sa(false));
    assert!(gateway.backend.add_sa(&id, &spec).is_err());
    gateway.advance(64 * SECOND);
    assert!(gateway.host.take_expires().is_empty());
}

#[test]
fn an_outbound_sa_on_a_device_that_is_not_the_way_any_more_is_rekeyed_at_once() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&old).unwrap();
    let new = rekeyed(&old);
    let (id, spec) = (new.sa_id(true), new.sa(true));
    gateway.backend.add_sa(&id, &spec).unwrap();
    gateway.route_to_other_nic(nic9("p1"));
    gateway.advance(SECOND);
    gateway.advance(SECOND);
    gateway.host.take_expires();
    let (id, spec) = (new.sa_id(false), new.sa(false));
    gateway.backend.add_sa(&id, &spec).unwrap();
    gateway.advance(Duration::from_millis(1));
    assert_eq!(gateway.host.take_expires(), [(new.sa_id(false).spi, false)]);
}

#[test]
fn an_sa_that_we_are_deleting_is_not_missed() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let (core, key) = (&gateway.backend.core, child.sa_id(true).key());
    let record = core.sad.get(&key).unwrap();
    let first = core.recovery.take_in_hand(&key);
    let second = core.recovery.take_in_hand(&key);
    core.kernel.del_sa(&key, record.id.src.ip).unwrap();
    assert!(core.missing(vec![record.clone()]).gone.is_empty());
    drop(first);
    assert!(core.missing(vec![record.clone()]).gone.is_empty());
    // The same by somebody else.
    drop(second);
    assert_eq!(core.missing(vec![record]).gone.len(), 1);
}
