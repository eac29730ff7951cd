// SPDX-License-Identifier: GPL-2.0-or-later
//! What happens to a packet at each hook: docs/guard.md tells why.
//!
//! Owns the rules of table `inet fastswan`, in order. Called by `kernel.rs`. Chains and sets belong to `mod.rs`.

use super::category::{Category, Which};
use super::matches::{Bit, device, family, has_transform, l4proto, selected, transport, within};
use super::*;
use crate::guard::nft::expr::{Expr, Meta, Op, REG};

const LOOPBACK: u32 = 1;
/// `RTN_LOCAL`
const RTN_LOCAL: u32 = 2;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

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
pub(in crate::guard) fn rules(layout: &Layout) -> Vec<Rule> {
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
        "a policy of its CHILD_SA leaves, or left, the device",
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
