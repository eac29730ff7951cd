// SPDX-License-Identifier: GPL-2.0-or-later
//! The offsets in consts.rs, compared with what netlink-packet-xfrm emits.

use netlink_packet_core::Emitable;
use netlink_packet_xfrm::nlas::{
    EncapTmpl, Replay, ReplayEsn, UserKmAddress, UserMigrate, UserTemplate,
};
use netlink_packet_xfrm::{
    Address, AsyncEventId, Lifetime, Selector, UserAcquire, UserExpire, UserMapping, UserPolicyId,
    UserPolicyInfo, UserSaId, UserSaInfo,
};

use super::super::consts::*;

fn emit(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// Offset, width, and how to set all its bits.
type Field<'a, T> = (usize, usize, &'a dyn Fn(&mut T));

/// Asserts that the structure has a length, and that setting a field changes exactly the bytes from
/// an offset on.
fn check<T: Emitable + Default>(len: usize, fields: &[Field<'_, T>]) {
    let empty = emit(&T::default());
    assert_eq!(empty.len(), len);
    for (offset, width, set) in fields {
        let mut message = T::default();
        set(&mut message);
        let bytes = emit(&message);
        let changed: Vec<_> = (0..len).filter(|i| bytes[*i] != empty[*i]).collect();
        let expected: Vec<_> = (*offset..offset + width).collect();
        assert_eq!(changed, expected, "{}", std::any::type_name::<T>());
    }
}

const A: Address = Address { addr: [0xaa; 16] };

#[test]
fn selector_has_the_offsets() {
    check::<Selector>(
        selector::LEN,
        &[
            (selector::DADDR, 16, &|s| s.daddr = A),
            (selector::SADDR, 16, &|s| s.saddr = A),
            (selector::DPORT, 2, &|s| s.dport = 0xaaaa),
            (selector::DPORT_MASK, 2, &|s| s.dport_mask = 0xaaaa),
            (selector::SPORT, 2, &|s| s.sport = 0xaaaa),
            (selector::SPORT_MASK, 2, &|s| s.sport_mask = 0xaaaa),
            (selector::FAMILY, 2, &|s| s.family = 0xaaaa),
            (selector::PREFIXLEN_D, 1, &|s| s.prefixlen_d = 1),
            (selector::PREFIXLEN_S, 1, &|s| s.prefixlen_s = 1),
            (selector::PROTO, 1, &|s| s.proto = 1),
            (selector::IFINDEX, 4, &|s| s.ifindex = -1),
        ],
    );
}

#[test]
fn sa_has_the_offsets() {
    check::<UserSaInfo>(
        usersa::LEN,
        &[
            (usersa::SEL, 16, &|s| s.selector.daddr = A),
            (usersa::DADDR, 16, &|s| s.id.daddr = A),
            (usersa::SPI, 4, &|s| s.id.spi = u32::MAX),
            (usersa::PROTO, 1, &|s| s.id.proto = 1),
            (usersa::SADDR, 16, &|s| s.saddr = A),
            // Without end by default.
            (usersa::LFT, 8, &|s| s.lifetime_cfg.soft_byte_limit = 0),
            (usersa::LFT + 8, 8, &|s| s.lifetime_cfg.hard_byte_limit = 0),
            (usersa::LFT + 16, 8, &|s| {
                s.lifetime_cfg.soft_packet_limit = 0
            }),
            (usersa::LFT + 24, 8, &|s| {
                s.lifetime_cfg.hard_packet_limit = 0
            }),
            (usersa::LFT + 32, 8, &|s| {
                s.lifetime_cfg.soft_add_expires_seconds = u64::MAX;
            }),
            (usersa::LFT + 40, 8, &|s| {
                s.lifetime_cfg.hard_add_expires_seconds = u64::MAX;
            }),
            (usersa::CURLFT, 8, &|s| s.lifetime_cur.bytes = u64::MAX),
            (usersa::STATS, 4, &|s| s.stats.replay_window = u32::MAX),
            (usersa::STATS + 4, 4, &|s| s.stats.replay = u32::MAX),
            (usersa::STATS + 8, 4, &|s| {
                s.stats.integrity_failed = u32::MAX
            }),
            (usersa::SEQ, 4, &|s| s.seq = u32::MAX),
            (usersa::REQID, 4, &|s| s.reqid = u32::MAX),
            (usersa::FAMILY, 2, &|s| s.family = 0xaaaa),
            (usersa::MODE, 1, &|s| s.mode = 1),
            (usersa::REPLAY_WINDOW, 1, &|s| s.replay_window = 1),
            (usersa::FLAGS, 1, &|s| s.flags = 1),
        ],
    );
    check::<Lifetime>(
        lifetime_cur::LEN,
        &[
            (lifetime_cur::BYTES, 8, &|l| l.bytes = u64::MAX),
            (lifetime_cur::PACKETS, 8, &|l| l.packets = u64::MAX),
            (lifetime_cur::ADD_TIME, 8, &|l| l.add_time = u64::MAX),
            (lifetime_cur::USE_TIME, 8, &|l| l.use_time = u64::MAX),
        ],
    );
    check::<UserSaId>(
        usersa_id::LEN,
        &[
            (usersa_id::DADDR, 16, &|s| s.daddr = A),
            (usersa_id::SPI, 4, &|s| s.spi = u32::MAX),
            (usersa_id::FAMILY, 2, &|s| s.family = 0xaaaa),
            (usersa_id::PROTO, 1, &|s| s.proto = 1),
        ],
    );
    check::<AsyncEventId>(
        aevent_id::LEN,
        &[(aevent_id::FLAGS, 4, &|s| s.flags = u32::MAX)],
    );
}

#[test]
fn policy_has_the_offsets() {
    check::<UserPolicyInfo>(
        userpolicy::LEN,
        &[
            (userpolicy::SEL, 16, &|p| p.selector.daddr = A),
            (userpolicy::CURLFT, 8, &|p| p.lifetime_cur.bytes = u64::MAX),
            (userpolicy::PRIORITY, 4, &|p| p.priority = u32::MAX),
            (userpolicy::DIR, 1, &|p| p.direction = 1),
            (userpolicy::ACTION, 1, &|p| p.action = 1),
        ],
    );
    check::<UserPolicyId>(
        policy_id::LEN,
        &[
            (policy_id::SEL, 16, &|p| p.selector.daddr = A),
            (policy_id::DIR, 1, &|p| p.direction = 1),
        ],
    );
    check::<UserTemplate>(
        template::LEN,
        &[
            (template::SPI, 4, &|t| t.id.spi = u32::MAX),
            (template::PROTO, 1, &|t| t.id.proto = 1),
            (template::REQID, 4, &|t| t.reqid = u32::MAX),
        ],
    );
}

#[test]
fn events_have_the_offsets() {
    check::<UserAcquire>(
        acquire::LEN,
        &[
            (acquire::PROTO, 1, &|a| a.id.proto = 1),
            (acquire::SEL, 16, &|a| a.selector.daddr = A),
            (acquire::SEQ, 4, &|a| a.seq = u32::MAX),
        ],
    );
    check::<UserExpire>(expire::LEN, &[(expire::HARD, 1, &|e| e.hard = 1)]);
    check::<UserMapping>(
        mapping::LEN,
        &[
            (mapping::NEW_SADDR, 16, &|m| m.new_saddr = A),
            (mapping::OLD_SPORT, 2, &|m| m.old_sport = 0xaaaa),
            (mapping::NEW_SPORT, 2, &|m| m.new_sport = 0xaaaa),
        ],
    );
    check::<UserKmAddress>(
        kmaddress::LEN,
        &[
            (kmaddress::LOCAL, 16, &|k| k.local = A),
            (kmaddress::REMOTE, 16, &|k| k.remote = A),
            (kmaddress::FAMILY, 2, &|k| k.family = 0xaaaa),
        ],
    );
    check::<UserMigrate>(
        migrate::LEN,
        &[(migrate::REQID, 4, &|m| m.reqid = u32::MAX)],
    );
}

#[test]
fn attributes_have_the_offsets() {
    check::<ReplayEsn>(
        replay_esn::LEN,
        &[
            (replay_esn::BMP_LEN, 4, &|r| r.bmp_len = u32::MAX),
            (replay_esn::OSEQ, 4, &|r| r.oseq = u32::MAX),
            (replay_esn::SEQ, 4, &|r| r.seq = u32::MAX),
            (replay_esn::OSEQ_HI, 4, &|r| r.oseq_hi = u32::MAX),
            (replay_esn::SEQ_HI, 4, &|r| r.seq_hi = u32::MAX),
            (replay_esn::WINDOW, 4, &|r| r.replay_window = u32::MAX),
        ],
    );
    check::<Replay>(
        12,
        &[
            (0, 4, &|r| r.oseq = u32::MAX),
            (4, 4, &|r| r.seq = u32::MAX),
        ],
    );
    check::<EncapTmpl>(
        encap::LEN,
        &[
            (encap::SPORT, 2, &|e| e.encap_sport = 0xaaaa),
            (encap::DPORT, 2, &|e| e.encap_dport = 0xaaaa),
        ],
    );
}
