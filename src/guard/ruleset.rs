// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of the gate: what table `inet fastswan` and table `netdev fastswan` say.
//!
//! Owns chains, sets and rules as data; docs/guard.md tells why each is there. Called by `kernel.rs`,
//! which sends them. Must not do I/O, and must not know which selectors are guarded: those are
//! elements of the sets.
//!
//! The number of rules depends on the pairs of prefix lengths in use and on the PASS policies, never
//! on the number of CHILD_SAs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::nft::expr::{Base, Expr, Meta, Op, REG};
use super::nft::{Field, Hook, Set};
use crate::model::{Prefix, Selector};

/// Name of both tables.
pub(crate) const TABLE: &str = "fastswan";

pub(super) const PEERS4: &str = "peers4";
pub(super) const PEERS6: &str = "peers6";
pub(super) const IKE_PORTS: &str = "ike_ports";
pub(super) const IPSEC_PROTOCOLS: &str = "ipsec_protocols";
pub(super) const REQIDS: &str = "reqids";
pub(super) const SHUT: &str = "shut";
pub(super) const NICS: &str = "nics";

const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_IN: u32 = 1;
const NF_INET_FORWARD: u32 = 2;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_INET_POST_ROUTING: u32 = 4;
const NF_NETDEV_EGRESS: u32 = 1;

/// Behind defragmentation (-400), in front of everything that changes packets (raw, -300).
const EARLY: i32 = -350;
/// Behind source address translation (100) and whatever else an administrator has.
const LATE: i32 = 1000;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const LOOPBACK: u32 = 1;
/// `RTN_LOCAL`
const RTN_LOCAL: u32 = 2;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Which packets the selectors of a category are about ([`super::Scope`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    /// All between their networks.
    All,
    /// Those that leave with a mark, of which these bits count; never 0.
    MaskedOut(u32),
    /// As [`Which::MaskedOut`], of those that enter.
    MaskedIn(u32),
    /// Those sent into an XFRM interface. The interface sends nothing without a transform, so they have one on their
    /// first pass; the second is looked up.
    Interface,
}

impl Which {
    /// The bits of the mark that count.
    pub(super) fn mask(self) -> Option<u32> {
        match self {
            Self::All | Self::Interface => None,
            Self::MaskedOut(mask) | Self::MaskedIn(mask) => Some(mask),
        }
    }

    /// Reads what a set's name ends with, and what is in front of it.
    fn split(name: &str) -> Option<(&str, Self)> {
        if let Some(rest) = name.strip_suffix("_xfrmi") {
            return Some((rest, Self::Interface));
        }
        for (suffix, which) in [
            ("_markout", Self::MaskedOut as fn(u32) -> Self),
            ("_markin", Self::MaskedIn),
        ] {
            if let Some((rest, mask)) = name.split_once(suffix) {
                let mask = u32::from_str_radix(mask, 16).ok().filter(|mask| *mask != 0);
                return Some((rest, which(mask?)));
            }
        }
        Some((name, Self::All))
    }
}

/// Selectors that are looked up together: one family, one pair of prefix lengths, with or without a
/// protocol, one mask of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Category {
    pub(super) v6: bool,
    pub(super) local: u8,
    pub(super) remote: u8,
    pub(super) proto: bool,
    pub(super) scope: Which,
}

impl Category {
    fn name(self, prefix: &str) -> String {
        let scope = match self.scope {
            Which::All => String::new(),
            Which::MaskedOut(mask) => format!("_markout{mask:x}"),
            Which::MaskedIn(mask) => format!("_markin{mask:x}"),
            Which::Interface => "_xfrmi".to_owned(),
        };
        format!(
            "{prefix}{}_{}_{}{}{scope}",
            if self.v6 { 6 } else { 4 },
            self.local,
            self.remote,
            if self.proto { "_proto" } else { "" }
        )
    }

    /// Set of the selectors that are guarded.
    pub(super) fn gates(self) -> String {
        self.name("gate")
    }

