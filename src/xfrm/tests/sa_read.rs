// SPDX-License-Identifier: GPL-2.0-or-later
//! Questions about SAs, and what is read of the answers.

use netlink_packet_xfrm::nlas::{EncapTmpl, Mark as MarkNla, ReplayEsn, XfrmAttrs};
use netlink_packet_xfrm::state::{AllocSpiMessage, DelGetMessage, FlushMessage, ModifyMessage};
use netlink_packet_xfrm::{Address, UserSaId, XfrmMessage};

use super::super::consts::{XFRM_MSG_GETSA, XFRM_MSG_NEWSA, usersa};
use super::super::{Kernel, Reply, SaState};
use super::sa::{AF_UNSPEC, DIR_IN, DIR_OUT, ESN, aead, info, offload, other};
use super::*;

#[test]
fn queries_select_by_mark_and_interface_id() {
    let reply = sample(true).encode();
    let wire = Wire::new(Some((XFRM_MSG_NEWSA, reply.payload)));
    let kernel = Kernel::new(wire.clone());
    let mut key = sample(true).id.key();
    let src = ip("192.0.2.1");
    kernel.get_sa(&key, src).unwrap();
    key.mark = Mark { value: 3, mask: 7 };
    key.if_id = 9;
    kernel.del_sa(&key, src).unwrap();
    kernel.flush_sas(Proto::Ah).unwrap();
    let id = UserSaId {
        daddr: Address::from_ip(&ip("192.0.2.2")),
        spi: 0xc123_4567,
        family: 2,
        proto: 50,
    };
    let src = XfrmAttrs::SrcAddr(Address::from_ip(&src));
    let sent: Vec<_> = wire.take().iter().map(Recorded::decode).collect();
    assert_eq!(
        sent,
        [
            XfrmMessage::GetSa(DelGetMessage {
                user_sa_id: id,
                nlas: vec![src.clone()],
            }),
            XfrmMessage::DeleteSa(DelGetMessage {
                user_sa_id: id,
                nlas: vec![
                    XfrmAttrs::Mark(MarkNla { value: 3, mask: 7 }),
                    XfrmAttrs::IfId(9),
                    src,
                ],
            }),
            XfrmMessage::FlushSa(FlushMessage { protocol: 51 }),
        ]
    );
    let mut seen = Vec::new();
    kernel.dump_sas(&mut |state| seen.push(state)).unwrap();
    assert_eq!(seen.len(), 1);
    let sent = wire.take();
    assert_eq!((sent[0].kind, sent[0].payload.len()), (XFRM_MSG_GETSA, 0));
}

#[test]
fn an_spi_is_asked_for_in_host_order() {
    let reply = sample(true).encode();
    let wire = Wire::new(Some((XFRM_MSG_NEWSA, reply.payload)));
    let kernel = Kernel::new(wire.clone());
    let (src, dst) = (ip("2001:db8::1"), ip("2001:db8::2"));
    let spi = kernel
        .alloc_spi(src, dst, Proto::Esp, 0xc000_0000, 0xcfff_ffff)
        .unwrap();
    assert_eq!(spi, 0xc123_4567);
    let mut body = AllocSpiMessage::default();
    body.spi_info.info.saddr = Address::from_ip(&src);
    body.spi_info.info.id.daddr = Address::from_ip(&dst);
    body.spi_info.info.id.proto = 50;
    body.spi_info.info.mode = 1;
    body.spi_info.info.family = 10;
    body.spi_info.min = 0xc000_0000;
    body.spi_info.max = 0xcfff_ffff;
    body.nlas = vec![other(33, DIR_IN)];
    assert_eq!(wire.take()[0].decode(), XfrmMessage::AllocSpi(body));
}

#[test]
fn a_reply_that_is_none_is_an_error() {
    for reply in [(XFRM_MSG_NEWSA, vec![0; 10]), (99, vec![0; 300])] {
        let kernel = Kernel::new(Wire::new(Some(reply)));
        let key = sample(true).id.key();
        let error = kernel.get_sa(&key, ip("192.0.2.1")).unwrap_err();
        assert_eq!(error.errno, libc::EBADMSG);
        let error = kernel
            .alloc_spi(ip("::1"), ip("::2"), Proto::Esp, 1, 2)
            .unwrap_err();
        assert_eq!(error.errno, libc::EBADMSG);
    }
}

