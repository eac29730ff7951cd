// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes an SA as `XFRM_MSG_NEWSA` or `XFRM_MSG_UPDSA`.
//!
//! Owns the rules of that message: flags, attributes and their order (kernel-netlink's, so that
//! messages can be compared), and what the kernel refuses once it knows the direction. Called by
//! `sa/mod.rs`. Must not copy a key anywhere but into the request.
#![forbid(unsafe_code)]

use super::super::consts::{
    ALG_NAME_LEN, REPLAY_WINDOW_MAX, SC_ALG_SELINUX, SC_DOI_LSM, SEC_CTX_LEN, UDP_ENCAP_ESPINUDP,
    XFRM_INF, XFRM_MSG_NEWSA, XFRM_MSG_UPDSA, XFRM_OFFLOAD_INBOUND, XFRM_OFFLOAD_PACKET,
    XFRM_SA_DIR_IN, XFRM_SA_DIR_OUT, XFRM_SA_XFLAG_DONT_ENCAP_DSCP, XFRM_STATE_AF_UNSPEC,
    XFRM_STATE_ALIGN4, XFRM_STATE_DECAP_DSCP, XFRM_STATE_ESN, XFRM_STATE_ICMP, XFRM_STATE_NOECN,
    XFRM_STATE_NOPMTUDISC, XFRMA_ALG_AEAD, XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_COMP,
    XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_IF_ID, XFRMA_IPTFS_DONT_FRAG, XFRMA_IPTFS_DROP_TIME,
    XFRMA_IPTFS_INIT_DELAY, XFRMA_IPTFS_MAX_QSIZE, XFRMA_IPTFS_PKT_SIZE,
    XFRMA_IPTFS_REORDER_WINDOW, XFRMA_MARK, XFRMA_MTIMER_THRESH, XFRMA_OFFLOAD_DEV,
    XFRMA_REPLAY_ESN_VAL, XFRMA_SA_DIR, XFRMA_SA_EXTRA_FLAGS, XFRMA_SA_PCPU, XFRMA_SEC_CTX,
    XFRMA_SET_MARK, XFRMA_SET_MARK_MASK, XFRMA_TFCPAD,
};
use super::super::request::Request;
use super::{Replay, SaMessage};
use crate::error::KernelError;
use crate::model::{DscpCopy, Key, Limit, Mode, Placement, Proto, Selector, Transforms, family_of};

/// The replay window in its two forms and whether sequence numbers are extended.
struct Window {
    legacy: u8,
    bitmap: Option<u32>,
    esn: bool,
}

/// The message. `direction` tells whether the kernel knows directions: then an outbound SA has no
/// replay window; else one with ESN needs one of at least one packet.
pub(super) fn new_sa(
    message: &SaMessage<'_>,
    update: bool,
    direction: bool,
) -> Result<Request, KernelError> {
    let (name, kind) = if update {
        ("XFRM_MSG_UPDSA", XFRM_MSG_UPDSA)
    } else {
        ("XFRM_MSG_NEWSA", XFRM_MSG_NEWSA)
    };
    let mut request = Request::new(name, kind, 0);
    let window = window(message, u32::from(!direction)).map_err(|text| refuse(name, text))?;
    put_info(&mut request, message, &window);
    put_attributes(&mut request, message, &window, direction).map_err(|text| refuse(name, text))?;
    request.check()?;
    Ok(request)
}

fn refuse(name: &'static str, text: String) -> KernelError {
    KernelError {
        request: name,
        errno: libc::EINVAL,
        text: Some(text),
        attribute: None,
    }
}

