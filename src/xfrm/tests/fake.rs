// SPDX-License-Identifier: GPL-2.0-or-later
//! The modelled kernel behaves like the kernel where others rely on it.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::consts::{
    XFRM_MSG_ALLOCSPI, XFRM_MSG_NEWSA, XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING,
};
use super::super::fake::{FakeKernel, FakeLink, Knobs};
use super::super::transport::Received;
use super::super::{Event, PolicyKey, PolicyMessage, decode_event};
use super::policy::{key, message, tunnel};
use super::*;
use crate::model::{Direction, TrafficSelector};

fn pair() -> (Arc<FakeKernel>, Kernel) {
    let fake = FakeKernel::new();
    for (ifindex, esp_offload, packet_offload) in
        [(4, true, true), (5, true, false), (6, false, false)]
    {
        fake.put_link(FakeLink {
            ifindex,
            name: format!("nic{ifindex}"),
            up: true,
            esp_offload,
            packet_offload,
            ..FakeLink::default()
        });
    }
    (fake.clone(), Kernel::new(fake))
}

fn errno<T: std::fmt::Debug>(result: Result<T, KernelError>) -> i32 {
    result.unwrap_err().errno
}

fn text<T: std::fmt::Debug>(result: Result<T, KernelError>) -> Option<String> {
    let error = result.unwrap_err();
    assert_eq!(error.errno, libc::EINVAL);
    error.text
}

#[test]
fn sas_exist_once() {
    let (fake, kernel) = pair();
    let sample = sample(true);
    let (id, src) = (sample.id.key(), sample.id.src.ip);
    assert_eq!(errno(kernel.get_sa(&id, src)), libc::ESRCH);
    assert_eq!(errno(kernel.del_sa(&id, src)), libc::ESRCH);
    assert_eq!(errno(kernel.new_sa(&sample.message(), true)), libc::ESRCH);
    kernel.new_sa(&sample.message(), false).unwrap();
    assert_eq!(errno(kernel.new_sa(&sample.message(), false)), libc::EEXIST);
    assert_eq!(kernel.get_sa(&id, src).unwrap(), fake.sas()[0]);
    kernel.del_sa(&id, src).unwrap();
    assert!(fake.sas().is_empty());
}

#[test]
fn an_allocated_spi_is_filled_by_an_update_only() {
    let (fake, kernel) = pair();
    let mut sample = sample(true);
    let (src, dst) = (sample.id.src.ip, sample.id.dst.ip);
    let spi = |min, max| kernel.alloc_spi(src, dst, Proto::Esp, min, max);
    assert_eq!(spi(256, 256), Ok(256));
    assert_eq!(errno(spi(256, 256)), libc::ENOENT);
    assert_eq!(errno(spi(257, 256)), libc::EINVAL);
    let (a, b) = (spi(300, 400).unwrap(), spi(300, 400).unwrap());
    assert_ne!(a, b);
    assert!((300..=400).contains(&a) && (300..=400).contains(&b));
    assert_eq!(
        errno(kernel.alloc_spi(src, dst, Proto::Comp, 1, 0x10000)),
        libc::EINVAL
    );
    sample.id.spi = Spi(256);
    assert!(kernel.get_sa(&sample.id.key(), src).unwrap().larval);
    assert_eq!(errno(kernel.new_sa(&sample.message(), false)), libc::EEXIST);
    // Its direction is inbound.
    sample.spec.inbound = false;
    assert_eq!(errno(kernel.new_sa(&sample.message(), true)), libc::ESRCH);
    sample.spec.inbound = true;
    kernel.new_sa(&sample.message(), true).unwrap();
    let state = kernel.get_sa(&sample.id.key(), src).unwrap();
    assert!(!state.larval);
    assert_eq!(fake.sas().len(), 3);
}

#[test]
fn marks_are_compared_under_the_mask_of_the_sa() {
    let (_, kernel) = pair();
    let mut sample = sample(true);
    sample.id.mark = Mark {
        value: 0x10,
        mask: 0xf0,
    };
    kernel.new_sa(&sample.message(), false).unwrap();
    let mut key = sample.id.key();
    let src = sample.id.src.ip;
    key.mark = Mark {
        value: 0x1f,
        mask: 0xff,
    };
    kernel.get_sa(&key, src).unwrap();
    key.mark = Mark::default();
    assert_eq!(errno(kernel.get_sa(&key, src)), libc::ESRCH);
}

