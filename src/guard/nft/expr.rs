// SPDX-License-Identifier: GPL-2.0-or-later
//! The few expressions of nftables that the gate's rules are made of, and how a rule looks as a message.
//!
//! Owns their encoding (include/uapi/linux/netfilter/nf_tables.h). Called by `nft/mod.rs`; rules are
//! put together in `ruleset.rs`. Must not know what a rule is for.

use crate::xfrm::Request;

/// First of the registers of four bytes (`NFT_REG32_00`).
pub(crate) const REG: u32 = 8;

/// Key of a `meta` expression (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Meta {
    /// Mark of the packet.
    Mark = 3,
    /// Index of the device it came in by, 0 if none.
    Iif = 4,
    /// Index of the device it goes out by.
    Oif = 5,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    NfProto = 15,
    /// Protocol behind the IP header and its extensions.
    L4Proto = 16,
    /// 1 if the packet was decrypted.
    Secpath = 25,
    /// Type of the link-layer frame, network order.
    Protocol = 1,
}

/// Where a payload expression counts from (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Base {
    /// IP header.
    Network = 1,
    /// Header behind it.
    Transport = 2,
}

/// Comparison, of bytes in network order (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    /// Equal.
    Eq = 0,
    /// Not equal.
    Ne = 1,
    /// At most.
    Le = 3,
    /// At least.
    Ge = 5,
}

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Loads a property of the packet.
    Meta(Meta, u32),
    /// Sets the packet's mark from a register.
    SetMark(u32),
    /// Loads bytes of the packet.
    Payload {
        base: Base,
        offset: u32,
        len: u32,
        reg: u32,
    },
    /// register = (register & mask) ^ xor
    Bitwise {
        reg: u32,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    /// Goes on if what the register holds compares so with these bytes.
    Cmp(u32, Op, Vec<u8>),
    /// Goes on if what begins in the register is in the set.
    Lookup(String, u32),
    /// Loads 1 if the packet's route has an IPsec transform (`rt ipsec`).
    RtIpsec(u32),
    /// Loads the reqid of the SA that decrypted the packet, counted from the outermost
    /// (`ipsec in spnum N reqid`). Ends the rule if there is none.
    InReqid { spnum: u32, reg: u32 },
    /// Loads the reqid of the SA that the route is about to apply (`ipsec out reqid`). Ends the rule if there is none.
    OutReqid(u32),
    /// Loads the mark of the packet's socket; ends the rule if there is none.
    SocketMark(u32),
    /// Loads the type of the destination address (`fib daddr type`), 2 if it is local.
    FibDaddrType(u32),
    /// Counts packets and bytes.
    Counter,
    /// Ends with a verdict.
    Accept,
    /// Ends with a verdict.
    Drop,
    /// Goes on in another chain and comes back.
    Jump(&'static str),
    /// Goes on in another chain for good.
    Goto(&'static str),
}

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
/// `NFT_REG_VERDICT`
const REG_VERDICT: u32 = 0;
const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NFT_JUMP: i32 = -3;
const NFT_GOTO: i32 = -4;

/// Attributes that are numbers are in network order.
pub(super) fn be32(request: &mut Request, kind: u16, value: u32) {
    request.attribute(kind, &value.to_be_bytes());
}

/// A string with its NUL.
pub(super) fn text(request: &mut Request, kind: u16, value: &str) {
    request.attribute_parts(kind, &[value.as_bytes(), &[0]]);
}

/// `NFTA_DATA_VALUE` within an attribute.
pub(super) fn data(request: &mut Request, kind: u16, value: &[u8]) {
    let nest = request.begin_nest(kind);
    request.attribute(NFTA_DATA_VALUE, value);
    request.end_nest(nest);
}

impl Expr {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) | Self::SetMark(_) => "meta",
            Self::Payload { .. } => "payload",
            Self::Bitwise { .. } => "bitwise",
            Self::Cmp(..) => "cmp",
            Self::Lookup(..) => "lookup",
            Self::RtIpsec(_) => "rt",
            Self::InReqid { .. } | Self::OutReqid(_) => "xfrm",
            Self::SocketMark(_) => "socket",
            Self::FibDaddrType(_) => "fib",
            Self::Counter => "counter",
            Self::Accept | Self::Drop | Self::Jump(_) | Self::Goto(_) => "immediate",
        }
    }

    /// Appends it as an element of `NFTA_RULE_EXPRESSIONS`.
    pub(super) fn encode(&self, out: &mut Request) {
        let element = out.begin_nest(NFTA_LIST_ELEM);
        text(out, NFTA_EXPR_NAME, self.name());
        let content = out.begin_nest(NFTA_EXPR_DATA);
        self.encode_content(out);
        out.end_nest(content);
        out.end_nest(element);
    }

    fn encode_content(&self, out: &mut Request) {
        match self {
            // NFTA_META_DREG, NFTA_META_KEY
            Self::Meta(key, reg) => {
                be32(out, 1, *reg);
                be32(out, 2, *key as u32);
            }
            // NFTA_META_KEY, NFTA_META_SREG
            Self::SetMark(reg) => {
                be32(out, 2, Meta::Mark as u32);
                be32(out, 3, *reg);
            }
            // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
            Self::Payload {
                base,
                offset,
                len,
                reg,
            } => {
                be32(out, 1, *reg);
                be32(out, 2, *base as u32);
                be32(out, 3, *offset);
                be32(out, 4, *len);
            }
            // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
            Self::Bitwise { reg, mask, xor } => {
                be32(out, 1, *reg);
                be32(out, 2, *reg);
                be32(out, 3, mask.len() as u32);
                data(out, 4, mask);
                data(out, 5, xor);
            }
            // NFTA_CMP_SREG, _OP, _DATA
            Self::Cmp(reg, op, value) => {
                be32(out, 1, *reg);
                be32(out, 2, *op as u32);
                data(out, 3, value);
            }
            // NFTA_LOOKUP_SET, _SREG
            Self::Lookup(set, reg) => {
                text(out, 1, set);
                be32(out, 2, *reg);
            }
            // NFTA_RT_DREG, _KEY (NFT_RT_XFRM)
            Self::RtIpsec(reg) => {
                be32(out, 1, *reg);
                be32(out, 2, 4);
            }
            // NFTA_XFRM_DREG, _KEY (NFT_XFRM_KEY_REQID), _DIR (in), _SPNUM
            Self::InReqid { spnum, reg } => {
                be32(out, 1, *reg);
                be32(out, 2, 5);
                out.attribute(3, &[0]);
                be32(out, 4, *spnum);
            }
            // The same, _DIR (out)
            Self::OutReqid(reg) => {
                be32(out, 1, *reg);
                be32(out, 2, 5);
                out.attribute(3, &[1]);
                be32(out, 4, 0);
            }
            // NFTA_SOCKET_KEY (NFT_SOCKET_MARK), _DREG
            Self::SocketMark(reg) => {
                be32(out, 1, 1);
                be32(out, 2, *reg);
            }
            // NFTA_FIB_DREG, _RESULT (NFT_FIB_RESULT_ADDRTYPE), _FLAGS (NFTA_FIB_F_DADDR)
            Self::FibDaddrType(reg) => {
                be32(out, 1, *reg);
                be32(out, 2, 3);
                be32(out, 3, 2);
            }
            Self::Counter => {}
            Self::Accept => verdict(out, NF_ACCEPT, None),
            Self::Drop => verdict(out, NF_DROP, None),
            Self::Jump(chain) => verdict(out, NFT_JUMP, Some(chain)),
            Self::Goto(chain) => verdict(out, NFT_GOTO, Some(chain)),
        }
    }
}

/// `NFTA_IMMEDIATE_DREG`, `NFTA_IMMEDIATE_DATA`
fn verdict(out: &mut Request, code: i32, chain: Option<&str>) {
    be32(out, 1, REG_VERDICT);
    let outer = out.begin_nest(2);
    let inner = out.begin_nest(NFTA_DATA_VERDICT);
    be32(out, NFTA_VERDICT_CODE, code as u32);
    if let Some(chain) = chain {
        text(out, NFTA_VERDICT_CHAIN, chain);
    }
    out.end_nest(inner);
    out.end_nest(outer);
}
