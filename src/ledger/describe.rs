// SPDX-License-Identifier: GPL-2.0-or-later
//! How an SA or a policy is written down, from what we install and from what the kernel reports.
//!
//! Owns the words. The two have to come out the same for the same object, and different for any
//! other: that is what tells our own from a stranger's. The key is what the kernel keys the object
//! by, the rest is what else it is.

use std::fmt::Write;
use std::net::IpAddr;

use crate::model::{Placement, SaKey};
use crate::xfrm::{Action, PolicyKey, PolicyMessage, PolicyState, SaState};

/// Key and rest.
pub type Entry = (String, String);

/// The key of an SA.
pub fn sa_key(key: &SaKey) -> String {
    format!(
        "sa {} {:08x} {} mark {:x}/{:x} if_id {}",
        key.proto, key.spi.0, key.dst, key.mark.value, key.mark.mask, key.if_id
    )
}

/// An SA that we install.
pub fn sa(key: &SaKey, src: IpAddr, reqid: u32, placement: Placement) -> Entry {
    let device = placement.device().unwrap_or(0);
    (
        sa_key(key),
        format!("reqid {reqid} src {src} {placement} {device}"),
    )
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
    let mut text = "lladdr".to_owned();
    for (number, octet) in address.iter().enumerate() {
        let separator = if number == 0 { ' ' } else { ':' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{octet:02x}");
    }
    (neighbour_key(ifindex, ip), text)
}

/// The key of a neighbour entry.
pub fn neighbour_key(ifindex: u32, ip: IpAddr) -> String {
    format!("neigh {ifindex} {ip}")
}

/// Device and address of the neighbour entry that a line is about.
pub fn neighbour_of(line: &str) -> Option<(u32, IpAddr)> {
    let mut words = line.strip_prefix("neigh ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The key of a policy.
pub fn policy_key(key: &PolicyKey) -> String {
    let selector = &key.selector;
    let mut text = format!(
        "policy {} {} {} proto {} ports {}/{:x} {}/{:x} dev {} mark {:x}/{:x} if_id {}",
        key.dir,
        selector.src,
        selector.dst,
        selector.proto,
        selector.sport.port,
        selector.sport.mask,
        selector.dport.port,
        selector.dport.mask,
        selector.ifindex,
        key.mark.value,
        key.mark.mask,
        key.if_id,
    );
    if let Some(label) = &key.label {
        text.push_str(" label ");
        for byte in label {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

fn rest(
    priority: u32,
    action: Action,
    reqid: u32,
    templates: usize,
    offload: Option<u32>,
) -> String {
    let action = match action {
        Action::Allow => "allow",
        Action::Block => "block",
    };
    format!(
        "{action} priority {priority} reqid {reqid} templates {templates} offload {}",
        offload.unwrap_or(0)
    )
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
