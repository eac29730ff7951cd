// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of the SPD.

use netlink_packet_core::Emitable;
use netlink_packet_xfrm::nlas::{
    Mark as MarkNla, SecurityCtx, UserOffloadDev, UserTemplate, XfrmAttrs,
};
use netlink_packet_xfrm::policy::{
    DelGetMessage, FlushMessage, ModifyMessage, NewSpdInfoMessage, SpdHThresh, SpdInfoAttrs,
};
use netlink_packet_xfrm::{
    Address, Id, LifetimeConfig, UserPolicyId, UserPolicyInfo, UserPolicyType, XfrmMessage,
};

use super::super::consts::{XFRM_INF, XFRM_MSG_NEWPOLICY};
use super::super::{
    Action, HashThresholds, PolicyKey, PolicyMessage, PolicyState, Template, Threshold,
};
use super::*;
use crate::model::Direction;

pub(super) fn key(dir: Direction) -> PolicyKey {
    PolicyKey {
        dir,
        selector: selector("10.1.0.0/16", "10.2.0.0/16"),
        mark: Mark::default(),
        if_id: 0,
        label: None,
    }
}

pub(super) fn tunnel(reqid: u32) -> Template {
    Template {
        src: ip("192.0.2.1"),
        dst: ip("192.0.2.2"),
        spi: Spi(0xc123_4567),
        proto: Proto::Esp,
        mode: Mode::Tunnel,
        reqid,
        optional: false,
        with_addresses: true,
    }
}

pub(super) fn message<'a>(key: &'a PolicyKey, templates: &'a [Template]) -> PolicyMessage<'a> {
    PolicyMessage {
        key,
        priority: 371_327,
        action: Action::Allow,
        templates,
        cpu_acquires: false,
        icmp: false,
        offload: None,
    }
}

fn fixed() -> UserPolicyInfo {
    UserPolicyInfo {
        selector: netlink_packet_xfrm::Selector {
            saddr: Address::from_ip(&ip("10.1.0.0")),
            daddr: Address::from_ip(&ip("10.2.0.0")),
            family: 2,
            prefixlen_s: 16,
            prefixlen_d: 16,
            ..Default::default()
        },
        lifetime_cfg: LifetimeConfig {
            soft_byte_limit: XFRM_INF,
            hard_byte_limit: XFRM_INF,
            soft_packet_limit: XFRM_INF,
            hard_packet_limit: XFRM_INF,
            ..Default::default()
        },
        priority: 371_327,
        direction: 1,
        ..Default::default()
    }
}

fn template(reqid: u32) -> UserTemplate {
    UserTemplate {
        id: Id {
            daddr: Address::from_ip(&ip("192.0.2.2")),
            spi: 0xc123_4567,
            proto: 50,
        },
        family: 2,
        saddr: Address::from_ip(&ip("192.0.2.1")),
        reqid,
        mode: 1,
        share: 0,
        optional: 0,
        aalgos: u32::MAX,
        ealgos: u32::MAX,
        calgos: u32::MAX,
    }
}

fn sent(message: &PolicyMessage<'_>, update: bool) -> Recorded {
    let wire = Wire::new(None);
    Kernel::new(wire.clone())
        .new_policy(message, update)
        .unwrap();
    wire.take().remove(0)
}

#[test]
fn a_policy_for_some_time_differs_in_that_alone() {
    let key = key(Direction::Out);
    let templates = [tunnel(7)];
    let wire = Wire::new(None);
    let kernel = Kernel::new(wire.clone());
    kernel
        .new_policy_for(&message(&key, &templates), 5)
        .unwrap();
    let mut info = fixed();
    info.lifetime_cfg.hard_add_expires_seconds = 5;
    let body = ModifyMessage {
        user_policy_info: info,
        nlas: vec![XfrmAttrs::Template(vec![template(7)])],
    };
    let sent = wire.take().remove(0);
    let mut expected = vec![0; body.buffer_len()];
    body.emit(&mut expected);
    assert_eq!(sent.payload, expected);
}

