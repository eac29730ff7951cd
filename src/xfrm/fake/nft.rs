// SPDX-License-Identifier: GPL-2.0-or-later
//! The nftables of the model: tables, chains, sets with elements, rules; transactions as a whole or
//! not at all.
//!
//! Owns what a batch does to them, and refuses what the kernel refuses: an element of a set, a rule
//! of a chain, a lookup or a jump that has no target. Times do not pass here.

use std::collections::{BTreeMap, BTreeSet};

use super::super::request::{Attributes, Reply, Request, text_of};
use super::super::transport::Protocol;
use super::{FakeKernel, Recorded, Refusal, State};
use crate::error::KernelError;

const SUBSYSTEM: u16 = 10 << 8;
const INET: u8 = 1;
/// `NFNLGRP_NFTABLES`
const GROUP: u32 = 7;

/// An element of a set: its timeout in milliseconds, if any, and its comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeElement {
    /// `NFTA_SET_ELEM_TIMEOUT`
    pub timeout: Option<u64>,
    /// `NFTA_SET_ELEM_USERDATA`, the text in it.
    pub comment: String,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct FakeTable {
    /// Chains, those with a device named after `@`.
    pub chains: BTreeSet<String>,
    /// Sets with their elements.
    pub sets: BTreeMap<String, BTreeMap<Vec<u8>, FakeElement>>,
    /// Rules: chain, number, expressions as they were sent.
    pub rules: Vec<(String, u64, Vec<u8>)>,
}

/// All tables, by family and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Nft {
    tables: BTreeMap<(u8, String), FakeTable>,
    handles: u64,
}

fn missing() -> Refusal {
    Refusal::silent(libc::ENOENT)
}

fn text(payload: &[u8], kind: u16) -> Option<String> {
    let value = Attributes::behind(payload, 4).value_of(kind)?;
    text_of(value).map(str::to_owned)
}

fn required(payload: &[u8], kind: u16) -> Result<String, Refusal> {
    text(payload, kind).ok_or_else(|| Refusal::silent(libc::EINVAL))
}

/// Names that an expression refers to: sets (`lookup`) and chains (`immediate`).
fn references(expressions: &[u8]) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for (_, element) in Attributes::new(expressions) {
        let name = Attributes::new(element).value_of(1).and_then(text_of);
        let Some(content) = Attributes::new(element).value_of(2) else {
            continue;
        };
        let target = match name {
            Some("lookup") => Attributes::new(content).value_of(1).map(|set| (true, set)),
            Some("immediate") => Attributes::new(content)
                .value_of(2)
                .and_then(|data| Attributes::new(data).value_of(2))
                .and_then(|verdict| Attributes::new(verdict).value_of(2))
                .map(|chain| (false, chain)),
            _ => None,
        };
        if let Some((set, value)) = target {
            found.push((set, text_of(value).unwrap_or_default().to_owned()));
        }
    }
    found
}

impl Nft {
    fn table(&mut self, family: u8, payload: &[u8]) -> Result<&mut FakeTable, Refusal> {
        let name = required(payload, 1)?;
        self.tables.get_mut(&(family, name)).ok_or_else(missing)
    }

    fn apply(&mut self, kind: u16, payload: &[u8]) -> Result<(), Refusal> {
        let family = *payload
            .first()
            .ok_or_else(|| Refusal::silent(libc::EINVAL))?;
        let attributes = || Attributes::behind(payload, 4);
        match kind.checked_sub(SUBSYSTEM) {
            Some(0) => {
                let name = required(payload, 1)?;
                self.tables.entry((family, name)).or_default();
            }
            Some(26) => {
                let name = required(payload, 1)?;
                self.tables.remove(&(family, name));
            }
            Some(2) => {
                let name = required(payload, 1)?;
                self.tables.remove(&(family, name)).ok_or_else(missing)?;
            }
            Some(3) => {
                let chain = required(payload, 3)?;
                self.table(family, payload)?.chains.insert(chain);
            }
            Some(6) => {
                let chain = required(payload, 2)?;
                let expressions = attributes().value_of(4).unwrap_or_default().to_vec();
                self.handles += 1;
                let handle = self.handles;
                let table = self.table(family, payload)?;
                let known = references(&expressions)
                    .iter()
                    .all(|(set, name)| match set {
                        true => table.sets.contains_key(name),
                        false => table.chains.contains(name),
                    });
                if !table.chains.contains(&chain) || !known {
                    return Err(missing());
                }
                table.rules.push((chain, handle, expressions));
            }
            Some(8) => {
                let chain = text(payload, 2);
                let table = self.table(family, payload)?;
                table
                    .rules
                    .retain(|(of, _, _)| chain.as_ref().is_some_and(|chain| chain != of));
            }
            Some(9) => {
                let set = required(payload, 2)?;
                self.table(family, payload)?.sets.entry(set).or_default();
            }
            Some(change @ (12 | 14 | 30)) => {
                let set = required(payload, 2)?;
                let table = self.table(family, payload)?;
                let set = table.sets.get_mut(&set).ok_or_else(missing)?;
                let Some(list) = attributes().value_of(3) else {
                    set.clear();
                    return Ok(());
                };
                for (_, element) in Attributes::new(list) {
                    let key = Attributes::new(element)
                        .value_of(1)
                        .and_then(|data| Attributes::new(data).value_of(1))
                        .ok_or_else(|| Refusal::silent(libc::EINVAL))?;
                    if change == 12 {
                        let timeout = Attributes::new(element)
                            .value_of(4)
                            .and_then(|value| value.first_chunk().copied())
                            .map(u64::from_be_bytes);
                        let comment = Attributes::new(element)
                            .value_of(6)
                            .and_then(|data| data.get(2..))
                            .and_then(text_of)
                            .unwrap_or_default()
                            .to_owned();
                        set.entry(key.to_vec())
                            .or_insert(FakeElement { timeout, comment });
                    } else if set.remove(key).is_none() && change == 14 {
                        return Err(missing());
                    }
                }
            }
            _ => return Err(Refusal::silent(libc::EINVAL)),
        }
        Ok(())
    }

