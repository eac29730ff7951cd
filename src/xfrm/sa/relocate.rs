// SPDX-License-Identifier: GPL-2.0-or-later
//! Moves an SA to other addresses: by `migrate` where the kernel can, else by a copy that is read with
//! its keys, deleted, and added again with every attribute it had.
//!
//! Owns the choice, that sequence and the way back from its middle. Called by `backend/` through [`Kernel`],
//! for SAs in software or crypto mode only: the sequence number of an SA in packet mode is in the
//! NIC and cannot be read. Must not keep the keys it handles.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use netlink_packet_xfrm::XfrmMessage;

use super::super::consts::{
    ALG_NAME_LEN, NLMSG_HDRLEN, XFRM_AE_RVAL, XFRM_MSG_GETAE, XFRM_MSG_NEWSA, XFRMA_ALG_AEAD,
    XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_IF_ID,
    XFRMA_LASTUSED, XFRMA_LTIME_VAL, XFRMA_MARK, XFRMA_MTIMER_THRESH, XFRMA_OFFLOAD_DEV, XFRMA_PAD,
    XFRMA_REPLAY_ESN_VAL, XFRMA_REPLAY_VAL, XFRMA_SRCADDR, aevent_id, lifetime_cur, usersa,
};
use super::super::request::{Reply, Request, address_bytes};
use super::super::transport::Protocol;
use super::encode::{put_encap, put_offload, put_selector};
use super::{Kernel, SaState, malformed, request, select};
use crate::error::KernelError;
use crate::model::{Addr, Placement, Prefix, SaKey, Selector, family_of};

/// A change of the addresses of an SA.
#[derive(Clone, Copy, Debug)]
pub struct SaMove<'a> {
    /// The SA.
    pub key: &'a SaKey,
    /// Its source address so far.
    pub src: IpAddr,
    /// Source from now on, with the port of ESP in UDP.
    pub new_src: Addr,
    /// Destination from now on.
    pub new_dst: Addr,
    /// ESP in UDP from now on.
    pub new_encap: bool,
    /// ESP in UDP so far, as charon believes; what the kernel has is replaced in any case.
    pub encap: bool,
    /// New reqid.
    pub new_reqid: Option<u32>,
    /// New selector; if `None`, the one it has, with the new addresses where it names the old ones.
    pub selector: Option<Selector>,
    /// Packets come in by it; the kernel's word, if it knows, counts more.
    pub inbound: bool,
    /// Where it goes.
    pub placement: Placement,
}

impl SaMove<'_> {
    /// Something changes that the SA is known by; else it only changes its place.
    fn is_elsewhere(&self) -> bool {
        self.new_src.ip != self.src
            || self.new_dst.ip != self.key.dst
            || self.new_encap
            || self.encap
            || self.new_reqid.is_some()
    }
}

impl Kernel {
    /// Moves an SA. If the kernel refuses the new one, the old one is put back and the refusal
    /// returned; if that fails too, the text says that the SA is gone.
    pub fn move_sa(&self, change: &SaMove<'_>) -> Result<(), KernelError> {
        if change.is_elsewhere() && self.can_migrate_state() {
            match self.migrate_sa(change) {
                Ok(()) => return Ok(()),
                // There is nothing to copy either.
                Err(error) if error.errno == libc::ESRCH => return Err(error),
                Err(error) => log::info!(
                    "unable to migrate SAD entry with SPI {}, it is copied: {error}",
                    change.key.spi
                ),
            }
        }
        self.copy_sa(change)
    }

    fn copy_sa(&self, change: &SaMove<'_>) -> Result<(), KernelError> {
        let get = request(
            "XFRM_MSG_GETSA",
            &XfrmMessage::GetSa(select(change.key, Some(change.src))),
        );
        let old = self.transport.get(Protocol::Xfrm, &get)?;
        let state = SaState::decode(&old).ok_or_else(|| malformed(&get))?;
        if keys_are_hidden(&old) {
            return Err(KernelError {
                request: get.name(),
                errno: libc::EPERM,
                text: Some(
                    "the kernel hides the keys (lockdown), the SA cannot be moved".to_owned(),
                ),
                attribute: None,
            });
        }
        let replay = if has_replay_state(&old) {
            None
        } else {
            self.replay_state(change.key, change.src)
        };
        // Both are complete before anything is deleted.
        let moved = moved(&old, &state, change, replay.as_deref())?;
        let restored = restored(&old, replay.as_deref())?;
        self.del_sa(change.key, change.src)?;
        let Err(refusal) = self.transport.ack(Protocol::Xfrm, &moved) else {
            return Ok(());
        };
        match self.transport.ack(Protocol::Xfrm, &restored) {
            Ok(()) => Err(refusal),
            Err(second) => Err(KernelError {
                text: Some(format!(
                    "{}; the SA could not be put back either ({second}) and is gone",
                    refusal.text.as_deref().unwrap_or("refused")
                )),
                ..refusal
            }),
        }
    }