    /// Set of the selectors with the reqids of the SAs that may deliver them.
    pub(super) fn deliveries(self) -> String {
        self.networks().name("sa")
    }

    /// The same for all packets.
    pub(super) fn networks(self) -> Self {
        Self {
            scope: Which::All,
            ..self
        }
    }

    /// Reads the name of a set of guarded selectors.
    pub(super) fn of_gates(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("gate")?;
        let (rest, scope) = Which::split(rest)?;
        let (rest, proto) = match rest.strip_suffix("_proto") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let mut parts = rest.split('_');
        let v6 = match parts.next()? {
            "4" => false,
            "6" => true,
            _ => return None,
        };
        let local = parts.next()?.parse().ok()?;
        let remote = parts.next()?.parse().ok()?;
        let category = Self {
            v6,
            local,
            remote,
            proto,
            scope,
        };
        (parts.next().is_none() && category.gates() == name).then_some(category)
    }

    fn address(self) -> Field {
        if self.v6 { Field::Ip6 } else { Field::Ip4 }
    }

    /// The set of guarded selectors.
    pub(super) fn guarded(self) -> Set {
        let mut gates = Set {
            name: self.gates(),
            fields: self.fields(),
            timeout: true,
            comment: match self.scope {
                Which::All => "guarded: local . remote network",
                Which::MaskedOut(_) => {
                    "guarded, if it leaves with the mark: mark . local . remote network"
                }
                Which::MaskedIn(_) => {
                    "guarded, if it enters with the mark: mark . local . remote network"
                }
                Which::Interface => "guarded behind an XFRM interface: local . remote network",
            }
            .to_owned(),
        };
        if self.scope.mask().is_some() {
            gates.fields.insert(0, Field::Mark);
        }
        gates
    }

    /// The set of what inbound SAs may deliver.
    pub(super) fn delivered(self) -> Set {
        let mut fields = self.fields();
        fields.insert(0, Field::Mark);
        Set {
            name: self.deliveries(),
            fields,
            timeout: false,
            comment: "what an inbound SA may deliver: reqid . local . remote network".to_owned(),
        }
    }

    fn fields(self) -> Vec<Field> {
        let mut fields = vec![self.address(), self.address()];
        if self.proto {
            fields.push(Field::Proto);
        }
        fields
    }

    /// Loads the pair of networks, local one first, from register `reg` on. In outbound packets the
    /// source is local. The mark, if it counts, stands in front.
    fn load(self, outbound: bool, mut reg: u32) -> Vec<Expr> {
        let mut exprs = Vec::new();
        if let Some(mask) = self.scope.mask() {
            exprs.push(Expr::Meta(Meta::Mark, reg));
            exprs.push(Expr::Bitwise {
                reg,
                mask: mask.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            });
            reg += 1;
        }
        for (local, len) in [(true, self.local), (false, self.remote)] {
            exprs.push(address(self.v6, local == outbound, reg));
            exprs.extend(mask(self.v6, len, reg));
            reg += self.address().len() / 4;
        }
        if self.proto {
            exprs.push(Expr::Meta(Meta::L4Proto, reg));
        }
        exprs
    }
}

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
        set(
            SHUT,
            &[Field::Mark],
            "reqids of CHILD_SAs of which a policy is about to leave its device",
        ),
        set(
            NICS,
            &[Field::Iface],
            "devices that hold guarded SAs in packet mode",
        ),
    ]
}

