// SPDX-License-Identifier: GPL-2.0-or-later
//! The SAD of the modelled kernel, and the events about SAs.
//!
//! Owns SAs as the bytes that were sent, and the rules by which net/xfrm/xfrm_user.c and
//! xfrm_device.c refuse one. Must not use the product's encoder.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::consts::{
    ALG_NAME_LEN, UDP_ENCAP_ESPINUDP, XFRM_MSG_EXPIRE, XFRM_MSG_MAPPING, XFRM_MSG_NEWAE,
    XFRM_MSG_NEWSA, XFRM_OFFLOAD_INBOUND, XFRM_OFFLOAD_PACKET, XFRM_STATE_AF_UNSPEC,
    XFRM_STATE_DECAP_DSCP, XFRM_STATE_ESN, XFRM_STATE_ICMP, XFRM_STATE_NOPMTUDISC, XFRMA_ALG_AEAD,
    XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_COMP, XFRMA_ALG_CRYPT, XFRMA_ENCAP,
    XFRMA_IF_ID, XFRMA_LASTUSED, XFRMA_LTIME_VAL, XFRMA_MARK, XFRMA_OFFLOAD_DEV,
    XFRMA_REPLAY_ESN_VAL, XFRMA_REPLAY_VAL, XFRMA_SA_DIR, XFRMA_SA_EXTRA_FLAGS, XFRMA_TFCPAD,
    XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING, aevent_id, lifetime_cur, migrate_state, replay_esn,
    usersa, usersa_id,
};
use super::super::request::{
    Attributes, Reply, Request, address_bytes, be32_at, ip_at, u8_at, u16_at, u32_at,
};
use super::super::transport::Protocol;
use super::super::unix_now;
use super::{FakeKernel, FakeLink, Knobs, Refusal};
use crate::model::{Addr, SaKey};

/// What the kernel looks an SA up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    dst: IpAddr,
    spi: u32,
    proto: u8,
    mark: (u32, u32),
}

impl Key {
    fn new(dst: IpAddr, spi: u32, proto: u8, mark: (u32, u32)) -> Self {
        Self {
            dst,
            spi,
            proto,
            mark,
        }
    }
}

#[derive(Clone)]
struct Sa {
    key: Key,
    larval: bool,
    info: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
    last_used: Option<u64>,
}

#[derive(Default)]
pub(super) struct Sad {
    sas: Vec<Sa>,
    next_spi: u32,
}

fn mark_of(attributes: Attributes<'_>) -> Result<(u32, u32), Refusal> {
    match attributes.value_of(XFRMA_MARK) {
        None => Ok((0, 0)),
        Some(value) => u32_at(value, 0)
            .zip(u32_at(value, 4))
            .ok_or(Refusal::silent(libc::ERANGE)),
    }
}

