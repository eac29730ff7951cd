// SPDX-License-Identifier: GPL-2.0-or-later
//! The SPD of the modelled kernel, and the events about policies.
//!
//! Owns policies as the bytes that were sent. Must not use the product's encoder.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::super::PolicyState;
use super::super::consts::{
    XFRM_MSG_ACQUIRE, XFRM_MSG_NEWPOLICY, XFRM_OFFLOAD_PACKET, XFRMA_IF_ID, XFRMA_MARK,
    XFRMA_OFFLOAD_DEV, XFRMA_SA_PCPU, XFRMA_SEC_CTX, XFRMA_TMPL, XFRMNLGRP_ACQUIRE, lifetime_cur,
    policy_id, selector as sel, template, userpolicy,
};
use super::super::policy::PolicyKey;
use super::super::request::{Attributes, Reply, Request, address_bytes, u8_at, u32_at};
use super::super::transport::Protocol;
use super::{FakeKernel, FakeLink, Knobs, Refusal};
use crate::model::{TrafficSelector, family_of};

#[derive(Clone, PartialEq, Eq)]
struct Key {
    selector: Vec<u8>,
    dir: u8,
    mark: (u32, u32),
    if_id: u32,
    label: Option<Vec<u8>>,
}

impl Key {
    fn parse(selector: &[u8], dir: u8, attributes: Attributes<'_>) -> Result<Self, Refusal> {
        let bad = || Refusal::silent(libc::ERANGE);
        let mark = match attributes.clone().value_of(XFRMA_MARK) {
            None => (0, 0),
            Some(value) => u32_at(value, 0).zip(u32_at(value, 4)).ok_or_else(bad)?,
        };
        let if_id = match attributes.clone().value_of(XFRMA_IF_ID) {
            None => 0,
            Some(value) => u32_at(value, 0).ok_or_else(bad)?,
        };
        if dir > 2 {
            return Err(Refusal::silent(libc::EINVAL));
        }
        Ok(Self {
            selector: selector.to_vec(),
            dir,
            mark,
            if_id,
            label: attributes.value_of(XFRMA_SEC_CTX).map(<[u8]>::to_vec),
        })
    }
}

#[derive(Clone)]
struct Policy {
    key: Key,
    info: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Policy {
    fn value(&self, kind: u16) -> Option<&[u8]> {
        self.attributes
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value.as_slice())
    }

    fn report(&self) -> Reply {
        let mut message = Request::new("", XFRM_MSG_NEWPOLICY, 0);
        message.put(&self.info);
        for (kind, value) in &self.attributes {
            message.attribute(*kind, value);
        }
        Reply::new(XFRM_MSG_NEWPOLICY, message.payload())
    }

    /// `xfrm_dev_policy_add`
    fn verify_offload(&self, links: &BTreeMap<u32, FakeLink>) -> Result<(), Refusal> {
        let Some(value) = self.value(XFRMA_OFFLOAD_DEV) else {
            return Ok(());
        };
        if value.len() < 8 {
            return Err(Refusal::silent(libc::ERANGE));
        }
        if value[4] != XFRM_OFFLOAD_PACKET {
            return Err(Refusal::invalid("Unrecognized flags in offload request"));
        }
        let Some(link) = u32_at(value, 0).and_then(|ifindex| links.get(&ifindex)) else {
            return Err(Refusal::silent(libc::EINVAL));
        };
        if !link.packet_offload {
            return Err(Refusal::invalid("Policy offload is not supported"));
        }
        if self.key.dir == 2 {
            return Err(Refusal::invalid("mlx5_core: Cannot offload forward policy"));
        }
        Ok(())
    }

    fn device(&self) -> Option<u32> {
        self.value(XFRMA_OFFLOAD_DEV)
            .and_then(|value| u32_at(value, 0))
    }
}

pub(super) struct Spd {
    policies: Vec<Policy>,
    /// Local and remote, of IPv4 and of IPv6.
    thresholds: [[u8; 2]; 2],
    /// The most policies of one key that were present at once, which is two if a replacement came
    /// before the removal.
    peak: usize,
}