/// Elements that are always there.
pub(super) fn constants() -> [(&'static str, Vec<Vec<u8>>); 1] {
    [(IPSEC_PROTOCOLS, vec![vec![50], vec![51], vec![108]])]
}

fn address(v6: bool, source: bool, reg: u32) -> Expr {
    let (offset, len) = match (v6, source) {
        (false, true) => (12, 4),
        (false, false) => (16, 4),
        (true, true) => (8, 16),
        (true, false) => (24, 16),
    };
    Expr::Payload {
        base: Base::Network,
        offset,
        len,
        reg,
    }
}

/// Masks an address; nothing for a whole one.
fn mask(v6: bool, len: u8, reg: u32) -> Option<Expr> {
    let bytes = if v6 { 16 } else { 4 };
    if usize::from(len) >= bytes * 8 {
        return None;
    }
    let ones = if len == 0 {
        0
    } else {
        u128::MAX << (128 - u32::from(len))
    };
    Some(Expr::Bitwise {
        reg,
        mask: ones.to_be_bytes()[..bytes].to_vec(),
        xor: vec![0; bytes],
    })
}

fn family(v6: bool) -> [Expr; 2] {
    let number = if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
    [
        Expr::Meta(Meta::NfProto, REG),
        Expr::Cmp(REG, Op::Eq, vec![number]),
    ]
}

fn l4proto(number: u8) -> [Expr; 2] {
    [
        Expr::Meta(Meta::L4Proto, REG),
        Expr::Cmp(REG, Op::Eq, vec![number]),
    ]
}

fn device(key: Meta, ifindex: u32) -> [Expr; 2] {
    [
        Expr::Meta(key, REG),
        Expr::Cmp(REG, Op::Eq, ifindex.to_ne_bytes().to_vec()),
    ]
}

fn transport(offset: u32, len: u32) -> Expr {
    Expr::Payload {
        base: Base::Transport,
        offset,
        len,
        reg: REG,
    }
}

/// Goes on if the route has a transform.
fn has_transform() -> [Expr; 2] {
    [Expr::RtIpsec(REG), Expr::Cmp(REG, Op::Eq, vec![1])]
}

/// The bit of the mark.
#[derive(Clone, Copy)]
struct Bit(u32);

impl Bit {
    fn masked(self, load: Expr, op: Op) -> [Expr; 3] {
        [
            load,
            Expr::Bitwise {
                reg: REG,
                mask: self.0.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            },
            Expr::Cmp(REG, op, vec![0; 4]),
        ]
    }

    /// Goes on if it is set.
    fn is_set(self) -> [Expr; 3] {
        self.masked(Expr::Meta(Meta::Mark, REG), Op::Ne)
    }

    /// Goes on if it is not set.
    fn is_clear(self) -> [Expr; 3] {
        self.masked(Expr::Meta(Meta::Mark, REG), Op::Eq)
    }

    /// Goes on if it is set in the mark of the packet's socket.
    fn is_forged(self) -> [Expr; 3] {
        self.masked(Expr::SocketMark(REG), Op::Ne)
    }

    fn write(self, value: u32) -> [Expr; 3] {
        [
            Expr::Meta(Meta::Mark, REG),
            Expr::Bitwise {
                reg: REG,
                mask: (!self.0).to_ne_bytes().to_vec(),
                xor: value.to_ne_bytes().to_vec(),
            },
            Expr::SetMark(REG),
        ]
    }

    fn set(self) -> [Expr; 3] {
        self.write(self.0)
    }

    fn clear(self) -> [Expr; 3] {
        self.write(0)
    }
}

/// Collects rules.
struct Rules(Vec<Rule>);

impl Rules {
    fn add<const N: usize>(&mut self, chain: &'static str, about: &str, parts: [&[Expr]; N]) {
        self.0.push(Rule {
            chain,
            exprs: parts.concat(),
            about: about.to_owned(),
        });
    }
}

/// The rules of the table of both IP versions, in order.
pub(super) fn rules(layout: &Layout) -> Vec<Rule> {
    let bit = Bit(layout.mark);
    let mut rules = Rules(Vec::new());
    exemptions(&mut rules, layout);
    decrypted(&mut rules, layout);
    inbound(&mut rules, layout, bit);
    input(&mut rules, layout);
    forward(&mut rules, layout, bit);
    output(&mut rules, layout, bit);
    postrouting(&mut rules, layout, bit);
    rules.0
}

fn exemptions(rules: &mut Rules, layout: &Layout) {
    for prefix in &layout.exempt {
        for (chain, outbound) in [(EXEMPT_IN, false), (EXEMPT_OUT, true)] {
            let mut exprs = family(prefix.first().is_ipv6()).to_vec();
            exprs.extend(within(prefix, !outbound));
            rules.add(chain, "guard_exempt", [&exprs, &[Expr::Accept]]);
        }
    }
    for pass in &layout.passes {
        let chain = if pass.outbound { EXEMPT_OUT } else { EXEMPT_IN };
        rules.add(chain, "PASS policy", [&selected(pass), &[Expr::Accept]]);
    }
}

/// Goes on if the source, or the destination, is within a network.
fn within(prefix: &Prefix, source: bool) -> Vec<Expr> {
    if prefix.is_empty() {
        return Vec::new();
    }
    let v6 = prefix.first().is_ipv6();
    let mut exprs = vec![address(v6, source, REG)];
    exprs.extend(mask(v6, prefix.len(), REG));
    exprs.push(Expr::Cmp(REG, Op::Eq, octets(prefix.first())));
    exprs
}

/// Goes on if a packet matches the selector of a policy, exactly as the kernel matches it.
fn selected(pass: &Pass) -> Vec<Expr> {
    let selector = &pass.selector;
    let mut exprs = Vec::new();
    if selector.ifindex != 0 {
        let key = if pass.outbound { Meta::Oif } else { Meta::Iif };
        exprs.extend(device(key, selector.ifindex));
    }
    exprs.extend(family(selector.src.first().is_ipv6()));
    exprs.extend(within(&selector.src, true));
    exprs.extend(within(&selector.dst, false));
    if selector.proto == 0 {
        return exprs;
    }
    exprs.extend(l4proto(selector.proto));
    // For ICMP the "ports" are type and code, of one octet each.
    let icmp = matches!(selector.proto, 1 | 58);
    for (index, port) in [selector.sport, selector.dport].into_iter().enumerate() {
        if port.mask == 0 {
            continue;
        }
        let index = index as u32;
        if icmp {
            exprs.push(transport(index, 1));
            exprs.push(Expr::Cmp(REG, Op::Eq, vec![port.port as u8]));
            continue;
        }
        exprs.push(transport(index * 2, 2));
        if port.mask != u16::MAX {
            exprs.push(Expr::Bitwise {
                reg: REG,
                mask: port.mask.to_be_bytes().to_vec(),
                xor: vec![0; 2],
            });
        }
        exprs.push(Expr::Cmp(
            REG,
            Op::Eq,
            (port.port & port.mask).to_be_bytes().to_vec(),
        ));
    }
    exprs
}

pub(super) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn decrypted(rules: &mut Rules, layout: &Layout) {
    // In crypto mode the driver marks the outer packet, which comes by here unless GRO has taken it before.
    ike_in(rules, DECRYPTED);
    outer(rules, DECRYPTED, false, &[]);
    // With nested SAs the innermost of the two decides.
    for spnum in [1, 0] {
        for category in &layout.delivered {
            rules.add(
                DECRYPTED,
                "",
                [
                    &family(category.v6),
                    &[Expr::InReqid { spnum, reg: REG }],
                    &category.load(false, REG + 1),
                    &[Expr::Lookup(category.deliveries(), REG), Expr::Accept],
                ],
            );
        }
    }
    rules.add(
        DECRYPTED,
        "outside the selectors of the SA that decrypted it",
        [&[
            Expr::InReqid { spnum: 0, reg: REG },
            Expr::Lookup(REQIDS.to_owned(), REG),
            Expr::Counter,
            Expr::Drop,
        ]],
    );
}

fn inbound(rules: &mut Rules, layout: &Layout, bit: Bit) {
    rules.add(
        PREROUTING,
        "loopback",
        [&device(Meta::Iif, LOOPBACK), &[Expr::Accept]],
    );
    rules.add(
        PREROUTING,
        "guard_mark is the gate's own: nobody brings it along",
        [&bit.is_set(), &bit.clear()],
    );
    rules.add(
        PREROUTING,
        "",
        [&[
            Expr::Meta(Meta::Secpath, REG),
            Expr::Cmp(REG, Op::Eq, vec![1]),
            Expr::Goto(DECRYPTED),
        ]],
    );
    for category in layout.of(|which| which == Which::All) {
        rules.add(
            PREROUTING,
            "",
            [
                &family(category.v6),
                &category.load(false, REG),
                &[Expr::Lookup(category.gates(), REG), Expr::Goto(CLEAR_IN)],
            ],
        );
    }
    neighbours(rules, CLEAR_IN);
    ike_in(rules, CLEAR_IN);
    outer(rules, CLEAR_IN, false, &[]);
    rules.add(CLEAR_IN, "", [&[Expr::Jump(EXEMPT_IN)]]);
    rules.add(CLEAR_IN, "not decrypted", [&[Expr::Counter, Expr::Drop]]);
}

/// Packets get their marks behind `prerouting`: those that were not decrypted are judged where the kernel asks its
/// policies, which is when they are forwarded or delivered.
fn marked_in(rules: &mut Rules, chain: &'static str, layout: &Layout) {
    for category in layout.of(|which| matches!(which, Which::MaskedIn(_))) {
        rules.add(
            chain,
            "",
            [
                &[
                    Expr::Meta(Meta::Secpath, REG),
                    Expr::Cmp(REG, Op::Eq, vec![0]),
                ],
                &family(category.v6),
                &category.load(false, REG),
                &[Expr::Lookup(category.gates(), REG), Expr::Goto(CLEAR_IN)],
            ],
        );
    }
}

fn input(rules: &mut Rules, layout: &Layout) {
    rules.add(
        INPUT,
        "loopback",
        [&device(Meta::Iif, LOOPBACK), &[Expr::Accept]],
    );
    marked_in(rules, INPUT, layout);
}

fn ike_in(rules: &mut Rules, chain: &'static str) {
    rules.add(
        chain,
        "IKE and ESP in UDP to charon",
        [
            &l4proto(UDP),
            &[transport(2, 2), Expr::Lookup(IKE_PORTS.to_owned(), REG)],
            &[
                Expr::FibDaddrType(REG),
                Expr::Cmp(REG, Op::Eq, RTN_LOCAL.to_ne_bytes().to_vec()),
                Expr::Accept,
            ],
        ],
    );
}

/// Neighbour discovery (RFC 4861: 133 to 137), MLD (RFC 3810: 130 to 132, 143).
fn neighbours(rules: &mut Rules, chain: &'static str) {
    let kind = |op, number| [transport(0, 1), Expr::Cmp(REG, op, vec![number])];
    rules.add(
        chain,
        "neighbour discovery, MLD",
        [
            &l4proto(ICMPV6),
            &kind(Op::Ge, 130),
            &kind(Op::Le, 137),
            &[Expr::Accept],
        ],
    );
    rules.add(
        chain,
        "MLDv2",
        [&l4proto(ICMPV6), &kind(Op::Eq, 143), &[Expr::Accept]],
    );
}

/// ESP, AH and IPComp between the outer addresses of SAs.
fn outer(rules: &mut Rules, chain: &'static str, outbound: bool, then: &[Expr]) {
    for (v6, peers) in [(false, PEERS4), (true, PEERS6)] {
        let whole = Category {
            v6,
            local: 128,
            remote: 128,
            proto: false,
            scope: Which::All,
        };
        rules.add(
            chain,
            "ESP, AH, IPComp of known SAs",
            [
                &family(v6),
                &[
                    Expr::Meta(Meta::L4Proto, REG),
                    Expr::Lookup(IPSEC_PROTOCOLS.to_owned(), REG),
                ],
                &whole.load(outbound, REG),
                &[Expr::Lookup(peers.to_owned(), REG)],
                then,
                &[Expr::Accept],
            ],
        );
    }
}

fn guarded(rules: &mut Rules, chain: &'static str, layout: &Layout, next: &'static str) {
    for category in layout.of(|which| matches!(which, Which::All | Which::MaskedOut(_))) {
        rules.add(
            chain,
            "",
            [
                &family(category.v6),
                &category.load(true, REG),
                &[Expr::Lookup(category.gates(), REG), Expr::Goto(next)],
            ],
        );
    }
}

/// The second pass of what an XFRM interface sent: as guarded, but who has no bit was not sent by one.
fn guarded_behind_interfaces(
    rules: &mut Rules,
    chain: &'static str,
    layout: &Layout,
    sent_by_one: &[Expr],
    next: &'static str,
) {
    for category in layout.of(|which| which == Which::Interface) {
        rules.add(
            chain,
            "",
            [
                sent_by_one,
                &family(category.v6),
                &category.load(true, REG),
                &[Expr::Lookup(category.gates(), REG), Expr::Goto(next)],
            ],
        );
    }
}

fn forward(rules: &mut Rules, layout: &Layout, bit: Bit) {
    marked_in(rules, FORWARD, layout);
    guarded(rules, FORWARD, layout, FORWARDED);
    rules.add(FORWARD, "", [&bit.is_set(), &bit.clear()]);
    rules.add(
        FORWARDED,
        "will be encrypted",
        [&has_transform(), &bit.set(), &[Expr::Accept]],
    );
    rules.add(FORWARDED, "", [&bit.is_set(), &bit.clear()]);
    rules.add(FORWARDED, "", [&[Expr::Jump(EXEMPT_OUT)]]);
    rules.add(
        FORWARDED,
        "would leave in clear",
        [&[Expr::Counter, Expr::Drop]],
    );
}

fn output(rules: &mut Rules, layout: &Layout, bit: Bit) {
    rules.add(
        OUTPUT,
        "loopback",
        [&device(Meta::Oif, LOOPBACK), &[Expr::Accept]],
    );
    rules.add(
        OUTPUT,
        "guard_mark is the gate's own: no application brings it along",
        [&bit.is_forged(), &bit.clear()],
    );
    guarded(rules, OUTPUT, layout, SENT);
    guarded_behind_interfaces(rules, OUTPUT, layout, &bit.is_set(), SENT);
    rules.add(OUTPUT, "", [&bit.is_set(), &bit.clear()]);
    rules.add(
        SENT,
        "will be encrypted",
        [&has_transform(), &bit.set(), &[Expr::Accept]],
    );
    neighbours(rules, SENT);
    rules.add(
        SENT,
        "IKE and ESP in UDP of charon",
        [
            &l4proto(UDP),
            &[transport(0, 2), Expr::Lookup(IKE_PORTS.to_owned(), REG)],
            &bit.clear(),
            &[Expr::Accept],
        ],
    );
    outer(rules, SENT, true, &bit.clear());
    rules.add(
        SENT,
        "second pass in packet mode: had its transform on the first",
        [&bit.is_set(), &[Expr::Accept]],
    );
    rules.add(SENT, "", [&[Expr::Jump(EXEMPT_OUT)]]);
    rules.add(SENT, "would leave in clear", [&[Expr::Counter, Expr::Drop]]);
}

fn postrouting(rules: &mut Rules, layout: &Layout, bit: Bit) {
    rules.add(
        POSTROUTING,
        "loopback",
        [&device(Meta::Oif, LOOPBACK), &[Expr::Accept]],
    );
    rules.add(
        POSTROUTING,
        "a policy of its CHILD_SA is about to leave the device",
        [&[
            Expr::OutReqid(REG),
            Expr::Lookup(SHUT.to_owned(), REG),
            Expr::Counter,
            Expr::Drop,
        ]],
    );
    rules.add(
        POSTROUTING,
        "will be encrypted",
        [&has_transform(), &bit.set(), &[Expr::Accept]],
    );
    guarded(rules, POSTROUTING, layout, LEAVING);
    // The interface hands over to the device what it sent itself. A packet that has the bit of a policy from which
    // address translation took it away comes from where it was received, or from this host.
    let from_nic = [
        &bit.is_set()[..],
        &[
            Expr::Meta(Meta::Iif, REG),
            Expr::Lookup(NICS.to_owned(), REG),
        ],
    ]
    .concat();
    guarded_behind_interfaces(rules, POSTROUTING, layout, &from_nic, LEAVING);
    rules.add(
        POSTROUTING,
        "address translation took it out of its policy",
        [&bit.is_set(), &[Expr::Counter, Expr::Drop]],
    );
    neighbours(rules, LEAVING);
    rules.add(
        LEAVING,
        "IKE and ESP in UDP of charon",
        [
            &l4proto(UDP),
            &[transport(0, 2), Expr::Lookup(IKE_PORTS.to_owned(), REG)],
            &[Expr::Accept],
        ],
    );
    outer(rules, LEAVING, true, &[]);
    rules.add(
        LEAVING,
        "second pass in packet mode, to the device that encrypts",
        [
            &bit.is_set(),
            &[
                Expr::Meta(Meta::Oif, REG),
                Expr::Lookup(NICS.to_owned(), REG),
                Expr::Accept,
            ],
        ],
    );
    rules.add(
        LEAVING,
        "second pass, to a device that does not encrypt",
        [&bit.is_set(), &[Expr::Counter, Expr::Drop]],
    );
    rules.add(LEAVING, "", [&[Expr::Jump(EXEMPT_OUT)]]);
    rules.add(
        LEAVING,
        "would leave in clear",
        [&[Expr::Counter, Expr::Drop]],
    );
}

/// Hook of the chain at a device's egress.
pub(super) fn egress_hook(device: &str) -> Hook<'_> {
    Hook {
        number: NF_NETDEV_EGRESS,
        priority: EARLY,
        device: Some(device),
    }
}

