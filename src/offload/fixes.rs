// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of the fixes that packet offload on mlx5 depends on a kernel has.
//!
//! Owns the table of fixes with the releases that carry them, and the setting `kernel_fixes`, which
//! declares those that a vendor's kernel has beyond its release number. Called by the rules of the
//! one driver they concern and by `fastswanctl doctor`, so that both say the same. Must not ask the
//! kernel anything: the release is handed in.

use std::fmt;

/// A kernel release: the first three numbers of `uname -r`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Version.
    pub major: u32,
    /// Patch level: with the version, the series.
    pub minor: u32,
    /// Stable release within the series.
    pub patch: u32,
}

impl Release {
    /// From its three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// From `uname -r`, such as `6.12.48+deb13-amd64` or `7.3.4-1-cloud`; `None` if it does not begin
    /// with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut number = |first: bool| -> Option<u32> {
            if !first {
                rest = rest.strip_prefix('.')?;
            }
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let value = rest[..end].parse().ok()?;
            rest = &rest[end..];
            Some(value)
        };
        let (major, minor) = (number(true)?, number(false)?);
        Some(Self::new(major, minor, number(false).unwrap_or(0)))
    }

    fn series(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// What a kernel without a fix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nothing an operator would notice in packet mode: a preparation of others, or crypto mode.
    Slight,
    /// Some traffic is lost, or some peers are not reached.
    Loss,
    /// The kernel panics, or packets leave in clear.
    Severe,
}

/// One fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// As `kernel_fixes` names it.
    pub id: &'static str,
    /// Subject of the commit.
    pub subject: &'static str,
    /// The first release of the mainline kernel that has it.
    pub since: Release,
    /// Releases of older stable series from which on those have it, too.
    pub stable: &'static [Release],
    /// What its absence means.
    pub weight: Weight,
    /// What happens without it.
    pub without: &'static str,
    /// It is one of the eleven that packet offload was put into service with.
    pub one_of_eleven: bool,
}

impl Fix {
    /// Whether a kernel of this release has it, going by the number alone.
    pub fn in_release(&self, release: Release) -> bool {
        release >= self.since
            || self
                .stable
                .iter()
                .any(|stable| stable.series() == release.series() && release >= *stable)
    }
}

const fn fix(
    id: &'static str,
    subject: &'static str,
    since: Release,
    stable: &'static [Release],
    weight: Weight,
    without: &'static str,
) -> Fix {
    Fix {
        id,
        subject,
        since,
        stable,
        weight,
        without,
        one_of_eleven: true,
    }
}

const fn later(mut fix: Fix) -> Fix {
    fix.one_of_eleven = false;
    fix
}

const fn v(major: u32, minor: u32, patch: u32) -> Release {
    Release::new(major, minor, patch)
}

/// The fix without which a policy matches the network address of a prefix and nothing else.
pub const SUBNETS: &str = "subnets";
/// The fix of CVE-2025-21720.
pub const SECPATH: &str = "secpath";
/// The fix without which a packet too large for the tunnel vanishes.
pub const PMTU: &str = "pmtu";
/// The fix without which a peer behind a gateway is not reached.
pub const ROUTED_PEERS: &str = "routed-peers";
/// The fix without which an unresolved next hop stays unresolved for the life of the SA.
pub const NEIGHBOUR: &str = "neighbour";

