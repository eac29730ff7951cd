// SPDX-License-Identifier: GPL-2.0-or-later
//! How an SA or a policy is written down, from what we install and from what the kernel reports.
//!
//! Owns the words. The two have to come out the same for the same object, and different for any
//! other: that is what tells our own from a stranger's. The key is what the kernel keys the object
//! by, the rest is what else it is.

use std::net::IpAddr;

use super::words::Words;
use crate::model::{Placement, Prefix, SaKey};
use crate::xfrm::{Action, PolicyKey, PolicyMessage, PolicyState, SaState};

/// Key and rest.
pub type Entry = (String, String);

/// The key of an SA.
pub fn sa_key(key: &SaKey) -> String {
    let mut words = Words::new();
    words.text("sa ").shown(&key.proto).text(" ").spi(key.spi.0);
    words.text(" ").ip(key.dst);
    words.text(" mark ").hex(key.mark.value);
    words.text("/").hex(key.mark.mask);
    words.text(" if_id ").number(key.if_id);
    words.done()
}

/// An SA that we install.
pub fn sa(key: &SaKey, src: IpAddr, reqid: u32, placement: Placement) -> Entry {
    let mut words = Words::new();
    words.text("reqid ").number(reqid).text(" src ").ip(src);
    words.text(" ").shown(&placement);
    words
        .text(" ")
        .number(placement.device().unwrap_or_default());
    (sa_key(key), words.done())
}

/// The reqid in the rest of an SA's entry.
pub fn reqid_of(rest: &str) -> Option<u32> {
    rest.strip_prefix("reqid ")?.split(' ').next()?.parse().ok()
}

/// An SA that the kernel has.
pub fn sa_state(state: &SaState) -> Entry {
    sa(
        &state.id.key(),
        state.id.src.ip,
        state.reqid,
        state.placement,
    )
}

/// A permanent neighbour entry.
pub fn neighbour(ifindex: u32, ip: IpAddr, address: [u8; 6]) -> Entry {
    let mut words = Words::new();
    words.text("lladdr");
    for (number, octet) in address.into_iter().enumerate() {
        let separator = if number == 0 { " " } else { ":" };
        words.text(separator).octet(octet);
    }
    (neighbour_key(ifindex, ip), words.done())
}

/// The key of a neighbour entry.
pub fn neighbour_key(ifindex: u32, ip: IpAddr) -> String {
    let mut words = Words::new();
    words.text("neigh ").number(ifindex).text(" ").ip(ip);
    words.done()
}

/// Device and address of the neighbour entry that a line is about.
pub fn neighbour_of(line: &str) -> Option<(u32, IpAddr)> {
    let mut words = line.strip_prefix("neigh ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The key of a policy.
pub fn policy_key(key: &PolicyKey) -> String {
    let selector = &key.selector;
    let mut words = Words::new();
    let net = |words: &mut Words, net: Prefix| {
        words.text(" ").ip(net.first());
        words.text("/").number(net.len().into());
    };
    words.text("policy ").shown(&key.dir);
    net(&mut words, selector.src);
    net(&mut words, selector.dst);
    words.text(" proto ").number(selector.proto.into());
    words.text(" ports ").number(selector.sport.port.into());
    words.text("/").hex(selector.sport.mask.into());
    words.text(" ").number(selector.dport.port.into());
    words.text("/").hex(selector.dport.mask.into());
    words.text(" dev ").number(selector.ifindex);
    words.text(" mark ").hex(key.mark.value);
    words.text("/").hex(key.mark.mask);
    words.text(" if_id ").number(key.if_id);
    if let Some(label) = &key.label {
        words.text(" label ");
        for byte in label {
            words.octet(*byte);
        }
    }
    words.done()
}

fn rest(
    priority: u32,
    action: Action,
    reqid: u32,
    templates: usize,
    offload: Option<u32>,
) -> String {
    let mut words = Words::new();
    words.text(match action {
        Action::Allow => "allow",
        Action::Block => "block",
    });
    words.text(" priority ").number(priority);
    words.text(" reqid ").number(reqid);
    // A policy has a handful.
    words.text(" templates ").number(templates as u32);
    words.text(" offload ").number(offload.unwrap_or_default());
    words.done()
}

/// A policy that we install.
pub fn policy(message: &PolicyMessage<'_>) -> Entry {
    let mut reqids = message.templates.iter().map(|template| template.reqid);
    let reqid = reqids.find(|reqid| *reqid != 0).unwrap_or(0);
    (
        policy_key(message.key),
        rest(
            message.priority,
            message.action,
            reqid,
            message.templates.len(),
            message.offload,
        ),
    )
}

/// A policy that the kernel has.
pub fn policy_state(state: &PolicyState) -> Entry {
    (
        policy_key(&state.key),
        rest(
            state.priority,
            state.action,
            state.reqid.unwrap_or(0),
            state.templates,
            state.offload,
        ),
    )
}
