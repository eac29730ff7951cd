// SPDX-License-Identifier: GPL-2.0-or-later
//! The leak matrix: what of protected traffic was on the wire in clear, or got in, during each fault.
//!
//! Owns the reading of what the scenarios of `set: security` counted (cells.txt), the table, its verdict, and the page
//! docs/security.md. `cargo xtask leaks`, test and the writer of pages call it. It must not count anything itself: the
//! virtual NIC does, and tests/lab/lib/leaks.sh says how.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cache::Cache,
    compare,
    kernels::Series,
    lab::{self, Plugin},
    roots::Release,
    scenarios::{self, Scenario},
    setup::Repo,
};

/// The scenarios of the matrix; `cargo xtask test` runs them with `--full` only.
pub(crate) const SET: &str = "security";

/// What stands in front of the table: who can send what from where.
const THREATS: &str = include_str!("leaks/threats.md");

/// The flows of a line, in the order of its columns.
const FLOWS: [&str; 4] = ["forwarded4", "local4", "forwarded6", "local6"];

/// The passes, in the order of the table's columns, and what they are called there.
const PASSES: [(&str, Plugin, &str); 3] = [
    ("stock", Plugin::KernelNetlink, "kernel-netlink"),
    ("hold", Plugin::KernelFastswan, "held for ever"),
    ("defaults", Plugin::KernelFastswan, "defaults"),
];

/// What to run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) kernel: Series,
    /// Only this plugin; else strongSwan's own (where there is no result of the same tests) and ours.
    pub(crate) plugin: Option<Plugin>,
    /// Only scenarios whose name contains this.
    pub(crate) only: Option<String>,
    /// Run nothing: read what an earlier run counted.
    pub(crate) recorded: bool,
}

/// What a line of the matrix expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    /// Nothing in clear with our plugin.
    #[default]
    Nothing,
    /// The same; and strongSwan's own plugin is known to leak, or the instrument is blind.
    KnownLeak,
    /// The gate opens by then.
    Opens,
}

/// One fault in one pass: packets in clear, sent and received, by flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cells {
    flows: BTreeMap<String, (u64, u64)>,
    expected: Expected,
}

impl Cells {
    fn sum(&self) -> u64 {
        self.flows
            .values()
            .map(|(sent, received)| sent + received)
            .sum()
    }

    /// How many of the four leaked.
    fn leaking(&self) -> usize {
        self.flows
            .values()
            .filter(|(sent, received)| sent + received > 0)
            .count()
    }

    fn text(&self) -> String {
        let cells: Vec<String> = FLOWS
            .iter()
            .map(|flow| match self.flows.get(*flow) {
                None => "-".to_owned(),
                Some((sent, received)) => (sent + received).to_string(),
            })
            .collect();
        if self.flows.len() == FLOWS.len() && self.sum() == 0 {
            return "0".to_owned();
        }
        cells.join(" ")
    }
}

/// One fault: what was counted, by pass.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    name: String,
    passes: BTreeMap<String, Cells>,
}

impl Fault {
    /// What is wrong with it, if something is.
    fn wrong(&self, wanted: &[&str]) -> Option<String> {
        for (pass, cells) in &self.passes {
            if FLOWS.iter().any(|flow| !cells.flows.contains_key(*flow)) {
                return Some(format!("{}: {pass} has not all four cells", self.name));
            }
            let (sum, name) = (cells.sum(), &self.name);
            match (pass.as_str(), cells.expected) {
                ("stock", Expected::KnownLeak) if sum == 0 => {
                    return Some(format!(
                        "{name}: kernel-netlink is known to leak, and nothing was counted"
                    ));
                }
                ("stock", _) => {}
                (_, Expected::Opens) if sum == 0 => {
                    return Some(format!("{name}: the gate is to be open by then"));
                }
                (_, Expected::Opens) => {}
                _ if sum > 0 => return Some(format!("{name}: {sum} packets in clear ({pass})")),
                _ => {}
            }
        }
        wanted
            .iter()
            .all(|pass| !self.passes.contains_key(*pass))
            .then(|| format!("{}: was not run", self.name))
    }
}

/// The matrix, fault by fault in the order in which they were played.
#[derive(Debug, Default)]
struct Matrix(Vec<Fault>);

