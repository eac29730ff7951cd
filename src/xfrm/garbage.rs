// SPDX-License-Identifier: GPL-2.0-or-later
//! No bytes make a decoder of `xfrm/` or `nic/` panic: every truncation of valid messages, and
//! hundreds of thousands of mutations of them.
//!
//! Owns the samples for that. The mutations are the same in each run.

use std::cell::Cell;

use super::ack::{read_done, read_error};
use super::consts::{
    XFRM_MSG_ACQUIRE, XFRM_MSG_DELPOLICY, XFRM_MSG_EXPIRE, XFRM_MSG_MAPPING, XFRM_MSG_MIGRATE,
    XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA, XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING,
};
use super::fake::FakeKernel;
use super::request::{Attributes, Messages};
use super::tests::{ip, sample, selector};
use super::transport::{Protocol, Received, Transport};
use super::{
    Action, HashThresholds, Kernel, PolicyKey, PolicyMessage, PolicyState, Reply, Request, SaState,
    Template, decode_event,
};
use crate::model::{Addr, Direction, Mark, Mode, Proto, Spi, TrafficSelector};

/// splitmix64
struct Random(Cell<u64>);

impl Random {
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Feeds one message to every decoder, whatever its type says. Returns how many understood it.
fn feed(kind: u16, payload: &[u8]) -> usize {
    let reply = Reply::new(kind, payload);
    let mut understood = 0;
    understood += usize::from(SaState::decode(&reply).is_some());
    understood += usize::from(PolicyState::decode(&reply).is_some());
    understood += usize::from(decode_event(&reply).is_some());
    let _ = HashThresholds::decode(&reply);
    let request = Request::new("", 0, 0);
    for flags in [0, 0x100, 0x200, 0x300] {
        let _ = read_error(flags, payload, &request);
    }
    let _ = read_done(payload, &request);
    for raw in Messages::new(payload) {
        let _ = Attributes::new(raw.payload).count();
    }
    understood
}

fn full_message() -> (Vec<u8>, PolicyKey) {
    let key = PolicyKey {
        dir: Direction::Out,
        selector: selector("10.1.0.0/16", "10.2.0.0/16"),
        mark: Mark { value: 1, mask: 1 },
        if_id: 3,
        label: Some(b"a:b\0".to_vec()),
    };
    // A migrate, for which the model has no event: selector, index, direction, addresses, entries.
    let mut migrate = Request::new("", XFRM_MSG_MIGRATE, 0);
    migrate.put_address(ip("10.2.0.0"));
    migrate.put_address(ip("10.1.0.0"));
    migrate.put(&[0; 8]);
    migrate.put_u16(libc::AF_INET as u16);
    migrate.put(&[16, 16, 0, 0, 0, 0]);
    migrate.put(&[0; 12]);
    migrate.put(&[1, 0, 0, 0]);
    let mut addresses = [0; 40];
    addresses[36] = libc::AF_INET as u8;
    migrate.attribute(19, &addresses);
    migrate.attribute(17, &[1; 76]);
    (migrate.payload().to_vec(), key)
}

/// One valid message of each type that is decoded.
fn valid() -> Vec<(u16, Vec<u8>)> {
    let fake = FakeKernel::new();
    let kernel = Kernel::new(fake.clone());
    let events = fake
        .subscribe(
            Protocol::Xfrm,
            &[XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING],
        )
        .unwrap();
    let mut sa = sample(true);
    sa.spec.encap = true;
    sa.id.src.port = 4500;
    sa.id.dst.port = 4500;
    sa.id.mark = Mark { value: 1, mask: 1 };
    sa.id.if_id = 3;
    sa.spec.cpu = Some(1);
    sa.spec.label = Some(b"a:b\0".to_vec());
    kernel.new_sa(&sa.message(), false).unwrap();
    let (migrate, key) = full_message();
    let templates = [Template {
        src: ip("192.0.2.1"),
        dst: ip("192.0.2.2"),
        spi: Spi(0),
        proto: Proto::Esp,
        mode: Mode::Tunnel,
        reqid: 7,
        optional: false,
        with_addresses: true,
    }];
    let policy = PolicyMessage {
        key: &key,
        priority: 1,
        action: Action::Allow,
        templates: &templates,
        cpu_acquires: true,
        icmp: true,
        offload: None,
    };
    kernel.new_policy(&policy, false).unwrap();
    let ts = |host: &str| TrafficSelector {
        from: ip(host),
        to: ip(host),
        proto: 6,
        from_port: 80,
        to_port: 80,
    };
    assert!(fake.acquire(&key, (&ts("10.1.0.1"), &ts("10.2.0.1")), 5, Some(1)));
    assert!(fake.expire(&sa.id.key(), false));
    assert!(fake.mapping(
        &sa.id.key(),
        Addr {
            ip: ip("192.0.2.9"),
            port: 9
        }
    ));
    let mut deleted = Request::new("", XFRM_MSG_DELPOLICY, 0);
    deleted.put(&[0; 64]);
    deleted.attribute(7, &fake.requests()[1].payload[..168]);
    let mut messages = vec![
        (XFRM_MSG_MIGRATE, migrate),
        (XFRM_MSG_DELPOLICY, deleted.payload().to_vec()),
    ];
    let requests = fake.requests();
    messages.push((XFRM_MSG_NEWSA, requests[0].payload.clone()));
    messages.push((XFRM_MSG_NEWPOLICY, requests[1].payload.clone()));
    while let Some(Received::Message(reply)) = events.read().unwrap() {
        messages.push((reply.kind(), reply.payload().to_vec()));
    }
    let kinds: Vec<_> = messages.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            XFRM_MSG_MIGRATE,
            XFRM_MSG_DELPOLICY,
            XFRM_MSG_NEWSA,
            XFRM_MSG_NEWPOLICY,
            XFRM_MSG_ACQUIRE,
            XFRM_MSG_EXPIRE,
            XFRM_MSG_MAPPING
        ]
    );
    for (kind, payload) in &messages {
        assert_eq!(feed(*kind, payload), 1, "{kind}");
    }
    messages
}

