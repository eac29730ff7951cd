// SPDX-License-Identifier: GPL-2.0-or-later
//! What is made of the NIC's counters, and of a NIC that is busy or full.

use super::*;
use crate::model::Limit;
use crate::xfrm::consts::{XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA};

const SECOND: Duration = Duration::from_secs(1);

fn reads(gateway: &Gateway) -> usize {
    let names = gateway.kernel.request_names();
    names
        .iter()
        .filter(|name| **name == "XFRM_MSG_GETSA")
        .count()
}

#[test]
fn the_last_use_is_found_though_charon_asks_seldom() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(true);
    let use_time = || gateway.backend.query_sa(&id, 0).unwrap().use_time;
    gateway.advance(SECOND);
    assert_eq!(use_time(), 0);
    gateway.kernel.set_counters(&id.key(), 1000, 10, None);
    gateway.advance(SECOND);
    let used = gateway.backend.core.seconds();
    for _ in 0..30 {
        gateway.advance(SECOND);
    }
    let usage = gateway.backend.query_sa(&id, 0).unwrap();
    assert_eq!((usage.bytes, usage.packets), (1000, 10));
    assert_eq!(
        usage.use_time, used,
        "when it was seen, not when charon asked"
    );
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn who_asks_for_counters_does_not_wait_for_a_slow_nic() {
    let gateway = Gateway::new();
    let first = Child::number(PACKET_PEER, Offload::Packet, 4);
    gateway.add_child(&first).unwrap();
    let id = first.sa_id(true);
    gateway.kernel.set_counters(&id.key(), 1000, 10, None);
    gateway.advance(SECOND);
    let (backend, timer) = (Arc::clone(&gateway.backend), gateway.timer.clone());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::clone(&asked);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.kind == XFRM_MSG_NEWSA {
            for pause in [10, 2000] {
                timer.advance(Duration::from_millis(pause));
                answers
                    .lock()
                    .unwrap()
                    .push(backend.query_sa(&id, 0).unwrap());
            }
        }
        Ok(())
    })));
    let second = Child::number(PACKET_PEER, Offload::Packet, 5);
    gateway.kernel.clear_requests();
    gateway
        .backend
        .add_sa(&second.sa_id(true), &second.sa(true))
        .unwrap();
    gateway.kernel.set_rule(None);
    let answers = std::mem::take(&mut *asked.lock().unwrap());
    let counters: Vec<_> = answers
        .iter()
        .map(|usage| (usage.bytes, usage.packets))
        .collect();
    assert_eq!(counters, [(1000, 10); 2]);
    assert_ne!(answers[1].use_time, 0);
    // The kernel is asked while the NIC is quick, and again when it has answered.
    assert_eq!(reads(&gateway), 1);
    gateway.backend.query_sa(&id, 0).unwrap();
    assert_eq!(reads(&gateway), 2);
}

#[test]
fn nothing_is_read_while_no_sa_is_in_packet_mode() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.truth_interval", 0)]);
    let software = Child::number(PACKET_PEER, Offload::No, 4);
    gateway.add_child(&software).unwrap();
    let packet = Child::number(PACKET_PEER, Offload::Packet, 5);
    gateway.add_child(&packet).unwrap();
    gateway.kernel.clear_requests();
    gateway.advance(SECOND);
    assert_eq!(reads(&gateway), 2, "the two in packet mode");
    gateway.delete_child(&packet);
    gateway.advance(SECOND);
    gateway.kernel.clear_requests();
    for _ in 0..10 {
        gateway.advance(SECOND);
    }
    assert_eq!(reads(&gateway), 0);
}

#[test]
fn many_sas_are_read_with_one_dump() {
    let gateway = Gateway::new();
    for number in 3..30 {
        let child = Child::number(PACKET_PEER, Offload::Packet, number);
        gateway.add_child(&child).unwrap();
    }
    gateway.kernel.clear_requests();
    gateway.advance(SECOND);
    assert_eq!(reads(&gateway), 1);
    let requests = gateway.kernel.requests();
    assert!(requests.iter().all(|request| request.dump), "{requests:?}");
}