#[test]
fn a_policy_has_templates_and_offload_last() {
    let mut key = key(Direction::Out);
    key.mark = Mark {
        value: 0x11,
        mask: 0xff,
    };
    key.if_id = 42;
    key.label = Some(b"a:b:c\0".to_vec());
    let comp = Template {
        proto: Proto::Comp,
        spi: Spi(0),
        optional: true,
        ..tunnel(7)
    };
    let esp = Template {
        mode: Mode::Transport,
        with_addresses: false,
        ..tunnel(7)
    };
    let templates = [comp, esp];
    let message = PolicyMessage {
        cpu_acquires: true,
        icmp: true,
        offload: Some(5),
        ..message(&key, &templates)
    };
    let mut info = fixed();
    info.flags = 4 | 2;
    let mut first = template(7);
    first.id.proto = 108;
    first.id.spi = 0;
    first.optional = 1;
    let mut second = template(7);
    second.id.daddr = Address::default();
    second.saddr = Address::default();
    second.mode = 0;
    let body = ModifyMessage {
        user_policy_info: info,
        nlas: vec![
            XfrmAttrs::Template(vec![first, second]),
            XfrmAttrs::Mark(MarkNla {
                value: 0x11,
                mask: 0xff,
            }),
            XfrmAttrs::IfId(42),
            XfrmAttrs::SecurityContext(SecurityCtx {
                len: 14,
                exttype: 8,
                ctx_alg: 1,
                ctx_doi: 1,
                ctx_len: 6,
                ctx_str: b"a:b:c\0".to_vec(),
            }),
            XfrmAttrs::OffloadDevice(UserOffloadDev {
                ifindex: 5,
                flags: 4,
            }),
        ],
    };
    assert_eq!(
        sent(&message, false).decode(),
        XfrmMessage::AddPolicy(body.clone())
    );
    let update = sent(&message, true);
    assert_eq!(update.decode(), XfrmMessage::UpdatePolicy(body));
    let tail = &update.payload[update.payload.len() - 12..];
    assert_eq!(tail[..2], 12u16.to_ne_bytes());
    assert_eq!(tail[8..], [4, 0, 0, 0]);
}

#[test]
fn a_policy_of_its_own_has_no_templates() {
    let key = key(Direction::In);
    let message = PolicyMessage {
        action: Action::Block,
        ..message(&key, &[])
    };
    let mut info = fixed();
    info.direction = 0;
    info.action = 1;
    assert_eq!(
        sent(&message, false).decode(),
        XfrmMessage::AddPolicy(ModifyMessage {
            user_policy_info: info,
            nlas: Vec::new(),
        })
    );
}

/// The crate's own constructors would make /0 of it.
#[test]
fn a_prefix_of_the_unspecified_address_keeps_its_length() {
    let mut key = key(Direction::Out);
    key.selector = selector("0.0.0.0/1", "0.0.0.0/0");
    let sent = sent(&message(&key, &[]), false);
    let state = PolicyState::decode(&Reply::new(XFRM_MSG_NEWPOLICY, &sent.payload)).unwrap();
    assert_eq!(state.key.selector.src.to_string(), "0.0.0.0/1");
    assert_eq!(state.key, key);
}

#[test]
fn queries_name_the_key() {
    let mut key = key(Direction::Fwd);
    key.if_id = 3;
    let reply = sent(&message(&key, &[]), false).payload;
    let wire = Wire::new(Some((XFRM_MSG_NEWPOLICY, reply)));
    let kernel = Kernel::new(wire.clone());
    assert_eq!(kernel.get_policy(&key).unwrap().key, key);
    kernel.del_policy(&key).unwrap();
    kernel.flush_policies().unwrap();
    let body = DelGetMessage {
        user_policy_id: UserPolicyId {
            selector: fixed().selector,
            index: 0,
            direction: 2,
        },
        nlas: vec![XfrmAttrs::IfId(3)],
    };
    let sent: Vec<_> = wire.take().iter().map(Recorded::decode).collect();
    assert_eq!(
        sent,
        [
            XfrmMessage::GetPolicy(body.clone()),
            XfrmMessage::DeletePolicy(body),
            XfrmMessage::FlushPolicy(FlushMessage::default()),
        ]
    );
}

fn decode(info: UserPolicyInfo, nlas: Vec<XfrmAttrs>) -> Option<PolicyState> {
    let message = XfrmMessage::AddPolicy(ModifyMessage {
        user_policy_info: info,
        nlas,
    });
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    PolicyState::decode(&Reply::new(XFRM_MSG_NEWPOLICY, &bytes))
}

