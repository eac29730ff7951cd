// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages that add or fill an SA.

use netlink_packet_core::DefaultNla;
use netlink_packet_xfrm::nlas::{
    Alg, AlgAead, AlgAuth, EncapTmpl, Mark as MarkNla, ReplayEsn, SecurityCtx, UserOffloadDev,
    XfrmAttrs,
};
use netlink_packet_xfrm::state::ModifyMessage;
use netlink_packet_xfrm::{Address, Id, LifetimeConfig, UserSaInfo, XfrmMessage};

use super::super::consts::XFRM_INF;
use super::super::{Iptfs, Kernel, Replay};
use super::*;

fn name(text: &str) -> [u8; 64] {
    let mut name = [0; 64];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

pub(super) fn other(kind: u16, value: &[u8]) -> XfrmAttrs {
    XfrmAttrs::Other(DefaultNla::new(kind, value.to_vec()))
}

pub(super) fn aead() -> XfrmAttrs {
    XfrmAttrs::EncryptionAlgAead(AlgAead {
        alg_name: name("rfc4106(gcm(aes))"),
        alg_key_len: 160,
        alg_icv_len: 128,
        alg_key: KEY.to_vec(),
    })
}

fn esn(window: u32) -> XfrmAttrs {
    let words = window.div_ceil(32);
    XfrmAttrs::ReplayStateEsn(ReplayEsn {
        bmp_len: words,
        oseq: 0,
        seq: 0,
        oseq_hi: 0,
        seq_hi: 0,
        replay_window: window,
        bmp: vec![0; words as usize],
    })
}

pub(super) fn offload(ifindex: i32, flags: u8) -> XfrmAttrs {
    XfrmAttrs::OffloadDevice(UserOffloadDev { ifindex, flags })
}

pub(super) const DIR_IN: &[u8] = &[1];
pub(super) const DIR_OUT: &[u8] = &[2];

/// The fixed part of `sample()`.
pub(super) fn info(flags: u8) -> UserSaInfo {
    UserSaInfo {
        id: Id {
            daddr: Address::from_ip(&ip("192.0.2.2")),
            spi: 0xc123_4567,
            proto: 50,
        },
        saddr: Address::from_ip(&ip("192.0.2.1")),
        lifetime_cfg: LifetimeConfig {
            soft_byte_limit: XFRM_INF,
            hard_byte_limit: XFRM_INF,
            soft_packet_limit: XFRM_INF,
            hard_packet_limit: XFRM_INF,
            soft_add_expires_seconds: 3600,
            hard_add_expires_seconds: 3960,
            soft_use_expires_seconds: 0,
            hard_use_expires_seconds: 0,
        },
        reqid: 7,
        family: 2,
        mode: 1,
        flags,
        ..UserSaInfo::default()
    }
}

/// What we send is what the crate would send, byte for byte.
fn expect(sample: &Sample, info: UserSaInfo, nlas: Vec<XfrmAttrs>) {
    let body = ModifyMessage {
        user_sa_info: info,
        nlas,
    };
    let message = if sample.spec.update {
        XfrmMessage::UpdateSa(body)
    } else {
        XfrmMessage::AddSa(body)
    };
    let sent = sample.encode();
    assert_eq!(sent.decode(), message);
    let mut bytes = vec![0; netlink_packet_core::Emitable::buffer_len(&message)];
    netlink_packet_core::Emitable::emit(&message, &mut bytes);
    assert_eq!(sent.payload, bytes);
    assert_eq!(sent.kind, message.message_type());
}

pub(super) const ESN: u8 = 128;
pub(super) const AF_UNSPEC: u8 = 32;

#[test]
fn an_inbound_sa_has_its_direction_and_window() {
    expect(
        &sample(true),
        info(ESN | AF_UNSPEC),
        vec![aead(), other(33, DIR_IN), esn(64)],
    );
}

#[test]
fn an_outbound_sa_never_has_a_window() {
    expect(
        &sample(false),
        info(ESN | AF_UNSPEC),
        vec![aead(), other(33, DIR_OUT), esn(0)],
    );
    for replay in [
        Replay::None,
        Replay::Legacy(32),
        Replay::Legacy(4000),
        Replay::Esn {
            window: 128,
            esn: false,
        },
    ] {
        let sample = Sample {
            replay,
            ..sample(false)
        };
        expect(&sample, info(AF_UNSPEC), vec![aead(), other(33, DIR_OUT)]);
    }
}

#[test]
fn windows_are_written_as_asked() {
    let with = |replay| Sample {
        replay,
        ..sample(true)
    };
    let mut fixed = info(AF_UNSPEC);
    fixed.replay_window = 32;
    expect(
        &with(Replay::Legacy(32)),
        fixed,
        vec![aead(), other(33, DIR_IN)],
    );
    // Not a multiple of 32, and without extended sequence numbers.
    expect(
        &with(Replay::Esn {
            window: 33,
            esn: false,
        }),
        info(AF_UNSPEC),
        vec![aead(), other(33, DIR_IN), esn(33)],
    );
    expect(
        &with(Replay::Esn {
            window: 4096,
            esn: true,
        }),
        info(ESN | AF_UNSPEC),
        vec![aead(), other(33, DIR_IN), esn(4096)],
    );
}

#[test]
fn windows_that_cannot_be_written_are_refused_before_sending() {
    for replay in [
        Replay::Legacy(33),
        Replay::Esn {
            window: 4097,
            esn: true,
        },
    ] {
        let wire = Wire::new(None);
        let sample = Sample {
            replay,
            ..sample(true)
        };
        let error = Kernel::new(wire.clone())
            .new_sa(&sample.message(), false)
            .unwrap_err();
        assert_eq!(error.errno, libc::EINVAL);
        assert!(error.text.unwrap().contains("replay window of"));
        assert!(wire.take().is_empty());
    }
}

#[test]
fn offload_has_direction_and_mode() {
    for (inbound, placement, flags) in [
        (true, Placement::Packet(5), 6),
        (false, Placement::Packet(5), 4),
        (true, Placement::Crypto(5), 2),
        (false, Placement::Crypto(5), 0),
    ] {
        let sample = Sample {
            placement,
            ..sample(inbound)
        };
        let (dir, window) = if inbound { (DIR_IN, 64) } else { (DIR_OUT, 0) };
        expect(
            &sample,
            info(ESN | AF_UNSPEC),
            vec![aead(), other(33, dir), esn(window), offload(5, flags)],
        );
        // Eight bytes with padding of zeroes: the kernel refuses fewer.
        let sent = sample.encode().payload;
        assert_eq!(sent[sent.len() - 12..][..2], 12u16.to_ne_bytes());
        assert_eq!(sent[sent.len() - 3..], [0, 0, 0]);
    }
}

#[test]
fn header_flags_depend_on_the_direction() {
    let mut sample = sample(true);
    sample.spec.copy_ecn = false;
    sample.spec.copy_df = false;
    sample.spec.forward_icmp = true;
    sample.spec.copy_dscp = DscpCopy::Yes;
    // NOECN, DECAP_DSCP, ICMP; no NOPMTUDISC, which the kernel refuses inbound.
    expect(
        &sample,
        info(ESN | AF_UNSPEC | 1 | 2 | 16),
        vec![aead(), other(33, DIR_IN), esn(64)],
    );
    sample.spec.inbound = false;
    // NOECN, NOPMTUDISC; no DECAP_DSCP and no ICMP, which it refuses outbound.
    expect(
        &sample,
        info(ESN | AF_UNSPEC | 1 | 4),
        vec![aead(), other(33, DIR_OUT), esn(0)],
    );
}

#[test]
fn dscp_is_copied_in_four_ways() {
    for (copy, decap, encap) in [
        (DscpCopy::OutOnly, false, true),
        (DscpCopy::InOnly, true, false),
        (DscpCopy::Yes, true, true),
        (DscpCopy::No, false, false),
    ] {
        let mut sample = sample(true);
        sample.spec.copy_dscp = copy;
        expect(
            &sample,
            info(ESN | AF_UNSPEC | if decap { 2 } else { 0 }),
            vec![aead(), other(33, DIR_IN), esn(64)],
        );
        sample.spec.inbound = false;
        let mut nlas = vec![aead(), other(33, DIR_OUT), esn(0)];
        if !encap {
            nlas.insert(0, XfrmAttrs::ExtraFlags(1));
        }
        expect(&sample, info(ESN | AF_UNSPEC), nlas);
    }
}

#[test]
fn separate_algorithms_carry_both_keys() {
    let mut sample = sample(true);
    sample.spec.enc_key = Key::new(&KEY[..16]);
    sample.spec.int_key = Key::new(&KEY[4..]);
    sample.transforms = Transforms::Separate {
        crypt: Some("aes".into()),
        auth: Some(("hmac(sha256)".into(), Some(128))),
    };
    let crypt = XfrmAttrs::EncryptionAlg(Alg {
        alg_name: name("aes"),
        alg_key_len: 128,
        alg_key: KEY[..16].to_vec(),
    });
    expect(
        &sample,
        info(ESN | AF_UNSPEC),
        vec![
            crypt.clone(),
            XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
                alg_name: name("hmac(sha256)"),
                alg_key_len: 128,
                alg_trunc_len: 128,
                alg_key: KEY[4..].to_vec(),
            }),
            other(33, DIR_IN),
            esn(64),
        ],
    );
    sample.transforms = Transforms::Separate {
        crypt: Some("aes".into()),
        auth: Some(("sha1".into(), None)),
    };
    expect(
        &sample,
        info(ESN | AF_UNSPEC),
        vec![
            crypt,
            XfrmAttrs::AuthenticationAlg(Alg {
                alg_name: name("sha1"),
                alg_key_len: 128,
                alg_key: KEY[4..].to_vec(),
            }),
            other(33, DIR_IN),
            esn(64),
        ],
    );
}

