// SPDX-License-Identifier: GPL-2.0-or-later
//! The figures for people and for machines: a table, JSON, docs/performance.md and its picture.
//!
//! Owns their form. Called by `bench`. Must not compute anything but ratios.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Cell, Who,
    goals::Verdict,
    measured::{Measured, Mode},
};
use crate::{
    cache::write_whole,
    run::{command, output},
    setup::Repo,
};

const PAGE: &str = "docs/performance.md";
const PICTURE: &str = "docs/images/performance.svg";
/// What the page is written of: the plugin as it is distributed.
pub(super) const RELEASE: &str = "release";
const PHASES: [&str; 6] = ["setup", "rekey", "retire", "query", "update", "delete"];

/// Processor of this machine.
pub(super) fn host() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let kvm = if std::path::Path::new("/dev/kvm").exists() {
        "with /dev/kvm"
    } else {
        "emulated by QEMU (TCG)"
    };
    format!("2 virtual CPUs {kvm} on {model}")
}

/// Today.
pub(super) fn date() -> String {
    output(command("date").arg("+%Y-%m-%d"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// One line for each contestant of each phase of each cell.
fn rows(measured: &Measured) -> Vec<[String; 10]> {
    let mut rows = Vec::new();
    for cell in measured.cells(Mode::Time) {
        // System calls and allocations were counted with fewer CHILD_SAs.
        let counted = |mode, who, phase, what: &str| {
            let cells = measured.cells(mode);
            let alike = cells.into_iter().find(|other| {
                Cell {
                    count: cell.count,
                    ..*other
                } == cell
            })?;
            measured.each(alike, mode, who, phase, what)
        };
        for phase in PHASES {
            let wall = |who| measured.each(cell, Mode::Time, who, phase, "wall");
            for who in Who::ALL {
                let Some(mine) = wall(who) else {
                    continue;
                };
                rows.push([
                    cell.to_string(),
                    phase.to_owned(),
                    who.name().to_owned(),
                    number(measured.done(cell, who, phase), 0),
                    number(Some(mine), 0),
                    number(measured.each(cell, Mode::Time, who, phase, "user"), 0),
                    number(wall(Who::Theirs).map(|theirs| theirs / mine), 2),
                    number(counted(Mode::Calls, who, phase, "calls"), 1),
                    number(counted(Mode::Allocs, who, phase, "allocs"), 1),
                    number(measured.each(cell, Mode::Time, who, phase, "rss"), 2),
                ]);
            }
        }
    }
    rows
}

const HEAD: [&str; 10] = [
    "cell",
    "phase",
    "who",
    "CHILD_SAs",
    "us each",
    "user us",
    "times faster",
    "calls",
    "allocs",
    "KiB",
];

/// For a terminal.
pub(super) fn table(measured: &Measured) -> String {
    let mut rows = rows(measured);
    rows.insert(0, HEAD.map(str::to_owned));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// The goals, one a line.
pub(super) fn goals(verdicts: &[Verdict]) -> String {
    verdicts.iter().fold(String::new(), |mut text, verdict| {
        let _ = writeln!(
            text,
            "{:12} {} (found {})",
            verdict.word(),
            verdict.goal,
            number(verdict.found, 2)
        );
        text
    })
}

/// For machines: all medians, goals, complaints.
pub(super) fn json(measured: &Measured, verdicts: &[Verdict]) -> Value {
    let rows: Vec<Value> = measured
        .samples
        .iter()
        .map(|(key, samples)| {
            let mut values = serde_json::Map::new();
            let names: std::collections::BTreeSet<&String> =
                samples.iter().flat_map(|sample| sample.keys()).collect();
            for name in names {
                let median = measured.each(key.cell, key.mode, key.who, &key.phase, name);
                values.insert(format!("{name}_each"), json!(median));
            }
            json!({
                "cell": key.cell.to_string(),
                "mode": format!("{:?}", key.mode).to_lowercase(),
                "who": key.who.name(),
                "phase": key.phase,
                "rounds": samples,
                "medians": values,
            })
        })
        .collect();
    let goals: Vec<Value> = verdicts
        .iter()
        .map(|verdict| json!({"goal": verdict.goal, "found": verdict.found, "verdict": verdict.word()}))
        .collect();
    json!({
        "about": measured.about,
        "figures": rows,
        "goals": goals,
        "complaints": measured.complaints,
    })
}

/// Bars of the time of a set-up, on a logarithmic scale.
fn picture(measured: &Measured) -> String {
    const LEFT: f64 = 330.0;
    const WIDTH: f64 = 520.0;
    const BAR: f64 = 16.0;
    let mut bars = Vec::new();
    for cell in measured.cells(Mode::Time) {
        for who in Who::ALL {
            if let Some(us) = measured.each(cell, Mode::Time, who, "setup", "wall") {
                bars.push((cell, who, us));
            }
        }
    }
    let most = bars.iter().map(|bar| bar.2).fold(10.0, f64::max).log10();
    let height = BAR.mul_add(bars.len() as f64 + 3.0, 20.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">Set-up of one CHILD_SA, microseconds, logarithmic scale</text>\n",
        LEFT + WIDTH + 90.0
    );
    let mut last = None;
    for (row, (cell, who, us)) in bars.iter().enumerate() {
        let top = BAR.mul_add(row as f64 + 2.0, 0.0);
        let length = WIDTH * us.max(1.0).log10() / most;
        let colour = match who {
            Who::Theirs => "#c0504d",
            Who::Ours => "#1f77b4",
            Who::Unguarded => "#7fb2d9",
            Who::Floor | Who::UnguardedFloor => "#999999",
        };
        if last != Some(cell) {
            let _ = writeln!(text, "<text x=\"10\" y=\"{:.0}\">{cell}</text>", top + 11.0);
            last = Some(cell);
        }
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{length:.0}\" height=\"{:.0}\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{:.0}\">{us:.0}</text>",
            LEFT - 6.0,
            top + 11.0,
            who.name(),
            top + 2.0,
            BAR - 4.0,
            LEFT + length + 4.0,
            top + 11.0,
        );
    }
    text + "</svg>\n"
}

/// docs/performance.md and its picture.
pub(super) fn write(repo: &Repo, measured: &Measured, verdicts: &[Verdict]) -> Result<()> {
    let about = |key: &str| measured.about.get(key).map_or("?", String::as_str);
    ensure!(
        about("profile") == RELEASE,
        "the plugin was compiled with {}: {PAGE} is about the one that is distributed",
        about("profile")
    );
    let commit =
        output(
            command("git")
                .current_dir(&repo.root)
                .args(["rev-parse", "--short=12", "HEAD"]),
        )
        .context("cannot ask git for the commit")?;
    let mut text = format!(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n# Performance\n\n\
         Written by `cargo xtask bench --docs` at {} on {}, kernel {}, strongSwan {}, {}: medians of {} rounds in which \
         all take turns; a phase ends after {} seconds wherever it is. In an emulated machine ratios, growth and counts mean \
         something, times do not.\n\n\
         kernel-netlink is strongSwan's own plugin, kernel-fastswan ours with its defaults, guard=no ours without the gate, \
         and the floor the messages of ours (the gate's included), sent and awaited one by one by a bare loop. Names of cells: \
         CHILD_SAs, routes in the main table, mode, whether routes are installed, threads, one peer or many. Phases are \
         explained in tests/bench/child.c. System calls are counted by a tracepoint and allocations in the C library, each in a \
         run of its own that is not timed.\n\n![set-up](images/performance.svg)\n\n## Goals\n\n| goal | found | |\n| --- | --- | --- |\n",
        commit.trim(),
        about("date"),
        about("kernel"),
        about("strongswan"),
        about("host"),
        about("rounds"),
        about("limit"),
    );
    for verdict in verdicts {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            verdict.goal,
            number(verdict.found, 2),
            verdict.word()
        );
    }
    let _ = write!(
        text,
        "\n## Figures by CHILD_SA\n\n| {} |\n|{}\n",
        HEAD.join(" | "),
        " --- |".repeat(HEAD.len())
    );
    for row in rows(measured) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    if !measured.complaints.is_empty() {
        text += "\n## Complaints\n\n";
        for line in &measured.complaints {
            let _ = writeln!(text, "* {line}");
        }
    }
    write_whole(&repo.root.join(PICTURE), picture(measured))?;
    write_whole(&repo.root.join(PAGE), text)
}

#[cfg(test)]
mod tests {
    use super::{Measured, json, picture, rows};

    #[test]
    fn figures_are_shown_beside_each_other() {
        let measured = Measured::read(
            "run n5000-table0-packet-routes-t1-peer/time kernel-netlink\n\
             result phase=setup done=100 failed=0 wall=100000 user=5000 rss=300\n\
             run n5000-table0-packet-routes-t1-peer/time kernel-fastswan\n\
             result phase=setup done=5000 failed=0 wall=500000 user=5000 rss=5000\n\
             run n500-table0-packet-routes-t1-peer/calls kernel-fastswan\n\
             result phase=setup done=500 failed=0 calls=6000\n",
        );
        let rows = rows(&measured);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[1][2..],
            [
                "kernel-fastswan",
                "5000",
                "100",
                "1",
                "10.00",
                "12.0",
                "-",
                "1.00"
            ]
        );
        let drawn = picture(&measured);
        assert!(
            drawn.contains(">1000<") && drawn.contains(">100<"),
            "{drawn}"
        );
        assert_eq!(
            json(&measured, &[])["figures"].as_array().map(Vec::len),
            Some(3)
        );
    }
}
