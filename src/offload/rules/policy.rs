// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules for policies, one by one and by name.
//!
//! Owns the table. Rules of the interface (net/xfrm/xfrm_device.c: xfrm_dev_policy_add) hold for
//! every device; those of mlx5 (en_accel/ipsec.c: mlx5e_xfrm_validate_policy, and what its tables
//! match: ipsec_fs.c) for that driver. Each is tested by its name.

use crate::model::{Direction, PortMatch};

use super::super::fixes::SUBNETS;
use super::{Device, Of, PolicyFacts};

/// A rule and what it says of a policy that breaks it.
pub struct PolicyRule {
    /// Its name.
    pub name: &'static str,
    /// Whose rule it is.
    pub of: Of,
    /// The reason, if the policy breaks it.
    pub broken: fn(&Device, &PolicyFacts) -> Option<String>,
}

fn when(broken: bool, reason: &str) -> Option<String> {
    broken.then(|| reason.to_owned())
}

const fn rule(
    name: &'static str,
    of: Of,
    broken: fn(&Device, &PolicyFacts) -> Option<String>,
) -> PolicyRule {
    PolicyRule { name, of, broken }
}

/// In the order in which they are checked.
pub const POLICY_RULES: &[PolicyRule] = &[
    rule("forward", Of::Interface, |_, policy| {
        when(
            policy.dir == Direction::Fwd,
            "Cannot offload forward policy",
        )
    }),
    rule("template", Of::Interface, |_, policy| {
        when(
            policy.templates > 1,
            "Cannot offload more than one template",
        )
    }),
    rule("reqid-0", Of::Mlx5, |_, policy| {
        let selector = &policy.selector;
        when(
            policy.reqid == 0
                && selector.proto == 0
                && selector.src.is_empty()
                && selector.dst.is_empty(),
            "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) \
             different than 0",
        )
    }),
    rule("protocol", Of::Mlx5, |_, policy| {
        when(
            !matches!(policy.selector.proto, 0 | 6 | 17),
            "Device does not support upper protocol other than TCP/UDP",
        )
    }),
    rule("priority", Of::Mlx5, |_, policy| {
        when(
            policy.priority == u32::MAX,
            "Device doesn't support requested policy priority",
        )
    }),
    rule("policy-mark", Of::Mlx5, |_, policy| {
        when(policy.more.mark, "the device does not match marks")
    }),
    rule("policy-if-id", Of::Mlx5, |_, policy| {
        when(
            policy.more.if_id != 0,
            "the device does not know XFRM interfaces: it would encrypt what does not leave through \
             one",
        )
    }),
    rule("policy-label", Of::Mlx5, |_, policy| {
        when(
            policy.more.label,
            "the device does not match security labels",
        )
    }),
    // The driver takes an all-zero address for "any", whatever its prefix length.
    rule("wildcard", Of::Mlx5, |_, policy| {
        let selector = &policy.selector;
        [selector.src, selector.dst]
            .into_iter()
            .find(|prefix| prefix.first().is_unspecified() && !prefix.is_empty())
            .map(|prefix| format!("the device would match all addresses instead of {prefix}"))
    }),
    // Likewise an all-zero port: a range from 0 on, in the form of a mask, would be all ports.
    rule("port-0", Of::Mlx5, |_, policy| {
        let selector = &policy.selector;
        let zero = |port: &PortMatch| port.port == 0 && port.mask != 0;
        when(
            zero(&selector.sport) || zero(&selector.dport),
            "the device would match all ports instead of those from 0 on",
        )
    }),
    rule("subnets", Of::Mlx5, |device, policy| {
        let selector = &policy.selector;
        if !device.lacks.contains(&SUBNETS) {
            return None;
        }
        [selector.src, selector.dst]
            .into_iter()
            .find(|prefix| !prefix.is_empty() && !prefix.is_host())
            .map(|prefix| {
                format!(
                    "this kernel's driver would match the first address instead of {prefix} (fix \
                     \"{SUBNETS}\")"
                )
            })
    }),
];