impl Matrix {
    /// Adds the lines of a cells.txt.
    fn read(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            let wrong = || format!("'{line}' is no cell");
            let [pass, fault, flow, sent, received] = line
                .split('|')
                .collect::<Vec<_>>()
                .try_into()
                .ok()
                .with_context(wrong)?;
            ensure!(
                PASSES.iter().any(|(known, ..)| *known == pass),
                "{}: unknown settings",
                wrong()
            );
            let cells = self.fault(fault).passes.entry(pass.to_owned()).or_default();
            match flow {
                "known" => cells.expected = Expected::KnownLeak,
                "opens" => cells.expected = Expected::Opens,
                flow if FLOWS.contains(&flow) => {
                    let count = (
                        sent.parse().ok().with_context(wrong)?,
                        received.parse().ok().with_context(wrong)?,
                    );
                    cells.flows.insert(flow.to_owned(), count);
                }
                _ => bail!(wrong()),
            }
        }
        Ok(())
    }

    fn fault(&mut self, name: &str) -> &mut Fault {
        let index = self
            .0
            .iter()
            .position(|fault| fault.name == name)
            .unwrap_or_else(|| {
                self.0.push(Fault {
                    name: name.to_owned(),
                    passes: BTreeMap::new(),
                });
                self.0.len() - 1
            });
        &mut self.0[index]
    }

    /// Cells counted, cells that leaked, packets, of one pass; what opens by design is no leak.
    fn count(&self, pass: &str) -> (usize, usize, u64) {
        let cells: Vec<&Cells> = self
            .0
            .iter()
            .filter_map(|fault| fault.passes.get(pass))
            .filter(|cells| cells.expected != Expected::Opens)
            .collect();
        (
            cells.iter().map(|cells| cells.flows.len()).sum(),
            cells.iter().map(|cells| cells.leaking()).sum(),
            cells.iter().map(|cells| cells.sum()).sum(),
        )
    }

    /// The lines that the table shows: each fault, and the time after it only if something leaked there.
    fn shown(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(|fault| {
            !fault.name.ends_with(AFTERWARDS) || fault.passes.values().any(|cells| cells.sum() > 0)
        })
    }

    fn markdown(&self) -> String {
        let mut out = String::from("| fault |");
        for (.., name) in PASSES {
            let _ = write!(out, " {name} |");
        }
        out.push_str("\n|---|---|---|---|\n");
        for fault in self.shown() {
            let _ = write!(out, "| {} |", fault.name.replace('|', "\\|"));
            for (pass, ..) in PASSES {
                let text = fault.passes.get(pass).map_or("-".to_owned(), Cells::text);
                let _ = write!(out, " {text} |");
            }
            out.push('\n');
        }
        for (pass, _, name) in PASSES {
            let (cells, leaking, packets) = self.count(pass);
            let _ = write!(
                out,
                "\n{name}: {packets} packets in clear, in {leaking} of {cells} cells.{}",
                if pass == PASSES[PASSES.len() - 1].0 {
                    "\n"
                } else {
                    "\\"
                }
            );
        }
        out
    }
}

/// How a line ends that counts from the end of a fault until the CHILD_SAs are back.
const AFTERWARDS: &str = ", until the CHILD_SAs are back";

/// Runs the matrix, prints it, and says whether it holds.
pub(crate) fn command_line(repo: &Repo, cache: &Cache, run: &Run) -> Result<ExitCode> {
    let (matrix, wrong) = play(repo, cache, run)?;
    println!("\n{}", matrix.markdown());
    for line in &wrong {
        println!("FAIL {line}");
    }
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(repo: &Repo, cache: &Cache, run: &Run) -> Result<(Matrix, Vec<String>)> {
    let mut chosen = scenarios::select(repo, &[], Some(SET))?;
    chosen.retain(|scenario| {
        run.only
            .as_deref()
            .is_none_or(|only| scenario.name.contains(only))
    });
    ensure!(!chosen.is_empty(), "no scenario of the matrix is selected");
    let plugins: Vec<Plugin> = [Plugin::KernelNetlink, Plugin::KernelFastswan]
        .into_iter()
        .filter(|plugin| run.plugin.is_none_or(|only| only == *plugin))
        .collect();
    let mut wrong = Vec::new();
    if !run.recorded {
        for plugin in &plugins {
            wrong.extend(run_plugin(repo, cache, run, &chosen, *plugin)?);
        }
    }
    let mut matrix = Matrix::default();
    for scenario in &chosen {
        for plugin in &plugins {
            let folder = lab::results(repo, run.kernel, *plugin, Release::Trixie);
            let file = folder.join(&scenario.name).join("cells.txt");
            matrix.read(&text_of(&file)?)?;
        }
    }
    let wanted: Vec<&str> = PASSES
        .iter()
        .filter(|(_, plugin, _)| plugins.contains(plugin))
        .map(|(pass, ..)| *pass)
        .collect();
    wrong.extend(matrix.0.iter().filter_map(|fault| fault.wrong(&wanted)));
    Ok((matrix, wrong))
}

/// Runs what has to run; scenarios of ours that failed are what is returned.
fn run_plugin(
    repo: &Repo,
    cache: &Cache,
    run: &Run,
    chosen: &[Scenario],
    plugin: Plugin,
) -> Result<Vec<String>> {
    // Who asks for one plugin wants it to run.
    let fresh = run.plugin.is_some();
    let names = compare::due(repo, chosen, run.kernel, plugin, Release::Trixie, fresh)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let verdicts = lab::run(
        repo,
        cache,
        &lab::Run {
            names,
            lane: 0,
            kernel: run.kernel,
            plugin,
            release: Release::Trixie,
            verbose: false,
            keep: false,
            packages: None,
        },
    )?;
    Ok(verdicts
        .into_iter()
        // What strongSwan's own plugin does is written down, not judged; but it must have come to an end.
        .filter(|verdict| match plugin {
            Plugin::KernelNetlink => verdict.checks == 0,
            Plugin::KernelFastswan => !verdict.passed(),
        })
        .map(|verdict| format!("{} with {plugin}: {}", verdict.name, verdict.why))
        .collect())
}

fn text_of(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| {
        format!(
            "{} is missing: the scenario counted nothing",
            file.display()
        )
    })
}

