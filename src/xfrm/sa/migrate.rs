// SPDX-License-Identifier: GPL-2.0-or-later
//! Moves an SA to other addresses by `XFRM_MSG_MIGRATE_STATE`: the kernel takes over keys, sequence
//! numbers and counters in one step, and no key leaves it.
//!
//! Owns that message (Documentation/networking/xfrm/xfrm_migrate_state.rst). Called by `relocate`,
//! which has another way for kernels that do not know it. Must not be used for an SA in packet mode:
//! the kernel would take over the sequence numbers that it knows, and the NIC has others.
#![forbid(unsafe_code)]

use super::super::consts::{
    NLMSG_HDRLEN, XFRM_MIGRATE_STATE_CLEAR_OFFLOAD, XFRM_MSG_MIGRATE_STATE, XFRMA_ENCAP, encap,
    migrate_state,
};
use super::super::request::Request;
use super::super::transport::Protocol;
use super::encode::{put_encap, put_offload, put_selector};
use super::relocate::moved_selector;
use super::{Kernel, SaMove, SaState};
use crate::error::KernelError;
use crate::model::{Proto, family_of};

impl Kernel {
    /// Moves an SA. After a refusal the SA is as it was.
    pub(super) fn migrate_sa(&self, change: &SaMove<'_>) -> Result<(), KernelError> {
        // What is not said anew would be lost: selector and reqid are not taken over.
        let state = self.get_sa(change.key, change.src)?;
        let request = migrate(change, &state)?;
        self.transport.ack(Protocol::Xfrm, &request)
    }
}

/// The message.
fn migrate(change: &SaMove<'_>, state: &SaState) -> Result<Request, KernelError> {
    let mut request = Request::new("XFRM_MSG_MIGRATE_STATE", XFRM_MSG_MIGRATE_STATE, 0);
    let key = change.key;
    request.put_address(key.dst);
    request.put(&key.spi.0.to_be_bytes());
    request.put_u16(family_of(key.dst));
    request.put(&[key.proto.number(), 0]);
    request.put_address(change.new_dst.ip);
    request.put_address(change.new_src.ip);
    request.put_u32(key.mark.value);
    request.put_u32(key.mark.mask);
    put_selector(&mut request, moved_selector(change, state).as_ref());
    request.put_u32(change.new_reqid.unwrap_or(state.reqid));
    // Without an attribute the old offload would be taken over; IPComp has none.
    let clear = change.placement.device().is_none() && key.proto != Proto::Comp;
    request.put_u32(if clear {
        XFRM_MIGRATE_STATE_CLEAR_OFFLOAD
    } else {
        0
    });
    request.put_u16(family_of(change.new_dst.ip));
    request.put_u16(0);
    debug_assert_eq!(
        request.bytes().len(),
        NLMSG_HDRLEN + migrate_state::LEN,
        "struct xfrm_user_migrate_state"
    );
    if change.new_encap {
        put_encap(&mut request, change.new_src.port, change.new_dst.port);
    } else if state.encap || change.encap {
        // Type 0 ends it.
        request.attribute(XFRMA_ENCAP, &[0; encap::LEN]);
    }
    put_offload(
        &mut request,
        change.placement,
        state.inbound.unwrap_or(change.inbound),
    );
    request.check()?;
    Ok(request)
}
