// SPDX-License-Identifier: GPL-2.0-or-later
//! The decision for a unit: which of the modes it gets, and why not a better one.
//!
//! Owns the order of the modes. The answer holds for every SA and policy of the unit.

use std::fmt;

use crate::model::Offload;

use super::Refusal;

/// The three modes, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// All of ESP in the NIC.
    Packet,
    /// Cryptography in the NIC.
    Crypto,
    /// Nothing in the NIC.
    Software,
}

impl Mode {
    /// What `auto` tries after this one.
    pub fn next(self) -> Option<Mode> {
        match self {
            Mode::Packet => Some(Mode::Crypto),
            Mode::Crypto => Some(Mode::Software),
            Mode::Software => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Packet => "packet",
            Mode::Crypto => "crypto",
            Mode::Software => "software",
        })
    }
}

/// A mode that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The mode.
    pub mode: Mode,
    /// Why not.
    pub refusal: Refusal,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The mode.
    pub mode: Mode,
    /// Better modes that `auto` passed over.
    pub steps: Vec<Step>,
}

/// Decides: `auto` goes down from `best`, everything else gets what it asks for or is refused.
/// `check` tells whether all of the unit that is known so far can be done in a mode; software always
/// can.
pub fn decide(
    wanted: Offload,
    best: Mode,
    check: impl Fn(Mode) -> Result<(), Refusal>,
) -> Result<Decision, Refusal> {
    let fixed = |mode| {
        check(mode)?;
        Ok(Decision {
            mode,
            steps: Vec::new(),
        })
    };
    match wanted {
        Offload::No => Ok(Decision {
            mode: Mode::Software,
            steps: Vec::new(),
        }),
        Offload::Crypto => fixed(Mode::Crypto),
        Offload::Packet => fixed(Mode::Packet),
        Offload::Auto => {
            let mut steps = Vec::new();
            let mut mode = best;
            while mode != Mode::Software {
                match check(mode) {
                    Ok(()) => break,
                    Err(refusal) => steps.push(Step { mode, refusal }),
                }
                mode = mode.next().unwrap_or(Mode::Software);
            }
            Ok(Decision { mode, steps })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(allowed: &'static [Mode]) -> impl Fn(Mode) -> Result<(), Refusal> {
        move |mode| {
            if allowed.contains(&mode) {
                Ok(())
            } else {
                Err(Refusal::new(format!("no {mode}")))
            }
        }
    }

    #[test]
    fn packet_means_packet() {
        const ALL: &[Mode] = &[Mode::Packet, Mode::Crypto, Mode::Software];
        assert_eq!(
            decide(Offload::Packet, Mode::Packet, only(&[Mode::Packet]))
                .unwrap()
                .mode,
            Mode::Packet
        );
        let refused = decide(Offload::Packet, Mode::Packet, only(&ALL[1..]));
        assert_eq!(refused.unwrap_err().reason, "no packet");
        assert!(decide(Offload::Crypto, Mode::Packet, only(&[Mode::Packet])).is_err());
        // A unit that was moved down by auto earlier does not bind one that demands packet.
        assert_eq!(
            decide(Offload::Packet, Mode::Software, only(ALL))
                .unwrap()
                .mode,
            Mode::Packet
        );
    }

    #[test]
    fn auto_goes_down_one_by_one_and_says_why() {
        let best = |allowed| decide(Offload::Auto, Mode::Packet, only(allowed)).unwrap();
        assert_eq!(best(&[Mode::Packet]).mode, Mode::Packet);
        let crypto = best(&[Mode::Crypto]);
        assert_eq!((crypto.mode, crypto.steps.len()), (Mode::Crypto, 1));
        let software = best(&[]);
        assert_eq!((software.mode, software.steps.len()), (Mode::Software, 2));
        assert_eq!(software.steps[1].refusal.reason, "no crypto");
        let limited = decide(Offload::Auto, Mode::Crypto, only(&[Mode::Packet])).unwrap();
        assert_eq!(limited.mode, Mode::Software, "never back up within a unit");
    }
}
