// SPDX-License-Identifier: GPL-2.0-or-later
//! Events, as the crate writes them.

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_xfrm::monitor::{AcquireMessage, ExpireMessage, MappingMessage, MigrateMessage};
use netlink_packet_xfrm::nlas::{SecurityCtx, UserKmAddress, UserMigrate, UserTemplate, XfrmAttrs};
use netlink_packet_xfrm::{
    Address, Id, UserAcquire, UserExpire, UserMapping, UserPolicyId, UserSaId, UserSaInfo,
    XfrmMessage,
};

use super::super::{Event, decode_event};
use super::*;
use crate::host;
use crate::model::{Direction, SaKey, TrafficSelector};

fn reply(message: &XfrmMessage, extra: &[u8]) -> Reply {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes.extend_from_slice(extra);
    Reply::new(message.message_type(), &bytes)
}

fn flow(proto: u8, sport: u16, dport: u16) -> netlink_packet_xfrm::Selector {
    netlink_packet_xfrm::Selector {
        saddr: Address::from_ip(&ip("10.1.0.5")),
        daddr: Address::from_ip(&ip("10.2.0.6")),
        sport,
        sport_mask: if sport == 0 { 0 } else { 0xffff },
        dport,
        dport_mask: if dport == 0 { 0 } else { 0xffff },
        family: 2,
        prefixlen_s: 32,
        prefixlen_d: 32,
        proto,
        ..Default::default()
    }
}

fn ts(host: &str, proto: u8, ports: (u16, u16)) -> TrafficSelector {
    TrafficSelector {
        from: ip(host),
        to: ip(host),
        proto,
        from_port: ports.0,
        to_port: ports.1,
    }
}

fn acquire(
    selector: netlink_packet_xfrm::Selector,
    proto: u8,
    nlas: Vec<XfrmAttrs>,
) -> Option<Event> {
    let mut acquire = UserAcquire {
        id: Id {
            proto,
            ..Default::default()
        },
        selector,
        seq: 99,
        ..Default::default()
    };
    acquire.policy.direction = 1;
    decode_event(&reply(
        &XfrmMessage::Acquire(AcquireMessage { acquire, nlas }),
        &[],
    ))
}

#[test]
fn an_acquire_has_all_that_charon_wants() {
    let template = UserTemplate {
        reqid: 7,
        ..Default::default()
    };
    let mut label = SecurityCtx::default();
    label.context(b"a:b\0");
    let event = acquire(
        flow(6, 40000, 443),
        50,
        vec![
            XfrmAttrs::Template(vec![template]),
            XfrmAttrs::Other(DefaultNla::new(35, 3u32.to_ne_bytes().to_vec())),
            XfrmAttrs::SecurityContext(label),
        ],
    );
    assert_eq!(
        event,
        Some(Event::Acquire(host::Acquire {
            reqid: 7,
            cpu: Some(3),
            seq: 99,
            src: ts("10.1.0.5", 6, (40000, 40000)),
            dst: ts("10.2.0.6", 6, (443, 443)),
            label: Some(b"a:b\0".to_vec()),
        }))
    );
}

#[test]
fn an_acquire_for_icmp_has_type_and_code_in_one() {
    let Some(Event::Acquire(event)) = acquire(
        netlink_packet_xfrm::Selector {
            sport_mask: 0xffff,
            dport_mask: 0xffff,
            ..flow(1, 8, 2)
        },
        0,
        Vec::new(),
    ) else {
        panic!("no acquire");
    };
    assert_eq!(event.src, ts("10.1.0.5", 1, (0x0802, 0x0802)));
    assert_eq!(event.dst, ts("10.2.0.6", 1, (0x0802, 0x0802)));
    // A type with any code, and any type.
    let Some(Event::Acquire(event)) = acquire(flow(58, 8, 0), 0, Vec::new()) else {
        panic!("no acquire");
    };
    assert_eq!(event.dst, ts("10.2.0.6", 58, (0x0800, 0x08ff)));
    let Some(Event::Acquire(event)) = acquire(flow(1, 0, 0), 0, Vec::new()) else {
        panic!("no acquire");
    };
    assert_eq!(event.dst, ts("10.2.0.6", 1, (0, 65535)));
}