impl Sa {
    fn value(&self, kind: u16) -> Option<&[u8]> {
        self.attributes
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value.as_slice())
    }

    /// (direction is out, of `XFRMA_SA_DIR`)
    fn direction_out(&self) -> Result<Option<bool>, Refusal> {
        match self.value(XFRMA_SA_DIR) {
            None => Ok(None),
            Some([1]) => Ok(Some(false)),
            Some([2]) => Ok(Some(true)),
            Some(_) => Err(Refusal::silent(libc::ERANGE)),
        }
    }

    fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let info = payload.get(..usersa::LEN).ok_or_else(bad)?.to_vec();
        let family = u16_at(&info, usersa::FAMILY).ok_or_else(bad)?;
        let attributes = Attributes::behind(payload, usersa::LEN);
        Ok(Self {
            key: Key::new(
                ip_at(&info, usersa::DADDR, family).ok_or_else(bad)?,
                be32_at(&info, usersa::SPI).ok_or_else(bad)?,
                u8_at(&info, usersa::PROTO).ok_or_else(bad)?,
                mark_of(attributes.clone())?,
            ),
            larval: false,
            attributes: attributes
                .map(|(kind, value)| (kind, value.to_vec()))
                .collect(),
            info,
            last_used: None,
        })
    }

    fn flags(&self) -> u8 {
        self.info[usersa::FLAGS]
    }

    /// `verify_newsa_info`: algorithms, replay window, direction.
    fn verify(&self, knobs: &Knobs) -> Result<(), Refusal> {
        let has = |kind| self.value(kind).is_some();
        let silent = Err(Refusal::silent(libc::EINVAL));
        let algorithms = match self.key.proto {
            50 => has(XFRMA_ALG_AEAD) || has(XFRMA_ALG_CRYPT) || has(XFRMA_ALG_AUTH_TRUNC),
            51 => has(XFRMA_ALG_AUTH) || has(XFRMA_ALG_AUTH_TRUNC),
            108 => has(XFRMA_ALG_COMP),
            _ => false,
        };
        if !algorithms {
            return silent;
        }
        if has(XFRMA_ALG_AEAD) && (has(XFRMA_ALG_CRYPT) || has(XFRMA_ALG_AUTH)) {
            return silent;
        }
        for (kind, value) in &self.attributes {
            let header = match *kind {
                XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => ALG_NAME_LEN + 8,
                XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT => ALG_NAME_LEN + 4,
                _ => continue,
            };
            let bits = u32_at(value, ALG_NAME_LEN).unwrap_or(u32::MAX);
            // The kernel wants the whole key, and its own NUL at the end of the name.
            if value.len() < header + bits.div_ceil(8) as usize || value[ALG_NAME_LEN - 1] != 0 {
                return silent;
            }
        }
        let out = if knobs.no_direction {
            None
        } else {
            self.direction_out()?
        };
        self.verify_replay(out)?;
        let extra = self
            .value(XFRMA_SA_EXTRA_FLAGS)
            .and_then(|value| u32_at(value, 0))
            .unwrap_or(0);
        let wrong = match out {
            Some(true) => {
                self.flags() & (XFRM_STATE_DECAP_DSCP | XFRM_STATE_ICMP | 8) != 0
                    || self.info[usersa::REPLAY_WINDOW] != 0
            }
            Some(false) => self.flags() & XFRM_STATE_NOPMTUDISC != 0 || extra != 0,
            None => false,
        };
        if wrong { silent } else { Ok(()) }
    }

    /// `__xfrm_init_state` and `ipcomp4_init_state`
    fn verify_state(&self, knobs: &Knobs) -> Result<(), Refusal> {
        let transport = self.info[usersa::MODE] == 0;
        if knobs.no_any_family && transport && self.flags() & XFRM_STATE_AF_UNSPEC != 0 {
            return Err(Refusal::silent(libc::EPROTONOSUPPORT));
        }
        if self.key.proto == 108 && self.value(XFRMA_ENCAP).is_some() {
            return Err(Refusal::invalid(
                "IPComp is not compatible with encapsulation",
            ));
        }
        Ok(())
    }

    /// `verify_replay` and `xfrm_init_replay`
    fn verify_replay(&self, out: Option<bool>) -> Result<(), Refusal> {
        let esn = self.flags() & XFRM_STATE_ESN != 0;
        let Some(value) = self.value(XFRMA_REPLAY_ESN_VAL) else {
            if esn {
                return Err(Refusal::invalid("Missing required attribute for ESN"));
            }
            return Ok(());
        };
        let field = |offset| u32_at(value, offset).unwrap_or(u32::MAX);
        let words = field(replay_esn::BMP_LEN);
        let window = field(replay_esn::WINDOW);
        let len = replay_esn::LEN + (words as usize).saturating_mul(4);
        let bad = self.key.proto == 108
            || value.len() != len
            || words > 128
            || window > words * 32
            || self.info[usersa::REPLAY_WINDOW] != 0;
        if bad {
            return Err(Refusal::silent(libc::EINVAL));
        }
        match out {
            Some(true) if window != 0 || words != 0 => {
                Err(Refusal::invalid("Replay window should be 0 for output SA"))
            }
            Some(true) => Ok(()),
            _ if esn && window == 0 => Err(Refusal::invalid("ESN replay window must be > 0")),
            _ => Ok(()),
        }
    }

    /// `xfrm_dev_state_add` and what mlx5 insists on in general.
    fn verify_offload(&self, links: &BTreeMap<u32, FakeLink>) -> Result<(), Refusal> {
        let Some(value) = self.value(XFRMA_OFFLOAD_DEV) else {
            return Ok(());
        };
        if value.len() < 8 {
            return Err(Refusal::silent(libc::ERANGE));
        }
        let ifindex = u32_at(value, 0).unwrap_or(0);
        let flags = value[4];
        if flags & !7 != 0 {
            return Err(Refusal::invalid("Unrecognized flags in offload request"));
        }
        let (inbound, packet) = (
            flags & XFRM_OFFLOAD_INBOUND != 0,
            flags & XFRM_OFFLOAD_PACKET != 0,
        );
        if let Some(out) = self.direction_out()?
            && out == inbound
        {
            return Err(Refusal::invalid("Mismatched SA and offload direction"));
        }
        if inbound && self.value(XFRMA_IF_ID).is_some() {
            return Err(Refusal::invalid("XFRM if_id is not supported in RX path"));
        }
        if self.value(XFRMA_TFCPAD).is_some() {
            return Err(Refusal::invalid("TFC padding can't be offloaded"));
        }
        let able = links
            .get(&ifindex)
            .is_some_and(|link| link.esp_offload && (!packet || link.packet_offload));
        if able {
            return Ok(());
        }
        // Packet mode never falls back, crypto mode silently does.
        if packet {
            return Err(Refusal::silent(libc::EINVAL));
        }
        Err(Refusal::silent(0))
    }

    fn report(&self, knobs: &Knobs) -> Reply {
        let mut message = Request::new("", XFRM_MSG_NEWSA, 0);
        message.put(&self.info);
        for (kind, value) in &self.attributes {
            let header = match *kind {
                XFRMA_LTIME_VAL => continue,
                XFRMA_REPLAY_VAL if knobs.replay_by_aevent => continue,
                XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => ALG_NAME_LEN + 8,
                XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT => ALG_NAME_LEN + 4,
                _ => usize::MAX,
            };
            let mut value = value.clone();
            if knobs.lockdown && header < value.len() {
                value[header..].fill(0);
            }
            message.attribute(*kind, &value);
        }
        if let Some(time) = self.last_used.filter(|_| !knobs.no_last_used) {
            message.attribute(XFRMA_LASTUSED, &time.to_ne_bytes());
        }
        let has = |kind| self.value(kind).is_some();
        if !self.larval
            && !knobs.replay_by_aevent
            && !has(XFRMA_REPLAY_ESN_VAL)
            && !has(XFRMA_REPLAY_VAL)
        {
            message.attribute(XFRMA_REPLAY_VAL, &[0; 12]);
        }
        Reply::new(XFRM_MSG_NEWSA, message.payload())
    }

    fn device(&self) -> Option<u32> {
        self.value(XFRMA_OFFLOAD_DEV)
            .and_then(|value| u32_at(value, 0))
    }
}