    fn dump(&self, kind: u16, payload: &[u8]) -> Vec<Reply> {
        let family = payload.first().copied().unwrap_or(0);
        let name = text(payload, 1).unwrap_or_default();
        let Some(table) = self.tables.get(&(family, name.clone())) else {
            return Vec::new();
        };
        let header = |kind| {
            let mut message = Request::new("", SUBSYSTEM + kind, 0);
            message.put(&[family, 0, 0, 0]);
            message.attribute_parts(1, &[name.as_bytes(), &[0]]);
            message
        };
        let done = |message: Request| Reply::new(message.kind(), message.payload());
        match kind - SUBSYSTEM {
            7 => table
                .rules
                .iter()
                .map(|(chain, handle, _)| {
                    let mut message = header(6);
                    message.attribute_parts(2, &[chain.as_bytes(), &[0]]);
                    message.attribute(3, &handle.to_be_bytes());
                    done(message)
                })
                .collect(),
            10 => table
                .sets
                .keys()
                .map(|set| {
                    let mut message = header(9);
                    message.attribute_parts(2, &[set.as_bytes(), &[0]]);
                    done(message)
                })
                .collect(),
            13 => {
                let set = text(payload, 2).unwrap_or_default();
                let elements = table.sets.get(&set).into_iter().flatten();
                elements
                    .map(|(key, element)| {
                        let mut message = header(12);
                        let list = message.begin_nest(3);
                        let nest = message.begin_nest(1);
                        let data = message.begin_nest(1);
                        message.attribute(1, key);
                        message.end_nest(data);
                        if let Some(timeout) = element.timeout {
                            message.attribute(4, &timeout.to_be_bytes());
                            message.attribute(5, &timeout.to_be_bytes());
                        }
                        let comment = element.comment.as_bytes();
                        message.attribute_parts(6, &[&[0, comment.len() as u8 + 1], comment, &[0]]);
                        message.end_nest(nest);
                        message.end_nest(list);
                        done(message)
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl State {
    pub(super) fn execute_netfilter(&mut self, request: &Recorded) -> Result<Vec<Reply>, Refusal> {
        if !self.knobs.nftables {
            return Err(Refusal::silent(libc::EOPNOTSUPP));
        }
        Ok(self.nft.dump(request.kind, &request.payload))
    }
}

impl FakeKernel {
    /// A transaction: all of it, or nothing and the first refusal.
    pub(super) fn transact(&self, requests: &[Request]) -> Result<(), KernelError> {
        let changes = requests.iter().filter(|r| r.kind() >= SUBSYSTEM);
        for request in changes.clone() {
            self.record(Protocol::Netfilter, request)?;
        }
        let mut state = self.state();
        state.transactions += 1;
        if !state.knobs.nftables {
            return Err(KernelError::new("nftables batch", libc::EOPNOTSUPP));
        }
        let mut nft = state.nft.clone();
        for request in changes {
            nft.apply(request.kind(), request.payload())
                .map_err(|refusal| KernelError::new(request.name(), refusal.errno))?;
        }
        state.nft = nft;
        state.announce(crate::xfrm::thread_id());
        Ok(())
    }

    /// How many transactions there were.
    pub fn nft_transactions(&self) -> usize {
        self.state().transactions
    }

    /// A table of family inet.
    pub fn nft_table(&self, name: &str) -> Option<FakeTable> {
        let state = self.state();
        state.nft.tables.get(&(INET, name.to_owned())).cloned()
    }

    /// Chains at the egress of devices.
    pub fn nft_egress(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let table = state.nft.tables.get(&(5, name.to_owned()));
        table.map_or(Vec::new(), |table| table.chains.iter().cloned().collect())
    }

    /// Another process changes a table of family inet; `None` removes it.
    pub fn nft_change(&self, name: &str, change: Option<&mut dyn FnMut(&mut FakeTable)>) {
        let mut state = self.state();
        let key = (INET, name.to_owned());
        match change {
            None => {
                state.nft.tables.clear();
            }
            Some(change) => {
                if let Some(table) = state.nft.tables.get_mut(&key) {
                    change(table);
                }
            }
        }
        state.announce(1);
    }
}

impl State {
    /// What the kernel reports of a transaction by that thread, as far as anybody here reads it.
    fn announce(&mut self, thread: u32) {
        let mut change = Request::new("", SUBSYSTEM, 0);
        change.put(&[INET, 0, 0, 0]);
        change.attribute(1, b"fastswan\0");
        let mut generation = Request::new("", SUBSYSTEM + 15, 0);
        generation.put(&[0; 4]);
        generation.attribute(2, &thread.to_be_bytes());
        for message in [change, generation] {
            self.emit(
                Protocol::Netfilter,
                GROUP,
                message.kind(),
                message.payload(),
            );
        }
    }
}