fn window(message: &SaMessage<'_>, outbound_window: u32) -> Result<Window, String> {
    let none = Window {
        legacy: 0,
        bitmap: None,
        esn: false,
    };
    if message.id.proto == Proto::Comp {
        return Ok(none);
    }
    Ok(match message.replay {
        Replay::None => none,
        // Nothing is received by an outbound SA, and the kernel refuses a window for one.
        Replay::Legacy(_) | Replay::Esn { esn: false, .. } if !message.spec.inbound => none,
        Replay::Legacy(window) => Window {
            legacy: u8::try_from(window)
                .ok()
                .filter(|window| *window <= 32)
                .ok_or_else(|| {
                    format!("replay window of {window} packets needs XFRMA_REPLAY_ESN_VAL")
                })?,
            ..none
        },
        Replay::Esn { esn, .. } if !message.spec.inbound => Window {
            bitmap: Some(outbound_window),
            esn,
            ..none
        },
        Replay::Esn { window, .. } if window > REPLAY_WINDOW_MAX => {
            return Err(format!(
                "replay window of {window} packets is larger than the kernel's {REPLAY_WINDOW_MAX}"
            ));
        }
        Replay::Esn { window, esn } => Window {
            bitmap: Some(window),
            esn,
            ..none
        },
    })
}

fn flags(message: &SaMessage<'_>, window: &Window) -> u8 {
    let spec = message.spec;
    let mut flags = 0;
    let mut set = |condition: bool, flag: u8| {
        if condition {
            flags |= flag;
        }
    };
    set(!spec.copy_ecn, XFRM_STATE_NOECN);
    set(spec.inbound && spec.forward_icmp, XFRM_STATE_ICMP);
    set(
        spec.inbound && matches!(spec.copy_dscp, DscpCopy::Yes | DscpCopy::InOnly),
        XFRM_STATE_DECAP_DSCP,
    );
    set(!spec.inbound && !spec.copy_df, XFRM_STATE_NOPMTUDISC);
    set(
        matches!(spec.mode, Mode::Tunnel | Mode::Iptfs)
            || (message.any_family && message.selector.is_none()),
        XFRM_STATE_AF_UNSPEC,
    );
    // The kernel's default of 8 bytes is right for IPv6 only (RFC 4302, 3.3.3.2.1).
    set(
        message.id.proto == Proto::Ah && message.id.src.ip.is_ipv4(),
        XFRM_STATE_ALIGN4,
    );
    set(window.esn, XFRM_STATE_ESN);
    flags
}

/// `struct xfrm_usersa_info`
fn put_info(request: &mut Request, message: &SaMessage<'_>, window: &Window) {
    let (id, spec) = (message.id, message.spec);
    put_selector(request, message.selector.as_ref());
    request.put_address(id.dst.ip);
    request.put(&id.spi.0.to_be_bytes());
    request.put(&[id.proto.number(), 0, 0, 0]);
    request.put_address(id.src.ip);
    let limit = |value: u64| if value == 0 { XFRM_INF } else { value };
    let Limit { life, rekey } = spec.lifetime.bytes;
    request.put_u64(limit(rekey));
    request.put_u64(limit(life));
    let Limit { life, rekey } = spec.lifetime.packets;
    request.put_u64(limit(rekey));
    request.put_u64(limit(life));
    // Counted from the moment the SA is added, 0 = never; those counted from its first use are not
    // used.
    request.put_u64(spec.lifetime.time.rekey);
    request.put_u64(spec.lifetime.time.life);
    request.put(&[0; 16]);
    // curlft and stats are the kernel's.
    request.put(&[0; 32 + 12]);
    request.put_u32(spec.seq);
    request.put_u32(spec.reqid);
    request.put_u16(family_of(id.src.ip));
    request.put_u8(spec.mode.xfrm());
    request.put_u8(window.legacy);
    request.put_u8(flags(message, window));
    request.put(&[0; 7]);
}

/// `struct xfrm_selector`; all zeroes match everything.
pub(in super::super) fn put_selector(request: &mut Request, selector: Option<&Selector>) {
    let Some(selector) = selector else {
        request.put(&[0; super::super::consts::selector::LEN]);
        return;
    };
    request.put_address(selector.dst.first());
    request.put_address(selector.src.first());
    for port in [
        selector.dport.port,
        selector.dport.mask,
        selector.sport.port,
        selector.sport.mask,
    ] {
        request.put(&port.to_be_bytes());
    }
    request.put_u16(family_of(selector.src.first()));
    request.put_u8(selector.dst.len());
    request.put_u8(selector.src.len());
    request.put(&[selector.proto, 0, 0, 0]);
    request.put_u32(selector.ifindex);
    request.put_u32(0);
}

