// SPDX-License-Identifier: GPL-2.0-or-later
//! What an SA of the kernel is compared with besides charon: the plugin's books, and the look before.
//!
//! Owns both comparisons. Called by `join`. Must not decide what a row is.

use std::collections::{HashMap, HashSet};

use super::Half;
use crate::facts::{ChildSa, Counters, Facts, PluginSa, Sa};

/// The plugin's books, by SPI and destination.
pub(super) struct Books<'a>(Option<HashMap<(u32, &'a str), &'a PluginSa>>);

impl<'a> Books<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let plugin = facts
            .charon
            .known()
            .and_then(|charon| charon.plugin.known());
        let sas = plugin.and_then(|plugin| plugin.sas.known());
        Self(sas.map(|sas| {
            sas.iter()
                .map(|sa| ((sa.spi, sa.dst.as_str()), sa))
                .collect()
        }))
    }

    /// Where they and the kernel differ about one SA of a CHILD_SA.
    pub(super) fn differ(
        &self,
        facts: &Facts,
        spi: u32,
        dst: &str,
        sa: Option<&Sa>,
    ) -> Option<String> {
        let entry = self.0.as_ref()?.get(&(spi, dst)).copied();
        let place = |mode: &str, ifindex: Option<u32>| {
            ifindex.map_or_else(
                || mode.to_owned(),
                |index| format!("{mode} on {}", facts.device_name(index)),
            )
        };
        match (sa, entry) {
            (None, Some(entry)) if !entry.lost => Some(format!(
                "the plugin has SPI {spi:08x} in its books as {}, but the kernel does not have it",
                place(&entry.mode, entry.ifindex)
            )),
            (Some(sa), None) => Some(format!(
                "the plugin does not have SPI {spi:08x} in its books, but the kernel has it as {}",
                place(&sa.mode, sa.ifindex)
            )),
            (Some(sa), Some(entry)) if (&sa.mode, sa.ifindex) != (&entry.mode, entry.ifindex) => {
                Some(format!(
                    "the plugin has SPI {spi:08x} in its books as {}, but the kernel has it as {}",
                    place(&entry.mode, entry.ifindex),
                    place(&sa.mode, sa.ifindex)
                ))
            }
            _ => None,
        }
    }

    /// Entries of SAs that are nowhere else.
    pub(super) fn unknown(
        &self,
        by_spi: &HashMap<u32, Vec<usize>>,
        sas: &[Sa],
        child_sas: &[ChildSa],
    ) -> Vec<&'a PluginSa> {
        let named: HashSet<(u32, &str)> = child_sas
            .iter()
            .flat_map(|child| {
                [
                    (child.spi_in, child.local.as_str()),
                    (child.spi_out, child.remote.as_str()),
                ]
            })
            .collect();
        let in_kernel = |entry: &PluginSa| {
            by_spi
                .get(&entry.spi)
                .is_some_and(|list| list.iter().any(|index| sas[*index].dst == entry.dst))
        };
        let mut found: Vec<&PluginSa> = self
            .0
            .iter()
            .flatten()
            .filter(|(key, entry)| !entry.lost && !named.contains(*key) && !in_kernel(entry))
            .map(|(_, entry)| *entry)
            .collect();
        found.sort_by_key(|entry| (entry.spi, &entry.dst));
        found
    }
}

/// The counters of the look before.
pub(super) struct Earlier<'a> {
    millis: u64,
    counters: HashMap<(u32, &'a str), &'a Counters>,
}

impl<'a> Earlier<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let before = facts.before.as_ref();
        Self {
            millis: before.map_or(0, |before| before.millis),
            counters: before
                .into_iter()
                .flat_map(|before| &before.counters)
                .map(|counters| ((counters.spi, counters.dst.as_str()), counters))
                .collect(),
        }
    }

    /// What one direction did since. A counter that is smaller than before began anew.
    pub(super) fn rate(&self, half: &mut Option<Half>, sa: Option<&Sa>) {
        let (Some(half), Some(sa)) = (half, sa) else {
            return;
        };
        let Some(before) = self.counters.get(&(sa.spi, sa.dst.as_str())) else {
            return;
        };
        let rate = |now: u64, before: u64| {
            let grown = u128::from(now.checked_sub(before)?);
            let rate = (grown * 1000).checked_div(u128::from(self.millis))?;
            Some(u64::try_from(rate).unwrap_or(u64::MAX))
        };
        half.packets_per_second = rate(sa.packets, before.packets);
        half.bytes_per_second = rate(sa.bytes, before.bytes);
    }
}
