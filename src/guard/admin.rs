// SPDX-License-Identifier: GPL-2.0-or-later
//! Listing and opening gates without the daemon, for fastswanctl.
//!
//! Owns nothing: the tables in the kernel are the truth, and a daemon that runs finds a gate opened
//! here by the kernel's event. One that a CHILD_SA or trap holds is closed again at once; one that
//! nobody holds stays open. Called by `bin/fastswanctl`. Must not be called by the plugin.

use std::time::Duration;

use super::kernel;
use super::model::{Pair, Scope};
use super::ruleset::Category;
use super::settings::parse_prefix;
use crate::error::{Error, Result};
use crate::model::Mark;
use crate::xfrm::Transport;

/// A gate as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What is guarded.
    pub pair: Pair,
    /// How long it stays closed by itself; `None` if until somebody opens it.
    pub left: Option<Duration>,
    /// Name of the CHILD_SA it was closed for, with ` (trap)` behind it if it was a trap.
    pub name: String,
}

/// All gates that are closed. Changes nothing.
pub fn list(transport: &dyn Transport) -> Result<Vec<Gate>> {
    let mut gates = Vec::new();
    for set in kernel::read_sets(transport)? {
        let Some(category) = Category::of_gates(&set) else {
            continue;
        };
        for element in kernel::read_elements(transport, &set)? {
            if let Some(pair) = Pair::read(category, &element.key) {
                gates.push(Gate {
                    pair,
                    left: element.left,
                    name: element.comment,
                });
            }
        }
    }
    gates.sort_by_key(|gate| gate.pair.to_string());
    Ok(gates)
}

/// Opens one gate. Fails if there is none.
pub fn open(transport: &dyn Transport, pair: &Pair) -> Result<()> {
    if !list(transport)?.iter().any(|gate| gate.pair == *pair) {
        return Err(Error::NotFound(format!("there is no gate for {pair}")));
    }
    let key = pair.gate();
    kernel::remove_element(transport, &key)?;
    Ok(())
}

/// Opens all gates, one after the other; how many there were. The tables stay, so that a daemon that runs sees gates
/// opened and no tables lost: those it puts back whole, since a firewall that is loaded anew must open nothing.
pub fn open_all(transport: &dyn Transport) -> Result<usize> {
    let gates = list(transport)?;
    for gate in &gates {
        let key = gate.pair.gate();
        kernel::remove_element(transport, &key)?;
    }
    Ok(gates.len())
}

/// Reads `LOCAL/LENGTH === REMOTE/LENGTH`, with `[PROTOCOL]` behind it if the gate has one, and `mark_out VALUE/MASK`,
/// `mark_in VALUE/MASK` or `xfrmi` if it is about some of the packets only: what [`Pair`] prints.
pub fn parse_pair(text: &str) -> Option<Pair> {
    let (local, rest) = text.split_once("===")?;
    let (rest, scope) = match rest.trim().split_once(char::is_whitespace) {
        None => (rest, Scope::All),
        Some((rest, "xfrmi")) => (rest, Scope::Interface),
        Some((rest, text)) => {
            let (kind, mark) = text.split_once(' ')?;
            let (value, mask) = mark.split_once('/')?;
            let hex = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            let (value, mask) = (hex(value)?, hex(mask)?);
            let mark = Mark { value, mask };
            match kind {
                "mark_out" => (rest, Scope::MarkedOut(mark)),
                "mark_in" => (rest, Scope::MarkedIn(mark)),
                _ => return None,
            }
        }
    };
    let (remote, proto) = match rest.trim().strip_suffix(']') {
        Some(rest) => {
            let (remote, proto) = rest.split_once('[')?;
            (remote, proto.parse().ok()?)
        }
        None => (rest, 0),
    };
    let pair = Pair {
        local: parse_prefix(local.trim())?,
        remote: parse_prefix(remote.trim())?,
        proto,
        scope,
    };
    (pair.local.first().is_ipv4() == pair.remote.first().is_ipv4()).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_as_it_is_printed() {
        for text in [
            "10.1.0.0/16 === 10.2.0.0/16",
            "fd00::1/128 === ::/0",
            "10.1.0.0/16 === 10.2.0.0/16[47]",
            "10.1.0.0/16 === 10.2.0.0/16 mark_out 0x2a/0xefffffff",
            "fd00::/64 === ::/0[6] mark_in 0x0/0x1",
            "0.0.0.0/0 === 0.0.0.0/0 xfrmi",
        ] {
            assert_eq!(parse_pair(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.1.0.0/16",
            "10.1.0.0/16 === fd00::/8",
            "a === b",
            "10.0.0.0/8 === 10.0.0.0/8[x]",
            "10.0.0.0/8 === 10.0.0.0/8 mark_in",
            "10.0.0.0/8 === 10.0.0.0/8 mark 0x2a/0xff",
            "10.0.0.0/8 === 10.0.0.0/8 mark_out 2a/ff",
            "10.0.0.0/8 === 10.0.0.0/8 mark_in 0x2a",
            "10.0.0.0/8 === 10.0.0.0/8 xfrmi1",
        ] {
            assert_eq!(parse_pair(text), None, "{text}");
        }
    }
}