/// All fixes: first the eleven, in the order in which they are usually listed, then later ones.
pub const FIXES: &[Fix] = &[
    fix(
        "tx-esn-driver",
        "net/mlx5e: Update TX ESN context for IPSec hardware offload",
        v(6, 14, 0),
        &[],
        Weight::Slight,
        "crypto mode loses the peer after 2^32 packets",
    ),
    fix(
        "tx-esn",
        "xfrm: Support ESN context update to hardware for TX",
        v(6, 14, 0),
        &[],
        Weight::Slight,
        "crypto mode loses the peer after 2^32 packets",
    ),
    fix(
        "late-init",
        "xfrm: delay initialization of offload path till its actually requested",
        v(6, 15, 0),
        &[],
        Weight::Slight,
        "a preparation of the others",
    ),
    fix(
        SECPATH,
        "xfrm: delete intermediate secpath entry in packet offload mode",
        v(6, 14, 0),
        &[v(6, 6, 76), v(6, 12, 13), v(6, 13, 2)],
        Weight::Severe,
        "a gateway that forwards decrypted packets panics (CVE-2025-21720)",
    ),
    fix(
        "sa-init",
        "xfrm: simplify SA initialization routine",
        v(6, 15, 0),
        &[],
        Weight::Slight,
        "a preparation of the others",
    ),
    fix(
        "rely-on-offload",
        "xfrm: rely on XFRM offload",
        v(6, 15, 0),
        &[],
        Weight::Slight,
        "a preparation of the others",
    ),
    fix(
        "offload-ok",
        "xfrm: provide common xdo_dev_offload_ok callback",
        v(6, 15, 0),
        &[],
        Weight::Slight,
        "packets with IP options are checked by the wrong address family",
    ),
    fix(
        "bond-check",
        "bonding: delete always true device check",
        v(6, 15, 0),
        &[],
        Weight::Slight,
        "a preparation of the others",
    ),
    fix(
        PMTU,
        "xfrm: check for PMTU in tunnel mode for packet offload",
        v(6, 15, 0),
        &[],
        Weight::Loss,
        "packets too large for the tunnel vanish without an ICMP error",
    ),
    fix(
        "addr-struct",
        "net/mlx5e: Separate address related variables to be in struct",
        v(6, 15, 0),
        &[v(6, 12, 75)],
        Weight::Slight,
        "a preparation of the next",
    ),
    fix(
        SUBNETS,
        "net/mlx5e: Properly match IPsec subnet addresses",
        v(6, 15, 0),
        &[],
        Weight::Severe,
        "selectors other than a single address match the network address only, and the rest leaves \
         in clear",
    ),
    later(fix(
        "tunnel-reqid",
        "net/mlx5e: Rely on reqid in IPsec tunnel mode",
        v(6, 13, 0),
        &[v(6, 12, 11)],
        Weight::Loss,
        "tunnels are matched by address",
    )),
    later(fix(
        "tunnel-tx",
        "xfrm: fix tunnel mode TX datapath in packet offload mode",
        v(6, 14, 0),
        &[v(6, 12, 21)],
        Weight::Loss,
        "forwarded packets wait for a neighbour that does not exist",
    )),
    later(fix(
        ROUTED_PEERS,
        "net/mlx5e: Support routed networks during IPsec MACs initialization",
        v(6, 17, 0),
        &[v(6, 12, 75)],
        Weight::Loss,
        "a peer behind a gateway is not reached",
    )),
    later(fix(
        "mac-atomic",
        "net/mlx5e: Fix \"scheduling while atomic\" in IPsec MAC address query",
        v(6, 19, 0),
        &[v(6, 12, 75)],
        Weight::Severe,
        "adding an SA may crash the kernel",
    )),
    later(fix(
        NEIGHBOUR,
        "net/mlx5e: Trigger neighbor resolution for unresolved destinations",
        v(6, 19, 0),
        &[v(6, 12, 92)],
        Weight::Loss,
        "a next hop that is not resolved when the SA is added is never reached",
    )),
    later(fix(
        "policy-check",
        "xfrm: skip templates check for packet offload tunnel mode",
        v(7, 0, 0),
        &[v(6, 12, 75)],
        Weight::Loss,
        "packets for the gateway itself are dropped after decryption (XfrmInTmplMismatch)",
    )),
    later(fix(
        "unregister-flush",
        "xfrm: always flush state and policy upon NETDEV_UNREGISTER event",
        v(7, 0, 0),
        &[v(6, 12, 75)],
        Weight::Loss,
        "SAs survive the device they were on",
    )),
];

/// Before this release there is no packet offload at all.
pub const PACKET_MODE: Release = v(6, 2, 0);
/// From this release on byte and packet limits work in packet mode.
pub const LIMITS: Release = v(6, 7, 0);
/// The oldest release that has every fix of [`FIXES`].
pub const RECOMMENDED: Release = v(7, 0, 0);

/// The setting `kernel_fixes`: which fixes are there beyond those of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Declared {
    /// `auto`: none.
    #[default]
    Auto,
    /// `all`: every one.
    All,
    /// A list of ids.
    Some(Vec<&'static str>),
}

impl Declared {
    /// From the setting's value: `auto`, `all`, or ids separated by commas or blanks. Words that are
    /// no id are returned beside it.
    pub fn parse(value: &str) -> (Self, Vec<String>) {
        let mut ids = Vec::new();
        let mut unknown = Vec::new();
        let mut all = false;
        for word in value
            .split([',', ' ', '\t', '\n'])
            .filter(|word| !word.is_empty())
        {
            match FIXES.iter().find(|fix| fix.id == word) {
                Some(fix) => ids.push(fix.id),
                None if word == "all" => all = true,
                None if word == "auto" => {}
                None => unknown.push(word.to_owned()),
            }
        }
        let declared = if all {
            Self::All
        } else if ids.is_empty() {
            Self::Auto
        } else {
            Self::Some(ids)
        };
        (declared, unknown)
    }