#[test]
fn truncated_messages_are_harmless() {
    for (kind, payload) in valid() {
        let mut refused = 0;
        for len in 0..payload.len() {
            refused += usize::from(feed(kind, &payload[..len]) == 0);
        }
        // At least everything shorter than the fixed part.
        assert!(refused >= 64, "{kind}: {refused}");
    }
}

#[test]
fn mutated_messages_are_harmless() {
    let random = Random(Cell::new(0x5eed));
    let messages = valid();
    let mut outcome = [0usize; 2];
    for _ in 0..300_000 {
        let (kind, payload) = &messages[random.below(messages.len())];
        let mut payload = payload.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(payload.len());
            match random.below(4) {
                0 => payload[at] = random.next() as u8,
                1 => payload[at] = [0, 1, 0x7f, 0xff][random.below(4)],
                // Lengths and types sit on multiples of four.
                2 => {
                    let at = at & !3;
                    let value = (random.below(300) as u16).to_ne_bytes();
                    for (target, byte) in payload[at..].iter_mut().zip(value) {
                        *target = byte;
                    }
                }
                _ => payload.truncate(at.max(1)),
            }
        }
        outcome[feed(*kind, &payload).min(1)] += 1;
    }
    // Both paths were taken often, so the mutations are neither too mild nor too wild.
    assert!(outcome.iter().all(|count| *count > 10_000), "{outcome:?}");
}

#[test]
fn pure_noise_is_harmless() {
    let random = Random(Cell::new(42));
    for _ in 0..100_000 {
        let payload: Vec<u8> = (0..random.below(400))
            .map(|_| random.next() as u8)
            .collect();
        feed(16 + random.below(32) as u16, &payload);
    }
}

