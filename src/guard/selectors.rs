// SPDX-License-Identifier: GPL-2.0-or-later
//! What of a CHILD_SA is guarded: from traffic selectors, marks and addresses to elements of the sets.
//!
//! Owns that translation. Called by `holders.rs`. Must not change the state.

use std::net::IpAddr;

use super::Guard;
use super::element::{Key, Place};
use super::model::{Pair, Scope};
use super::ruleset::Pass;
use crate::model::{Direction, Mark, PolicyId, PolicySpec, Selector, TrafficSelector};
use crate::xfrm::PolicyKey;

impl Guard {
    /// Which of the packets between its networks a CHILD_SA is about.
    pub(super) fn scope(&self, outbound: bool, mark: Mark, if_id: u32, name: &str) -> Scope {
        if if_id != 0 {
            return Scope::Interface;
        }
        let own = self.settings().mark;
        if mark.value & own != 0 {
            self.say_once(format!(
                "the mark {:#x}/{:#x} of CHILD_SA {name} has the bit of guard_mark: it is guarded without that bit",
                mark.value, mark.mask
            ));
        }
        // Mark bits that the mask does not have never match; without them more is guarded.
        let mask = mark.mask & !own;
        match mask {
            0 => Scope::All,
            mask => {
                let mark = Mark {
                    value: mark.value & mask,
                    mask,
                };
                if outbound {
                    Scope::MarkedOut(mark)
                } else {
                    Scope::MarkedIn(mark)
                }
            }
        }
    }

    /// The pairs of networks of two lists of traffic selectors. What cannot be matched exactly is
    /// guarded more widely, and it is said.
    pub(super) fn pairs(
        &self,
        local: &[TrafficSelector],
        remote: &[TrafficSelector],
        scope: Scope,
        name: &str,
    ) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for local in local {
            for remote in remote {
                if local.from.is_ipv4() != remote.from.is_ipv4() {
                    continue;
                }
                let pair = pair_of(local, remote, scope);
                self.say_if_wider(local, remote, scope, name);
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        pairs
    }

    fn say_if_wider(
        &self,
        local: &TrafficSelector,
        remote: &TrafficSelector,
        scope: Scope,
        name: &str,
    ) {
        if !local.is_any_port() || !remote.is_any_port() {
            let pair = pair_of(local, remote, scope);
            self.say_once(format!(
                "CHILD_SA {name}: {local} === {remote} is guarded as {pair}, with all ports"
            ));
        }
    }

    /// The gate of a policy. Says what is guarded more widely.
    pub(super) fn pair_of_policy(&self, id: &PolicyId, spec: &PolicySpec, key: &PolicyKey) -> Pair {
        let outbound = id.dir == Direction::Out;
        let scope = self.scope(outbound, key.mark, key.if_id, &spec.name);
        let (local, remote) = if outbound {
            (&id.src_ts, &id.dst_ts)
        } else {
            (&id.dst_ts, &id.src_ts)
        };
        self.say_if_wider(local, remote, scope, &spec.name);
        pair_of(local, remote, scope)
    }
}

fn pair_of(local: &TrafficSelector, remote: &TrafficSelector, scope: Scope) -> Pair {
    Pair {
        local: local.prefix(),
        remote: remote.prefix(),
        proto: if local.proto == 0 {
            remote.proto
        } else {
            local.proto
        },
        scope,
    }
}

pub(super) fn pass_of(key: &PolicyKey) -> Pass {
    Pass {
        outbound: key.dir == Direction::Out,
        selector: Selector { ..key.selector },
    }
}

pub(super) fn peers(local: IpAddr, remote: IpAddr) -> Option<Key> {
    if local.is_ipv4() != remote.is_ipv4() {
        return None;
    }
    let set = if local.is_ipv4() {
        Place::Peers4
    } else {
        Place::Peers6
    };
    Some(Key::of(set).address(local).address(remote))
}

pub(super) fn is_peers(key: &Key) -> bool {
    matches!(key.set, Place::Peers4 | Place::Peers6)
}

/// What an inbound SA with this reqid may deliver, and that it may deliver nothing else.
pub(super) fn deliveries(pairs: &[Pair], reqid: u32) -> Vec<Key> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let judged = Key::of(Place::Reqids).put(&reqid.to_ne_bytes());
    let mut keys = vec![judged];
    keys.extend(pairs.iter().map(|pair| pair.delivery(reqid)));
    keys
}

pub(super) fn device(ifindex: u32) -> Key {
    Key::of(Place::Nics).put(&ifindex.to_ne_bytes())
}