#[test]
fn an_acquire_for_ipcomp_is_none_of_charons() {
    for (proto, ours) in [(0, true), (50, true), (51, true), (108, false), (43, false)] {
        assert_eq!(
            acquire(flow(0, 0, 0), proto, Vec::new()).is_some(),
            ours,
            "{proto}"
        );
    }
    let unknown = netlink_packet_xfrm::Selector {
        family: 0,
        ..flow(0, 0, 0)
    };
    assert_eq!(acquire(unknown, 50, Vec::new()), None);
}

fn expire(proto: u8, hard: u8) -> XfrmMessage {
    XfrmMessage::Expire(ExpireMessage {
        expire: UserExpire {
            state: UserSaInfo {
                id: Id {
                    daddr: Address::from_ip(&ip("2001:db8::2")),
                    spi: 0xc123_4567,
                    proto,
                },
                family: 10,
                ..Default::default()
            },
            hard,
        },
    })
}

#[test]
fn an_expire_names_the_sa() {
    let mut key = SaKey {
        dst: ip("2001:db8::2"),
        spi: Spi(0xc123_4567),
        proto: Proto::Esp,
        mark: Mark::default(),
        if_id: 0,
    };
    for hard in [false, true] {
        assert_eq!(
            decode_event(&reply(&expire(50, u8::from(hard)), &[])),
            Some(Event::Expire { key, hard })
        );
    }
    // The crate's message has no attributes, the kernel's has.
    let mut extra = super::super::Request::new("", 0, 0);
    extra.attribute(21, &[1, 0, 0, 0, 3, 0, 0, 0]);
    extra.attribute_u32(31, 6);
    extra.attribute(33, &[1]);
    key.mark = Mark { value: 1, mask: 3 };
    key.if_id = 6;
    if cfg!(target_endian = "little") {
        assert_eq!(
            decode_event(&reply(&expire(50, 1), extra.payload())),
            Some(Event::Expire { key, hard: true })
        );
    }
    assert_eq!(decode_event(&reply(&expire(108, 1), &[])), None);
}

#[test]
fn a_mapping_tells_where_packets_come_from_now() {
    let mapping = |proto, old_sport| {
        XfrmMessage::Mapping(MappingMessage {
            map: UserMapping {
                id: UserSaId {
                    daddr: Address::from_ip(&ip("192.0.2.2")),
                    spi: 5,
                    family: 2,
                    proto,
                },
                reqid: 7,
                old_saddr: Address::from_ip(&ip("192.0.2.1")),
                new_saddr: Address::from_ip(&ip("192.0.2.9")),
                old_sport,
                new_sport: 1025,
            },
        })
    };
    assert_eq!(
        decode_event(&reply(&mapping(50, 4500), &[])),
        Some(Event::Mapping {
            key: SaKey {
                dst: ip("192.0.2.2"),
                spi: Spi(5),
                proto: Proto::Esp,
                mark: Mark::default(),
                if_id: 0,
            },
            new: Addr {
                ip: ip("192.0.2.9"),
                port: 1025
            },
            old_port: 4500,
        })
    );
    assert_eq!(decode_event(&reply(&mapping(50, 0), &[])), None);
    assert_eq!(decode_event(&reply(&mapping(51, 4500), &[])), None);
}