impl Sad {
    /// `__xfrm_state_lookup`: the mark of a lookup is compared under the mask of the SA.
    fn find(&self, key: &Key) -> Option<usize> {
        let mark = key.mark.0 & key.mark.1;
        self.sas.iter().position(|sa| {
            (sa.key.dst, sa.key.spi, sa.key.proto) == (key.dst, key.spi, key.proto)
                && mark & sa.key.mark.1 == sa.key.mark.0
        })
    }

    fn find_by_id(&self, payload: &[u8], fixed: usize) -> Result<usize, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let family = u16_at(payload, usersa_id::FAMILY).ok_or_else(bad)?;
        let key = Key::new(
            ip_at(payload, usersa_id::DADDR, family).ok_or_else(bad)?,
            be32_at(payload, usersa_id::SPI).ok_or_else(bad)?,
            u8_at(payload, usersa_id::PROTO).ok_or_else(bad)?,
            mark_of(Attributes::behind(payload, fixed))?,
        );
        self.find(&key).ok_or(Refusal::silent(libc::ESRCH))
    }

    pub(super) fn report_all(&self, knobs: &Knobs) -> Vec<Reply> {
        self.sas.iter().map(|sa| sa.report(knobs)).collect()
    }

    pub(super) fn allocate(&mut self, payload: &[u8]) -> Result<Reply, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let mut sa = Sa::parse(payload)?;
        let min = u32_at(payload, usersa::LEN).ok_or_else(bad)?;
        let max = u32_at(payload, usersa::LEN + 4).ok_or_else(bad)?;
        if min > max || (sa.key.proto == 108 && max > 0xffff) {
            return Err(bad());
        }
        sa.attributes = Attributes::behind(payload, usersa::LEN + 8)
            .map(|(kind, value)| (kind, value.to_vec()))
            .collect();
        sa.larval = true;
        let span = u64::from(max - min) + 1;
        for _ in 0..span.min(1 << 16) {
            sa.key.spi = min + (u64::from(self.next_spi) % span) as u32;
            self.next_spi = self.next_spi.wrapping_add(1);
            if self.find(&sa.key).is_none() {
                sa.info[usersa::SPI..][..4].copy_from_slice(&sa.key.spi.to_be_bytes());
                let reply = sa.report(&Knobs::default());
                self.sas.push(sa);
                return Ok(reply);
            }
        }
        Err(Refusal::silent(libc::ENOENT))
    }

    pub(super) fn install(
        &mut self,
        payload: &[u8],
        update: bool,
        knobs: &Knobs,
        links: &BTreeMap<u32, FakeLink>,
    ) -> Result<(), Refusal> {
        let mut sa = Sa::parse(payload)?;
        sa.verify(knobs)?;
        sa.verify_state(knobs)?;
        if !knobs.xfrm_offload {
            sa.attributes.retain(|(kind, _)| *kind != XFRMA_OFFLOAD_DEV);
        }
        match sa.verify_offload(links) {
            // Crypto mode on a device that cannot: software.
            Err(Refusal { errno: 0, .. }) => {
                sa.attributes.retain(|(kind, _)| *kind != XFRMA_OFFLOAD_DEV);
            }
            other => other?,
        }
        let now = (unix_now() as u64).to_ne_bytes();
        sa.info[usersa::CURLFT..][..lifetime_cur::LEN].fill(0);
        sa.info[usersa::CURLFT + lifetime_cur::ADD_TIME..][..8].copy_from_slice(&now);
        if let Some(counters) = sa.value(XFRMA_LTIME_VAL).map(<[u8]>::to_vec) {
            sa.info[usersa::CURLFT..][..lifetime_cur::LEN].copy_from_slice(&counters);
        }
        if knobs.no_direction {
            sa.attributes.retain(|(kind, _)| *kind != XFRMA_SA_DIR);
        }
        match (self.find(&sa.key), update) {
            (Some(_), false) => Err(Refusal::silent(libc::EEXIST)),
            (None, true) => Err(Refusal::silent(libc::ESRCH)),
            (None, false) => {
                self.sas.push(sa);
                Ok(())
            }
            (Some(index), true) => {
                let old = &self.sas[index];
                if let (Some(old), Some(new)) = (old.direction_out()?, sa.direction_out()?)
                    && old != new
                {
                    return Err(Refusal::silent(libc::ESRCH));
                }
                if old.larval {
                    self.sas[index] = sa;
                    return Ok(());
                }
                // Of a live SA only encapsulation, limits and mark change.
                let encap = sa.value(XFRMA_ENCAP).map(<[u8]>::to_vec);
                let live = &mut self.sas[index];
                live.info[usersa::LFT..usersa::CURLFT]
                    .copy_from_slice(&sa.info[usersa::LFT..usersa::CURLFT]);
                if let Some(encap) = encap {
                    live.attributes.retain(|(kind, _)| *kind != XFRMA_ENCAP);
                    live.attributes.push((XFRMA_ENCAP, encap));
                }
                Ok(())
            }
        }
    }

    /// `xfrm_do_migrate_state`
    pub(super) fn migrate_state(
        &mut self,
        payload: &[u8],
        knobs: &Knobs,
        links: &BTreeMap<u32, FakeLink>,
    ) -> Result<(), Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        if knobs.no_migrate_state {
            return Err(bad());
        }
        if knobs.no_migrate {
            return Err(Refusal::silent(libc::ENOPROTOOPT));
        }
        let fixed = payload.get(..migrate_state::LEN).ok_or_else(bad)?;
        let number = |offset| u32_at(fixed, offset).ok_or_else(bad);
        let flags = number(migrate_state::FLAGS)?;
        if flags & !3 != 0 || u16_at(fixed, migrate_state::NEW_FAMILY + 2) != Some(0) {
            return Err(bad());
        }
        let family = u16_at(fixed, usersa_id::FAMILY).ok_or_else(bad)?;
        let mark = (
            number(migrate_state::OLD_MARK)?,
            number(migrate_state::OLD_MARK + 4)?,
        );
        let key = Key::new(
            ip_at(fixed, usersa_id::DADDR, family).ok_or_else(bad)?,
            be32_at(fixed, usersa_id::SPI).ok_or_else(bad)?,
            u8_at(fixed, usersa_id::PROTO).ok_or_else(bad)?,
            mark,
        );
        let index = self.find(&key).ok_or(Refusal::silent(libc::ESRCH))?;
        let mut sa = self.sas[index].clone();
        let family = u16_at(fixed, migrate_state::NEW_FAMILY).ok_or_else(bad)?;
        sa.key.dst = ip_at(fixed, migrate_state::NEW_DADDR, family).ok_or_else(bad)?;
        if sa.key != self.sas[index].key && self.find(&sa.key).is_some() {
            return Err(Refusal::silent(libc::EEXIST));
        }
        for (to, from, len) in [
            (usersa::DADDR, migrate_state::NEW_DADDR, 16),
            (usersa::SADDR, migrate_state::NEW_SADDR, 16),
            (usersa::SEL, migrate_state::NEW_SEL, 56),
            (usersa::REQID, migrate_state::NEW_REQID, 4),
            (usersa::FAMILY, migrate_state::NEW_FAMILY, 2),
        ] {
            sa.info[to..to + len].copy_from_slice(&fixed[from..from + len]);
        }
        let attributes = Attributes::behind(payload, migrate_state::LEN);
        if let Some(encap) = attributes.clone().value_of(XFRMA_ENCAP) {
            sa.attributes.retain(|(kind, _)| {
                // The threshold goes with the encapsulation.
                *kind != XFRMA_ENCAP
                    && (encap[..2] != [0; 2] || *kind != super::super::consts::XFRMA_MTIMER_THRESH)
            });
            if encap[..2] != [0; 2] {
                sa.attributes.push((XFRMA_ENCAP, encap.to_vec()));
            }
        }
        let offload = attributes.value_of(XFRMA_OFFLOAD_DEV);
        if offload.is_some() && flags & 1 != 0 {
            return Err(bad());
        }
        if offload.is_some() || flags & 1 != 0 {
            sa.attributes.retain(|(kind, _)| *kind != XFRMA_OFFLOAD_DEV);
        }
        if let Some(offload) = offload {
            sa.attributes.push((XFRMA_OFFLOAD_DEV, offload.to_vec()));
        }
        sa.verify_offload(links)?;
        self.sas[index] = sa;
        Ok(())
    }

    pub(super) fn get(&self, payload: &[u8], knobs: &Knobs) -> Result<Reply, Refusal> {
        let direction = Attributes::behind(payload, usersa_id::LEN).value_of(XFRMA_SA_DIR);
        if !knobs.no_direction && direction.is_some() {
            return Err(Refusal::invalid("Invalid attribute SA_DIR"));
        }
        self.find_by_id(payload, usersa_id::LEN)
            .map(|index| self.sas[index].report(knobs))
    }

    pub(super) fn get_aevent(&self, payload: &[u8]) -> Result<Reply, Refusal> {
        let index = self.find_by_id(payload, aevent_id::LEN)?;
        let mut message = Request::new("", XFRM_MSG_NEWAE, 0);
        message.put(&payload[..aevent_id::LEN]);
        let stored = self.sas[index].value(XFRMA_REPLAY_VAL);
        message.attribute(XFRMA_REPLAY_VAL, stored.unwrap_or(&[0; 12]));
        Ok(Reply::new(XFRM_MSG_NEWAE, message.payload()))
    }

    pub(super) fn delete(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let index = self.find_by_id(payload, usersa_id::LEN)?;
        self.sas.remove(index);
        Ok(())
    }

    pub(super) fn flush(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let proto = *payload.first().ok_or(Refusal::silent(libc::EINVAL))?;
        let before = self.sas.len();
        self.sas
            .retain(|sa| !matches!(proto, 0 | 255) && sa.key.proto != proto);
        if before == self.sas.len() {
            return Err(Refusal::silent(libc::ESRCH));
        }
        Ok(())
    }

    /// `xfrm_dev_state_flush`: without a word.
    pub(super) fn flush_device(&mut self, ifindex: u32) {
        self.sas.retain(|sa| sa.device() != Some(ifindex));
    }
}

