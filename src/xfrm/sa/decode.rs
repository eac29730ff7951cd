// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads an SA from `XFRM_MSG_NEWSA`.
//!
//! Owns what we understand of the kernel's description of an SA. Called by `sa/mod.rs`. Must not
//! touch the attributes that hold keys, nor panic on any bytes.
#![forbid(unsafe_code)]

use super::super::consts::{
    XFRM_INF, XFRM_MSG_NEWSA, XFRM_MSG_UPDSA, XFRM_OFFLOAD_INBOUND, XFRM_OFFLOAD_PACKET,
    XFRM_SA_DIR_IN, XFRM_SA_DIR_OUT, XFRM_STATE_ESN, XFRMA_ALG_AEAD, XFRMA_ALG_AUTH,
    XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_COMP, XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_IF_ID,
    XFRMA_LASTUSED, XFRMA_MARK, XFRMA_OFFLOAD_DEV, XFRMA_REPLAY_ESN_VAL, XFRMA_REPLAY_VAL,
    XFRMA_SA_DIR, XFRMA_SA_PCPU, encap, lifetime_cur, replay_esn, selector as sel, usersa,
};
use super::super::request::{Reply, be16_at, be32_at, ip_at, u8_at, u16_at, u32_at, u64_at};
use super::{ReplayState, SaState};
use crate::model::{
    Addr, Lifetime, Limit, Mark, Placement, PortMatch, Prefix, Proto, SaId, Selector, Spi,
};

/// See [`SaState::decode`].
pub(super) fn state(reply: &Reply) -> Option<SaState> {
    if !matches!(reply.kind(), XFRM_MSG_NEWSA | XFRM_MSG_UPDSA) {
        return None;
    }
    let mut state = fixed(reply.payload())?;
    let mut offload_inbound = None;
    for (kind, value) in reply.attributes(usersa::LEN) {
        match kind {
            // What kind of algorithm matters, what it holds does not.
            XFRMA_ALG_AEAD | XFRMA_ALG_CRYPT | XFRMA_ALG_AUTH | XFRMA_ALG_AUTH_TRUNC
            | XFRMA_ALG_COMP => state.larval = false,
            XFRMA_MARK => state.id.mark = mark(value)?,
            XFRMA_IF_ID => state.id.if_id = u32_at(value, 0)?,
            XFRMA_SA_PCPU => state.cpu = Some(u32_at(value, 0)?),
            XFRMA_LASTUSED => state.last_used = u64_at(value, 0),
            XFRMA_ENCAP => {
                state.encap = true;
                state.id.src.port = be16_at(value, encap::SPORT)?;
                state.id.dst.port = be16_at(value, encap::DPORT)?;
            }
            XFRMA_SA_DIR => {
                state.inbound = match u8_at(value, 0)? {
                    XFRM_SA_DIR_IN => Some(true),
                    XFRM_SA_DIR_OUT => Some(false),
                    _ => None,
                };
            }
            XFRMA_OFFLOAD_DEV => {
                let ifindex = u32_at(value, 0)?;
                let flags = u8_at(value, 4)?;
                offload_inbound = Some(flags & XFRM_OFFLOAD_INBOUND != 0);
                state.placement = if flags & XFRM_OFFLOAD_PACKET != 0 {
                    Placement::Packet(ifindex)
                } else {
                    Placement::Crypto(ifindex)
                };
            }
            XFRMA_REPLAY_ESN_VAL => {
                state.replay.bitmap = true;
                state.replay.window = u32_at(value, replay_esn::WINDOW)?;
                state.replay.oseq = halves(value, replay_esn::OSEQ_HI, replay_esn::OSEQ)?;
                state.replay.seq = halves(value, replay_esn::SEQ_HI, replay_esn::SEQ)?;
            }
            XFRMA_REPLAY_VAL => {
                state.replay.oseq = u64::from(u32_at(value, 0)?);
                state.replay.seq = u64::from(u32_at(value, 4)?);
            }
            _ => {}
        }
    }
    state.inbound = state.inbound.or(offload_inbound);
    Some(state)
}