#[test]
fn an_algorithm_with_too_long_a_name_is_refused() {
    let wire = Wire::new(None);
    let mut sample = sample(true);
    sample.transforms = Transforms::Aead {
        name: "x".repeat(64).into(),
        icv_bits: 128,
    };
    let error = Kernel::new(wire.clone())
        .new_sa(&sample.message(), false)
        .unwrap_err();
    assert_eq!(error.errno, libc::EINVAL);
    assert!(wire.take().is_empty());
}

#[test]
fn ah_for_ipv4_is_aligned_to_four_bytes() {
    let mut sample = sample(true);
    sample.id.proto = Proto::Ah;
    sample.spec.int_key = Key::new(&KEY);
    sample.transforms = Transforms::Separate {
        crypt: None,
        auth: Some(("sha1".into(), None)),
    };
    sample.replay = Replay::Legacy(32);
    let auth = XfrmAttrs::AuthenticationAlg(Alg {
        alg_name: name("sha1"),
        alg_key_len: 160,
        alg_key: KEY.to_vec(),
    });
    let mut fixed = info(AF_UNSPEC | 64);
    fixed.id.proto = 51;
    fixed.replay_window = 32;
    expect(&sample, fixed, vec![auth.clone(), other(33, DIR_IN)]);
    sample.id.src = Addr::new(ip("2001:db8::1"));
    sample.id.dst = Addr::new(ip("2001:db8::2"));
    let mut fixed = info(AF_UNSPEC);
    fixed.id.proto = 51;
    fixed.replay_window = 32;
    fixed.family = 10;
    fixed.saddr = Address::from_ip(&ip("2001:db8::1"));
    fixed.id.daddr = Address::from_ip(&ip("2001:db8::2"));
    expect(&sample, fixed, vec![auth, other(33, DIR_IN)]);
}