fn put_attributes(
    request: &mut Request,
    message: &SaMessage<'_>,
    window: &Window,
    direction: bool,
) -> Result<(), String> {
    let (id, spec) = (message.id, message.spec);
    let comp = id.proto == Proto::Comp;
    if !spec.inbound && matches!(spec.copy_dscp, DscpCopy::InOnly | DscpCopy::No) {
        request.attribute_u32(XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_DONT_ENCAP_DSCP);
    }
    put_transforms(request, message)?;
    if spec.encap {
        put_encap(request, id.src.port, id.dst.port);
        // An SA of one CPU accepts packets of any port of the peer; without this each of them would
        // be reported as a change of the peer's address.
        if spec.inbound && id.src.port == 0 {
            request.attribute_u32(XFRMA_MTIMER_THRESH, u32::MAX);
        }
    }
    if id.mark.is_set() {
        put_pair(request, XFRMA_MARK, id.mark.value, id.mark.mask);
    }
    if id.if_id != 0 {
        request.attribute_u32(XFRMA_IF_ID, id.if_id);
    }
    if let Some(label) = spec.label.as_deref() {
        put_label(request, label)?;
    }
    if !comp && spec.set_mark.is_set() {
        request.attribute_u32(XFRMA_SET_MARK, spec.set_mark.value);
        request.attribute_u32(XFRMA_SET_MARK_MASK, spec.set_mark.mask);
    }
    // The kernel pads in tunnel mode ESP only.
    if spec.tfc != 0 && id.proto == Proto::Esp && spec.mode == Mode::Tunnel {
        request.attribute_u32(XFRMA_TFCPAD, spec.tfc);
    }
    if direction {
        let direction = if spec.inbound {
            XFRM_SA_DIR_IN
        } else {
            XFRM_SA_DIR_OUT
        };
        request.attribute(XFRMA_SA_DIR, &[direction]);
    }
    if let Some(cpu) = spec.cpu {
        request.attribute_u32(XFRMA_SA_PCPU, cpu);
    }
    if spec.mode == Mode::Iptfs {
        put_iptfs(request, message);
    }
    if let Some(packets) = window.bitmap {
        put_replay_esn(request, packets);
    }
    if !comp {
        put_offload(request, message.placement, spec.inbound);
    }
    Ok(())
}

fn put_transforms(request: &mut Request, message: &SaMessage<'_>) -> Result<(), String> {
    let spec = message.spec;
    if message.id.proto == Proto::Comp {
        // IANA transforms of IPComp, RFC 3173 and successors.
        let name = match spec.ipcomp {
            2 => "deflate",
            3 => "lzs",
            4 => "lzjh",
            other => return Err(format!("IPComp transform {other} not supported by kernel")),
        };
        return put_algorithm(request, XFRMA_ALG_COMP, name, &[], &Key::default());
    }
    match message.transforms {
        Transforms::Aead { name, icv_bits } => put_algorithm(
            request,
            XFRMA_ALG_AEAD,
            name,
            &icv_bits.to_ne_bytes(),
            &spec.enc_key,
        ),
        Transforms::Separate { crypt, auth } => {
            if let Some(name) = crypt {
                put_algorithm(request, XFRMA_ALG_CRYPT, name, &[], &spec.enc_key)?;
            }
            match auth {
                Some((name, Some(truncation))) => put_algorithm(
                    request,
                    XFRMA_ALG_AUTH_TRUNC,
                    name,
                    &truncation.to_ne_bytes(),
                    &spec.int_key,
                ),
                Some((name, None)) => {
                    put_algorithm(request, XFRMA_ALG_AUTH, name, &[], &spec.int_key)
                }
                None => Ok(()),
            }
        }
    }
}

