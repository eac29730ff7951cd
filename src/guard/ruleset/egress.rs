// SPDX-License-Identifier: GPL-2.0-or-later
//! What a device's egress stops: table `netdev fastswan`.
//!
//! Owns those rules. Called by `kernel.rs`. Must not depend on what is guarded: the bit of the mark says so.

use super::EARLY;
use super::matches::{Bit, l4proto};
use crate::guard::nft::Hook;
use crate::guard::nft::expr::{Base, Expr, Meta, Op, REG};

const NF_NETDEV_EGRESS: u32 = 1;

/// Hook of the chain at a device's egress.
pub(in crate::guard) fn egress_hook(device: &str) -> Hook<'_> {
    Hook {
        number: NF_NETDEV_EGRESS,
        priority: EARLY,
        device: Some(device),
    }
}

/// Name of that chain.
pub(in crate::guard) fn egress_chain(device: &str) -> String {
    format!("egress_{device}")
}

/// The rules at a device's egress: expressions and what they are about. The device matches no
/// packet of these shapes and would send it in clear.
pub(in crate::guard) fn egress_rules(mark: u32) -> Vec<(Vec<Expr>, &'static str)> {
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