impl Default for Spd {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            thresholds: [[32; 2], [128; 2]],
            peak: 0,
        }
    }
}

impl Spd {
    /// `xfrm_get_spdinfo`: counters, sizes, thresholds.
    pub(super) fn report_thresholds(&self) -> Reply {
        let mut message = Request::new("", 0x24, 0);
        message.put_u32(0);
        message.attribute(1, &[0; 24]);
        message.attribute(2, &[0; 8]);
        message.attribute(3, &self.thresholds[0]);
        message.attribute(4, &self.thresholds[1]);
        Reply::new(0x24, message.payload())
    }

    /// `xfrm_set_spdinfo`
    pub(super) fn set_thresholds(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let mut wanted = self.thresholds;
        for (index, kind, most) in [(0, 3, 32), (1, 4, 128)] {
            if let Some(value) = Attributes::behind(payload, 4).value_of(kind) {
                let value: [u8; 2] = value
                    .try_into()
                    .map_err(|_| Refusal::silent(libc::ERANGE))?;
                if value.iter().any(|bits| *bits > most) {
                    return Err(Refusal::silent(libc::EINVAL));
                }
                wanted[index] = value;
            }
        }
        self.thresholds = wanted;
        Ok(())
    }

    /// `xfrm_policy_bysel_ctx`: unlike that of an SA, the mark must be the same, mask included.
    fn find(&self, payload: &[u8]) -> Result<usize, Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let key = Key::parse(
            payload.get(..sel::LEN).ok_or_else(bad)?,
            u8_at(payload, policy_id::DIR).ok_or_else(bad)?,
            Attributes::behind(payload, policy_id::LEN),
        )?;
        self.policies
            .iter()
            .position(|policy| policy.key == key)
            .ok_or(Refusal::silent(libc::ENOENT))
    }

    pub(super) fn report_all(&self) -> Vec<Reply> {
        self.policies.iter().map(Policy::report).collect()
    }

    pub(super) fn install(
        &mut self,
        payload: &[u8],
        update: bool,
        knobs: &Knobs,
        links: &BTreeMap<u32, FakeLink>,
    ) -> Result<(), Refusal> {
        let bad = || Refusal::silent(libc::EINVAL);
        let info = payload.get(..userpolicy::LEN).ok_or_else(bad)?.to_vec();
        let attributes = Attributes::behind(payload, userpolicy::LEN);
        let mut policy = Policy {
            key: Key::parse(&info[..sel::LEN], info[userpolicy::DIR], attributes.clone())?,
            info,
            attributes: attributes
                .map(|(kind, value)| (kind, value.to_vec()))
                .collect(),
        };
        // validate_tmpl: at most XFRM_MAX_DEPTH whole templates
        let templates = policy.value(XFRMA_TMPL).map_or(0, <[u8]>::len);
        if !templates.is_multiple_of(template::LEN) || templates / template::LEN > 6 {
            return Err(Refusal::invalid(
                "Template count must be <= XFRM_MAX_DEPTH (6)",
            ));
        }
        if !knobs.xfrm_offload {
            policy
                .attributes
                .retain(|(kind, _)| *kind != XFRMA_OFFLOAD_DEV);
        }
        policy.verify_offload(links)?;
        let old = self.policies.iter().position(|old| old.key == policy.key);
        if old.is_some() && !update {
            return Err(Refusal::silent(libc::EEXIST));
        }
        let key = policy.key.clone();
        self.policies.push(policy);
        self.peak = self
            .peak
            .max(self.policies.iter().filter(|old| old.key == key).count());
        if let Some(index) = old {
            self.policies.remove(index);
        }
        Ok(())
    }

    pub(super) fn get(&self, payload: &[u8]) -> Result<Reply, Refusal> {
        self.find(payload)
            .map(|index| self.policies[index].report())
    }

    pub(super) fn delete(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let index = self.find(payload)?;
        self.policies.remove(index);
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        self.policies.clear();
    }

    /// `xfrm_dev_policy_flush`: without a word.
    pub(super) fn flush_device(&mut self, ifindex: u32) {
        self.policies
            .retain(|policy| policy.device() != Some(ifindex));
    }
}

