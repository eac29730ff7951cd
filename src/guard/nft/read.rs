// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel reports of tables: sets, elements, rules, and that something changed.
//!
//! Owns their decoding. Called through `nft/mod.rs`. Must not panic on any bytes: what cannot be read
//! is left out.

use std::time::Duration;

use super::{COMMENT, HEADER_LEN, NEWGEN, NEWRULE, NEWSET, NEWSETELEM, SUBSYSTEM};
use crate::xfrm::request::{Attributes, Reply, text_of};

/// An element as it is in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadElement {
    pub(crate) key: Vec<u8>,
    /// How long it will stay; `None` if for ever.
    pub(crate) left: Option<Duration>,
    pub(crate) comment: String,
}

/// A rule as far as it must be known again: its chain and the number the kernel gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReadRule {
    pub(crate) chain: String,
    pub(crate) handle: u64,
}

/// An event of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Something of this table changed.
    Table(String),
    /// A set of changes is complete; the process that made them.
    Generation(u32),
}

fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_be_bytes)
}

fn be64(value: &[u8]) -> Option<u64> {
    value.first_chunk().copied().map(u64::from_be_bytes)
}

fn comment_of(userdata: &[u8]) -> String {
    let mut rest = userdata;
    while let [kind, len, tail @ ..] = rest {
        let Some(value) = tail.get(..usize::from(*len)) else {
            break;
        };
        if *kind == COMMENT {
            return text_of(value).unwrap_or_default().to_owned();
        }
        rest = &tail[usize::from(*len)..];
    }
    String::new()
}

/// The elements of one message of a dump.
pub(crate) fn decode_element(reply: &Reply, each: &mut dyn FnMut(ReadElement)) {
    if reply.kind() != NEWSETELEM {
        return;
    }
    let Some(list) = reply.attributes(HEADER_LEN).value_of(3) else {
        return;
    };
    for (_, element) in Attributes::new(list) {
        let attributes = || Attributes::new(element);
        let Some(key) = attributes()
            .value_of(1)
            .and_then(|data| Attributes::new(data).value_of(1))
        else {
            continue;
        };
        let millis = |kind| attributes().value_of(kind).and_then(be64);
        // What is left; on some kernels only the whole time is reported.
        let left = millis(5).or_else(|| millis(4)).map(Duration::from_millis);
        each(ReadElement {
            key: key.to_vec(),
            left,
            comment: attributes().value_of(6).map(comment_of).unwrap_or_default(),
        });
    }
}

/// Name of a set of a dump.
pub(crate) fn decode_set(reply: &Reply) -> Option<String> {
    if reply.kind() != NEWSET {
        return None;
    }
    let name = reply.attributes(HEADER_LEN).value_of(2)?;
    text_of(name).map(str::to_owned)
}

/// A rule of a dump.
pub(crate) fn decode_rule(reply: &Reply) -> Option<ReadRule> {
    if reply.kind() != NEWRULE {
        return None;
    }
    let chain = text_of(reply.attributes(HEADER_LEN).value_of(2)?)?.to_owned();
    let handle = be64(reply.attributes(HEADER_LEN).value_of(3)?)?;
    Some(ReadRule { chain, handle })
}

/// An event. Every object names its table in its first attribute.
pub(crate) fn decode_change(reply: &Reply) -> Option<Change> {
    if reply.kind() & 0xff00 != SUBSYSTEM {
        return None;
    }
    let attributes = || reply.attributes(HEADER_LEN);
    if reply.kind() == NEWGEN {
        return Some(Change::Generation(
            attributes().value_of(2).and_then(be32).unwrap_or(0),
        ));
    }
    let table = text_of(attributes().value_of(1)?)?;
    Some(Change::Table(table.to_owned()))
}
