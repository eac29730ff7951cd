// SPDX-License-Identifier: GPL-2.0-or-later
//! The tables in the kernel: building, changing, reading and removing them.
//!
//! Owns the order of messages within a transaction and their distribution over several. Called by
//! `mod.rs` with no lock held, and by fastswanctl. Must not decide what is guarded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::element::{Key, Place};
use super::model::Plan;
use super::nft::{self, Element, INET, NETDEV, ReadElement, ReadRule};
use super::ruleset::{self, Layout, TABLE};
use crate::error::KernelError;
use crate::xfrm::{Protocol, Request, Transport};

const ABOUT: &str = "kernel-fastswan: what CHILD_SAs protect neither leaves nor enters in clear";

/// Bytes of one transaction. A socket takes some 200 KB by default.
const BATCH_MAX: usize = 96 << 10;
/// Elements that are replaced together: their removal and their return fit into a few messages.
const CHUNK: usize = 64;

/// Messages that must be executed as a whole.
type Group = Vec<Request>;

/// Executes groups in order, as many as possible in one transaction.
fn execute(transport: &dyn Transport, groups: Vec<Group>) -> Result<(), KernelError> {
    let mut batch: Vec<Request> = Vec::new();
    let mut len = 0;
    for group in groups {
        let size: usize = group.iter().map(|request| request.bytes().len()).sum();
        if !batch.is_empty() && len + size > BATCH_MAX {
            send(transport, std::mem::take(&mut batch))?;
            len = 0;
        }
        len += size;
        batch.extend(group);
    }
    if batch.is_empty() {
        return Ok(());
    }
    send(transport, batch)
}

fn send(transport: &dyn Transport, mut messages: Vec<Request>) -> Result<(), KernelError> {
    // The kernel answers when the transaction is complete.
    if let Some(last) = messages.last_mut() {
        last.add_flags(libc::NLM_F_ACK as u16);
    }
    messages.insert(0, nft::batch_mark(nft::BATCH_BEGIN));
    messages.push(nft::batch_mark(nft::BATCH_END));
    transport.batch(Protocol::Netfilter, &messages)
}

/// The table of both IP versions with its chains, sets and rules. Rules that are there are replaced, elements stay.
fn build(layout: &Layout) -> Group {
    let mut group = vec![nft::new_table(INET, TABLE, ABOUT)];
    for chain in ruleset::chains() {
        group.push(nft::new_chain(
            INET,
            TABLE,
            chain.name,
            chain.hook,
            chain.about,
        ));
    }
    let gates = layout.categories.iter().map(|category| category.guarded());
    let delivered = layout.delivered.iter().map(|category| category.delivered());
    let sets = ruleset::sets().into_iter().chain(gates).chain(delivered);
    for (id, set) in sets.enumerate() {
        group.push(nft::new_set(INET, TABLE, &set, id as u32 + 1));
    }
    for (set, keys) in ruleset::constants() {
        let elements: Vec<Element> = keys
            .into_iter()
            .map(|byte| Element {
                key: [byte].into_iter().collect(),
                timeout: None,
                comment: Arc::default(),
            })
            .collect();
        let elements: Vec<&Element> = elements.iter().collect();
        nft::add_elements(INET, TABLE, set, &elements, &mut group);
    }
    group.push(nft::flush_rules(INET, TABLE, None));
    for rule in ruleset::rules(layout) {
        group.push(nft::new_rule(
            INET,
            TABLE,
            rule.chain,
            &rule.exprs,
            &rule.about,
        ));
    }
    group
}

/// The rules at the egress of a device, anew. Fails with `ENOENT` if there is no such device and the kernel needs it.
pub(super) fn guard_egress(
    transport: &dyn Transport,
    mark: u32,
    device: &str,
) -> Result<(), KernelError> {
    let chain = ruleset::egress_chain(device);
    let hook = Some(ruleset::egress_hook(device));
    let mut group = vec![
        nft::new_table(NETDEV, TABLE, ABOUT),
        nft::new_chain(
            NETDEV,
            TABLE,
            &chain,
            hook,
            "what the device would not encrypt",
        ),
        nft::flush_rules(NETDEV, TABLE, Some(&chain)),
    ];
    for (exprs, about) in ruleset::egress_rules(mark) {
        group.push(nft::new_rule(NETDEV, TABLE, &chain, &exprs, about));
    }
    execute(transport, vec![group])
}

