// SPDX-License-Identifier: GPL-2.0-or-later
//! `status`: the kernel's and the NIC's truth, joined with charon's names.
//!
//! Owns the join and how it is shown. Called by `main` and `metrics`. What is shown comes from the
//! kernel; charon adds names and what was asked for; where the two disagree the row says so. Must
//! not hide an SA that nobody knows.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use serde::Serialize;

use crate::facts::{Answer, Child, ChildSa, Counters, Facts, PluginSa, Policy, Sa};
use crate::out::{Out, Paint, wrap};

/// Version of the form of `--json`.
const SCHEMA: u32 = 1;

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
    fn halves(&self) -> impl Iterator<Item = &Half> {
        self.inbound.iter().chain(&self.outbound)
    }

    pub(crate) fn name(&self) -> String {
        if self.child.is_empty() {
            return "(not charon's)".to_owned();
        }
        format!("{}/{}#{}", self.connection, self.child, self.unique_id)
    }

    /// Bytes per second in both directions; `None` if neither was measured.
    fn rate(&self) -> Option<u64> {
        self.halves()
            .filter_map(|half| half.bytes_per_second)
            .reduce(u64::saturating_add)
    }
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) child: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) peer: Option<IpAddr>,
}

impl Filter {
    fn takes(&self, row: &Row) -> bool {
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

/// Joins what is known; the reason if the kernel did not tell.
pub(crate) fn rows(facts: &Facts, now: u64) -> Result<Vec<Row>, String> {
    let sas = match &facts.sas {
        Answer::Known(sas) => sas,
        Answer::Unknown(why) => {
            return Err(format!("the kernel does not show its SAs: {why}"));
        }
    };
    let none = Vec::new();
    let policies = facts.policies.known().unwrap_or(&none);
    let (configured, child_sas): (&[Child], &[ChildSa]) = match facts.charon.known() {
        Some(charon) => (&charon.children, &charon.child_sas),
        None => (&[], &[]),
    };
    // By SPI, and by the destination where two peers chose the same.
    let mut by_spi: HashMap<u32, Vec<usize>> = HashMap::with_capacity(sas.len());
    for (index, sa) in sas.iter().enumerate() {
        by_spi.entry(sa.spi).or_default().push(index);
    }
    let mut by_reqid: HashMap<u32, (usize, usize)> = HashMap::new();
    for policy in policies {
        count(policy, &mut by_reqid);
    }
    let wanted: HashMap<(&str, &str), Option<&String>> = configured
        .iter()
        .map(|child| {
            (
                (child.connection.as_str(), child.name.as_str()),
                child.offload.as_ref(),
            )
        })
        .collect();
    let books = Books::new(facts);
    let before = Earlier::new(facts);
    let mut taken = vec![false; sas.len()];
    let mut rows = Vec::with_capacity(child_sas.len());
    for child in child_sas {
        let mut find = |spi: u32, dst: &str| {
            let index = by_spi
                .get(&spi)?
                .iter()
                .copied()
                .find(|index| sas[*index].dst == dst)?;
            taken[index] = true;
            Some(&sas[index])
        };
        let inbound = find(child.spi_in, &child.local);
        let outbound = find(child.spi_out, &child.remote);
        let mut row = joined(facts, child, inbound, outbound);
        row.wanted = wanted
            .get(&(child.connection.as_str(), child.name.as_str()))
            .copied()
            .flatten()
            .cloned();
        for (spi, dst, sa) in [
            (child.spi_in, &child.local, inbound),
            (child.spi_out, &child.remote, outbound),
        ] {
            row.disagreements.extend(books.differ(facts, spi, dst, sa));
        }
        for (half, sa) in [(&mut row.inbound, inbound), (&mut row.outbound, outbound)] {
            before.rate(half, sa);
        }
        finish(&mut row, &by_reqid);
        rows.push(row);
    }
    for (index, sa) in sas.iter().enumerate() {
        if taken[index] || sa.larval {
            continue;
        }
        let mut row = unknown(facts, sa, now);
        before.rate(&mut row.inbound, Some(sa));
        before.rate(&mut row.outbound, Some(sa));
        if facts.charon.known().is_some() {
            row.disagreements
                .push("charon knows no such SA: it is left over, or somebody else's".to_owned());
        }
        finish(&mut row, &by_reqid);
        rows.push(row);
    }
    // What the plugin believes to be there, and neither charon nor the kernel knows.
    for entry in books.unknown(&by_spi, sas, child_sas) {
        rows.push(Row {
            peer: entry.dst.clone(),
            mode: "gone".to_owned(),
            disagreements: vec![format!(
                "the plugin has an SA with SPI {:08x} in its books that neither charon nor the \
                 kernel knows",
                entry.spi
            )],
            ..Row::default()
        });
    }
    Ok(rows)
}

/// The plugin's books, by SPI and destination.
struct Books<'a>(Option<HashMap<(u32, &'a str), &'a PluginSa>>);

impl<'a> Books<'a> {
    fn new(facts: &'a Facts) -> Self {
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
    fn differ(&self, facts: &Facts, spi: u32, dst: &str, sa: Option<&Sa>) -> Option<String> {
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
    fn unknown(
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
struct Earlier<'a> {
    millis: u64,
    counters: HashMap<(u32, &'a str), &'a Counters>,
}

impl<'a> Earlier<'a> {
    fn new(facts: &'a Facts) -> Self {
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
    fn rate(&self, half: &mut Option<Half>, sa: Option<&Sa>) {
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

/// Keeps the disagreements that were there at the look before as well: charon, plugin and kernel are
/// asked one after the other, and what changes meanwhile looks like one.
pub(crate) fn keep_lasting(rows: &mut [Row], before: &[Row]) {
    let key = |row: &Row| {
        let spi = |half: &Option<Half>| half.as_ref().map(|half| half.spi.clone());
        (row.name(), spi(&row.inbound), spi(&row.outbound))
    };
    let known: HashMap<_, &Vec<String>> = before
        .iter()
        .filter(|row| !row.disagreements.is_empty())
        .map(|row| (key(row), &row.disagreements))
        .collect();
    for row in rows.iter_mut().filter(|row| !row.disagreements.is_empty()) {
        let before = known.get(&key(row));
        row.disagreements
            .retain(|text| before.is_some_and(|before| before.contains(text)));
    }
}

fn count(policy: &Policy, by_reqid: &mut HashMap<u32, (usize, usize)>) {
    let Some(reqid) = policy.reqid else {
        return;
    };
    let (in_nic, in_software) = by_reqid.entry(reqid).or_default();
    if policy.ifindex.is_some() {
        *in_nic += 1;
    } else if policy.dir != "fwd" {
        *in_software += 1;
    }
}

fn half(facts: &Facts, spi: u32, sa: Option<&Sa>) -> Half {
    let Some(sa) = sa else {
        return Half {
            spi: format!("{spi:08x}"),
            mode: "gone".to_owned(),
            ..Half::default()
        };
    };
    Half {
        spi: format!("{:08x}", sa.spi),
        mode: sa.mode.clone(),
        device: sa.ifindex.map(|index| facts.device_name(index)),
        packets: sa.packets,
        bytes: sa.bytes,
        errors: sa.errors,
        ..Half::default()
    }
}

fn joined(facts: &Facts, child: &ChildSa, inbound: Option<&Sa>, outbound: Option<&Sa>) -> Row {
    let mut row = Row {
        connection: child.connection.clone(),
        child: child.name.clone(),
        unique_id: child.unique_id,
        state: child.state.clone(),
        local: child.local.clone(),
        peer: child.remote.clone(),
        reqid: child.reqid,
        inbound: Some(half(facts, child.spi_in, inbound)),
        outbound: Some(half(facts, child.spi_out, outbound)),
        local_ts: child.local_ts.clone(),
        remote_ts: child.remote_ts.clone(),
        algorithm: child.algorithm.clone(),
        esn: child.esn,
        age: child.age,
        ..Row::default()
    };
    // charon lists a CHILD_SA some time before both SAs are there, and after they are gone.
    if matches!(child.state.as_str(), "INSTALLED" | "REKEYING") {
        for (name, spi, found) in [
            ("inbound", child.spi_in, inbound),
            ("outbound", child.spi_out, outbound),
        ] {
            if found.is_none() {
                row.disagreements.push(format!(
                    "charon has it as {}, but the kernel has no {name} SA with SPI {spi:08x}",
                    child.state
                ));
            }
        }
    }
    row
}

/// An SA that no CHILD_SA claims.
fn unknown(facts: &Facts, sa: &Sa, now: u64) -> Row {
    let this = half(facts, sa.spi, Some(sa));
    let mut row = Row {
        local: sa.src.clone(),
        peer: sa.dst.clone(),
        reqid: sa.reqid,
        age: now.saturating_sub(sa.added),
        ..Row::default()
    };
    if sa.inbound == Some(true) {
        std::mem::swap(&mut row.local, &mut row.peer);
        row.inbound = Some(this);
    } else {
        row.outbound = Some(this);
    }
    row
}

/// Mode and device of the whole, and whether its parts fit together.
fn finish(row: &mut Row, by_reqid: &HashMap<u32, (usize, usize)>) {
    let modes: Vec<&str> = row
        .halves()
        .filter(|half| half.mode != "gone")
        .map(|half| half.mode.as_str())
        .collect();
    let mode = match modes.split_first() {
        None => "gone",
        Some((first, rest)) if rest.iter().all(|mode| mode == first) => first,
        Some(_) => "mixed",
    }
    .to_owned();
    let devices: Vec<&String> = row
        .halves()
        .filter_map(|half| half.device.as_ref())
        .collect();
    let device = devices.first().map(|device| (*device).clone());
    let apart = devices.iter().any(|other| Some(*other) != device.as_ref());
    if mode == "mixed" {
        row.disagreements
            .push("its two SAs are in different modes".to_owned());
    }
    if apart {
        row.disagreements
            .push("its two SAs are on different devices".to_owned());
    }
    if let (Some(wanted), false) = (row.wanted.as_deref(), mode == "gone")
        && matches!(wanted, "packet" | "crypto")
        && wanted != mode
        // crypto accepts software, as the kernel decides.
        && !(wanted == "crypto" && mode == "software")
    {
        row.disagreements
            .push(format!("hw_offload = {wanted}, but it is in {mode} mode"));
    }
    (row.policies_in_nic, row.policies_in_software) =
        by_reqid.get(&row.reqid).copied().unwrap_or_default();
    if mode == "packet" && row.policies_in_software > 0 {
        row.disagreements.push(format!(
            "it is in packet mode, but {} of its policies are in software",
            row.policies_in_software
        ));
    }
    if matches!(mode.as_str(), "software" | "crypto") && row.policies_in_nic > 0 {
        row.disagreements.push(format!(
            "it is in {mode} mode, but {} of its policies are in a NIC",
            row.policies_in_nic
        ));
    }
    row.mode = mode;
    row.device = device;
}

/// Number in at most 5 characters.
pub(crate) fn short(value: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if value < 10_000 {
        return value.to_string();
    }
    let mut rest = value;
    let mut unit = "";
    for name in UNITS {
        if rest < 10_000 {
            break;
        }
        rest /= 1000;
        unit = name;
    }
    format!("{rest}{unit}")
}

/// Seconds in at most 5 characters.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=359_999 => format!("{}h", seconds / 3600),
        360_000..=863_999_999 => format!("{}d", seconds / 86_400),
        _ => "ages".to_owned(),
    }
}

/// At most `width` characters, with the end cut off.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('~');
    cut
}

/// The same with the beginning cut off: that of an address is what it has in common with others.
pub(crate) fn fit_end(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let rest: String = text.chars().skip(count + 1 - width.max(1)).collect();
    format!("~{rest}")
}

/// Shows the rows of a filter; whether there were any, and whether none disagrees.
pub(crate) fn show(
    facts: &Facts,
    rows: &[Row],
    filter: &Filter,
    out: &mut Out<'_>,
) -> io::Result<(usize, usize)> {
    let shown: Vec<&Row> = rows.iter().filter(|row| filter.takes(row)).collect();
    let trouble: usize = shown.iter().map(|row| row.disagreements.len()).sum();
    if filter.child.is_some() {
        for (index, row) in shown.iter().enumerate() {
            if index > 0 {
                out.line("")?;
            }
            detail(row, out)?;
        }
    } else if !shown.is_empty() {
        list(&shown, out)?;
    }
    if shown.is_empty() {
        out.line("no SAs")?;
    }
    if let Answer::Unknown(why) = &facts.charon {
        let text = format!("names and what was asked for are missing: {why}");
        for line in wrap(&text, 79) {
            out.line(line)?;
        }
    }
    Ok((shown.len(), trouble))
}

fn list(rows: &[&Row], out: &mut Out<'_>) -> io::Result<()> {
    let head = format!(
        "{:<19} {:<15} {:<8} {:<8} {:>6} {:>6} {:>6} {:>4}",
        "CHILD_SA", "PEER", "MODE", "DEVICE", "PKT IN", "OUT", "B/s", "AGE"
    );
    let head = out.paint(Paint::Strong, head);
    out.line(head)?;
    for row in rows {
        let packets = |half: &Option<Half>| {
            half.as_ref()
                .map_or_else(|| "-".to_owned(), |half| short(half.packets))
        };
        let mode = format!("{:<8}", fit(&row.mode, 8));
        let mode = match row.mode.as_str() {
            "packet" => out.paint(Paint::Good, mode),
            "mixed" | "gone" => out.paint(Paint::Bad, mode),
            _ => mode,
        };
        out.line(format_args!(
            "{:<19} {:<15} {mode} {:<8} {:>6} {:>6} {:>6} {:>4}",
            fit(&row.name(), 19),
            fit_end(&row.peer, 15),
            fit(row.device.as_deref().unwrap_or("-"), 8),
            packets(&row.inbound),
            packets(&row.outbound),
            row.rate().map_or_else(|| "-".to_owned(), short),
            span(row.age),
        ))?;
        for text in &row.disagreements {
            notice(text, out)?;
        }
    }
    Ok(())
}

fn notice(text: &str, out: &mut Out<'_>) -> io::Result<()> {
    for (index, line) in wrap(text, 75).iter().enumerate() {
        let mark = if index == 0 { "!!" } else { "  " };
        let line = out.paint(Paint::Bad, format_args!("{mark} {line}"));
        out.line(format_args!(" {line}"))?;
    }
    Ok(())
}

fn detail(row: &Row, out: &mut Out<'_>) -> io::Result<()> {
    let state = if row.state.is_empty() {
        "no state"
    } else {
        &row.state
    };
    let name = out.paint(Paint::Strong, fit(&row.name(), 79 - state.len() - 20));
    out.line(format_args!("{name}  {state}  reqid {}", row.reqid))?;
    out.line(format_args!("  outer      {} === {}", row.local, row.peer))?;
    for (head, list) in [("local", &row.local_ts), ("remote", &row.remote_ts)] {
        for line in wrap(&list.join(", "), 66) {
            out.line(format_args!("  {head:<10} {line}"))?;
        }
    }
    let wanted = row.wanted.as_deref().unwrap_or("not known");
    let esn = if row.esn { ", ESN" } else { "" };
    out.line(format_args!("  algorithm  {}{esn}", row.algorithm))?;
    let device = row
        .device
        .as_ref()
        .map_or_else(String::new, |device| format!(" on {device}"));
    out.line(format_args!(
        "  offload    asked for {wanted}, has {}{device}",
        row.mode
    ))?;
    for (head, half) in [("in", &row.inbound), ("out", &row.outbound)] {
        if let Some(half) = half {
            let place = half
                .device
                .as_ref()
                .map_or_else(String::new, |device| format!(" on {device}"));
            out.line(format_args!(
                "  {head:<10} SPI {}  {}{place}",
                half.spi, half.mode
            ))?;
            out.line(format_args!(
                "  {:<10} {} packets, {} bytes, {} errors",
                "", half.packets, half.bytes, half.errors
            ))?;
            if let (Some(packets), Some(bytes)) = (half.packets_per_second, half.bytes_per_second) {
                let text = format!("{packets} packets/s, {bytes} bytes/s");
                out.line(format_args!("  {:<10} {text}", ""))?;
            }
        }
    }
    out.line(format_args!(
        "  policies   {} in a NIC, {} in software (without those that forward)",
        row.policies_in_nic, row.policies_in_software
    ))?;
    out.line(format_args!("  age        {}", span(row.age)))?;
    for text in &row.disagreements {
        notice(text, out)?;
    }
    Ok(())
}

/// Shows the rows of a filter as JSON.
pub(crate) fn show_json(
    facts: &Facts,
    rows: &[Row],
    filter: &Filter,
    out: &mut Out<'_>,
) -> io::Result<(usize, usize)> {
    let shown: Vec<&Row> = rows.iter().filter(|row| filter.takes(row)).collect();
    let trouble = shown.iter().map(|row| row.disagreements.len()).sum();
    let charon = match &facts.charon {
        Answer::Known(charon) => serde_json::json!({ "version": charon.version }),
        Answer::Unknown(why) => serde_json::json!({ "unknown": why }),
    };
    let value = serde_json::json!({
        "schema": SCHEMA,
        "charon": charon,
        "disagreements": trouble,
        "child_sas": shown,
    });
    out.raw(format!("{value:#}\n").as_bytes())?;
    Ok((shown.len(), trouble))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Before, Charon, Device, Plugin};

    fn sa(spi: u32, dst: &str, mode: &str) -> Sa {
        Sa {
            spi,
            src: if dst == "10.0.0.2" {
                "10.0.0.1"
            } else {
                "10.0.0.2"
            }
            .to_owned(),
            dst: dst.to_owned(),
            reqid: 1,
            mode: mode.to_owned(),
            ifindex: (mode != "software").then_some(4),
            packets: 12_345,
            ..Sa::default()
        }
    }

    fn facts(inbound: &str, outbound: &str) -> Facts {
        let policy = |dir: &str| Policy {
            dir: dir.to_owned(),
            reqid: Some(1),
            ifindex: (dir != "fwd").then_some(4),
            templates: 1,
            ..Policy::default()
        };
        Facts {
            devices: Answer::Known(vec![Device {
                ifindex: 4,
                name: "p0".to_owned(),
                ..Device::default()
            }]),
            sas: Answer::Known(vec![
                sa(1, "10.0.0.1", inbound),
                sa(2, "10.0.0.2", outbound),
            ]),
            policies: Answer::Known(vec![policy("in"), policy("out"), policy("fwd")]),
            charon: Answer::Known(Charon {
                children: vec![Child {
                    connection: "site".to_owned(),
                    name: "net".to_owned(),
                    offload: Some("packet".to_owned()),
                    ..Child::default()
                }],
                child_sas: vec![ChildSa {
                    connection: "site".to_owned(),
                    name: "net".to_owned(),
                    unique_id: 7,
                    reqid: 1,
                    state: "INSTALLED".to_owned(),
                    spi_in: 1,
                    spi_out: 2,
                    local: "10.0.0.1".to_owned(),
                    remote: "10.0.0.2".to_owned(),
                    age: 61,
                    ..ChildSa::default()
                }],
                ..Charon::default()
            }),
            ..Facts::default()
        }
    }

    fn text(facts: &Facts, filter: &Filter) -> String {
        let mut bytes = Vec::new();
        let mut out = Out::new(Box::new(&mut bytes), false);
        show(facts, &rows(facts, 0).unwrap(), filter, &mut out).unwrap();
        out.flush().unwrap();
        drop(out);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_child_sa_in_the_nic_has_nothing_to_complain_about() {
        let facts = facts("packet", "packet");
        let rows = rows(&facts, 0).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].disagreements, Vec::<String>::new());
        assert_eq!(
            (rows[0].policies_in_nic, rows[0].policies_in_software),
            (2, 0)
        );
        assert_eq!(
            text(&facts, &Filter::default()),
            "CHILD_SA            PEER            MODE     DEVICE   PKT IN    OUT    B/s  AGE\n\
             site/net#7          10.0.0.2        packet   p0          12k    12k      -  61s\n"
        );
    }

    #[test]
    fn every_disagreement_is_told() {
        let told = |facts: &Facts| rows(facts, 0).unwrap()[0].disagreements.join("; ");
        assert_eq!(
            told(&facts("software", "packet")),
            "its two SAs are in different modes; hw_offload = packet, but it is in mixed mode"
        );
        assert_eq!(
            told(&facts("software", "software")),
            "hw_offload = packet, but it is in software mode; \
             it is in software mode, but 2 of its policies are in a NIC"
        );
        let mut lost = facts("packet", "packet");
        lost.sas = Answer::Known(vec![sa(1, "10.0.0.1", "packet")]);
        assert_eq!(
            told(&lost),
            "charon has it as INSTALLED, but the kernel has no outbound SA with SPI 00000002"
        );
        let mut apart = facts("packet", "packet");
        if let Answer::Known(sas) = &mut apart.sas {
            sas[1].ifindex = Some(9);
        }
        assert_eq!(told(&apart), "its two SAs are on different devices");
        let mut software = facts("packet", "packet");
        if let Answer::Known(policies) = &mut software.policies {
            policies[0].ifindex = None;
        }
        assert_eq!(
            told(&software),
            "it is in packet mode, but 1 of its policies are in software"
        );
    }

    #[test]
    fn an_sa_of_nobody_is_shown() {
        let mut facts = facts("packet", "packet");
        if let Answer::Known(sas) = &mut facts.sas {
            sas.push(Sa {
                spi: 9,
                reqid: 5,
                added: 40,
                ..sa(9, "10.0.0.9", "packet")
            });
        }
        let found = rows(&facts, 100).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].age, found[1].child.as_str()), (60, ""));
        assert_eq!(found[1].disagreements.len(), 1);
        // Without charon nobody can say that it is nobody's.
        facts.charon = Answer::Unknown("no charon".to_owned());
        let found = rows(&facts, 100).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|row| row.disagreements.is_empty()));
        assert!(text(&facts, &Filter::default()).ends_with("no charon\n"));
    }

    #[test]
    fn filters_take_what_they_name() {
        let facts = facts("packet", "packet");
        let shown = |filter: Filter| text(&facts, &filter);
        let none = "no SAs\n";
        let some = |text: &str| Some(text.to_owned());
        let with = Filter::default;
        assert_ne!(
            shown(Filter {
                peer: Some("10.0.0.2".parse().unwrap()),
                ..with()
            }),
            none
        );
        assert_eq!(
            shown(Filter {
                peer: Some("10.0.0.3".parse().unwrap()),
                ..with()
            }),
            none
        );
        assert_ne!(
            shown(Filter {
                device: some("p0"),
                ..with()
            }),
            none
        );
        assert_eq!(
            shown(Filter {
                device: some("p1"),
                ..with()
            }),
            none
        );
        assert_eq!(
            shown(Filter {
                child: some("other"),
                ..with()
            }),
            none
        );
        let detail = shown(Filter {
            child: some("net"),
            ..with()
        });
        assert!(
            detail.contains("asked for packet, has packet on p0"),
            "{detail}"
        );
    }

    fn with_books(books: Vec<PluginSa>) -> Facts {
        let mut facts = facts("packet", "packet");
        if let Answer::Known(charon) = &mut facts.charon {
            charon.plugin = Answer::Known(Plugin {
                sas: Answer::Known(books),
                ..Plugin::default()
            });
        }
        facts
    }

    fn entry(spi: u32, dst: &str, mode: &str) -> PluginSa {
        PluginSa {
            spi,
            dst: dst.to_owned(),
            mode: mode.to_owned(),
            ifindex: (mode != "software").then_some(4),
            lost: false,
        }
    }

    #[test]
    fn the_plugins_books_are_compared_with_the_kernel() {
        let both = |mode| vec![entry(1, "10.0.0.1", "packet"), entry(2, "10.0.0.2", mode)];
        let told = |facts: &Facts| rows(facts, 0).unwrap()[0].disagreements.join("; ");
        assert_eq!(told(&with_books(both("packet"))), "");
        assert_eq!(
            told(&with_books(both("software"))),
            "the plugin has SPI 00000002 in its books as software, but the kernel has it as packet \
             on p0"
        );
        assert_eq!(
            told(&with_books(vec![entry(1, "10.0.0.1", "packet")])),
            "the plugin does not have SPI 00000002 in its books, but the kernel has it as packet \
             on p0"
        );
        // One of the same SPI to another peer is another SA, which nobody else knows.
        let mut strange = both("packet");
        strange.push(entry(2, "10.0.0.9", "packet"));
        let found = rows(&with_books(strange), 0).unwrap();
        assert_eq!((found.len(), found[0].disagreements.len()), (2, 0));
        assert!(found[1].disagreements[0].contains("neither charon nor the kernel knows"));
        // The kernel lost it: the plugin may know that, or not.
        for (lost, expected) in [(true, 1), (false, 2)] {
            let mut books = both("packet");
            books[1].lost = lost;
            let mut facts = with_books(books);
            if let Answer::Known(sas) = &mut facts.sas {
                sas.pop();
            }
            assert_eq!(rows(&facts, 0).unwrap()[0].disagreements.len(), expected);
        }
    }

    #[test]
    fn rates_need_an_earlier_look_at_the_same_sa() {
        let mut facts = facts("packet", "packet");
        let counters = |spi, dst: &str, packets, bytes| Counters {
            spi,
            dst: dst.to_owned(),
            packets,
            bytes,
        };
        if let Answer::Known(sas) = &mut facts.sas {
            sas[0].bytes = 5000;
            sas[1].bytes = 100;
        }
        facts.before = Some(Before {
            millis: 500,
            counters: vec![
                counters(1, "10.0.0.1", 12_335, 1000),
                // Smaller now than it was: another SA, or one that began anew.
                counters(2, "10.0.0.2", 12_345, 900),
            ],
        });
        let found = rows(&facts, 0).unwrap();
        let inbound = found[0].inbound.as_ref().unwrap();
        assert_eq!(inbound.packets_per_second, Some(20));
        assert_eq!(inbound.bytes_per_second, Some(8000));
        assert_eq!(found[0].outbound.as_ref().unwrap().bytes_per_second, None);
        assert_eq!(found[0].rate(), Some(8000));
        assert!(text(&facts, &Filter::default()).contains("   8000  61s"));
        // No time between the two is no rate, and no division by zero.
        facts.before.as_mut().unwrap().millis = 0;
        assert_eq!(rows(&facts, 0).unwrap()[0].rate(), None);
    }

    #[test]
    fn what_passes_by_is_no_disagreement() {
        let mut now = rows(&facts("software", "packet"), 0).unwrap();
        let before = rows(&facts("packet", "packet"), 0).unwrap();
        assert!(!now[0].disagreements.is_empty());
        let mut lasting = now.clone();
        keep_lasting(&mut lasting, &now);
        assert_eq!(lasting, now);
        keep_lasting(&mut now, &before);
        assert!(now[0].disagreements.is_empty());
    }

    #[test]
    fn one_child_is_named_in_three_ways_and_fits_a_screen() {
        let facts = facts("packet", "packet");
        for (name, found) in [
            ("net", true),
            ("site/net", true),
            ("site/net#7", true),
            ("other/net", false),
            ("site/net#8", false),
        ] {
            let filter = Filter {
                child: Some(name.to_owned()),
                ..Filter::default()
            };
            let text = text(&facts, &filter);
            assert_eq!(text != "no SAs\n", found, "{name}: {text}");
            assert!(text.lines().count() < 24);
        }
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_an_error() {
        let facts = Facts::default();
        assert!(rows(&facts, 0).is_err());
    }

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let mut facts = facts("software", "packet");
        if let Answer::Known(charon) = &mut facts.charon {
            charon.child_sas[0].name = "a-very-long-name-of-a-child-sa".to_owned();
            charon.child_sas[0].remote = "2001:db8:1234:5678:9abc:def0:1234:5678".to_owned();
            charon.child_sas[0].age = u64::MAX;
        }
        for line in text(&facts, &Filter::default()).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(fit_end("2001:db8::5678", 6), "~:5678");
        let name = rows(&facts, 0).unwrap()[0].name();
        let detail = text(
            &facts,
            &Filter {
                child: Some(name),
                ..Filter::default()
            },
        );
        for line in detail.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(short(9_999), "9999");
        assert_eq!(short(10_000), "10k");
        assert_eq!(short(123_456_789), "123M");
        assert!(short(u64::MAX).len() <= 5);
        assert_eq!(span(7_200), "2h");
    }
}