#[test]
fn policies_are_read_in_full() {
    let mut info = fixed();
    info.lifetime_cur.use_time = 1_700_000_000;
    info.action = 1;
    let label = SecurityCtx {
        len: 11,
        exttype: 8,
        ctx_alg: 1,
        ctx_doi: 1,
        ctx_len: 3,
        ctx_str: b"abc".to_vec(),
    };
    let state = decode(
        info,
        vec![
            XfrmAttrs::Template(vec![template(0), template(9)]),
            XfrmAttrs::Mark(MarkNla { value: 1, mask: 2 }),
            XfrmAttrs::IfId(3),
            XfrmAttrs::SecurityContext(label),
            XfrmAttrs::OffloadDevice(UserOffloadDev {
                ifindex: 8,
                flags: 4,
            }),
            XfrmAttrs::PolicyType(UserPolicyType::default()),
        ],
    );
    assert_eq!(
        state,
        Some(PolicyState {
            key: PolicyKey {
                mark: Mark { value: 1, mask: 2 },
                if_id: 3,
                label: Some(b"abc".to_vec()),
                ..key(Direction::Out)
            },
            priority: 371_327,
            action: Action::Block,
            reqid: Some(9),
            spi: Some(Spi(0xc123_4567)),
            offload: Some(8),
            use_time: 1_700_000_000,
            templates: 2,
        })
    );
}

#[test]
fn policies_of_sockets_and_other_types_are_skipped() {
    let mut info = fixed();
    assert!(decode(info, Vec::new()).is_some());
    for dir in 3..=5 {
        info.direction = dir;
        assert_eq!(decode(info, Vec::new()), None);
    }
    let sub = UserPolicyType {
        ptype: 1,
        ..Default::default()
    };
    assert_eq!(decode(fixed(), vec![XfrmAttrs::PolicyType(sub)]), None);
}

#[test]
fn a_request_that_does_not_fit_is_not_sent() {
    let wire = Wire::new(None);
    let mut key = key(Direction::Out);
    for (len, errno) in [(9000, libc::EMSGSIZE), (70000, libc::EINVAL)] {
        key.label = Some(vec![1; len]);
        let kernel = Kernel::new(wire.clone());
        for result in [
            kernel.new_policy(&message(&key, &[]), false),
            kernel.del_policy(&key),
        ] {
            assert_eq!(result.unwrap_err().errno, errno);
        }
    }
    assert!(wire.take().is_empty());
}

#[test]
fn thresholds_are_written_only_if_they_change() {
    let fake = super::super::fake::FakeKernel::new();
    let kernel = Kernel::new(fake.clone());
    let own = HashThresholds::default();
    assert_eq!(kernel.hash_thresholds(), Ok(own));
    fake.clear_requests();
    assert_eq!(kernel.set_hash_thresholds(&own), Ok(false));
    assert_eq!(fake.request_names(), ["XFRM_MSG_GETSPDINFO"]);
    let wanted = HashThresholds {
        ipv4: Threshold {
            local: 16,
            remote: 24,
        },
        ipv6: Threshold {
            local: 48,
            remote: 56,
        },
    };
    assert_eq!(kernel.set_hash_thresholds(&wanted), Ok(true));
    assert_eq!(kernel.hash_thresholds(), Ok(wanted));
    let sent = &fake.requests()[2];
    let recorded = Recorded {
        kind: sent.kind,
        payload: sent.payload.clone(),
    };
    assert_eq!(
        recorded.decode(),
        XfrmMessage::NewSpdInfo(NewSpdInfoMessage {
            flags: 0,
            nlas: vec![
                SpdInfoAttrs::SpdIpv4HThresh(SpdHThresh {
                    lbits: 16,
                    rbits: 24
                }),
                SpdInfoAttrs::SpdIpv6HThresh(SpdHThresh {
                    lbits: 48,
                    rbits: 56
                }),
            ],
        })
    );
    let mut wrong = wanted;
    wrong.ipv4.local = 33;
    assert_eq!(
        kernel.set_hash_thresholds(&wrong).unwrap_err().errno,
        libc::EINVAL
    );
    let kernel = Kernel::new(Wire::new(Some((0x24, vec![0; 4]))));
    assert_eq!(kernel.hash_thresholds().unwrap_err().errno, libc::EBADMSG);
}