#[test]
fn ipcomp_has_nothing_but_its_algorithm() {
    let mut sample = sample(false);
    sample.id.proto = Proto::Comp;
    sample.id.spi = Spi(0x1234);
    sample.spec.lifetime = Lifetime::default();
    sample.spec.set_mark = Mark { value: 1, mask: 1 };
    sample.spec.tfc = 1400;
    sample.placement = Placement::Packet(3);
    sample.transforms = Transforms::Separate {
        crypt: None,
        auth: None,
    };
    let mut fixed = info(AF_UNSPEC);
    fixed.id.proto = 108;
    fixed.id.spi = 0x1234;
    fixed.lifetime_cfg.soft_add_expires_seconds = 0;
    fixed.lifetime_cfg.hard_add_expires_seconds = 0;
    for (transform, kernel) in [(2, "deflate"), (3, "lzs"), (4, "lzjh")] {
        sample.spec.ipcomp = transform;
        let alg = XfrmAttrs::CompressionAlg(Alg {
            alg_name: name(kernel),
            alg_key_len: 0,
            alg_key: Vec::new(),
        });
        expect(&sample, fixed, vec![alg, other(33, DIR_OUT)]);
    }
    sample.spec.ipcomp = 1;
    let error = Kernel::new(Wire::new(None))
        .new_sa(&sample.message(), false)
        .unwrap_err();
    assert_eq!(
        error.text.as_deref(),
        Some("IPComp transform 1 not supported by kernel")
    );
}

