// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads a policy from `XFRM_MSG_NEWPOLICY`.
//!
//! Owns what we understand of the kernel's description of a policy. Called by `policy/mod.rs` and
//! `event.rs`. Must not panic on any bytes.
#![forbid(unsafe_code)]

use super::super::consts::{
    SC_ALG_SELINUX, SC_DOI_LSM, SEC_CTX_LEN, XFRM_MSG_NEWPOLICY, XFRM_MSG_UPDPOLICY, XFRMA_IF_ID,
    XFRMA_MARK, XFRMA_OFFLOAD_DEV, XFRMA_POLICY, XFRMA_POLICY_TYPE, XFRMA_SEC_CTX, XFRMA_TMPL,
    lifetime_cur, policy_id, template, userpolicy,
};
use super::super::request::{Reply, u8_at, u16_at, u32_at, u64_at};
use super::super::sa::{decode_mark, decode_selector};
use super::{Action, PolicyKey, PolicyState};
use crate::model::{Direction, Mark, Spi};

/// See [`PolicyState::decode`].
pub(super) fn state(reply: &Reply) -> Option<PolicyState> {
    if !matches!(reply.kind(), XFRM_MSG_NEWPOLICY | XFRM_MSG_UPDPOLICY) {
        return None;
    }
    let info = reply.payload().get(..userpolicy::LEN)?;
    let mut state = PolicyState {
        key: PolicyKey {
            // Policies of sockets have numbers beyond the three directions.
            dir: Direction::from_xfrm(u8_at(info, userpolicy::DIR)?)?,
            selector: decode_selector(&info[userpolicy::SEL..])?,
            mark: Mark::default(),
            if_id: 0,
            label: None,
        },
        priority: u32_at(info, userpolicy::PRIORITY)?,
        action: match u8_at(info, userpolicy::ACTION)? {
            0 => Action::Allow,
            _ => Action::Block,
        },
        reqid: None,
        spi: None,
        offload: None,
        use_time: u64_at(info, userpolicy::CURLFT + lifetime_cur::USE_TIME)?,
        templates: 0,
    };
    for (kind, value) in reply.attributes(userpolicy::LEN) {
        match kind {
            XFRMA_POLICY_TYPE if u8_at(value, 0)? != 0 => return None,
            XFRMA_TMPL => {
                state.templates = value.len() / template::LEN;
                state.reqid = template_reqid(value);
                state.spi = template_spi(value);
            }
            XFRMA_MARK => state.key.mark = decode_mark(value)?,
            XFRMA_IF_ID => state.key.if_id = u32_at(value, 0)?,
            XFRMA_SEC_CTX => state.key.label = label(value),
            XFRMA_OFFLOAD_DEV => state.offload = Some(u32_at(value, 0)?),
            _ => {}
        }
    }
    Some(state)
}

/// The key in `XFRM_MSG_DELPOLICY`, which has the policy as an attribute (net/xfrm/xfrm_user.c:
/// xfrm_notify_policy). `None` as for [`state`].
pub(in super::super) fn deleted(reply: &Reply) -> Option<PolicyKey> {
    let attributes = || reply.attributes(policy_id::LEN);
    let info = attributes()
        .value_of(XFRMA_POLICY)?
        .get(..userpolicy::LEN)?;
    let mut key = PolicyKey {
        dir: Direction::from_xfrm(u8_at(info, userpolicy::DIR)?)?,
        selector: decode_selector(&info[userpolicy::SEL..])?,
        mark: Mark::default(),
        if_id: 0,
        label: None,
    };
    for (kind, value) in attributes() {
        match kind {
            XFRMA_POLICY_TYPE if u8_at(value, 0)? != 0 => return None,
            XFRMA_MARK => key.mark = decode_mark(value)?,
            XFRMA_IF_ID => key.if_id = u32_at(value, 0)?,
            XFRMA_SEC_CTX => key.label = label(value),
            _ => {}
        }
    }
    Some(key)
}

/// reqid of the first template that has one.
pub(in super::super) fn template_reqid(value: &[u8]) -> Option<u32> {
    value
        .chunks_exact(template::LEN)
        .filter_map(|one| u32_at(one, template::REQID))
        .find(|reqid| *reqid != 0)
}

/// SPI of the first template, if it names one.
fn template_spi(value: &[u8]) -> Option<Spi> {
    let spi = value.get(template::SPI..template::SPI + 4)?;
    let spi = u32::from_be_bytes(spi.try_into().ok()?);
    (spi != 0).then_some(Spi(spi))
}

/// The label of `struct xfrm_user_sec_ctx`, if it is one of SELinux.
pub(in super::super) fn label(value: &[u8]) -> Option<Vec<u8>> {
    if u8_at(value, 4)? != SC_ALG_SELINUX || u8_at(value, 5)? != SC_DOI_LSM {
        return None;
    }
    let len = usize::from(u16_at(value, 6)?);
    value
        .get(SEC_CTX_LEN..SEC_CTX_LEN + len)
        .map(<[u8]>::to_vec)
}
