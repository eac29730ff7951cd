// SPDX-License-Identifier: GPL-2.0-or-later
//! Selectors that are looked up together, and the sets they are in.
//!
//! Owns the names of those sets, in both directions. Called by the rules, and by `model.rs` for the place of an element.

use super::matches::{address, mask};
use crate::guard::nft::expr::{Expr, Meta};
use crate::guard::nft::{Field, Set};

/// Which packets the selectors of a category are about ([`super::Scope`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    /// All between their networks.
    All,
    /// Those that leave with a mark, of which these bits count; never 0.
    MaskedOut(u32),
    /// As [`Which::MaskedOut`], of those that enter.
    MaskedIn(u32),
    /// Those sent into an XFRM interface. The interface sends nothing without a transform, so they have one on their
    /// first pass; the second is looked up.
    Interface,
}

impl Which {
    /// The bits of the mark that count.
    pub(in crate::guard) fn mask(self) -> Option<u32> {
        match self {
            Self::All | Self::Interface => None,
            Self::MaskedOut(mask) | Self::MaskedIn(mask) => Some(mask),
        }
    }

    /// Reads what a set's name ends with, and what is in front of it.
    fn split(name: &str) -> Option<(&str, Self)> {
        if let Some(rest) = name.strip_suffix("_xfrmi") {
            return Some((rest, Self::Interface));
        }
        for (suffix, which) in [
            ("_markout", Self::MaskedOut as fn(u32) -> Self),
            ("_markin", Self::MaskedIn),
        ] {
            if let Some((rest, mask)) = name.split_once(suffix) {
                let mask = u32::from_str_radix(mask, 16).ok().filter(|mask| *mask != 0);
                return Some((rest, which(mask?)));
            }
        }
        Some((name, Self::All))
    }
}

/// Selectors that are looked up together: one family, one pair of prefix lengths, with or without a
/// protocol, one mask of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Category {
    pub(in crate::guard) v6: bool,
    pub(in crate::guard) local: u8,
    pub(in crate::guard) remote: u8,
    pub(in crate::guard) proto: bool,
    pub(in crate::guard) scope: Which,
}

impl Category {
    fn name(self, prefix: &str) -> String {
        let scope = match self.scope {
            Which::All => String::new(),
            Which::MaskedOut(mask) => format!("_markout{mask:x}"),
            Which::MaskedIn(mask) => format!("_markin{mask:x}"),
            Which::Interface => "_xfrmi".to_owned(),
        };
        format!(
            "{prefix}{}_{}_{}{}{scope}",
            if self.v6 { 6 } else { 4 },
            self.local,
            self.remote,
            if self.proto { "_proto" } else { "" }
        )
    }

    /// Set of the selectors that are guarded.
    pub(in crate::guard) fn gates(self) -> String {
        self.name("gate")
    }

    /// Set of the selectors with the reqids of the SAs that may deliver them.
    pub(in crate::guard) fn deliveries(self) -> String {
        self.networks().name("sa")
    }

    /// The same for all packets.
    pub(in crate::guard) fn networks(self) -> Self {
        Self {
            scope: Which::All,
            ..self
        }
    }

    /// Reads the name of a set of guarded selectors.
    pub(in crate::guard) fn of_gates(name: &str) -> Option<Self> {
        Self::read(name, "gate").filter(|category| category.gates() == name)
    }

    /// Reads the name of a set of what SAs may deliver.
    pub(in crate::guard) fn of_deliveries(name: &str) -> Option<Self> {
        Self::read(name, "sa").filter(|category| category.deliveries() == name)
    }

    fn read(name: &str, prefix: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?;
        let (rest, scope) = Which::split(rest)?;
        let (rest, proto) = match rest.strip_suffix("_proto") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let mut parts = rest.split('_');
        let v6 = match parts.next()? {
            "4" => false,
            "6" => true,
            _ => return None,
        };
        let local = parts.next()?.parse().ok()?;
        let remote = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self {
            v6,
            local,
            remote,
            proto,
            scope,
        })
    }

    fn address(self) -> Field {
        if self.v6 { Field::Ip6 } else { Field::Ip4 }
    }

    /// The set of guarded selectors.
    pub(in crate::guard) fn guarded(self) -> Set {
        let mut gates = Set {
            name: self.gates(),
            fields: self.fields(),
            timeout: true,
            comment: match self.scope {
                Which::All => "guarded: local . remote network",
                Which::MaskedOut(_) => {
                    "guarded, if it leaves with the mark: mark . local . remote network"
                }
                Which::MaskedIn(_) => {
                    "guarded, if it enters with the mark: mark . local . remote network"
                }
                Which::Interface => "guarded behind an XFRM interface: local . remote network",
            }
            .to_owned(),
        };
        if self.scope.mask().is_some() {
            gates.fields.insert(0, Field::Mark);
        }
        gates
    }

    /// The set of what inbound SAs may deliver.
    pub(in crate::guard) fn delivered(self) -> Set {
        let mut fields = self.fields();
        fields.insert(0, Field::Mark);
        Set {
            name: self.deliveries(),
            fields,
            timeout: false,
            comment: "what an inbound SA may deliver: reqid . local . remote network".to_owned(),
        }
    }

    fn fields(self) -> Vec<Field> {
        let mut fields = vec![self.address(), self.address()];
        if self.proto {
            fields.push(Field::Proto);
        }
        fields
    }

    /// Loads the pair of networks, local one first, from register `reg` on. In outbound packets the
    /// source is local. The mark, if it counts, stands in front.
    pub(super) fn load(self, outbound: bool, mut reg: u32) -> Vec<Expr> {
        let mut exprs = Vec::new();
        if let Some(mask) = self.scope.mask() {
            exprs.push(Expr::Meta(Meta::Mark, reg));
            exprs.push(Expr::Bitwise {
                reg,
                mask: mask.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            });
            reg += 1;
        }
        for (local, len) in [(true, self.local), (false, self.remote)] {
            exprs.push(address(self.v6, local == outbound, reg));
            exprs.extend(mask(self.v6, len, reg));
            reg += self.address().len() / 4;
        }
        if self.proto {
            exprs.push(Expr::Meta(Meta::L4Proto, reg));
        }
        exprs
    }
}