/// What docs/security.md says: the threats, and the matrix with both plugins.
pub(crate) fn page(repo: &Repo, cache: &Cache, only: Option<&str>) -> Result<(String, bool)> {
    let run = Run {
        kernel: Series::New,
        plugin: None,
        only: only.map(str::to_owned),
        recorded: false,
    };
    let (matrix, wrong) = play(repo, cache, &run)?;
    let threats = THREATS
        .split_once("\n\n")
        .map_or(THREATS, |(_, text)| text)
        .trim_end();
    let mut text = format!("{threats}\n\n{}", matrix.markdown());
    if !wrong.is_empty() {
        text.push_str("\nWhat does not hold:\n\n");
        for line in &wrong {
            let _ = writeln!(text, "* {line}");
        }
    }
    Ok((text, wrong.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::{Expected, Matrix};

    fn lines(pass: &str, fault: &str, counts: [(u64, u64); 4]) -> String {
        super::FLOWS
            .iter()
            .zip(counts)
            .map(|(flow, (sent, received))| format!("{pass}|{fault}|{flow}|{sent}|{received}\n"))
            .collect()
    }

    fn matrix(texts: &[String]) -> Matrix {
        let mut matrix = Matrix::default();
        for text in texts {
            matrix.read(text).expect("cells");
        }
        matrix
    }

    const ALL: [&str; 3] = ["stock", "hold", "defaults"];

    #[test]
    fn a_clean_line_holds_and_one_packet_breaks_it() {
        let clean = [(0, 0); 4];
        let mut texts = vec![
            lines("stock", "flap", [(3, 0), (0, 4), (0, 0), (1, 1)]),
            lines("hold", "flap", clean),
            lines("defaults", "flap", clean),
        ];
        let table = matrix(&texts);
        assert_eq!(table.0[0].wrong(&ALL), None);
        assert_eq!(table.count("stock"), (4, 3, 9));
        assert!(
            table.markdown().contains("| flap | 3 4 0 2 | 0 | 0 |"),
            "{}",
            table.markdown()
        );
        texts[1] = lines("hold", "flap", [(0, 0), (0, 0), (0, 1), (0, 0)]);
        assert!(matrix(&texts).0[0].wrong(&ALL).is_some());
    }

    #[test]
    fn an_instrument_that_sees_no_known_leak_fails() {
        let text = lines("stock", "flap", [(0, 0); 4]) + "stock|flap|known|0|0\n";
        let table = matrix(&[text]);
        assert_eq!(table.0[0].passes["stock"].expected, Expected::KnownLeak);
        assert!(table.0[0].wrong(&ALL).is_some());
    }

    #[test]
    fn what_is_to_open_must() {
        let opens =
            |count| lines("defaults", "over", [(count, 0); 4]) + "defaults|over|opens|0|0\n";
        assert_eq!(matrix(&[opens(1)]).0[0].wrong(&ALL), None);
        assert_eq!(matrix(&[opens(1)]).count("defaults"), (0, 0, 0));
        assert!(matrix(&[opens(0)]).0[0].wrong(&ALL).is_some());
    }

    #[test]
    fn a_missing_cell_and_garbage_are_no_zero() {
        let text = lines("hold", "flap", [(0, 0); 4]);
        let short = text.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(matrix(&[short]).0[0].wrong(&ALL).is_some());
        for garbage in [
            "x",
            "hold|a|b|0|0",
            "hold|a|local4|-1|0",
            "other|a|local4|0|0",
        ] {
            assert!(Matrix::default().read(garbage).is_err(), "{garbage}");
        }
    }
}