impl FakeKernel {
    fn with_sa<T>(&self, key: &SaKey, with: impl FnOnce(&mut Sa) -> T) -> Option<T> {
        let mut state = self.state();
        let index = state.sad.find(&Key::new(
            key.dst,
            key.spi.0,
            key.proto.number(),
            (key.mark.value, key.mark.mask),
        ))?;
        Some(with(&mut state.sad.sas[index]))
    }

    /// Sets the counters of an SA; `used` is the last use in seconds since 1970. False if there is
    /// no such SA.
    pub fn set_counters(&self, key: &SaKey, bytes: u64, packets: u64, used: Option<u64>) -> bool {
        self.with_sa(key, |sa| {
            let current = &mut sa.info[usersa::CURLFT..];
            current[lifetime_cur::BYTES..][..8].copy_from_slice(&bytes.to_ne_bytes());
            current[lifetime_cur::PACKETS..][..8].copy_from_slice(&packets.to_ne_bytes());
            sa.last_used = used;
        })
        .is_some()
    }

    /// Sets the error counters of an SA: replayed packets, and those that failed authentication.
    /// False if there is no such SA.
    pub fn set_errors(&self, key: &SaKey, replayed: u32, integrity_failed: u32) -> bool {
        self.with_sa(key, |sa| {
            let errors = &mut sa.info[usersa::STATS..];
            errors[4..8].copy_from_slice(&replayed.to_ne_bytes());
            errors[8..12].copy_from_slice(&integrity_failed.to_ne_bytes());
        })
        .is_some()
    }