/// Name of that chain.
pub(super) fn egress_chain(device: &str) -> String {
    format!("egress_{device}")
}

/// The rules at a device's egress: expressions and what they are about. The device matches no
/// packet of these shapes and would send it in clear.
pub(super) fn egress_rules(mark: u32) -> Vec<(Vec<Expr>, &'static str)> {
    let bit = Bit(mark);
    let ip = |v6: bool| {
        [
            Expr::Meta(Meta::Protocol, REG),
            Expr::Cmp(REG, Op::Eq, if v6 { vec![0x86, 0xdd] } else { vec![8, 0] }),
        ]
    };
    let network = |offset, len| Expr::Payload {
        base: Base::Network,
        offset,
        len,
        reg: REG,
    };
    let stop = [Expr::Counter, Expr::Drop];
    let mut rules = vec![(
        [&bit.is_clear()[..], &[Expr::Accept]].concat(),
        "not guarded",
    )];
    for number in [50, 51, 108] {
        rules.push((
            [&l4proto(number)[..], &[Expr::Accept]].concat(),
            "encrypted already",
        ));
    }
    rules.push((
        [
            &ip(false)[..],
            &[
                network(6, 2),
                Expr::Bitwise {
                    reg: REG,
                    mask: vec![0x3f, 0xff],
                    xor: vec![0; 2],
                },
                Expr::Cmp(REG, Op::Ne, vec![0; 2]),
            ],
            &stop,
        ]
        .concat(),
        "fragments are not encrypted by the device",
    ));
    rules.push((
        [
            &ip(false)[..],
            &[
                network(0, 1),
                Expr::Bitwise {
                    reg: REG,
                    mask: vec![0x0f],
                    xor: vec![0],
                },
                Expr::Cmp(REG, Op::Ne, vec![5]),
            ],
            &stop,
        ]
        .concat(),
        "nor are packets with IP options",
    ));
    // Hop-by-hop, routing, fragment, destination options, mobility, HIP, shim6.
    for header in [0, 43, 44, 60, 135, 139, 140] {
        rules.push((
            [
                &ip(true)[..],
                &[network(6, 1), Expr::Cmp(REG, Op::Eq, vec![header])],
                &stop,
            ]
            .concat(),
            "nor are packets with extension headers",
        ));
    }
    rules
}
