// SPDX-License-Identifier: GPL-2.0-or-later
//! `status`: the kernel's and the NIC's truth, joined with charon's names.
//!
//! Owns what a row is and which rows a filter takes. Called by `main`, `watch` and `metrics`. What is
//! shown comes from the kernel; charon adds names and what was asked for; where the two disagree the
//! row says so. Must not hide an SA that nobody knows.
//!
//! * `join`: facts become rows; `books`: what else a row is compared with
//! * `show`: rows as text and as JSON

mod books;
mod join;
mod show;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;

pub(crate) use join::{keep_lasting, rows};
pub(crate) use show::{fit, fit_end, short, show, show_json, span};

/// One direction of a CHILD_SA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Half {
    /// As charon and the kernel print it.
    pub(crate) spi: String,
    /// `packet`, `crypto`, `software`; `gone` if the kernel has no such SA.
    pub(crate) mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Since the look before, if there was one and it had this SA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packets_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_second: Option<u64>,
    /// Packets that failed the integrity check or were replayed.
    pub(crate) errors: u64,
}

/// A CHILD_SA, or SAs that charon does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Connection and CHILD_SA; empty if charon does not know it.
    pub(crate) connection: String,
    pub(crate) child: String,
    pub(crate) unique_id: u64,
    pub(crate) state: String,
    pub(crate) local: String,
    pub(crate) peer: String,
    pub(crate) reqid: u32,
    /// `hw_offload` of the configuration, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<String>,
    /// What it has: the mode of both directions, or `mixed`.
    pub(crate) mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inbound: Option<Half>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outbound: Option<Half>,
    pub(crate) local_ts: Vec<String>,
    pub(crate) remote_ts: Vec<String>,
    pub(crate) algorithm: String,
    pub(crate) esn: bool,
    /// Seconds since it was installed.
    pub(crate) age: u64,
    /// Policies of its reqid in a NIC, and in software without the FWD ones.
    pub(crate) policies_in_nic: usize,
    pub(crate) policies_in_software: usize,
    /// Where charon, plugin, kernel and NIC are not of one mind.
    pub(crate) disagreements: Vec<String>,
}

impl Row {
    pub(crate) fn halves(&self) -> impl Iterator<Item = &Half> {
        self.inbound.iter().chain(&self.outbound)
    }

    pub(crate) fn name(&self) -> String {
        if self.child.is_empty() {
            return "(not charon's)".to_owned();
        }
        format!("{}/{}#{}", self.connection, self.child, self.unique_id)
    }

    /// Bytes per second in both directions; `None` if neither was measured.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.halves()
            .filter_map(|half| half.bytes_per_second)
            .reduce(u64::saturating_add)
    }
}

/// What is shown, and how much of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// One line each.
    pub(crate) brief: bool,
    pub(crate) child: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) peer: Option<IpAddr>,
}

impl Filter {
    pub(crate) fn takes(&self, row: &Row) -> bool {
        let named = |name: &String| {
            *name == row.child
                || *name == row.name()
                || name
                    .split_once('/')
                    .is_some_and(|both| both == (row.connection.as_str(), row.child.as_str()))
        };
        self.child.as_ref().is_none_or(named)
            && self.device.as_ref().is_none_or(|device| {
                row.halves()
                    .any(|half| half.device.as_ref() == Some(device))
            })
            && self
                .peer
                .is_none_or(|peer| row.peer.parse::<IpAddr>() == Ok(peer))
    }
}