    /// Sets the sequence numbers of an SA without bitmap. False if there is no such SA.
    pub fn set_sequence(&self, key: &SaKey, oseq: u32, seq: u32) -> bool {
        self.with_sa(key, |sa| {
            let mut value = oseq.to_ne_bytes().to_vec();
            value.extend_from_slice(&seq.to_ne_bytes());
            value.extend_from_slice(&[0xff; 4]);
            sa.attributes.retain(|(kind, _)| *kind != XFRMA_REPLAY_VAL);
            sa.attributes.push((XFRMA_REPLAY_VAL, value));
        })
        .is_some()
    }

    /// Removes an SA without a word. False if there is none.
    pub fn remove_sa(&self, key: &SaKey) -> bool {
        let mut state = self.state();
        let index = state.sad.find(&Key::new(
            key.dst,
            key.spi.0,
            key.proto.number(),
            (key.mark.value, key.mark.mask),
        ));
        index.map(|index| state.sad.sas.remove(index)).is_some()
    }

    /// Lets an SA expire: reports it, and if it is hard, deletes it. False if there is no such SA.
    pub fn expire(&self, key: &SaKey, hard: bool) -> bool {
        let Some(message) = self.with_sa(key, |sa| {
            let mut message = Request::new("", XFRM_MSG_EXPIRE, 0);
            message.put(&sa.info);
            message.put(&[u8::from(hard), 0, 0, 0, 0, 0, 0, 0]);
            for (kind, value) in &sa.attributes {
                if matches!(*kind, XFRMA_MARK | XFRMA_IF_ID | XFRMA_SA_DIR) {
                    message.attribute(*kind, value);
                }
            }
            message
        }) else {
            return false;
        };
        if hard {
            self.remove_sa(key);
        }
        self.emit(
            Protocol::Xfrm,
            XFRMNLGRP_EXPIRE,
            XFRM_MSG_EXPIRE,
            message.payload(),
        );
        true
    }

    /// Reports ESP in UDP from another address. False if there is no such SA with ESP in UDP.
    pub fn mapping(&self, key: &SaKey, new: Addr) -> bool {
        let message = self.with_sa(key, |sa| {
            let encap = sa.value(XFRMA_ENCAP)?;
            if u16_at(encap, 0)? != UDP_ENCAP_ESPINUDP {
                return None;
            }
            let mut message = Request::new("", XFRM_MSG_MAPPING, 0);
            message.put(&sa.info[usersa::DADDR..usersa::PROTO]);
            message.put(&sa.info[usersa::FAMILY..usersa::FAMILY + 2]);
            message.put(&[sa.key.proto, 0]);
            message.put(&sa.info[usersa::REQID..usersa::REQID + 4]);
            message.put(&sa.info[usersa::SADDR..usersa::LFT]);
            message.put(&address_bytes(new.ip));
            message.put(&encap[2..4]);
            message.put(&new.port.to_be_bytes());
            Some(message)
        });
        let Some(message) = message.flatten() else {
            return false;
        };
        self.emit(
            Protocol::Xfrm,
            XFRMNLGRP_MAPPING,
            XFRM_MSG_MAPPING,
            message.payload(),
        );
        true
    }
}