#[test]
fn flushing_goes_by_protocol_and_nothing_is_fine() {
    let (fake, kernel) = pair();
    kernel.flush_sas(Proto::Esp).unwrap();
    kernel.new_sa(&sample(true).message(), false).unwrap();
    kernel.flush_sas(Proto::Ah).unwrap();
    assert_eq!(fake.sas().len(), 1);
    kernel.flush_sas(Proto::Esp).unwrap();
    assert!(fake.sas().is_empty());
}

#[test]
fn packet_mode_never_falls_back_and_crypto_does() {
    let (_, kernel) = pair();
    let add = |placement, inbound| {
        let mut sample = sample(inbound);
        sample.placement = placement;
        let key = sample.id.key();
        let result = kernel.new_sa(&sample.message(), false);
        let state = result
            .and_then(|()| kernel.get_sa(&key, sample.id.src.ip))
            .map(|state| state.placement);
        let _ = kernel.del_sa(&key, sample.id.src.ip);
        state
    };
    assert_eq!(add(Placement::Packet(4), true), Ok(Placement::Packet(4)));
    assert_eq!(add(Placement::Packet(4), false), Ok(Placement::Packet(4)));
    assert_eq!(text(add(Placement::Packet(5), true)), None);
    assert_eq!(text(add(Placement::Packet(99), false)), None);
    assert_eq!(add(Placement::Crypto(5), true), Ok(Placement::Crypto(5)));
    assert_eq!(add(Placement::Crypto(6), true), Ok(Placement::Software));
}

#[test]
fn the_kernels_own_rules_hold() {
    let (_, kernel) = pair();
    let mut packet = sample(true);
    packet.placement = Placement::Packet(4);
    packet.id.if_id = 1;
    assert_eq!(
        text(kernel.new_sa(&packet.message(), false)).as_deref(),
        Some("XFRM if_id is not supported in RX path")
    );
    packet.id.if_id = 0;
    packet.spec.tfc = 1000;
    assert_eq!(
        text(kernel.new_sa(&packet.message(), false)).as_deref(),
        Some("TFC padding can't be offloaded")
    );
    // ESN without a window is for outbound SAs only.
    let mut esn = sample(true);
    esn.replay = Replay::Esn {
        window: 0,
        esn: true,
    };
    assert_eq!(
        text(kernel.new_sa(&esn.message(), false)).as_deref(),
        Some("ESN replay window must be > 0")
    );
    let mut none = sample(true);
    none.transforms = Transforms::Separate {
        crypt: None,
        auth: None,
    };
    assert_eq!(text(kernel.new_sa(&none.message(), false)), None);
}

/// With every setting that charon can make, no SA breaks the kernel's rules for directions.
#[test]
fn no_combination_of_settings_is_refused() {
    let (_, kernel) = pair();
    for bits in 0..64u32 {
        for copy_dscp in [
            DscpCopy::OutOnly,
            DscpCopy::InOnly,
            DscpCopy::Yes,
            DscpCopy::No,
        ] {
            for replay in [
                Replay::None,
                Replay::Legacy(32),
                Replay::Esn {
                    window: 256,
                    esn: false,
                },
                Replay::Esn {
                    window: 32,
                    esn: true,
                },
            ] {
                let mut sample = sample(bits & 1 != 0);
                sample.spec.copy_ecn = bits & 2 != 0;
                sample.spec.copy_df = bits & 4 != 0;
                sample.spec.forward_icmp = bits & 8 != 0;
                sample.spec.encap = bits & 16 != 0;
                if bits & 32 != 0 {
                    sample.placement = Placement::Packet(4);
                }
                sample.spec.copy_dscp = copy_dscp;
                sample.replay = replay;
                kernel.new_sa(&sample.message(), false).unwrap();
                kernel.del_sa(&sample.id.key(), sample.id.src.ip).unwrap();
            }
        }
    }
}