#[test]
fn a_migrate_needs_the_addresses_of_ike() {
    let mut selector = flow(6, 0, 0);
    selector.prefixlen_s = 16;
    selector.saddr = Address::from_ip(&ip("10.1.0.0"));
    selector.sport = 1024;
    selector.sport_mask = 0xfc00;
    let one = |reqid| {
        XfrmAttrs::Migrate(UserMigrate {
            reqid,
            ..Default::default()
        })
    };
    let addresses = XfrmAttrs::KmAddress(UserKmAddress {
        local: Address::from_ip(&ip("192.0.2.11")),
        remote: Address::from_ip(&ip("192.0.2.12")),
        reserved: 0,
        family: 2,
    });
    let message = |nlas| {
        XfrmMessage::Migrate(MigrateMessage {
            user_policy_id: UserPolicyId {
                selector,
                index: 0,
                direction: 1,
            },
            nlas,
        })
    };
    let expected = |reqid| host::Migrate {
        reqid,
        dir: Direction::Out,
        src_ts: TrafficSelector {
            from: ip("10.1.0.0"),
            to: ip("10.1.255.255"),
            proto: 6,
            from_port: 1024,
            to_port: 2047,
        },
        dst_ts: ts("10.2.0.6", 6, (0, 65535)),
        local: Addr::new(ip("192.0.2.11")),
        remote: Addr::new(ip("192.0.2.12")),
    };
    assert_eq!(
        decode_event(&reply(
            &message(vec![addresses, one(7), one(7), one(8)]),
            &[]
        )),
        Some(Event::Migrate(vec![expected(7), expected(8)]))
    );
    assert_eq!(decode_event(&reply(&message(vec![one(7)]), &[])), None);
}

#[test]
fn other_messages_are_no_events() {
    assert_eq!(decode_event(&Reply::new(0x29, &[0; 300])), None);
    assert_eq!(decode_event(&sample_reply()), None);
}

fn sample_reply() -> Reply {
    let sent = sample(true).encode();
    Reply::new(sent.kind, &sent.payload)
}

#[test]
fn deletions_and_flushes_are_read() {
    let key = SaKey {
        dst: ip("192.0.2.2"),
        spi: Spi(0xc001),
        proto: Proto::Esp,
        mark: Mark { value: 5, mask: 7 },
        if_id: 9,
    };
    // As xfrm_user.c: xfrm_notify_sa does: the ID, then the SA in an attribute among the others.
    let mut deleted = Request::new("", 0x11, 0);
    deleted.put_address(key.dst);
    deleted.put(&key.spi.0.to_be_bytes());
    deleted.put_u16(libc::AF_INET as u16);
    deleted.put(&[50, 0]);
    deleted.attribute(6, &[0; 224]);
    deleted.attribute(21, &[5, 0, 0, 0, 7, 0, 0, 0]);
    deleted.attribute_u32(31, 9);
    let read = |request: &Request| decode_event(&Reply::new(request.kind(), request.payload()));
    assert_eq!(read(&deleted), Some(Event::SaDeleted(key)));
    // A policy by its ID, as xfrm_notify_policy does.
    let mut policy = Request::new("", 0x14, 0);
    policy.put(&[0; 64]);
    let selector = crate::xfrm::tests::selector("10.1.0.0/16", "10.2.0.0/16");
    let mut info = [0; 168];
    info[..4].copy_from_slice(&[10, 2, 0, 0]);
    info[16..20].copy_from_slice(&[10, 1, 0, 0]);
    info[40] = libc::AF_INET as u8;
    (info[42], info[43]) = (16, 16);
    info[160] = 1;
    policy.attribute(7, &info);
    policy.attribute_u32(31, 9);
    let wanted = crate::xfrm::PolicyKey {
        dir: Direction::Out,
        selector,
        mark: Mark::default(),
        if_id: 9,
        label: None,
    };
    assert_eq!(read(&policy), Some(Event::PolicyDeleted(wanted)));
    // One of type sub is none of ours.
    policy.attribute(16, &[1, 0, 0, 0, 0, 0]);
    assert_eq!(read(&policy), None);
    let mut flush = Request::new("", 0x1c, 0);
    flush.put(&[50, 0, 0, 0]);
    assert_eq!(read(&flush), Some(Event::SasFlushed));
    let mut flush = Request::new("", 0x1d, 0);
    assert_eq!(read(&flush), Some(Event::PoliciesFlushed));
    flush.attribute(16, &[1, 0, 0, 0, 0, 0]);
    assert_eq!(read(&flush), None);
}