/// An SA whose packets are limited to 5 and 10.
fn limited(gateway: &Gateway, refuse: bool) -> (SaId, Vec<(Spi, bool)>) {
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let id = child.sa_id(false);
    let mut spec = child.sa(false);
    spec.lifetime.packets = Limit { life: 10, rekey: 5 };
    if refuse {
        gateway.kernel.refuse_next(
            XFRM_MSG_NEWSA,
            libc::EINVAL,
            Some("other: Packet limits are not supported"),
        );
    }
    gateway.backend.add_sa(&id, &spec).unwrap();
    let mut told = Vec::new();
    for packets in [4, 5, 9, 10] {
        gateway.kernel.set_counters(&id.key(), 0, packets, None);
        for _ in 0..4 {
            gateway.advance(SECOND);
        }
        told.extend(gateway.host.take_expires());
    }
    (id, told)
}

#[test]
fn limits_that_the_device_refuses_are_kept_by_the_plugin() {
    for refuse in [true, false] {
        let gateway = Gateway::new();
        let (id, told) = limited(&gateway, refuse);
        // Without a refusal the model of the kernel is a device that forgets them.
        assert_eq!(told, [(id.spi, false), (id.spi, true)]);
        assert!(gateway.kernel.sas().is_empty(), "hard is the end");
        let _ = gateway.backend.del_sa(&id, 0);
        gateway.assert_empty();
    }
}

#[test]
fn a_limit_that_the_kernel_reports_is_not_reported_twice() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let id = child.sa_id(false);
    let mut spec = child.sa(false);
    spec.lifetime.bytes = Limit {
        life: 1000,
        rekey: 500,
    };
    gateway.backend.add_sa(&id, &spec).unwrap();
    gateway.kernel.set_counters(&id.key(), 600, 6, None);
    gateway.kernel.expire(&id.key(), false);
    gateway.host.pump();
    for _ in 0..10 {
        gateway.advance(SECOND);
    }
    assert_eq!(gateway.host.take_expires(), [(id.spi, false)]);
}

#[test]
fn a_device_that_is_busy_for_a_moment_is_asked_again() {
    for kind in [XFRM_MSG_NEWSA, XFRM_MSG_NEWPOLICY] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, Offload::Packet);
        gateway.kernel.refuse_next(kind, libc::EBUSY, None);
        gateway.kernel.refuse_next(kind, libc::EBUSY, None);
        gateway.add_child(&child).unwrap();
        assert_eq!(gateway.placements().0, [Placement::Packet(P0); 2]);
    }
}

#[test]
fn a_device_that_stays_busy_gives_an_answer_with_the_cause() {
    let gateway = Gateway::new();
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.kind == XFRM_MSG_NEWSA {
            *count.lock().unwrap() += 1;
            return Err(KernelError::new("XFRM_MSG_NEWSA", libc::EBUSY));
        }
        Ok(())
    })));
    let start = gateway.timer.now();
    for (number, asks) in [(5, 4), (6, 1)] {
        let child = Child::number(PACKET_PEER, Offload::Packet, number);
        *asked.lock().unwrap() = 0;
        let text = line(gateway.add_child(&child));
        assert!(text.contains("tc rules"), "{text}");
        assert_eq!(
            *asked.lock().unwrap(),
            asks,
            "the second does not wait again"
        );
    }
    assert!(gateway.timer.now() - start < SECOND, "bounded");
    // auto is told the same, and goes on.
    let auto = Child::number(PACKET_PEER, Offload::Auto, 7);
    gateway.kernel.set_rule(None);
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::EBUSY, None);
    gateway.add_child(&auto).unwrap();
    assert_eq!(gateway.placements().0, [Placement::Crypto(P0); 2]);
}

#[test]
fn room_that_a_delete_is_about_to_make_is_waited_for() {
    let gateway = Gateway::new();
    let old = Child::number(PACKET_PEER, Offload::Packet, 5);
    gateway.add_child(&old).unwrap();
    gateway.delete_child(&old);
    let full = Some("other: SA table is full");
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::ENOSPC, full);
    let new = Child::number(PACKET_PEER, Offload::Packet, 6);
    gateway.add_child(&new).unwrap();
    // Without a delete there is nothing to wait for.
    gateway.advance(10 * SECOND);
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWSA, libc::ENOSPC, full);
    let third = Child::number(PACKET_PEER, Offload::Packet, 7);
    let text = line(gateway.add_child(&third));
    assert!(text.contains("table is full"), "{text}");
}