#[test]
fn policies_are_replaced_before_the_old_one_goes() {
    let (fake, kernel) = pair();
    let key = key(Direction::Out);
    assert_eq!(errno(kernel.get_policy(&key)), libc::ENOENT);
    assert_eq!(errno(kernel.del_policy(&key)), libc::ENOENT);
    let first = [tunnel(1)];
    kernel.new_policy(&message(&key, &first), false).unwrap();
    assert_eq!(
        errno(kernel.new_policy(&message(&key, &first), false)),
        libc::EEXIST
    );
    assert_eq!(fake.policy_peak(), 1);
    let second = [tunnel(2)];
    kernel.new_policy(&message(&key, &second), true).unwrap();
    assert_eq!(fake.policy_peak(), 2);
    assert_eq!(kernel.get_policy(&key).unwrap().reqid, Some(2));
    let mut seen = Vec::new();
    kernel
        .dump_policies(&mut |state| seen.push(state.key))
        .unwrap();
    assert_eq!(seen, std::slice::from_ref(&key));
    kernel.del_policy(&key).unwrap();
    kernel.new_policy(&message(&key, &second), true).unwrap();
    kernel.flush_policies().unwrap();
    kernel.flush_policies().unwrap();
    assert!(fake.policies().is_empty());
}

#[test]
fn policies_differ_by_every_part_of_the_key() {
    let (fake, kernel) = pair();
    let base = key(Direction::Out);
    let mut keys = vec![base.clone(), key(Direction::In)];
    keys.push(PolicyKey {
        if_id: 1,
        ..base.clone()
    });
    keys.push(PolicyKey {
        label: Some(b"x".to_vec()),
        ..base.clone()
    });
    keys.push(PolicyKey {
        mark: Mark { value: 1, mask: 1 },
        ..base.clone()
    });
    for key in &keys {
        kernel.new_policy(&message(key, &[]), false).unwrap();
    }
    assert_eq!(fake.policies().len(), keys.len());
    for key in &keys {
        assert_eq!(kernel.get_policy(key).unwrap().key, *key);
    }
}

#[test]
fn policy_offload_is_refused_as_by_the_kernel() {
    let (_, kernel) = pair();
    let add = |ifindex, dir| {
        let key = key(dir);
        let result = kernel.new_policy(
            &PolicyMessage {
                offload: Some(ifindex),
                ..message(&key, &[])
            },
            false,
        );
        let offload = result
            .and_then(|()| kernel.get_policy(&key))
            .map(|p| p.offload);
        let _ = kernel.del_policy(&key);
        offload
    };
    assert_eq!(add(4, Direction::Out), Ok(Some(4)));
    assert_eq!(text(add(99, Direction::Out)), None);
    assert_eq!(
        text(add(5, Direction::In)).as_deref(),
        Some("Policy offload is not supported")
    );
    let error = add(4, Direction::Fwd).unwrap_err();
    assert_eq!(error.plain_text(), Some("Cannot offload forward policy"));
}

#[test]
fn a_kernel_without_offload_ignores_what_is_asked() {
    let (fake, kernel) = pair();
    fake.set_knobs(Knobs {
        xfrm_offload: false,
        ..Knobs::default()
    });
    let mut sample = sample(true);
    sample.placement = Placement::Packet(99);
    kernel.new_sa(&sample.message(), false).unwrap();
    assert_eq!(fake.sas()[0].placement, Placement::Software);
    let key = key(Direction::Out);
    let offloaded = PolicyMessage {
        offload: Some(99),
        ..message(&key, &[])
    };
    kernel.new_policy(&offloaded, false).unwrap();
    assert_eq!(fake.policies()[0].offload, None);
}

#[test]
fn a_device_that_goes_down_takes_its_offload_along_without_a_word() {
    let (fake, kernel) = pair();
    let events = fake
        .subscribe(Protocol::Xfrm, &[XFRMNLGRP_EXPIRE, XFRMNLGRP_ACQUIRE])
        .unwrap();
    let mut offloaded = sample(true);
    offloaded.placement = Placement::Packet(4);
    kernel.new_sa(&offloaded.message(), false).unwrap();
    let software = sample(false);
    let mut software_id = software.id;
    software_id.spi = Spi(1);
    let software = Sample {
        id: software_id,
        ..software
    };
    kernel.new_sa(&software.message(), false).unwrap();
    let (out, inward) = (key(Direction::Out), key(Direction::In));
    let with = |key, offload| PolicyMessage {
        offload,
        ..message(key, &[])
    };
    kernel.new_policy(&with(&out, Some(4)), false).unwrap();
    kernel.new_policy(&with(&inward, None), false).unwrap();
    assert!(fake.set_link_up(5, false));
    assert_eq!((fake.sas().len(), fake.policies().len()), (2, 2));
    assert!(fake.set_link_up(4, false));
    assert_eq!(fake.sas()[0].id.spi, Spi(1));
    assert_eq!((fake.sas().len(), fake.policies().len()), (1, 1));
    assert!(events.read().unwrap().is_none());
}

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd, valid for the call, no waiting.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