    /// `XFRMA_REPLAY_VAL` by `XFRM_MSG_GETAE`, for kernels that do not report it with the SA.
    fn replay_state(&self, key: &SaKey, src: IpAddr) -> Option<Vec<u8>> {
        let mut get = Request::new("XFRM_MSG_GETAE", XFRM_MSG_GETAE, 0);
        get.put_address(key.dst);
        get.put(&key.spi.0.to_be_bytes());
        get.put_u16(family_of(key.dst));
        get.put(&[key.proto.number(), 0]);
        get.put_address(src);
        get.put_u32(XFRM_AE_RVAL);
        get.put_u32(0);
        if key.mark.is_set() {
            get.attribute_parts(
                XFRMA_MARK,
                &[&key.mark.value.to_ne_bytes(), &key.mark.mask.to_ne_bytes()],
            );
        }
        if key.if_id != 0 {
            get.attribute_u32(XFRMA_IF_ID, key.if_id);
        }
        match self.transport.get(Protocol::Xfrm, &get) {
            Ok(reply) => reply
                .attributes(aevent_id::LEN)
                .value_of(XFRMA_REPLAY_VAL)
                .map(<[u8]>::to_vec),
            Err(error) => {
                // The peer may then drop packets until the numbers have caught up; without moving
                // the SA it would drop all.
                log::warn!(
                    "unable to copy replay state of SA with SPI {}: {error}",
                    key.spi
                );
                None
            }
        }
    }
}

fn has_replay_state(old: &Reply) -> bool {
    old.attributes(usersa::LEN)
        .any(|(kind, _)| matches!(kind, XFRMA_REPLAY_ESN_VAL | XFRMA_REPLAY_VAL))
}

/// In lockdown (mode confidentiality) the kernel reports keys of zeroes.
fn keys_are_hidden(old: &Reply) -> bool {
    old.attributes(usersa::LEN).any(|(kind, value)| {
        let key = match kind {
            XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => value.get(ALG_NAME_LEN + 8..),
            XFRMA_ALG_CRYPT | XFRMA_ALG_AUTH => value.get(ALG_NAME_LEN + 4..),
            _ => None,
        };
        key.is_some_and(|key| !key.is_empty() && key.iter().all(|byte| *byte == 0))
    })
}

/// The SA as it was.
fn restored(old: &Reply, replay: Option<&[u8]>) -> Result<Request, KernelError> {
    copy(old, replay, |_, _| true)
}

/// The SA as it shall be.
fn moved(
    old: &Reply,
    state: &SaState,
    change: &SaMove<'_>,
    replay: Option<&[u8]>,
) -> Result<Request, KernelError> {
    let mut request = copy(old, replay, |kind, _| match kind {
        XFRMA_ENCAP | XFRMA_OFFLOAD_DEV => false,
        // Refused without ESP in UDP.
        XFRMA_MTIMER_THRESH => change.new_encap,
        _ => true,
    })?;
    if change.new_encap {
        put_encap(&mut request, change.new_src.port, change.new_dst.port);
    }
    put_offload(
        &mut request,
        change.placement,
        state.inbound.unwrap_or(change.inbound),
    );
    let at = |offset: usize| NLMSG_HDRLEN + offset;
    let family = family_of(change.new_dst.ip).to_ne_bytes();
    request.patch(at(usersa::FAMILY), &family);
    request.patch(at(usersa::SADDR), &address_bytes(change.new_src.ip));
    request.patch(at(usersa::DADDR), &address_bytes(change.new_dst.ip));
    if let Some(reqid) = change.new_reqid {
        request.patch(at(usersa::REQID), &reqid.to_ne_bytes());
    }
    let mut selector = Request::new("XFRM_MSG_NEWSA", XFRM_MSG_NEWSA, 0);
    put_selector(&mut selector, moved_selector(change, state).as_ref());
    request.patch(at(usersa::SEL), selector.payload());
    request.check()?;
    Ok(request)
}

/// The selector of the SA as it shall be. One of transport mode names the hosts themselves and moves
/// with them.
pub(super) fn moved_selector(change: &SaMove<'_>, state: &SaState) -> Option<Selector> {
    if change.selector.is_some() {
        return change.selector;
    }
    let mut selector = state.selector?;
    let moved = |prefix: Prefix, old: IpAddr, new: IpAddr| {
        if prefix.is_host() && prefix.first() == old {
            Prefix::new(new, if new.is_ipv4() { 32 } else { 128 })
        } else {
            prefix
        }
    };
    selector.src = moved(selector.src, change.src, change.new_src.ip);
    selector.dst = moved(selector.dst, change.key.dst, change.new_dst.ip);
    Some(selector)
}

/// `XFRM_MSG_NEWSA` with the attributes of a reported SA that `keep` wants, its replay state and
/// its counters.
fn copy(
    old: &Reply,
    replay: Option<&[u8]>,
    keep: impl Fn(u16, &[u8]) -> bool,
) -> Result<Request, KernelError> {
    let mut request = Request::new("XFRM_MSG_NEWSA", XFRM_MSG_NEWSA, 0);
    // The caller has decoded it, so it is long enough.
    request.put(old.payload().get(..usersa::LEN).unwrap_or(&[]));
    for (kind, value) in old.attributes(usersa::LEN) {
        let report_only = matches!(
            kind,
            XFRMA_LASTUSED | XFRMA_PAD | XFRMA_LTIME_VAL | XFRMA_SRCADDR
        );
        if !report_only && keep(kind, value) {
            request.attribute(kind, value);
        }
    }
    if let Some(value) = replay {
        request.attribute(XFRMA_REPLAY_VAL, value);
    }
    // The kernel ignores the counters in the fixed part, but not those in an attribute of the same
    // form. They keep the age of the SA, and so its limits.
    let counters = old
        .payload()
        .get(usersa::CURLFT..usersa::CURLFT + lifetime_cur::LEN)
        .unwrap_or(&[]);
    request.attribute(XFRMA_LTIME_VAL, counters);
    request.check()?;
    Ok(request)
}
