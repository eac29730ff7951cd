// SPDX-License-Identifier: GPL-2.0-or-later
//! Many threads, one slow device, injected faults: nobody waits for a stranger, nothing is left.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::xfrm::consts::XFRM_MSG_NEWSA;

#[test]
fn sixteen_threads_and_faults_leave_nothing() {
    let gateway = Gateway::new();
    let calls = AtomicU32::new(0);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        // Every seventh addition is refused.
        let adds = request.name.contains("NEW") || request.name.contains("UPD");
        if adds && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(7) {
            return Err(KernelError::new("", libc::ENOSPC));
        }
        Ok(())
    })));
    thread::scope(|scope| {
        for number in 0..16_u8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for round in 0..40_u32 {
                    // Pairs of threads share selectors and reqid, as a rekey and a trap do.
                    let offload = if round % 2 == 0 {
                        Offload::Packet
                    } else {
                        Offload::Auto
                    };
                    let child = Child {
                        spi: (u32::from(number) + 1) << 16 | round << 4,
                        ..Child::number(PACKET_PEER, offload, 10 + number / 2)
                    };
                    let _ = gateway.add_child(&child);
                    let _ = gateway.backend.query_sa(&child.sa_id(true), 0);
                    gateway.delete_child(&child);
                }
            });
        }
    });
    gateway.kernel.set_rule(None);
    gateway.assert_empty();
}

/// A unit is lowered (which re-creates its SAs one by one) while another thread deletes one of them:
/// the deleted SA must not come back.
#[test]
fn an_sa_that_is_deleted_while_its_unit_is_lowered_stays_deleted() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Auto);
    let (enter, entered) = mpsc::channel();
    let enter = Mutex::new(enter);
    let seen = AtomicU32::new(0);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.kind != XFRM_MSG_NEWSA {
            return Ok(());
        }
        match seen.fetch_add(1, Ordering::Relaxed) {
            // The outbound SA is refused, so that the inbound one has to move.
            1 => Err(KernelError::new("", libc::ENOSPC)),
            // It is taken out and about to be added again: the other thread has its chance.
            2 => {
                let _ = enter.lock().unwrap().send(());
                thread::sleep(Duration::from_millis(100));
                Ok(())
            }
            _ => Ok(()),
        }
    })));
    thread::scope(|scope| {
        let (gateway, child) = (&gateway, &child);
        let other = scope.spawn(move || {
            entered.recv().expect("the inbound SA is moved");
            let _ = gateway.backend.del_sa(&child.sa_id(true), 0);
        });
        gateway
            .backend
            .add_sa(&child.sa_id(true), &child.sa(true))
            .unwrap();
        let _ = gateway
            .backend
            .add_sa(&child.sa_id(false), &child.sa(false));
        other.join().unwrap();
    });
    gateway.kernel.set_rule(None);
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_device_that_is_slow_delays_its_caller_only() {
    let gateway = Gateway::new();
    let (enter, entered) = mpsc::channel();
    let release = Arc::new(AtomicBool::new(false));
    let rule = release.clone();
    let enter = Mutex::new(enter);
    gateway.kernel.set_rule(Some(Arc::new(move |request| {
        if request.kind == XFRM_MSG_NEWSA && !rule.load(Ordering::Acquire) {
            let _ = enter.lock().unwrap().send(());
            while !rule.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    })));
    thread::scope(|scope| {
        let slow = Child::number(PACKET_PEER, Offload::Packet, 3);
        let thread = scope.spawn({
            let gateway = &gateway;
            let slow = slow.clone();
            move || gateway.add_child(&slow)
        });
        entered.recv().expect("the device is asked");
        // Policies, queries and deletes of others go on while it thinks.
        let trap = Child {
            class: PriorityClass::Routed,
            ..Child::number(PACKET_PEER, Offload::Packet, 4)
        };
        gateway.add_policies(&trap).unwrap();
        let _ = gateway.backend.query_sa(&trap.sa_id(true), 0);
        gateway.delete_child(&trap);
        assert!(!thread.is_finished());
        release.store(true, Ordering::Release);
        thread.join().unwrap().unwrap();
        gateway.delete_child(&slow);
    });
    gateway.assert_empty();
}