fn next(events: &dyn EventSocket) -> Option<Event> {
    match events.read().unwrap()? {
        Received::Message(reply) => decode_event(&reply),
        Received::Overrun => panic!("overrun"),
    }
}

#[test]
fn events_are_what_the_kernel_would_send() {
    let (fake, kernel) = pair();
    let events = fake
        .subscribe(
            Protocol::Xfrm,
            &[XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING],
        )
        .unwrap();
    let deaf = fake
        .subscribe(Protocol::Xfrm, &[XFRMNLGRP_ACQUIRE])
        .unwrap();
    let mut sample = sample(true);
    sample.spec.encap = true;
    sample.id.src.port = 4500;
    sample.id.dst.port = 4500;
    sample.id.mark = Mark { value: 1, mask: 3 };
    kernel.new_sa(&sample.message(), false).unwrap();
    let sa = sample.id.key();
    assert!(!readable(events.fd()));
    let new = Addr {
        ip: ip("203.0.113.1"),
        port: 1025,
    };
    assert!(fake.mapping(&sa, new));
    assert!(fake.expire(&sa, false));
    assert!(fake.expire(&sa, true));
    assert!(fake.sas().is_empty());
    assert!(!fake.expire(&sa, true));
    assert!(readable(events.fd()));
    assert!(!readable(deaf.fd()));
    assert_eq!(
        next(&*events),
        Some(Event::Mapping {
            key: crate::model::SaKey {
                mark: Mark::default(),
                ..sa
            },
            new,
            old_port: 4500,
        })
    );
    for hard in [false, true] {
        assert_eq!(next(&*events), Some(Event::Expire { key: sa, hard }));
    }
    assert!(!readable(events.fd()));

    let key = key(Direction::Out);
    let templates = [tunnel(17)];
    kernel
        .new_policy(&message(&key, &templates), false)
        .unwrap();
    let host = |ip: &str, port| TrafficSelector {
        from: ip.parse().unwrap(),
        to: ip.parse().unwrap(),
        proto: 17,
        from_port: port,
        to_port: port,
    };
    let (src, dst) = (host("10.1.0.1", 53), host("10.2.0.1", 1234));
    assert!(fake.acquire(&key, (&src, &dst), 5, Some(2)));
    assert_eq!(
        next(&*deaf),
        Some(Event::Acquire(crate::host::Acquire {
            reqid: 17,
            cpu: Some(2),
            seq: 5,
            src,
            dst,
            label: None,
        }))
    );
    fake.overrun(Protocol::Route);
    let _ = events.read().unwrap();
    assert!(events.read().unwrap().is_none());
    fake.overrun(Protocol::Xfrm);
    assert!(matches!(events.read().unwrap(), Some(Received::Overrun)));
}

#[test]
fn faults_hit_one_request() {
    let (fake, kernel) = pair();
    let sample = sample(true);
    fake.refuse_next(XFRM_MSG_NEWSA, libc::EBUSY, Some("busy"));
    assert_eq!(
        kernel
            .new_sa(&sample.message(), false)
            .unwrap_err()
            .to_string(),
        "busy (Device or resource busy (os error 16), XFRM_MSG_NEWSA)"
    );
    fake.lose_next_answer(XFRM_MSG_NEWSA);
    assert_eq!(
        errno(kernel.new_sa(&sample.message(), false)),
        libc::ENOBUFS
    );
    // Executed all the same.
    assert_eq!(fake.sas().len(), 1);
    assert_eq!(errno(kernel.new_sa(&sample.message(), false)), libc::EEXIST);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    fake.set_rule(Some(Arc::new(move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        if request.kind == XFRM_MSG_ALLOCSPI {
            return Err(KernelError::new(request.name, libc::EPERM));
        }
        Ok(())
    })));
    let src = ip("192.0.2.1");
    assert_eq!(
        errno(kernel.alloc_spi(src, src, Proto::Esp, 1, 9)),
        libc::EPERM
    );
    kernel.flush_policies().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    fake.set_rule(None);
    kernel.alloc_spi(src, src, Proto::Esp, 1, 9).unwrap();
    fake.wipe();
    assert!(fake.sas().is_empty());
}