#[test]
fn a_transport_sa_has_its_selector() {
    let mut sample = sample(true);
    sample.spec.mode = Mode::Transport;
    let mut sel = selector("192.0.2.1/32", "192.0.2.2/32");
    sel.proto = 17;
    sel.sport = PortMatch {
        port: 1024,
        mask: 0xfc00,
    };
    sel.dport = PortMatch {
        port: 53,
        mask: 0xffff,
    };
    sel.ifindex = 9;
    sample.selector = Some(sel);
    let mut fixed = info(ESN);
    fixed.mode = 0;
    let expected = netlink_packet_xfrm::Selector {
        saddr: Address::from_ip(&ip("192.0.2.1")),
        daddr: Address::from_ip(&ip("192.0.2.2")),
        sport: 1024,
        sport_mask: 0xfc00,
        dport: 53,
        dport_mask: 0xffff,
        family: 2,
        prefixlen_s: 32,
        prefixlen_d: 32,
        proto: 17,
        ifindex: 9,
        user: 0,
    };
    fixed.selector = expected;
    let nlas = vec![aead(), other(33, DIR_IN), esn(64)];
    expect(&sample, fixed, nlas.clone());
    // Behind IPComp in tunnel mode: no selector, any family.
    sample.selector = None;
    sample.any_family = true;
    fixed.selector = netlink_packet_xfrm::Selector::default();
    fixed.flags |= AF_UNSPEC;
    expect(&sample, fixed, nlas.clone());
    sample.any_family = false;
    sample.spec.mode = Mode::Beet;
    fixed.flags &= !AF_UNSPEC;
    fixed.mode = 4;
    expect(&sample, fixed, nlas);
}

#[test]
fn limits_of_zero_are_none() {
    let mut sample = sample(true);
    sample.spec.lifetime = Lifetime {
        time: Limit { life: 0, rekey: 0 },
        bytes: Limit {
            life: 2000,
            rekey: 1000,
        },
        packets: Limit { life: 20, rekey: 0 },
    };
    sample.spec.seq = 0x0102_0304;
    let mut fixed = info(ESN | AF_UNSPEC);
    fixed.seq = 0x0102_0304;
    fixed.lifetime_cfg = LifetimeConfig {
        soft_byte_limit: 1000,
        hard_byte_limit: 2000,
        soft_packet_limit: XFRM_INF,
        hard_packet_limit: 20,
        ..LifetimeConfig::default()
    };
    expect(&sample, fixed, vec![aead(), other(33, DIR_IN), esn(64)]);
}

/// Every attribute that an SA can have outside of IPTFS, in kernel-netlink's order.
#[test]
fn all_attributes_come_in_order() {
    let mut sample = sample(true);
    sample.spec.update = true;
    sample.spec.encap = true;
    sample.id.src.port = 0;
    sample.id.dst.port = 4500;
    sample.id.mark = Mark {
        value: 0x11,
        mask: 0xff,
    };
    sample.id.if_id = 42;
    sample.spec.label = Some(b"system_u:object_r:ipsec_spd_t:s0\0".to_vec());
    sample.spec.set_mark = Mark {
        value: 0x22,
        mask: 0xf0,
    };
    sample.spec.tfc = 1300;
    sample.spec.cpu = Some(3);
    sample.placement = Placement::Crypto(2);
    let label = sample.spec.label.clone().unwrap();
    expect(
        &sample,
        info(ESN | AF_UNSPEC),
        vec![
            aead(),
            XfrmAttrs::EncapsulationTemplate(EncapTmpl {
                encap_type: 2,
                encap_sport: 0,
                encap_dport: 4500,
                encap_oa: Address::default(),
            }),
            XfrmAttrs::MappingTimeThreshold(u32::MAX),
            XfrmAttrs::Mark(MarkNla {
                value: 0x11,
                mask: 0xff,
            }),
            XfrmAttrs::IfId(42),
            XfrmAttrs::SecurityContext(SecurityCtx {
                len: 8 + label.len() as u16,
                exttype: 8,
                ctx_alg: 1,
                ctx_doi: 1,
                ctx_len: label.len() as u16,
                ctx_str: label,
            }),
            XfrmAttrs::MarkVal(0x22),
            XfrmAttrs::MarkMask(0xf0),
            XfrmAttrs::TfcPadding(1300),
            other(33, DIR_IN),
            other(35, &3u32.to_ne_bytes()),
            esn(64),
            offload(2, 2),
        ],
    );
}