/// A reply written by the crate, with what the kernel adds, is read in full.
#[test]
fn states_are_read_without_their_keys() {
    let mut fixed = info(ESN | AF_UNSPEC);
    fixed.lifetime_cur.bytes = 1000;
    fixed.lifetime_cur.packets = 10;
    fixed.lifetime_cur.add_time = 1_700_000_000;
    fixed.lifetime_cur.use_time = 1_700_000_001;
    fixed.stats.replay_window = 1;
    fixed.stats.replay = 2;
    fixed.stats.integrity_failed = 5;
    fixed.seq = 77;
    fixed.lifetime_cfg.hard_packet_limit = 12;
    let message = XfrmMessage::AddSa(ModifyMessage {
        user_sa_info: fixed,
        nlas: vec![
            aead(),
            XfrmAttrs::EncapsulationTemplate(EncapTmpl {
                encap_type: 2,
                encap_sport: 4500,
                encap_dport: 4501,
                encap_oa: Address::default(),
            }),
            XfrmAttrs::Mark(MarkNla { value: 1, mask: 3 }),
            XfrmAttrs::IfId(4),
            XfrmAttrs::LastUsed(1_700_000_009),
            XfrmAttrs::ReplayStateEsn(ReplayEsn {
                bmp_len: 2,
                oseq: 5,
                seq: 6,
                oseq_hi: 1,
                seq_hi: 2,
                replay_window: 64,
                bmp: vec![3, 4],
            }),
            other(33, DIR_OUT),
            other(35, &6u32.to_ne_bytes()),
            offload(8, 4),
        ],
    });
    let mut bytes = vec![0; netlink_packet_core::Emitable::buffer_len(&message)];
    netlink_packet_core::Emitable::emit(&message, &mut bytes);
    let state = SaState::decode(&Reply::new(XFRM_MSG_NEWSA, &bytes)).unwrap();
    let sample = sample(false);
    assert_eq!(
        state,
        SaState {
            id: SaId {
                src: Addr {
                    port: 4500,
                    ..sample.id.src
                },
                dst: Addr {
                    port: 4501,
                    ..sample.id.dst
                },
                mark: Mark { value: 1, mask: 3 },
                if_id: 4,
                ..sample.id
            },
            reqid: 7,
            mode_xfrm: 1,
            placement: Placement::Packet(8),
            inbound: Some(false),
            larval: false,
            encap: true,
            bytes: 1000,
            packets: 10,
            add_time: 1_700_000_000,
            use_time: 1_700_000_001,
            last_used: Some(1_700_000_009),
            seq: 77,
            cpu: Some(6),
            flags: ESN | AF_UNSPEC,
            lifetime: Lifetime {
                packets: Limit { life: 12, rekey: 0 },
                ..sample.spec.lifetime
            },
            selector: None,
            replay: super::super::ReplayState {
                window: 64,
                bitmap: true,
                esn: true,
                oseq: 1 << 32 | 5,
                seq: 2 << 32 | 6,
            },
            integrity_failed: 5,
            replay_errors: 3,
        }
    );
    // Nothing that can be printed holds the key.
    let shown = format!("{state:?}");
    assert!(!shown.contains("15, 16, 241"), "{shown}");
}

#[test]
fn crypto_mode_and_old_kernels_are_told_apart() {
    let state = |sample: &Sample, cut: usize| {
        let sent = sample.encode();
        SaState::decode(&Reply::new(
            XFRM_MSG_NEWSA,
            &sent.payload[..sent.payload.len() - cut],
        ))
        .unwrap()
    };
    let sample = Sample {
        placement: Placement::Crypto(3),
        ..sample(true)
    };
    assert_eq!(state(&sample, 0).placement, Placement::Crypto(3));
    assert_eq!(state(&sample, 0).inbound, Some(true));
    assert_eq!(state(&sample, 12).placement, Placement::Software);
    // Without XFRMA_SA_DIR the direction of the offload tells.
    let mut old = super::super::Request::new("", XFRM_MSG_NEWSA, 0);
    let sent = sample.encode();
    old.put(&sent.payload[..usersa::LEN]);
    for (kind, value) in super::super::request::Attributes::behind(&sent.payload, usersa::LEN) {
        if kind != 33 {
            old.attribute(kind, value);
        }
    }
    let state = SaState::decode(&Reply::new(XFRM_MSG_NEWSA, old.payload())).unwrap();
    assert_eq!(state.inbound, Some(true));
}

#[test]
fn nothing_prints_a_key() {
    let sample = sample(true);
    let request = super::super::Request::new("XFRM_MSG_NEWSA", XFRM_MSG_NEWSA, 0);
    let reply = Reply::new(XFRM_MSG_NEWSA, &KEY);
    for text in [
        format!("{:?}", sample.message()),
        format!("{request:?}"),
        format!("{reply:?}"),
    ] {
        assert!(!text.contains("15, 16, 241"), "{text}");
    }
}
