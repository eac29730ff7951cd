// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of the gate: what table `inet fastswan` and table `netdev fastswan` say.
//!
//! Owns chains, sets and rules as data; docs/guard.md tells why each is there. Called by `kernel.rs`,
//! which sends them. Must not do I/O, and must not know which selectors are guarded: those are
//! elements of the sets.
//!
//! The number of rules depends on the pairs of prefix lengths in use and on the PASS policies, never
//! on the number of CHILD_SAs.
//!
//! * here: chains, sets that are always there, and what the rules depend on
//! * `category`: selectors that are looked up together, and their sets
//! * `packets`: the rules at each hook, in order
//! * `egress`: the rules at a device's egress
//! * `matches`: what they are made of

mod category;
mod egress;
mod matches;
mod packets;

use std::collections::BTreeSet;

use super::nft::expr::Expr;
use super::nft::{Field, Hook, Set};
use crate::model::{Prefix, Selector};

pub(super) use category::{Category, Which};
pub(super) use egress::{egress_chain, egress_hook, egress_rules};
pub(super) use packets::rules;

/// Name of both tables.
pub(crate) const TABLE: &str = "fastswan";

pub(super) const PEERS4: &str = "peers4";
pub(super) const PEERS6: &str = "peers6";
pub(super) const IKE_PORTS: &str = "ike_ports";
pub(super) const IPSEC_PROTOCOLS: &str = "ipsec_protocols";
pub(super) const REQIDS: &str = "reqids";
pub(super) const SHUT: &str = "shut_reqids";
pub(super) const NICS: &str = "nics";

const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_IN: u32 = 1;
const NF_INET_FORWARD: u32 = 2;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_INET_POST_ROUTING: u32 = 4;
/// Behind defragmentation (-400), in front of everything that changes packets (raw, -300).
const EARLY: i32 = -350;
/// Behind source address translation (100) and whatever else an administrator has.
const LATE: i32 = 1000;

/// A PASS policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(super) outbound: bool,
    pub(super) selector: Selector,
}

/// What the rules depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The one bit of the mark that says "had a transform on its first pass".
    pub(super) mark: u32,
    /// Of gates.
    pub(super) categories: BTreeSet<Category>,
    /// Of what inbound SAs may deliver, without their marks.
    pub(super) delivered: BTreeSet<Category>,
    pub(super) passes: Vec<Pass>,
    /// Remote networks that are exempt.
    pub(super) exempt: Vec<Prefix>,
}

impl Layout {
    /// Categories about such packets.
    fn of(&self, which: impl Fn(Which) -> bool) -> impl Iterator<Item = &Category> {
        let chosen = move |category: &&Category| which(category.scope);
        self.categories.iter().filter(chosen)
    }
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) hook: Option<Hook<'static>>,
    pub(super) about: &'static str,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) chain: &'static str,
    pub(super) exprs: Vec<Expr>,
    pub(super) about: String,
}

const PREROUTING: &str = "prerouting";
const INPUT: &str = "input";
const FORWARD: &str = "forward";
const OUTPUT: &str = "output";
const POSTROUTING: &str = "postrouting";
const DECRYPTED: &str = "decrypted";
const CLEAR_IN: &str = "clear_in";
const FORWARDED: &str = "forwarded";
const SENT: &str = "sent";
const LEAVING: &str = "leaving";
const EXEMPT_IN: &str = "exempt_in";
const EXEMPT_OUT: &str = "exempt_out";

/// Chains of the table of both IP versions. Those that others go to come first.
pub(super) fn chains() -> Vec<Chain> {
    let plain = |name, about| Chain {
        name,
        hook: None,
        about,
    };
    let base = |name, number, priority, about| Chain {
        name,
        hook: Some(Hook {
            number,
            priority,
            device: None,
        }),
        about,
    };
    vec![
        plain(EXEMPT_IN, "inbound: guard_exempt and PASS policies"),
        plain(EXEMPT_OUT, "outbound: guard_exempt and PASS policies"),
        plain(DECRYPTED, "an SA delivers only what its selectors name"),
        plain(CLEAR_IN, "claims guarded addresses and was not decrypted"),
        plain(FORWARDED, "guarded, forwarded"),
        plain(SENT, "guarded, sent by this host"),
        plain(LEAVING, "guarded, on its way to the device"),
        base(PREROUTING, NF_INET_PRE_ROUTING, EARLY, "all that comes in"),
        base(
            INPUT,
            NF_INET_LOCAL_IN,
            LATE,
            "all that this host receives, with the mark that its policies see",
        ),
        base(FORWARD, NF_INET_FORWARD, EARLY, "all that is forwarded"),
        base(OUTPUT, NF_INET_LOCAL_OUT, EARLY, "all that this host sends"),
        base(
            POSTROUTING,
            NF_INET_POST_ROUTING,
            LATE,
            "all that leaves, after address translation",
        ),
    ]
}

/// Sets that are always there.
pub(super) fn sets() -> Vec<Set> {
    let set = |name: &str, fields: &[Field], comment: &str| Set {
        name: name.to_owned(),
        fields: fields.to_vec(),
        timeout: false,
        comment: comment.to_owned(),
    };
    vec![
        set(
            PEERS4,
            &[Field::Ip4, Field::Ip4],
            "outer addresses of SAs: local . remote",
        ),
        set(
            PEERS6,
            &[Field::Ip6, Field::Ip6],
            "outer addresses of SAs: local . remote",
        ),
        set(IKE_PORTS, &[Field::Port], "UDP ports of charon"),
        set(IPSEC_PROTOCOLS, &[Field::Proto], "ESP, AH, IPComp"),
        set(REQIDS, &[Field::Mark], "reqids of guarded inbound SAs"),
        Set {
            timeout: true,
            ..set(
                SHUT,
                &[Field::Mark],
                "reqids of CHILD_SAs of which a policy leaves, or left, its device",
            )
        },
        set(
            NICS,
            &[Field::Iface],
            "devices that hold guarded SAs in packet mode",
        ),
    ]
}

/// Elements that are always there.
pub(super) fn constants() -> [(&'static str, [u8; 3]); 1] {
    [(IPSEC_PROTOCOLS, [50, 51, 108])]
}
