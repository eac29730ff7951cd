// SPDX-License-Identifier: GPL-2.0-or-later
//! The gate's settings, `charon.plugins.kernel-fastswan.guard*`.
//!
//! Owns their reading; a value that makes no sense is replaced by the default, with a line. Called by
//! `config.rs`. Must not do I/O other than asking charon.

use std::net::IpAddr;
use std::time::Duration;

use super::model::Hold;
use crate::host::Host;
use crate::model::{Offload, Prefix};

/// Which CHILD_SAs have a gate (`guard`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Those that ask for offload.
    Units,
    /// All.
    All,
    /// None.
    No,
}

impl Cover {
    /// Whether a CHILD_SA with this wish has a gate.
    pub fn covers(self, offload: Offload) -> bool {
        match self {
            Self::Units => offload != Offload::No,
            Self::All => true,
            Self::No => false,
        }
    }
}

/// What a clean stop does to the gates (`guard_on_stop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// They open after `guard_hold`.
    HoldTime,
    /// They open.
    Open,
    /// They stay closed.
    Hold,
}

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `guard`
    pub cover: Cover,
    /// `guard_hold`: how long a gate stays closed after its last CHILD_SA or trap was deleted.
    pub hold: Hold,
    /// `guard_on_stop`
    pub on_stop: OnStop,
    /// `guard_mark`: the bit of the mark that carries the verdict of the first pass.
    pub mark: u32,
    /// `guard_exempt`: remote networks that are never guarded.
    pub exempt: Vec<Prefix>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cover: Cover::Units,
            hold: Hold::For(Duration::from_secs(10)),
            on_stop: OnStop::HoldTime,
            mark: 0x1000_0000,
            exempt: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads all of them. `prefix` ends in a dot.
    pub fn read(host: &dyn Host, prefix: &str) -> Self {
        let default = Self::default();
        let get = |key: &str| host.get_str(&format!("{prefix}{key}"));
        let choose = |key: &str, wanted: &str| {
            log::warn!("charon.{prefix}{key} = '{wanted}' is unknown, using the default");
        };
        let mut settings = default;
        if let Some(text) = get("guard") {
            match text.as_str() {
                "units" => settings.cover = Cover::Units,
                "all" => settings.cover = Cover::All,
                "no" => settings.cover = Cover::No,
                other => choose("guard", other),
            }
        }
        if let Some(text) = get("guard_hold") {
            match parse_hold(&text) {
                Some(hold) => settings.hold = hold,
                None => choose("guard_hold", &text),
            }
        }
        if let Some(text) = get("guard_on_stop") {
            match text.as_str() {
                "hold_time" => settings.on_stop = OnStop::HoldTime,
                "open" => settings.on_stop = OnStop::Open,
                "hold" => settings.on_stop = OnStop::Hold,
                other => choose("guard_on_stop", other),
            }
        }
        if let Some(text) = get("guard_mark") {
            match parse_mark(&text) {
                Some(mark) => settings.mark = mark,
                None => choose("guard_mark", &text),
            }
        }
        for word in get("guard_exempt")
            .unwrap_or_default()
            .split([',', ' '])
            .filter(|word| !word.is_empty())
        {
            match parse_prefix(word) {
                Some(network) => settings.exempt.push(network),
                None => log::warn!(
                    "'{word}' in charon.{prefix}guard_exempt is no network, it is not exempt"
                ),
            }
        }
        settings
    }
}

/// `forever`, or a time as strongSwan writes it: `10`, `10s`, `2m`, `1h`, `1d`.
fn parse_hold(text: &str) -> Option<Hold> {
    let text = text.trim();
    if text == "forever" {
        return Some(Hold::Forever);
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    let seconds = digits.parse::<u32>().ok()?.checked_mul(factor)?;
    Some(Hold::For(Duration::from_secs(u64::from(seconds))))
}

/// One bit.
fn parse_mark(text: &str) -> Option<u32> {
    let text = text.trim();
    let mark = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    (mark.count_ones() == 1).then_some(mark)
}

/// `ADDRESS/LENGTH`, or an address.
pub(super) fn parse_prefix(word: &str) -> Option<Prefix> {
    let (ip, len) = match word.split_once('/') {
        Some((ip, len)) => (ip, Some(len)),
        None => (word, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => width,
        Some(len) => len.parse().ok().filter(|len| *len <= width)?,
    };
    Some(Prefix::new(ip, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_marks_and_networks() {
        let seconds = |n| Some(Hold::For(Duration::from_secs(n)));
        for (text, want) in [
            ("10s", seconds(10)),
            ("0", seconds(0)),
            (" 2m ", seconds(120)),
            ("1d", seconds(86400)),
            ("forever", Some(Hold::Forever)),
            ("", None),
            ("s", None),
            ("-1", None),
            ("10 weeks", None),
            ("4294967295d", None),
        ] {
            assert_eq!(parse_hold(text), want, "{text}");
        }
        for (text, want) in [
            ("0x10000000", Some(0x1000_0000)),
            ("1", Some(1)),
            ("0", None),
            ("3", None),
            ("0x", None),
            ("0x100000000", None),
        ] {
            assert_eq!(parse_mark(text), want, "{text}");
        }
        assert_eq!(
            parse_prefix("10.1.2.3/16").unwrap().to_string(),
            "10.1.0.0/16"
        );
        assert_eq!(parse_prefix("fd00::1").unwrap().to_string(), "fd00::1/128");
        for text in ["10.0.0.0/33", "10.0.0/8", "/8", "fd00::/129", "10.0.0.0/"] {
            assert_eq!(parse_prefix(text), None, "{text}");
        }
    }
}