/// `struct xfrm_usersa_info`
fn fixed(info: &[u8]) -> Option<SaState> {
    let info = info.get(..usersa::LEN)?;
    let family = u16_at(info, usersa::FAMILY)?;
    let flags = u8_at(info, usersa::FLAGS)?;
    let current = &info[usersa::CURLFT..];
    // struct xfrm_stats: replay_window (packets before the window), replay (replayed packets),
    // integrity_failed
    let statistics = &info[usersa::STATS..];
    Some(SaState {
        id: SaId {
            src: Addr::new(ip_at(info, usersa::SADDR, family)?),
            dst: Addr::new(ip_at(info, usersa::DADDR, family)?),
            spi: Spi(be32_at(info, usersa::SPI)?),
            proto: Proto::from_number(u8_at(info, usersa::PROTO)?)?,
            mark: Mark::default(),
            if_id: 0,
        },
        reqid: u32_at(info, usersa::REQID)?,
        mode_xfrm: u8_at(info, usersa::MODE)?,
        placement: Placement::Software,
        inbound: None,
        larval: true,
        encap: false,
        bytes: u64_at(current, lifetime_cur::BYTES)?,
        packets: u64_at(current, lifetime_cur::PACKETS)?,
        add_time: u64_at(current, lifetime_cur::ADD_TIME)?,
        use_time: u64_at(current, lifetime_cur::USE_TIME)?,
        last_used: None,
        seq: u32_at(info, usersa::SEQ)?,
        cpu: None,
        flags,
        lifetime: lifetime(&info[usersa::LFT..])?,
        selector: selector(info),
        replay: ReplayState {
            window: u32::from(u8_at(info, usersa::REPLAY_WINDOW)?),
            esn: flags & XFRM_STATE_ESN != 0,
            ..ReplayState::default()
        },
        integrity_failed: u32_at(statistics, 8)?,
        replay_errors: u32_at(statistics, 0)?.wrapping_add(u32_at(statistics, 4)?),
    })
}

/// `struct xfrm_lifetime_cfg`: soft and hard limits of bytes and packets, then of seconds.
fn lifetime(bytes: &[u8]) -> Option<Lifetime> {
    let limit =
        |offset| u64_at(bytes, offset).map(|value| if value == XFRM_INF { 0 } else { value });
    Some(Lifetime {
        bytes: Limit {
            rekey: limit(0)?,
            life: limit(8)?,
        },
        packets: Limit {
            rekey: limit(16)?,
            life: limit(24)?,
        },
        time: Limit {
            rekey: limit(32)?,
            life: limit(40)?,
        },
    })
}

fn halves(bytes: &[u8], high: usize, low: usize) -> Option<u64> {
    Some(u64::from(u32_at(bytes, high)?) << 32 | u64::from(u32_at(bytes, low)?))
}

/// `struct xfrm_mark`
pub(in super::super) fn mark(value: &[u8]) -> Option<Mark> {
    Some(Mark {
        value: u32_at(value, 0)?,
        mask: u32_at(value, 4)?,
    })
}

/// `struct xfrm_selector` at the beginning of the bytes; `None` if its family is any.
pub(in super::super) fn selector(bytes: &[u8]) -> Option<Selector> {
    let family = u16_at(bytes, sel::FAMILY)?;
    let port = |port, mask| {
        Some(PortMatch {
            port: be16_at(bytes, port)?,
            mask: be16_at(bytes, mask)?,
        })
    };
    Some(Selector {
        src: Prefix::new(
            ip_at(bytes, sel::SADDR, family)?,
            u8_at(bytes, sel::PREFIXLEN_S)?,
        ),
        dst: Prefix::new(
            ip_at(bytes, sel::DADDR, family)?,
            u8_at(bytes, sel::PREFIXLEN_D)?,
        ),
        proto: u8_at(bytes, sel::PROTO)?,
        sport: port(sel::SPORT, sel::SPORT_MASK)?,
        dport: port(sel::DPORT, sel::DPORT_MASK)?,
        ifindex: u32_at(bytes, sel::IFINDEX)?,
    })
}