#[test]
fn a_datagram_of_many_messages_is_split() {
    let mut datagram = Vec::new();
    for (index, len) in [(1u32, 5usize), (2, 0), (3, 8)] {
        datagram.extend_from_slice(&(16 + len as u32).to_ne_bytes());
        datagram.extend_from_slice(&7u16.to_ne_bytes());
        datagram.extend_from_slice(&9u16.to_ne_bytes());
        datagram.extend_from_slice(&index.to_ne_bytes());
        datagram.extend_from_slice(&[0; 4]);
        datagram.resize(datagram.len() + len.next_multiple_of(4), 0xaa);
    }
    let seen: Vec<_> = Messages::new(&datagram)
        .map(|raw| (raw.kind, raw.flags, raw.sequence, raw.payload.len()))
        .collect();
    assert_eq!(seen, [(7, 9, 1, 5), (7, 9, 2, 0), (7, 9, 3, 8)]);
    // A length that lies ends the walk.
    datagram[24..28].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(Messages::new(&datagram).count(), 1);
    datagram[..4].copy_from_slice(&3u32.to_ne_bytes());
    assert_eq!(Messages::new(&datagram).count(), 0);
}

#[test]
fn attributes_that_lie_end_the_walk() {
    let mut request = Request::new("", 0, 0);
    request.attribute(1, b"abc");
    request.attribute_u32(2, 5);
    let bytes = request.payload().to_vec();
    let kinds = |bytes: &[u8]| {
        Attributes::new(bytes)
            .map(|(kind, _)| kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&bytes), [1, 2]);
    for (len, seen) in [(0u16, 1), (3, 1), (9, 1), (4, 2), (8, 2)] {
        let mut changed = bytes.clone();
        changed[8..10].copy_from_slice(&len.to_ne_bytes());
        assert_eq!(kinds(&changed)[..seen], [1, 2][..seen], "{len}");
        assert!(len == 4 || kinds(&changed).len() == seen, "{len}");
    }
    // The nested and byte order bits are no part of the number.
    let mut changed = bytes;
    changed[2..4].copy_from_slice(&0xc001u16.to_ne_bytes());
    assert_eq!(kinds(&changed), [1, 2]);
}

#[test]
fn a_request_that_is_longer_than_most_is_whole() {
    let mut request = Request::new("A", 16, 0);
    let mut expected = Vec::new();
    for number in 0..70u8 {
        request.put(&[number; 100]);
        expected.extend([number; 100]);
    }
    assert_eq!(request.check(), Ok(()));
    assert_eq!((request.kind(), request.payload()), (16, &expected[..]));
    request.attribute(5, &[7; 900]);
    assert_eq!(
        Attributes::new(&request.payload()[expected.len()..]).next(),
        Some((5, &[7; 900][..]))
    );
}

#[test]
fn a_request_is_wiped_and_bounded() {
    let mut request = Request::new("A", 16, 0);
    request.put(&[0xee; 100]);
    let at = request.bytes().as_ptr();
    request.reset("B", 17, 0);
    assert_eq!((request.name(), request.kind()), ("B", 17));
    request.put(&[0; 100]);
    // The same buffer, and nothing of what it held.
    assert_eq!(request.bytes().as_ptr(), at);
    assert!(request.payload().iter().all(|byte| *byte == 0));
    assert_eq!(request.check(), Ok(()));
    request.put(&[1; super::request::REQUEST_MAX]);
    assert_eq!(request.check().unwrap_err().errno, libc::EMSGSIZE);
    // It never grew, which would have left a copy behind.
    assert_eq!(request.bytes().as_ptr(), at);
    request.attribute(1, &[]);
    request.put(&[1]);
    assert_eq!(request.payload().len(), 100);
    request.reset("C", 18, 0);
    assert_eq!(request.check(), Ok(()));
    let nest = request.begin_nest(5);
    request.attribute_u32(1, 2);
    request.end_nest(nest);
    assert_eq!(
        Attributes::new(request.payload()).next(),
        Some((5, &request.payload()[4..12]))
    );
    request.patch(1 << 20, &[1]);
    request.patch(usize::MAX, &[1]);
}
