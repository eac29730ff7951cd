// SPDX-License-Identifier: GPL-2.0-or-later
//! Expressions that several rules are made of.
//!
//! Owns what a packet is compared with. Called by the rules. Must not know chains.

use std::net::IpAddr;

use super::Pass;
use crate::guard::nft::expr::{Base, Expr, Meta, Op, REG};
use crate::model::Prefix;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

pub(super) fn address(v6: bool, source: bool, reg: u32) -> Expr {
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
pub(super) fn mask(v6: bool, len: u8, reg: u32) -> Option<Expr> {
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

pub(super) fn family(v6: bool) -> [Expr; 2] {
    let number = if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
    [
        Expr::Meta(Meta::NfProto, REG),
        Expr::Cmp(REG, Op::Eq, vec![number]),
    ]
}

pub(super) fn l4proto(number: u8) -> [Expr; 2] {
    [
        Expr::Meta(Meta::L4Proto, REG),
        Expr::Cmp(REG, Op::Eq, vec![number]),
    ]
}

pub(super) fn device(key: Meta, ifindex: u32) -> [Expr; 2] {
    [
        Expr::Meta(key, REG),
        Expr::Cmp(REG, Op::Eq, ifindex.to_ne_bytes().to_vec()),
    ]
}

pub(super) fn transport(offset: u32, len: u32) -> Expr {
    Expr::Payload {
        base: Base::Transport,
        offset,
        len,
        reg: REG,
    }
}

/// Goes on if the route has a transform.
pub(super) fn has_transform() -> [Expr; 2] {
    [Expr::RtIpsec(REG), Expr::Cmp(REG, Op::Eq, vec![1])]
}

/// The bit of the mark.
#[derive(Clone, Copy)]
pub(super) struct Bit(pub(super) u32);

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
    pub(super) fn is_set(self) -> [Expr; 3] {
        self.masked(Expr::Meta(Meta::Mark, REG), Op::Ne)
    }

    /// Goes on if it is not set.
    pub(super) fn is_clear(self) -> [Expr; 3] {
        self.masked(Expr::Meta(Meta::Mark, REG), Op::Eq)
    }

    /// Goes on if it is set in the mark of the packet's socket.
    pub(super) fn is_forged(self) -> [Expr; 3] {
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

    pub(super) fn set(self) -> [Expr; 3] {
        self.write(self.0)
    }

    pub(super) fn clear(self) -> [Expr; 3] {
        self.write(0)
    }
}

/// Goes on if the source, or the destination, is within a network.
pub(super) fn within(prefix: &Prefix, source: bool) -> Vec<Expr> {
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
pub(super) fn selected(pass: &Pass) -> Vec<Expr> {
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

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