    fn names(&self, fix: &Fix) -> bool {
        match self {
            Self::Auto => false,
            Self::All => true,
            Self::Some(ids) => ids.contains(&fix.id),
        }
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::Some(ids) => f.write_str(&ids.join(",")),
        }
    }
}

/// What a kernel has: its release and what was declared about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFixes {
    /// Its release; `None` if `uname -r` could not be read as one.
    pub release: Option<Release>,
    /// `kernel_fixes`.
    pub declared: Declared,
}

impl KernelFixes {
    /// Of a kernel whose `uname -r` is `release`, with the value of `kernel_fixes`.
    pub fn new(release: &str, declared: Declared) -> Self {
        Self {
            release: Release::parse(release),
            declared,
        }
    }

    /// Whether it has a fix. A release that nobody can read has none but those declared.
    pub fn has(&self, id: &str) -> bool {
        FIXES
            .iter()
            .find(|fix| fix.id == id)
            .is_some_and(|fix| self.has_fix(fix))
    }

    /// Whether it has a fix of [`FIXES`].
    pub fn has_fix(&self, fix: &Fix) -> bool {
        self.declared.names(fix) || self.release.is_some_and(|release| fix.in_release(release))
    }

    /// The fixes that it lacks.
    pub fn missing(&self) -> impl Iterator<Item = &'static Fix> + '_ {
        FIXES.iter().filter(|fix| !self.has_fix(fix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        for (text, release) in [
            ("7.3.4+deb13-cloud-amd64", v(7, 3, 4)),
            ("6.12.48+deb13-amd64", v(6, 12, 48)),
            ("5.14.0-503.14.1.el9_5.x86_64", v(5, 14, 0)),
            ("6.15-rc3", v(6, 15, 0)),
            ("6.15", v(6, 15, 0)),
            ("7.0.10", v(7, 0, 10)),
        ] {
            assert_eq!(Release::parse(text), Some(release), "{text}");
        }
        for text in ["", "6", "six.one", "6.", ".6", "99999999999.1"] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_eleven_are_eleven_and_ids_are_unique() {
        assert_eq!(FIXES.iter().filter(|fix| fix.one_of_eleven).count(), 11);
        for (index, fix) in FIXES.iter().enumerate() {
            assert!(FIXES[..index].iter().all(|other| other.id != fix.id));
            assert!(fix.stable.iter().all(|stable| *stable < fix.since));
        }
        let recommended = KernelFixes::new("7.0.0", Declared::Auto);
        assert_eq!(recommended.missing().count(), 0);
    }

    #[test]
    fn a_release_of_a_stable_series_has_what_was_brought_back_to_it() {
        let has = |release: &str, id| KernelFixes::new(release, Declared::Auto).has(id);
        assert!(!has("6.12.12", SECPATH) && has("6.12.13", SECPATH));
        assert!(!has("6.13.1", SECPATH) && has("6.13.2", SECPATH));
        assert!(has("6.14.0", SECPATH));
        // A later series is not helped by a release of an earlier one.
        assert!(!has("6.7.0", SECPATH) && !has("6.11.9", SECPATH));
        assert!(!has("6.12.117", SUBNETS) && has("6.15.0", SUBNETS));
        assert!(has("6.12.92", NEIGHBOUR) && !has("6.18.40", NEIGHBOUR));
    }

    #[test]
    fn backports_can_be_declared() {
        let (all, unknown) = Declared::parse("all");
        assert!(unknown.is_empty());
        assert!(KernelFixes::new("5.14.0-503", all.clone()).has(SUBNETS));
        assert!(KernelFixes::new("vendor", all).has(SUBNETS));
        let (some, unknown) = Declared::parse("subnets, pmtu bogus");
        assert_eq!(unknown, ["bogus"]);
        let fixes = KernelFixes::new("6.13.5", some);
        assert!(fixes.has(SUBNETS) && fixes.has(PMTU) && !fixes.has(ROUTED_PEERS));
        assert_eq!(Declared::parse(" auto "), (Declared::Auto, Vec::new()));
        assert_eq!(Declared::parse("auto all").0, Declared::All);
        for text in ["auto", "all", "subnets,pmtu"] {
            assert_eq!(Declared::parse(text).0.to_string(), text);
        }
    }
}