/// `struct xfrm_algo`, `xfrm_algo_aead`, `xfrm_algo_auth`: name, key length in bits, what the kind
/// has beside, key.
fn put_algorithm(
    request: &mut Request,
    kind: u16,
    name: &str,
    extra: &[u8],
    key: &Key,
) -> Result<(), String> {
    let mut padded = [0; ALG_NAME_LEN];
    if name.len() >= ALG_NAME_LEN {
        return Err(format!(
            "algorithm name \"{name}\" has more than {} characters",
            ALG_NAME_LEN - 1
        ));
    }
    padded[..name.len()].copy_from_slice(name.as_bytes());
    let bits = u32::try_from(key.len() * 8).map_err(|_| "key too long".to_owned())?;
    request.attribute_parts(kind, &[&padded, &bits.to_ne_bytes(), extra, key.expose()]);
    Ok(())
}

/// `struct xfrm_encap_tmpl` for RFC 3948; the original address is not used by the kernel.
pub(super) fn put_encap(request: &mut Request, sport: u16, dport: u16) {
    request.attribute_parts(
        XFRMA_ENCAP,
        &[
            &UDP_ENCAP_ESPINUDP.to_ne_bytes(),
            &sport.to_be_bytes(),
            &dport.to_be_bytes(),
            &[0; 18],
        ],
    );
}

fn put_pair(request: &mut Request, kind: u16, first: u32, second: u32) {
    request.attribute_parts(kind, &[&first.to_ne_bytes(), &second.to_ne_bytes()]);
}

/// `struct xfrm_user_sec_ctx`, which repeats the length and the number of the attribute.
fn put_label(request: &mut Request, label: &[u8]) -> Result<(), String> {
    let len = u16::try_from(label.len())
        .ok()
        .filter(|len| len.checked_add(SEC_CTX_LEN as u16).is_some())
        .ok_or_else(|| format!("security label of {} bytes is too long", label.len()))?;
    request.attribute_parts(
        XFRMA_SEC_CTX,
        &[
            &(len + SEC_CTX_LEN as u16).to_ne_bytes(),
            &XFRMA_SEC_CTX.to_ne_bytes(),
            &[SC_ALG_SELINUX, SC_DOI_LSM],
            &len.to_ne_bytes(),
            label,
        ],
    );
    Ok(())
}

fn put_iptfs(request: &mut Request, message: &SaMessage<'_>) {
    let settings = &message.iptfs;
    if message.spec.inbound {
        request.attribute_u32(XFRMA_IPTFS_DROP_TIME, settings.drop_time);
        request.attribute(
            XFRMA_IPTFS_REORDER_WINDOW,
            &settings.reorder_window.to_ne_bytes(),
        );
    } else {
        request.attribute_u32(XFRMA_IPTFS_INIT_DELAY, settings.init_delay);
        request.attribute_u32(XFRMA_IPTFS_MAX_QSIZE, settings.max_queue_size);
        request.attribute_u32(XFRMA_IPTFS_PKT_SIZE, settings.packet_size);
        if message.spec.iptfs_dont_frag || settings.dont_fragment {
            request.attribute(XFRMA_IPTFS_DONT_FRAG, &[]);
        }
    }
}

/// `struct xfrm_replay_state_esn` at its beginning, with an empty bitmap.
fn put_replay_esn(request: &mut Request, packets: u32) {
    let words = packets.div_ceil(32);
    let bitmap = [0; REPLAY_WINDOW_MAX as usize / 8];
    request.attribute_parts(
        XFRMA_REPLAY_ESN_VAL,
        &[
            &words.to_ne_bytes(),
            &[0; 16],
            &packets.to_ne_bytes(),
            &bitmap[..words as usize * 4],
        ],
    );
}

/// `struct xfrm_user_offload`, with its padding: the kernel refuses fewer than 8 bytes.
pub(super) fn put_offload(request: &mut Request, placement: Placement, inbound: bool) {
    let Some(ifindex) = placement.device() else {
        return;
    };
    let mut flags = 0;
    if inbound {
        flags |= XFRM_OFFLOAD_INBOUND;
    }
    if placement.is_packet() {
        flags |= XFRM_OFFLOAD_PACKET;
    }
    request.attribute_parts(
        XFRMA_OFFLOAD_DEV,
        &[&ifindex.to_ne_bytes(), &[flags, 0, 0, 0]],
    );
}
