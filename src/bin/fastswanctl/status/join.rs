// SPDX-License-Identifier: GPL-2.0-or-later
//! Facts become rows: SAs of the kernel, policies, CHILD_SAs of charon, by SPI and destination.
//!
//! Owns the join and the judgement of where the sources disagree. Called by `status`' users through
//! `rows`. Must not ask the machine anything.

use std::collections::HashMap;

use super::books::{Books, Earlier};
use super::{Half, Row};
use crate::facts::{Answer, Child, ChildSa, Facts, Policy, Sa};

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
