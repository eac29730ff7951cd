// SPDX-License-Identifier: GPL-2.0-or-later
//! What a policy demands of packets: the templates of its SAs.
//!
//! Owns their order and contents. Called by `policy.rs` for the message and by the rules of
//! `offload/` for what a device has to take.

use crate::model::{Direction, Mode, PolicyKind, Proto, Spi};
use crate::offload::{PolicyExtras, PolicyFacts};
use crate::spd::User;
use crate::xfrm::{PolicyKey, Template};

use super::units::SaName;

/// What the rules of offload ask about a policy.
pub(super) fn facts_of(key: &PolicyKey, user: &User) -> PolicyFacts {
    let spec = &user.spec;
    PolicyFacts {
        dir: key.dir,
        kind: spec.kind,
        selector: key.selector,
        templates: templates_of(user).len(),
        reqid: match spec.kind {
            PolicyKind::Ipsec => spec.sa.reqid,
            PolicyKind::Pass | PolicyKind::Drop => 0,
        },
        priority: user.priority,
        more: PolicyExtras {
            mark: key.mark.is_set(),
            if_id: key.if_id,
            label: key.label.is_some(),
        },
    }
}

/// The SA that a policy names; `None` for a trap's.
pub(super) fn sa_name(user: &User) -> Option<SaName> {
    let sa = &user.spec.sa;
    let spi = sa.esp.or(sa.ah).filter(|spi| spi.0 != 0)?;
    Some((user.spec.dst?.ip, spi))
}

/// The transforms a packet needs (kernel_netlink_ipsec.c: add_policy_internal): IPComp, ESP, AH in
/// this order; the first one in the mode of the SA and with its addresses, the others in transport
/// mode. Outbound ones name the SPI, so that the policy decides which SA is used.
pub(super) fn templates_of(user: &User) -> Vec<Template> {
    let (spec, dir) = (&user.spec, user.id.dir);
    let sa = &spec.sa;
    let (Some(mode), Some(src), Some(dst)) = (sa.mode, spec.src, spec.dst) else {
        return Vec::new();
    };
    if spec.kind != PolicyKind::Ipsec || sa.reqid == 0 {
        return Vec::new();
    }
    let comp = (sa.ipcomp != 0).then_some(Spi(u32::from(sa.cpi)));
    let name_spi = dir == Direction::Out && user.id.label.is_none() && !spec.pcpu_acquires;
    [
        (Proto::Comp, comp),
        (Proto::Esp, sa.esp),
        (Proto::Ah, sa.ah),
    ]
    .into_iter()
    .filter_map(|(proto, spi)| Some((proto, spi?)))
    .enumerate()
    .map(|(position, (proto, spi))| {
        let mode = if position == 0 { mode } else { Mode::Transport };
        Template {
            src: src.ip,
            dst: dst.ip,
            spi: if name_spi { spi } else { Spi(0) },
            proto,
            mode,
            reqid: sa.reqid,
            optional: proto == Proto::Comp && dir != Direction::Out,
            with_addresses: mode != Mode::Transport,
        }
    })
    .collect()
}