fn changes(plan: &Plan) -> Vec<Group> {
    let none = Vec::new();
    let mut groups = Vec::new();
    let places: BTreeSet<Place> = plan
        .destroy
        .keys()
        .chain(plan.add.keys())
        .copied()
        .collect();
    for place in places {
        let destroy = plan.destroy.get(&place).unwrap_or(&none);
        let add = plan.add.get(&place).unwrap_or(&none);
        let set = &place.name();
        let added: std::collections::HashSet<&[u8]> =
            add.iter().map(|element| &element.key[..]).collect();
        let replaced: std::collections::HashSet<&[u8]> = destroy
            .iter()
            .map(|element| &element.key[..])
            .filter(|key| added.contains(key))
            .collect();
        let gone: Vec<&Element> = destroy
            .iter()
            .filter(|element| !replaced.contains(&element.key[..]))
            .collect();
        for chunk in add.chunks(CHUNK) {
            let mut group = Vec::new();
            let first: Vec<&Element> = chunk
                .iter()
                .filter(|element| replaced.contains(&element.key[..]))
                .collect();
            nft::destroy_elements(INET, TABLE, set, &first, &mut group);
            let chunk: Vec<&Element> = chunk.iter().collect();
            nft::add_elements(INET, TABLE, set, &chunk, &mut group);
            groups.push(group);
        }
        for chunk in gone.chunks(CHUNK) {
            let mut group = Vec::new();
            nft::destroy_elements(INET, TABLE, set, chunk, &mut group);
            groups.push(group);
        }
    }
    groups
}

/// Executes a plan; with `rules` the rules are written anew before.
pub(super) fn commit(
    transport: &dyn Transport,
    rules: Option<&Layout>,
    plan: &Plan,
) -> Result<(), KernelError> {
    let mut groups = Vec::new();
    if let Some(layout) = rules {
        groups.push(build(layout));
    }
    groups.extend(changes(plan));
    execute(transport, groups)
}

/// Takes both tables away.
pub(super) fn remove(transport: &dyn Transport) -> Result<(), KernelError> {
    execute(
        transport,
        vec![vec![
            nft::destroy_table(NETDEV, TABLE),
            nft::destroy_table(INET, TABLE),
        ]],
    )
}

/// Removes one element that need not be there.
pub(super) fn remove_element(transport: &dyn Transport, key: &Key) -> Result<(), KernelError> {
    let element = Element {
        key: key.key.clone(),
        timeout: None,
        comment: Arc::default(),
    };
    let mut group = Vec::new();
    nft::destroy_elements(INET, TABLE, &key.set.name(), &[&element], &mut group);
    execute(transport, vec![group])
}

/// Removes all elements that are about reqids.
pub(super) fn forget_reqids(transport: &dyn Transport) -> Result<(), KernelError> {
    let mut plan = Plan::default();
    for set in read_sets(transport)? {
        let place = match Place::read(&set) {
            Some(place @ (Place::Shut | Place::Reqids | Place::Delivered(_))) => place,
            _ => continue,
        };
        let elements = read_elements(transport, &set)?;
        let keys = elements
            .iter()
            .filter_map(|element| Key::read(place, &element.key));
        let elements = keys.map(|key| Element {
            key: key.key,
            timeout: None,
            comment: Arc::default(),
        });
        plan.destroy.insert(place, elements.collect());
    }
    execute(transport, changes(&plan))
}

/// Names of the sets; none if there is no table.
pub(super) fn read_sets(transport: &dyn Transport) -> Result<Vec<String>, KernelError> {
    let mut sets = Vec::new();
    let request = nft::get_sets(INET, TABLE);
    let result = transport.dump(Protocol::Netfilter, &request, &mut |reply| {
        sets.extend(nft::decode_set(reply));
    });
    match result {
        Err(error) if error.errno != libc::ENOENT => Err(error),
        _ => Ok(sets),
    }
}

/// The elements of a set; none if there is no such set.
pub(super) fn read_elements(
    transport: &dyn Transport,
    set: &str,
) -> Result<Vec<ReadElement>, KernelError> {
    let mut elements = Vec::new();
    let request = nft::get_elements(INET, TABLE, set);
    let result = transport.dump(Protocol::Netfilter, &request, &mut |reply| {
        nft::decode_element(reply, &mut |element| elements.push(element));
    });
    match result {
        Err(error) if error.errno != libc::ENOENT => Err(error),
        _ => Ok(elements),
    }
}

/// The rules of both tables, per chain in order, by the numbers the kernel gave them.
pub(super) fn read_rules(
    transport: &dyn Transport,
) -> Result<BTreeMap<String, Vec<u64>>, KernelError> {
    let mut rules: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for family in [INET, NETDEV] {
        let request = nft::get_rules(family, TABLE);
        let result = transport.dump(Protocol::Netfilter, &request, &mut |reply| {
            if let Some(ReadRule { chain, handle }) = nft::decode_rule(reply) {
                rules.entry(chain).or_default().push(handle);
            }
        });
        match result {
            Err(error) if error.errno != libc::ENOENT => return Err(error),
            _ => {}
        }
    }
    Ok(rules)
}