#[test]
fn the_mapping_threshold_is_for_inbound_sas_without_a_port() {
    let mut sample = sample(true);
    sample.spec.encap = true;
    sample.id.src.port = 4500;
    sample.id.dst.port = 4501;
    let encap = XfrmAttrs::EncapsulationTemplate(EncapTmpl {
        encap_type: 2,
        encap_sport: 4500,
        encap_dport: 4501,
        encap_oa: Address::default(),
    });
    expect(
        &sample,
        info(ESN | AF_UNSPEC),
        vec![aead(), encap, other(33, DIR_IN), esn(64)],
    );
}

#[test]
fn padding_is_for_tunnel_mode_esp() {
    let mut sample = sample(true);
    sample.spec.tfc = 1300;
    sample.spec.mode = Mode::Transport;
    let mut fixed = info(ESN);
    fixed.mode = 0;
    expect(&sample, fixed, vec![aead(), other(33, DIR_IN), esn(64)]);
}

#[test]
fn iptfs_has_settings_by_direction() {
    let mut sample = sample(true);
    sample.spec.mode = Mode::Iptfs;
    sample.iptfs = Iptfs {
        drop_time: 1,
        reorder_window: 2,
        init_delay: 3,
        max_queue_size: 4,
        packet_size: 5,
        dont_fragment: false,
    };
    let mut fixed = info(ESN | AF_UNSPEC);
    fixed.mode = 5;
    expect(
        &sample,
        fixed,
        vec![
            aead(),
            other(33, DIR_IN),
            other(36, &1u32.to_ne_bytes()),
            other(37, &2u16.to_ne_bytes()),
            esn(64),
        ],
    );
    sample.spec.inbound = false;
    let out = |dont_frag: bool| {
        let mut nlas = vec![
            aead(),
            other(33, DIR_OUT),
            other(39, &3u32.to_ne_bytes()),
            other(40, &4u32.to_ne_bytes()),
            other(41, &5u32.to_ne_bytes()),
        ];
        if dont_frag {
            nlas.push(other(38, &[]));
        }
        nlas.push(esn(0));
        nlas
    };
    expect(&sample, fixed, out(false));
    sample.spec.iptfs_dont_frag = true;
    expect(&sample, fixed, out(true));
    sample.spec.iptfs_dont_frag = false;
    sample.iptfs.dont_fragment = true;
    expect(&sample, fixed, out(true));
    assert_eq!(
        Iptfs::default(),
        Iptfs {
            drop_time: 1_000_000,
            reorder_window: 3,
            init_delay: 0,
            max_queue_size: 1_048_576,
            packet_size: 0,
            dont_fragment: false,
        }
    );
}

#[test]
fn a_request_that_does_not_fit_is_not_sent() {
    let wire = Wire::new(None);
    let mut sample = sample(true);
    sample.spec.label = Some(vec![b'x'; 8000]);
    let error = Kernel::new(wire.clone())
        .new_sa(&sample.message(), false)
        .unwrap_err();
    assert_eq!(error.errno, libc::EMSGSIZE);
    sample.spec.label = Some(vec![b'x'; 70000]);
    let error = Kernel::new(wire.clone())
        .new_sa(&sample.message(), false)
        .unwrap_err();
    assert_eq!(error.errno, libc::EINVAL);
    assert!(wire.take().is_empty());
}
