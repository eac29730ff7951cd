// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of nftables: tables, chains, sets, elements, rules; and what the kernel reports of them.
//!
//! Owns their encoding and decoding (include/uapi/linux/netfilter/nf_tables.h). Called by the rest of
//! `guard/`. Must not know what is guarded, and must not panic on anything the kernel sends.

pub(crate) mod expr;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::xfrm::Request;
use expr::{Expr, be32, data, text};

pub(crate) use read::{
    Change, ReadElement, ReadRule, decode_change, decode_element, decode_rule, decode_set,
};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message's type.
pub(crate) const SUBSYSTEM: u16 = 10 << 8;
/// `NFNLGRP_NFTABLES`
pub(crate) const GROUP: u32 = 7;
/// `NFNL_MSG_BATCH_BEGIN`
pub(crate) const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`
pub(crate) const BATCH_END: u16 = 0x11;
/// `struct nfgenmsg`
pub(crate) const HEADER_LEN: usize = 4;

pub(crate) const NEWTABLE: u16 = SUBSYSTEM;
pub(crate) const NEWCHAIN: u16 = SUBSYSTEM + 3;
pub(crate) const NEWRULE: u16 = SUBSYSTEM + 6;
pub(crate) const GETRULE: u16 = SUBSYSTEM + 7;
pub(crate) const DELRULE: u16 = SUBSYSTEM + 8;
pub(crate) const NEWSET: u16 = SUBSYSTEM + 9;
pub(crate) const GETSET: u16 = SUBSYSTEM + 10;
pub(crate) const NEWSETELEM: u16 = SUBSYSTEM + 12;
pub(crate) const GETSETELEM: u16 = SUBSYSTEM + 13;
pub(crate) const NEWGEN: u16 = SUBSYSTEM + 15;
/// Since 6.3: deletes, and is content if there is nothing to delete.
pub(crate) const DESTROYTABLE: u16 = SUBSYSTEM + 26;
pub(crate) const DESTROYSETELEM: u16 = SUBSYSTEM + 30;

/// `NFPROTO_INET`: IPv4 and IPv6.
pub(crate) const INET: u8 = 1;
/// `NFPROTO_NETDEV`: one device.
pub(crate) const NETDEV: u8 = 5;

const NLM_F_CREATE: u16 = libc::NLM_F_CREATE as u16;
const NLM_F_APPEND: u16 = libc::NLM_F_APPEND as u16;

/// `NFT_SET_TIMEOUT`
const SET_TIMEOUT: u32 = 0x10;
/// Longest comment that nft prints (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_MAX: usize = 127;
/// Comments of tables, chains, rules and elements have the number 0 in nft's own encoding, those of
/// sets 7 (libnftnl: udata.h).
const COMMENT: u8 = 0;
const SET_COMMENT: u8 = 7;

/// One part of the key of a set. The number is nft's own (nft: datatype.h) and makes it readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Field {
    /// IPv4 address.
    Ip4 = 7,
    /// IPv6 address.
    Ip6 = 8,
    /// Number of a protocol.
    Proto = 12,
    /// Port.
    Port = 13,
    /// A number in host order; also used for reqids.
    Mark = 19,
    /// Index of a device.
    Iface = 20,
}

impl Field {
    /// Bytes in registers, always whole ones.
    pub(crate) fn len(self) -> u32 {
        match self {
            Self::Ip6 => 16,
            _ => 4,
        }
    }

    /// Bytes that count, for keys of one field.
    fn exact(self) -> u32 {
        match self {
            Self::Ip6 => 16,
            Self::Ip4 | Self::Mark | Self::Iface => 4,
            Self::Port => 2,
            Self::Proto => 1,
        }
    }
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    /// Elements may have a timeout.
    pub(crate) timeout: bool,
    pub(crate) comment: String,
}

/// A base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook<'a> {
    /// `enum nf_inet_hooks` or `enum nf_dev_hooks`
    pub(crate) number: u32,
    pub(crate) priority: i32,
    /// For a chain of one device.
    pub(crate) device: Option<&'a str>,
}

/// Bytes of the longest key: a mark, two IPv6 addresses, a protocol.
pub(crate) const KEY_MAX: usize = 40;

/// The key of an element.
pub(crate) type ElementKey = ArrayVec<u8, KEY_MAX>;

/// An element to be added or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: ElementKey,
    pub(crate) timeout: Option<Duration>,
    pub(crate) comment: Arc<str>,
}

fn message(name: &'static str, kind: u16, flags: u16, family: u8) -> Request {
    let mut request = Request::new(name, kind, flags);
    request.put(&[family, 0, 0, 0]);
    request
}

/// The first or the last message of a batch.
pub(crate) fn batch_mark(kind: u16) -> Request {
    let mut request = Request::new("nftables batch", kind, 0);
    // The resource is the subsystem, in network order.
    request.put(&[libc::AF_UNSPEC as u8, 0, 0, (SUBSYSTEM >> 8) as u8]);
    request
}

/// nft's own list of things it remembers: number, length, content.
fn put_comment(userdata: &mut Vec<u8>, kind: u8, value: &str) {
    let mut end = value.len().min(COMMENT_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = &value.as_bytes()[..end];
    userdata.extend([kind, value.len() as u8 + 1]);
    userdata.extend(value);
    userdata.push(0);
}

fn comment(request: &mut Request, attribute: u16, value: &str) {
    if value.is_empty() {
        return;
    }
    let mut userdata = Vec::with_capacity(value.len() + 3);
    put_comment(&mut userdata, COMMENT, value);
    request.attribute(attribute, &userdata);
}

/// `NFT_MSG_NEWTABLE`; one that exists is kept, and woken up if it was made dormant.
pub(crate) fn new_table(family: u8, table: &str, about: &str) -> Request {
    let mut request = message("NFT_MSG_NEWTABLE", NEWTABLE, NLM_F_CREATE, family);
    text(&mut request, 1, table);
    be32(&mut request, 2, 0);
    comment(&mut request, 6, about);
    request
}

/// `NFT_MSG_DESTROYTABLE`
pub(crate) fn destroy_table(family: u8, table: &str) -> Request {
    let mut request = message("NFT_MSG_DESTROYTABLE", DESTROYTABLE, 0, family);
    text(&mut request, 1, table);
    request
}

/// `NFT_MSG_NEWCHAIN`, with policy accept if it has a hook.
pub(crate) fn new_chain(
    family: u8,
    table: &str,
    chain: &str,
    hook: Option<Hook<'_>>,
    about: &str,
) -> Request {
    let mut request = message("NFT_MSG_NEWCHAIN", NEWCHAIN, NLM_F_CREATE, family);
    text(&mut request, 1, table);
    text(&mut request, 3, chain);
    if let Some(hook) = hook {
        let nest = request.begin_nest(4);
        be32(&mut request, 1, hook.number);
        be32(&mut request, 2, hook.priority as u32);
        if let Some(device) = hook.device {
            text(&mut request, 3, device);
        }
        request.end_nest(nest);
        be32(&mut request, 5, 1);
        text(&mut request, 7, "filter");
    }
    comment(&mut request, 12, about);
    request
}

/// `NFT_MSG_DELRULE` without a rule: all rules of a table, or of a chain.
pub(crate) fn flush_rules(family: u8, table: &str, chain: Option<&str>) -> Request {
    let mut request = message("NFT_MSG_DELRULE", DELRULE, 0, family);
    text(&mut request, 1, table);
    if let Some(chain) = chain {
        text(&mut request, 2, chain);
    }
    request
}

/// `NFT_MSG_NEWRULE` at the end of a chain.
pub(crate) fn new_rule(
    family: u8,
    table: &str,
    chain: &str,
    rule: &[Expr],
    about: &str,
) -> Request {
    let flags = NLM_F_CREATE | NLM_F_APPEND;
    let mut request = message("NFT_MSG_NEWRULE", NEWRULE, flags, family);
    text(&mut request, 1, table);
    text(&mut request, 2, chain);
    let nest = request.begin_nest(4);
    for expr in rule {
        expr.encode(&mut request);
    }
    request.end_nest(nest);
    comment(&mut request, 7, about);
    request
}

/// `NFT_MSG_NEWSET`; one that exists must have the same key and flags. `id` is any number that no
/// other set of the batch has.
pub(crate) fn new_set(family: u8, table: &str, set: &Set, id: u32) -> Request {
    let mut request = message("NFT_MSG_NEWSET", NEWSET, NLM_F_CREATE, family);
    text(&mut request, 1, table);
    text(&mut request, 2, &set.name);
    be32(&mut request, 3, if set.timeout { SET_TIMEOUT } else { 0 });
    let kind = set
        .fields
        .iter()
        .fold(0, |kind, field| kind << 6 | *field as u32);
    be32(&mut request, 4, kind);
    let len = match set.fields[..] {
        [only] => only.exact(),
        _ => set.fields.iter().map(|field| field.len()).sum(),
    };
    be32(&mut request, 5, len);
    be32(&mut request, 10, id);
    let mut userdata = Vec::new();
    if matches!(set.fields[..], [Field::Mark | Field::Iface]) {
        // NFTNL_UDATA_SET_KEYBYTEORDER, a number: nft prints the key in host order.
        userdata.extend([0, 4]);
        userdata.extend(1u32.to_ne_bytes());
    }
    put_comment(&mut userdata, SET_COMMENT, &set.comment);
    request.attribute(13, &userdata);
    request
}

/// Room that is left for elements in one message.
const ELEMENTS_MAX: usize = crate::xfrm::request::REQUEST_MAX - 512;

fn element_len(element: &Element) -> usize {
    4 + 8 + element.key.len().next_multiple_of(4) + 12 + 8 + element.comment.len().min(COMMENT_MAX)
}

/// `NFT_MSG_NEWSETELEM`, in as many messages as it takes. An element that exists is left as it is.
pub(crate) fn add_elements(
    family: u8,
    table: &str,
    set: &str,
    elements: &[&Element],
    out: &mut Vec<Request>,
) {
    put_elements(
        ("NFT_MSG_NEWSETELEM", NEWSETELEM, NLM_F_CREATE),
        family,
        table,
        set,
        elements,
        out,
    );
}

/// `NFT_MSG_DESTROYSETELEM`: elements that need not exist.
pub(crate) fn destroy_elements(
    family: u8,
    table: &str,
    set: &str,
    elements: &[&Element],
    out: &mut Vec<Request>,
) {
    put_elements(
        ("NFT_MSG_DESTROYSETELEM", DESTROYSETELEM, 0),
        family,
        table,
        set,
        elements,
        out,
    );
}

fn put_elements(
    (name, kind, flags): (&'static str, u16, u16),
    family: u8,
    table: &str,
    set: &str,
    mut elements: &[&Element],
    out: &mut Vec<Request>,
) {
    while !elements.is_empty() {
        let mut request = message(name, kind, flags, family);
        text(&mut request, 1, table);
        text(&mut request, 2, set);
        let list = request.begin_nest(3);
        let mut len = 0;
        let mut count = 0;
        for element in elements {
            len += element_len(element);
            if count > 0 && len > ELEMENTS_MAX {
                break;
            }
            let nest = request.begin_nest(1);
            data(&mut request, 1, &element.key);
            if kind == NEWSETELEM {
                if let Some(timeout) = element.timeout {
                    let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                    request.attribute(4, &millis.to_be_bytes());
                }
                comment(&mut request, 6, &element.comment);
            }
            request.end_nest(nest);
            count += 1;
        }
        request.end_nest(list);
        elements = &elements[count..];
        out.push(request);
    }
}

/// Asks for all elements of a set.
pub(crate) fn get_elements(family: u8, table: &str, set: &str) -> Request {
    let mut request = message("NFT_MSG_GETSETELEM", GETSETELEM, 0, family);
    text(&mut request, 1, table);
    text(&mut request, 2, set);
    request
}

/// Asks for all sets of a table.
pub(crate) fn get_sets(family: u8, table: &str) -> Request {
    let mut request = message("NFT_MSG_GETSET", GETSET, 0, family);
    text(&mut request, 1, table);
    request
}

/// Asks for all rules of a table.
pub(crate) fn get_rules(family: u8, table: &str) -> Request {
    let mut request = message("NFT_MSG_GETRULE", GETRULE, 0, family);
    text(&mut request, 1, table);
    request
}