impl FakeKernel {
    /// Removes a policy without a word. False if there is none.
    pub fn remove_policy(&self, key: &PolicyKey) -> bool {
        let mut state = self.state();
        let found = state.spd.policies.iter().position(|policy| {
            PolicyState::decode(&policy.report()).is_some_and(|p| p.key == *key)
        });
        found
            .map(|index| state.spd.policies.remove(index))
            .is_some()
    }

    /// Sets the last use of a policy, seconds since 1970. False if there is none.
    pub fn set_policy_use(&self, key: &PolicyKey, time: u64) -> bool {
        let mut state = self.state();
        let found =
            state.spd.policies.iter_mut().find(|policy| {
                PolicyState::decode(&policy.report()).is_some_and(|p| p.key == *key)
            });
        let Some(policy) = found else {
            return false;
        };
        policy.info[userpolicy::CURLFT + lifetime_cur::USE_TIME..][..8]
            .copy_from_slice(&time.to_ne_bytes());
        true
    }

    /// The most policies of one key that were present at once.
    pub fn policy_peak(&self) -> usize {
        self.state().spd.peak
    }

    /// Reports that a packet between two single addresses needs an SA of a policy. False if there is
    /// no such policy or it has no template.
    pub fn acquire(
        &self,
        key: &PolicyKey,
        packet: (&TrafficSelector, &TrafficSelector),
        seq: u32,
        cpu: Option<u32>,
    ) -> bool {
        let message = {
            let state = self.state();
            let found = state.spd.policies.iter().find(|policy| {
                PolicyState::decode(&policy.report()).is_some_and(|p| p.key == *key)
            });
            found.and_then(|policy| acquire_message(policy, packet, seq, cpu))
        };
        let Some(message) = message else {
            return false;
        };
        self.emit(
            Protocol::Xfrm,
            XFRMNLGRP_ACQUIRE,
            XFRM_MSG_ACQUIRE,
            message.payload(),
        );
        true
    }
}

/// `build_acquire`
fn acquire_message(
    policy: &Policy,
    (src, dst): (&TrafficSelector, &TrafficSelector),
    seq: u32,
    cpu: Option<u32>,
) -> Option<Request> {
    let templates = policy.value(XFRMA_TMPL)?;
    let first = templates.get(..template::LEN)?;
    let mut message = Request::new("", XFRM_MSG_ACQUIRE, 0);
    // xfrm_id and source of the template.
    message.put(first.get(..24)?);
    message.put(first.get(28..44)?);
    message.put(&address_bytes(dst.from));
    message.put(&address_bytes(src.from));
    for (side, mask) in [(dst, dst.from_port), (src, src.from_port)] {
        message.put(&side.from_port.to_be_bytes());
        message.put(&(if mask == 0 { 0 } else { u16::MAX }).to_be_bytes());
    }
    message.put_u16(family_of(src.from));
    let len = if src.from.is_ipv4() { 32 } else { 128 };
    message.put(&[len, len, src.proto.max(dst.proto), 0, 0, 0]);
    message.put(&[0; 8]);
    message.put(&policy.info);
    message.put(&[0xff; 12]);
    message.put_u32(seq);
    message.attribute(XFRMA_TMPL, templates);
    for (kind, value) in &policy.attributes {
        if matches!(
            *kind,
            XFRMA_MARK | XFRMA_IF_ID | XFRMA_SEC_CTX | XFRMA_OFFLOAD_DEV
        ) {
            message.attribute(*kind, value);
        }
    }
    if let Some(cpu) = cpu {
        message.attribute_u32(XFRMA_SA_PCPU, cpu);
    }
    Some(message)
}
