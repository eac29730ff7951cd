// SPDX-License-Identifier: GPL-2.0-or-later
//! Rows as people read them, in 80 columns, and as JSON.
//!
//! Owns columns, words and the version of the JSON. Called by `main`; `watch` uses the same forms of
//! numbers and names. Must not judge: a row brings its disagreements.

use std::io;

use super::{Filter, Half, Row};
use crate::facts::{Answer, Facts};
use crate::out::{Out, Paint, wrap};

/// Version of the form of `--json`.
const SCHEMA: u32 = 1;

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

/// The rows of a filter, and how many disagreements they have.
fn chosen<'a>(rows: &'a [Row], filter: &Filter) -> (Vec<&'a Row>, usize) {
    let shown: Vec<&Row> = rows.iter().filter(|row| filter.takes(row)).collect();
    let trouble = shown.iter().map(|row| row.disagreements.len()).sum();
    (shown, trouble)
}

/// Shows the rows of a filter; how many there were, and how many disagreements.
pub(crate) fn show(
    facts: &Facts,
    rows: &[Row],
    filter: &Filter,
    out: &mut Out<'_>,
) -> io::Result<(usize, usize)> {
    let (shown, trouble) = chosen(rows, filter);
    if filter.child.is_some() {
        for (index, row) in shown.iter().enumerate() {
            if index > 0 {
                out.line("")?;
            }
            detail(row, out)?;
        }
    } else if !shown.is_empty() {
        list(&shown, filter.brief, out)?;
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

fn list(rows: &[&Row], brief: bool, out: &mut Out<'_>) -> io::Result<()> {
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
        if !brief {
            for text in [asked(row), selectors(row)] {
                for line in wrap(&text, 76).iter().filter(|line| !line.is_empty()) {
                    let line = out.paint(Paint::Faint, line);
                    out.line(format_args!("   {line}"))?;
                }
            }
        }
        for text in &row.disagreements {
            notice(text, out)?;
        }
    }
    Ok(())
}

/// What the columns have no room for: what was asked for, reqid, SPIs, bytes and errors.
fn asked(row: &Row) -> String {
    let mut parts = Vec::new();
    parts.extend(row.wanted.as_ref().map(|wanted| format!("asked {wanted}")));
    if row.reqid != 0 {
        parts.push(format!("reqid {}", row.reqid));
    }
    for (head, half) in [("in", &row.inbound), ("out", &row.outbound)] {
        parts.extend(
            half.as_ref()
                .map(|half| format!("{head} {} {}B", half.spi, short(half.bytes))),
        );
    }
    let errors: Option<u64> = row
        .halves()
        .map(|half| half.errors)
        .reduce(u64::saturating_add);
    parts.extend(errors.map(|errors| format!("{} errors", short(errors))));
    parts.join(", ")
}

fn selectors(row: &Row) -> String {
    if row.local_ts.is_empty() && row.remote_ts.is_empty() {
        return String::new();
    }
    format!("{} === {}", row.local_ts.join(" "), row.remote_ts.join(" "))
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
    let (shown, trouble) = chosen(rows, filter);
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
