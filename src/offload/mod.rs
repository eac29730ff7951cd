// SPDX-License-Identifier: GPL-2.0-or-later
//! What may go to a NIC: rules, remedies, and the decision for a unit. Pure code.
//!
//! Owns what is known about the limits of XFRM's offload interface and of the drivers behind it.
//! `backend/` collects the facts, asks here, and asks the kernel only then. Must not do I/O: every
//! rule is tested by a table.
#![forbid(unsafe_code)]

pub mod fixes;
mod lifetime;
mod plan;
mod refusal;
mod rules;

pub use lifetime::fit_lifetime;
pub use plan::{Decision, Mode, Step, decide};
pub use refusal::{Cause, Refusal, explain};
pub use rules::{
    DEVICE_RULES, Device, DeviceRule, Of, POLICY_RULES, PolicyExtras, PolicyFacts, PolicyRule,
    SA_RULES, SaExtras, SaFacts, SaRule, check_device, check_policy, check_sa, is_stacked,
};
