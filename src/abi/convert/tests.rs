// SPDX-License-Identifier: GPL-2.0-or-later
//! Every field arrives where it belongs: the values are all different, so that two fields that
//! are mixed up do not look alike. What is refused is the subject of `tests/boundary/`, where the
//! caller is C.

use super::*;

const V4: u16 = libc::AF_INET as u16;
const V6: u16 = libc::AF_INET6 as u16;

fn c_addr(last: u8, port: u16) -> c::fs_addr {
    let mut addr = c::fs_addr {
        family: V4,
        port,
        ..Default::default()
    };
    addr.bytes[..4].copy_from_slice(&[192, 0, 2, last]);
    addr
}

fn c_ts(net: u8) -> c::fs_ts {
    let mut ts = c::fs_ts {
        family: V6,
        proto: net,
        from_port: 1000 + u16::from(net),
        to_port: 2000 + u16::from(net),
        ..Default::default()
    };
    ts.from[0] = 0xfd;
    ts.from[1] = net;
    ts.to = [0xff; 16];
    ts.to[0] = 0xfd;
    ts.to[1] = net;
    ts
}

fn ts(net: u8) -> TrafficSelector {
    TrafficSelector {
        from: format!("fd{net:02x}::").parse().unwrap(),
        to: format!("fd{net:02x}:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
            .parse()
            .unwrap(),
        proto: net,
        from_port: 1000 + u16::from(net),
        to_port: 2000 + u16::from(net),
    }
}

fn a_mark(value: u32) -> c::fs_mark {
    c::fs_mark {
        value,
        mask: value << 8,
    }
}

fn chunk(bytes: &[u8]) -> c::fs_chunk {
    c::fs_chunk {
        ptr: bytes.as_ptr(),
        len: bytes.len(),
    }
}

#[test]
fn an_sa_id() {
    let raw = c::fs_sa_id {
        src: c_addr(1, 4500),
        dst: c_addr(2, 4501),
        spi: 0xc123_4567_u32.to_be(),
        if_id: 7,
        mark: a_mark(8),
        proto: 51,
        reserved: [0xff; 7],
    };
    // SAFETY: A local that outlives the call.
    let id = unsafe { sa_id(&raw const raw) }.unwrap();
    assert_eq!(id.src.to_string(), "192.0.2.1[4500]");
    assert_eq!(id.dst.to_string(), "192.0.2.2[4501]");
    assert_eq!(id.spi, Spi(0xc123_4567));
    assert_eq!((id.proto, id.if_id), (Proto::Ah, 7));
    assert_eq!((id.mark.value, id.mark.mask), (8, 0x800));
}

#[test]
fn every_field_of_an_sa() {
    let (src, dst) = ([c_ts(1), c_ts(2)], [c_ts(3)]);
    let (enc, int, context) = ([1_u8; 36], [2_u8; 20], b"system_u:object_r:x:s0\0");
    let mut raw = c::fs_sa {
        src_ts: c::fs_ts_list {
            items: src.as_ptr(),
            len: src.len(),
        },
        dst_ts: c::fs_ts_list {
            items: dst.as_ptr(),
            len: dst.len(),
        },
        interface: c"eth7".as_ptr(),
        name: c"gw-gw[3]".as_ptr(),
        enc_key: chunk(&enc),
        int_key: chunk(&int),
        label: chunk(context),
        lifetime: c::fs_lifetime {
            time: c::fs_limit {
                life: 1,
                rekey: 2,
                jitter: 3,
            },
            bytes: c::fs_limit {
                life: 4,
                rekey: 5,
                jitter: 6,
            },
            packets: c::fs_limit {
                life: 7,
                rekey: 8,
                jitter: 9,
            },
        },
        reqid: 10,
        seq: 11,
        replay_window: 12,
        tfc: 13,
        cpu: 14,
        set_mark: a_mark(15),
        enc_alg: 16,
        int_alg: 17,
        ipcomp: 2,
        cpi: 18,
        mode: c::FS_MODE_IPTFS as u8,
        hw_offload: c::FS_OFFLOAD_PACKET as u8,
        copy_dscp: c::FS_DSCP_IN_ONLY as u8,
        ..Default::default()
    };
    // SAFETY: Locals that outlive the call.
    let spec = unsafe { sa_spec(&raw const raw) }.unwrap();
    assert_eq!(spec.src_ts, [ts(1), ts(2)]);
    assert_eq!(spec.dst_ts, [ts(3)]);
    assert_eq!(spec.interface.as_deref(), Some("eth7"));
    assert_eq!(spec.name, "gw-gw[3]");
    assert_eq!(spec.enc_key.expose(), enc);
    assert_eq!(spec.int_key.expose(), int);
    assert_eq!(spec.label.as_deref(), Some(&context[..]));
    let limits = [
        spec.lifetime.time,
        spec.lifetime.bytes,
        spec.lifetime.packets,
    ];
    assert_eq!(limits.map(|limit| limit.life), [1, 4, 7]);
    assert_eq!(limits.map(|limit| limit.rekey), [2, 5, 8]);
    assert_eq!((spec.reqid, spec.seq), (10, 11));
    assert_eq!((spec.replay_window, spec.tfc, spec.cpu), (12, 13, Some(14)));
    assert_eq!((spec.set_mark.value, spec.set_mark.mask), (15, 15 << 8));
    assert_eq!((spec.enc_alg, spec.int_alg), (16, 17));
    assert_eq!((spec.ipcomp, spec.cpi), (2, 18));
    assert_eq!((spec.mode, spec.offload), (Mode::Iptfs, Offload::Packet));
    assert_eq!(spec.copy_dscp, DscpCopy::InOnly);

    // No CPU has a number of its own.
    raw.cpu = c::FS_CPU_NONE;
    // SAFETY: As above.
    assert_eq!(unsafe { sa_spec(&raw const raw) }.unwrap().cpu, None);

    // One flag at a time; any value but 0 is yes.
    type Flag = (fn(&mut c::fs_sa) -> &mut u8, fn(&SaSpec) -> bool);
    let flags: [Flag; 9] = [
        (|raw| &mut raw.encap, |spec| spec.encap),
        (|raw| &mut raw.esn, |spec| spec.esn),
        (|raw| &mut raw.copy_df, |spec| spec.copy_df),
        (|raw| &mut raw.copy_ecn, |spec| spec.copy_ecn),
        (|raw| &mut raw.iptfs_dont_frag, |spec| spec.iptfs_dont_frag),
        (|raw| &mut raw.forward_icmp, |spec| spec.forward_icmp),
        (|raw| &mut raw.initiator, |spec| spec.initiator),
        (|raw| &mut raw.inbound, |spec| spec.inbound),
        (|raw| &mut raw.update, |spec| spec.update),
    ];
    for (at, (set, _)) in flags.iter().enumerate() {
        *set(&mut raw) = 0x80;
        // SAFETY: As above.
        let spec = unsafe { sa_spec(&raw const raw) }.unwrap();
        for (other, (_, get)) in flags.iter().enumerate() {
            assert_eq!(get(&spec), at == other, "flags {at} and {other}");
        }
        *set(&mut raw) = 0;
    }
}

#[test]
fn an_update_of_an_sa() {
    let mut raw = c::fs_update_sa {
        new_src: c_addr(3, 1),
        new_dst: c_addr(4, 2),
        new_reqid: 5,
        cpi: 6,
        encap: 1,
        new_encap: 0,
        // Nothing of this counts unless it is known.
        mode: 77,
        hw_offload: 77,
        ..c::fs_update_sa::default()
    };
    // SAFETY: A local that outlives the call.
    let update = unsafe { sa_update(&raw const raw) }.unwrap();
    assert!(update.sa.is_none() && update.old_reqid.is_none());
    assert_eq!(update.new_src.to_string(), "192.0.2.3[1]");
    assert_eq!(update.new_dst.to_string(), "192.0.2.4[2]");
    assert_eq!((update.new_reqid, update.cpi), (Some(5), 6));
    assert_eq!((update.encap, update.new_encap), (true, false));
    raw.new_reqid = 0;
    (raw.encap, raw.new_encap) = (0, 1);
    // SAFETY: A local that outlives the call.
    let update = unsafe { sa_update(&raw const raw) }.unwrap();
    assert_eq!(update.new_reqid, None);
    assert_eq!((update.encap, update.new_encap), (false, true));
}

#[test]
fn an_update_that_says_what_the_sa_is() {
    let selectors = [c_ts(1), c_ts(2), c_ts(3)];
    let raw = c::fs_update_sa {
        new_src: c_addr(3, 1),
        new_dst: c_addr(4, 2),
        src_ts: c::fs_ts_list {
            items: &raw const selectors[0],
            len: 2,
        },
        dst_ts: c::fs_ts_list {
            items: &raw const selectors[2],
            len: 1,
        },
        interface: c"eth7".as_ptr(),
        old_reqid: 8,
        known: 1,
        mode: c::FS_MODE_BEET as u8,
        hw_offload: c::FS_OFFLOAD_AUTO as u8,
        inbound: 1,
        ..c::fs_update_sa::default()
    };
    // SAFETY: Locals that outlive the call.
    let update = unsafe { sa_update(&raw const raw) }.unwrap();
    let sa = update.sa.unwrap();
    assert_eq!(update.old_reqid, Some(8));
    assert_eq!((sa.mode, sa.offload), (Mode::Beet, Offload::Auto));
    assert!(sa.inbound);
    assert_eq!(sa.interface.as_deref(), Some("eth7"));
    assert_eq!(sa.src_ts, [ts(1), ts(2)]);
    assert_eq!(sa.dst_ts, [ts(3)]);
    for raw in [
        c::fs_update_sa { mode: 0, ..raw },
        c::fs_update_sa { mode: 77, ..raw },
        c::fs_update_sa {
            hw_offload: 77,
            ..raw
        },
        c::fs_update_sa {
            src_ts: c::fs_ts_list::default(),
            ..raw
        },
    ] {
        // SAFETY: Locals that outlive the call.
        assert!(unsafe { sa_update(&raw const raw) }.is_err());
    }
}

#[test]
fn names_of_interfaces_fit_their_room() {
    let interface = Xfrmi {
        ifindex: 1,
        name: "fifteen-letters".into(),
        if_id: 2,
        lower: Some(3),
        phys: None,
        mtu: 4,
    };
    let raw = xfrmi(&interface);
    assert_eq!((raw.if_id, raw.mtu, raw.phys), (2, 4, [0; 16]));
    // SAFETY: Arrays that end with a NUL.
    unsafe {
        assert_eq!(CStr::from_ptr(raw.name.as_ptr()), c"fifteen-letters");
        assert_eq!(
            interface_name(c"fifteen-letters".as_ptr()),
            Ok(Some("fifteen-letters".into()))
        );
        assert!(interface_name(c"sixteen--letters".as_ptr()).is_err());
        assert_eq!(interface_name(std::ptr::null()), Ok(None));
    }
}

/// # Safety
/// As for [`text`].
unsafe fn interface_name(pointer: *const c_char) -> Result<Option<String>> {
    // SAFETY: As promised by the caller.
    unsafe { interface(pointer, "name") }
}

#[test]
fn every_field_of_a_policy() {
    let raw = c::fs_policy_id {
        src_ts: c_ts(1),
        dst_ts: c_ts(2),
        interface: c"eth8".as_ptr(),
        label: chunk(b"label\0"),
        mark: a_mark(3),
        if_id: 4,
        dir: c::FS_DIR_FWD as u8,
        reserved: [0xff; 3],
    };
    // SAFETY: Locals that outlive the call.
    let id = unsafe { policy_id(&raw const raw) }.unwrap();
    assert_eq!((id.src_ts, id.dst_ts), (ts(1), ts(2)));
    assert_eq!(id.interface.as_deref(), Some("eth8"));
    assert_eq!(id.label.as_deref(), Some(&b"label\0"[..]));
    assert_eq!((id.mark.value, id.mark.mask, id.if_id), (3, 0x300, 4));
    assert_eq!(id.dir, Direction::Fwd);

    let mut raw = c::fs_policy {
        name: c"gw-gw[4]".as_ptr(),
        src: c_addr(5, 6),
        dst: c_addr(7, 8),
        manual_prio: 9,
        reqid: 10,
        policy_count: 11,
        esp_spi: 12_u32.to_be(),
        ah_spi: 13_u32.to_be(),
        ipcomp: 4,
        cpi: 14,
        type_: c::FS_POLICY_DROP as u8,
        prio: c::FS_PRIO_FALLBACK as u8,
        hw_offload: c::FS_OFFLOAD_AUTO as u8,
        mode: c::FS_MODE_BEET as u8,
        esp: 1,
        ah: 0,
        pcpu_acquires: 1,
        forward_icmp: 0,
    };
    // SAFETY: As above.
    let spec = unsafe { policy_spec(&raw const raw) }.unwrap();
    assert_eq!(spec.name, "gw-gw[4]");
    assert_eq!(spec.src.unwrap().to_string(), "192.0.2.5[6]");
    assert_eq!(spec.dst.unwrap().to_string(), "192.0.2.7[8]");
    assert_eq!((spec.manual_prio, spec.kind), (9, PolicyKind::Drop));
    assert_eq!(spec.class, PriorityClass::Fallback);
    assert_eq!(spec.offload, Offload::Auto);
    assert_eq!((spec.pcpu_acquires, spec.forward_icmp), (true, false));
    assert_eq!((spec.sa.reqid, spec.sa.policy_count), (10, 11));
    assert_eq!((spec.sa.esp, spec.sa.ah), (Some(Spi(12)), None));
    assert_eq!((spec.sa.ipcomp, spec.sa.cpi), (4, 14));
    assert_eq!(spec.sa.mode, Some(Mode::Beet));

    (raw.esp, raw.ah) = (0, 1);
    (raw.pcpu_acquires, raw.forward_icmp) = (0, 1);
    (raw.src.family, raw.dst.family) = (0, 0);
    // SAFETY: As above.
    let spec = unsafe { policy_spec(&raw const raw) }.unwrap();
    assert_eq!((spec.sa.esp, spec.sa.ah), (None, Some(Spi(13))));
    assert_eq!((spec.pcpu_acquires, spec.forward_icmp), (false, true));
    assert_eq!((spec.src, spec.dst), (None, None));
}

#[test]
fn numbers_of_the_header_are_the_words_they_stand_for() {
    for (number, word) in [
        (c::FS_DIR_IN, Direction::In),
        (c::FS_DIR_OUT, Direction::Out),
        (c::FS_DIR_FWD, Direction::Fwd),
    ] {
        assert_eq!(Direction::from_xfrm(number as u8), Some(word));
    }
    for (number, word) in [
        (c::FS_MODE_NONE, None),
        (c::FS_MODE_TRANSPORT, Some(Mode::Transport)),
        (c::FS_MODE_TUNNEL, Some(Mode::Tunnel)),
        (c::FS_MODE_BEET, Some(Mode::Beet)),
        (c::FS_MODE_PASS, None),
        (c::FS_MODE_DROP, None),
        (c::FS_MODE_IPTFS, Some(Mode::Iptfs)),
    ] {
        assert_eq!(mode(number as u8).unwrap(), word);
    }
    assert_eq!(offload(0).unwrap(), Offload::No);
    assert_eq!(offload(1).unwrap(), Offload::Crypto);
    assert_eq!(dscp_copy(0).unwrap(), DscpCopy::OutOnly);
    assert_eq!(dscp_copy(2).unwrap(), DscpCopy::Yes);
    assert_eq!(dscp_copy(3).unwrap(), DscpCopy::No);
}

#[test]
fn an_opaque_port_is_no_empty_range() {
    let mut raw = c_ts(1);
    (raw.from_port, raw.to_port) = (u16::MAX, 0);
    assert!(selector(&raw, "selector").is_ok());
    (raw.from_port, raw.to_port) = (u16::MAX, 1);
    assert!(selector(&raw, "selector").is_err());
}

#[test]
fn misaligned_pointers_are_refused_before_they_are_read() {
    let raw = [c::fs_update_sa::default(); 2];
    let inside = (&raw const raw).cast::<u8>().wrapping_add(1);
    // SAFETY: The memory behind the pointer is valid; only its alignment is not.
    let result = unsafe { sa_update(inside.cast()) };
    assert!(result.unwrap_err().to_string().contains("misaligned"));
}
