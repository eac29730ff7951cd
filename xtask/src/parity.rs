// SPDX-License-Identifier: GPL-2.0-or-later
//! The differential test: strongSwan's own plugin and ours play the same rows, and the kernel's answers are compared.
//!
//! Owns how the harness of tests/parity is built, run in the guest and put into a table. Called by main, test and
//! docs. The rows are in tests/parity; meaning is given to what they record by `parity/decode`, a verdict by
//! `parity/compare`; `parity/kept` says when a recording can be used again, `parity/coverage` what the rows are for.

mod compare;
mod coverage;
mod decode;
mod kept;
mod record;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub(crate) use compare::{Compared, Verdict};
use coverage::Coverage;

use crate::{
    cache::Cache,
    compare as scenario_table, harness,
    kernels::Series,
    lab::Plugin,
    roots::Release,
    say, scenarios,
    setup::{self, Repo},
    vm,
};

/// All rows with both plugins, in an emulated machine on a busy host.
const LIMIT: Duration = Duration::from_secs(2400);
/// The plugin that is there already, and ours.
const PLUGINS: [Plugin; 2] = [Plugin::KernelNetlink, Plugin::KernelFastswan];

/// Where the rows are played, and which.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) release: Release,
    pub(crate) kernel: Series,
    /// Only rows whose name contains this.
    pub(crate) only: Option<String>,
}

/// The table of one run.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) run: Run,
    /// The kernel's own name of itself.
    pub(crate) kernel: String,
    pub(crate) rows: Vec<Compared>,
}

/// `cargo xtask parity`
pub(crate) fn command_line(
    repo: &Repo,
    cache: &Cache,
    run: &Run,
    recorded: Option<&Path>,
) -> Result<ExitCode> {
    let table = match recorded {
        None => play(repo, cache, run)?,
        Some(file) => again(file, run)?,
    };
    print(&table);
    Ok(if table.rows.iter().all(Compared::passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Plays the rows with each plugin and compares them.
pub(crate) fn play(repo: &Repo, cache: &Cache, run: &Run) -> Result<Table> {
    // First, so that no run is spent on a list that is not true.
    let coverage = Coverage::read(repo)?;
    let key = kept::key(repo)?;
    let lab = setup::lab(cache)?;
    let kernel = lab.kernel(run.kernel)?;
    let guest = setup::guest(cache, &lab, run.release)?;
    let share = harness::share(repo, cache, &lab, kernel, "parity", run.release)?;

    let mut collected = Collected::default();
    for turn in 1..=4 {
        fs::write(share.join("run"), script(&collected, run.only.as_deref()))
            .context("cannot write the guest's script")?;
        say::step(format_args!(
            "parity: booting {} with strongSwan {}",
            kernel.release,
            run.release.strongswan()
        ));
        let job = vm::Job {
            kernel,
            guest: &guest,
            share: &share,
            limit: LIMIT,
            apparmor: false,
        };
        match vm::run(cache, &job, |line| collected.line(line))? {
            vm::Outcome::Status(0) => break,
            vm::Outcome::Status(status) => {
                bail!(
                    "the harness ended with status {status}: {}",
                    collected.last()
                )
            }
            vm::Outcome::Lost { emulator: true, .. } if turn < 4 => {
                say::step("parity: QEMU's translation broke the kernel, playing the rest again");
            }
            vm::Outcome::Lost { why, .. } => bail!(why),
        }
    }
    let results = results(repo, run);
    crate::cache::remove(&results)?;
    if let Some(parent) = results.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::rename(&share, &results)
        .with_context(|| format!("cannot keep the run in {}", results.display()))?;
    kept::keep(run, &results, &collected, key.as_deref(), &kernel.release)?;
    let rows = collected.judge(&results)?;
    if rows.is_empty() {
        bail!(
            "no row is called {}; the rows are: {}",
            run.only.as_deref().unwrap_or_default(),
            collected.known.join(" ")
        );
    }
    coverage.check_rows(&collected.known)?;
    Ok(Table {
        run: run.clone(),
        kernel: kernel.release.clone(),
        rows,
    })
}

/// The table of what an earlier run wrote.
fn again(file: &Path, run: &Run) -> Result<Table> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut collected = Collected::default();
    text.lines().for_each(|line| collected.line(line));
    let results = file.with_extension("rows");
    let mut rows = collected.judge(&results)?;
    rows.retain(|row| {
        run.only
            .as_deref()
            .is_none_or(|only| row.row.contains(only))
    });
    Ok(Table {
        run: run.clone(),
        kernel: format!("as in {}", file.display()),
        rows,
    })
}

/// Where the recordings of a run are kept.
fn results(repo: &Repo, run: &Run) -> PathBuf {
    repo.target.join("parity").join(format!(
        "{}-{}{}",
        run.kernel,
        run.release.strongswan(),
        // A part must not take the place of a whole run.
        if run.only.is_none() { "" } else { "-part" }
    ))
}

/// Runs the harness once for each plugin, without the rows that are done; words that choose are matched in the guest,
/// where the rows are known.
fn script(collected: &Collected, only: Option<&str>) -> String {
    let mut text = "insmod /share/vnic.ko || exit 3\ncd /share/parity || exit 3\n".to_owned();
    for plugin in PLUGINS {
        let done: Vec<&str> = collected
            .blocks
            .keys()
            .filter(|(of, _)| *of == plugin.to_string())
            .map(|(_, row)| row.as_str())
            .collect();
        let _ = write!(
            text,
            "echo 'plugin {plugin}'\n\
             rows=$(./parity list | grep -F -e '{}' | grep -v -x -F -e '{}')\n\
             [ -z \"$rows\" ] || ./parity {plugin} $rows || exit 1\n",
            only.unwrap_or_default(),
            if done.is_empty() {
                "no such row".to_owned()
            } else {
                done.join("' -e '")
            }
        );
    }
    text
}

/// What came out of the guest.
#[derive(Debug, Default)]
struct Collected {
    plugin: String,
    known: Vec<String>,
    /// Lines of each row by plugin.
    blocks: BTreeMap<(String, String), Vec<String>>,
    open: Option<(String, Vec<String>)>,
    /// Lines outside of rows.
    outside: Vec<String>,
}

impl Collected {
    fn line(&mut self, line: &str) {
        if let Some(plugin) = line.strip_prefix("plugin ") {
            plugin.clone_into(&mut self.plugin);
            self.open = None;
        } else if let Some(row) = line.strip_prefix("known ") {
            if !self.known.iter().any(|known| known == row) {
                self.known.push(row.to_owned());
            }
        } else if let Some(row) = line.strip_prefix("row ") {
            self.open = Some((row.to_owned(), Vec::new()));
        } else if line.starts_with("endrow ") {
            if let Some((row, lines)) = self.open.take() {
                self.blocks.insert((self.plugin.clone(), row), lines);
            }
        } else if let Some((_, lines)) = &mut self.open {
            lines.push(line.to_owned());
        } else {
            self.outside.push(line.to_owned());
        }
    }

    /// Lines from which the same can be read again.
    fn text(&self) -> String {
        let mut text = String::new();
        for plugin in PLUGINS.map(|plugin| plugin.to_string()) {
            let _ = writeln!(text, "plugin {plugin}");
            for row in &self.known {
                let _ = writeln!(text, "known {row}");
            }
            for ((_, row), lines) in self.blocks.iter().filter(|((of, _), _)| *of == plugin) {
                let _ = writeln!(text, "row {row}");
                for line in lines {
                    let _ = writeln!(text, "{line}");
                }
                let _ = writeln!(text, "endrow {row}");
            }
        }
        text
    }

    /// The last lines that belong to no row.
    fn last(&self) -> String {
        let from = self.outside.len().saturating_sub(10);
        self.outside[from..].join("\n")
    }

    /// Compares each row, in the order of the harness, and writes what was logged beside it.
    fn judge(&self, results: &Path) -> Result<Vec<Compared>> {
        let mut rows = Vec::new();
        for row in &self.known {
            let block = |plugin: Plugin| self.blocks.get(&(plugin.to_string(), row.clone()));
            let (theirs, ours) = match (block(PLUGINS[0]), block(PLUGINS[1])) {
                (None, None) => continue,
                (Some(theirs), Some(ours)) => (theirs, ours),
                _ => bail!("row {row} was played with one plugin only"),
            };
            let (declared, theirs) = record::read(theirs);
            let (_, ours) = record::read(ours);
            let compared = compare::judge(row, &declared, &theirs, &ours);
            let file = results.join(format!("{}.txt", row.replace('/', "-")));
            let text = format!("{compared:#?}\n\ntheirs: {theirs:#?}\n\nours: {ours:#?}\n");
            crate::cache::write_whole(&file, text)?;
            rows.push(compared);
        }
        Ok(rows)
    }
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Message => "message",
            Self::OnPurpose => "on purpose",
            Self::Differs(_) => "DIFFERS",
            Self::NotRun => "not run",
        }
    }
}

/// What the table says beside the verdict.
fn remark(row: &Compared) -> String {
    match (&row.verdict, &row.why) {
        (Verdict::Same, _) => String::new(),
        (Verdict::Message, _) => "compared at the message; this kernel refuses it".to_owned(),
        (Verdict::Differs(found), _) => found.first().cloned().unwrap_or_default(),
        (_, Some(why)) => why.clone(),
        (_, None) => String::new(),
    }
}

/// How many rows there are of each verdict.
fn counts(rows: &[Compared]) -> String {
    let count = |word: &str| rows.iter().filter(|row| row.verdict.word() == word).count();
    ["same", "message", "on purpose", "not run", "DIFFERS"]
        .map(|word| format!("{} {word}", count(word)))
        .join(", ")
}

/// Prints the table, and all of what differs unexpectedly.
pub(crate) fn print(table: &Table) {
    let width = table
        .rows
        .iter()
        .map(|row| row.row.len())
        .max()
        .unwrap_or(0);
    println!("{:width$} | verdict    | compared | remark", "row");
    for row in &table.rows {
        println!(
            "{:width$} | {:10} | {:8} | {}",
            row.row,
            row.verdict.word(),
            row.compared,
            remark(row)
        );
    }
    for row in &table.rows {
        if let Verdict::Differs(found) = &row.verdict {
            println!("\n{} (kernel-netlink | kernel-fastswan):", row.row);
            for text in found {
                println!("  {text}");
            }
        }
    }
    println!(
        "\nkernel {}, strongSwan {}: {}",
        table.kernel,
        table.run.release.strongswan(),
        counts(&table.rows)
    );
}

/// Where the page's tables are played: each strongSwan on the new kernel, and the older kernel once.
pub(crate) const PLACES: [(Release, Series); 3] = [
    (Release::Trixie, Series::New),
    (Release::Sid, Series::New),
    (Release::Trixie, Series::Stable),
];

/// The scenarios that are rebuilt after strongSwan's own.
const SET: &str = "parity";

/// The sections of docs/parity.md, and whether every row held. What earlier runs in the same checkout recorded of the
/// same code and tests is taken as it is.
pub(crate) fn page(repo: &Repo, cache: &Cache, only: Option<&str>) -> Result<(String, bool)> {
    let coverage = Coverage::read(repo)?;
    let mut tables = Vec::new();
    for (release, kernel) in PLACES {
        let run = Run {
            release,
            kernel,
            only: only.map(str::to_owned),
        };
        let table = match kept::table(repo, cache, &run)? {
            Some(table) => table,
            None => play(repo, cache, &run)?,
        };
        print(&table);
        tables.push(table);
    }
    let holds = tables
        .iter()
        .all(|table| table.rows.iter().all(Compared::passed));
    let mut chosen = scenarios::select(repo, &[], Some(SET))?;
    chosen.retain(|scenario| only.is_none_or(|only| scenario.name.contains(only)));
    let passed = scenario_table::run(repo, cache, &chosen, Series::New, false)?;
    let played = tables
        .iter()
        .flat_map(|table| &table.rows)
        .filter(|row| row.passed() && row.verdict != Verdict::NotRun)
        .map(|row| row.row.clone())
        .collect();
    // Of a part of the rows nothing can be said as a whole.
    let coverage = match only {
        None => coverage.section(&played)?,
        Some(_) => String::new(),
    };
    let text = format!(
        "{coverage}\n{}\n## Scenarios of strongSwan's test suite\n\nKernel {}, kernel-netlink first.\n\n{}",
        section(&tables),
        tables[0].kernel,
        scenario_table::section(repo, &chosen)?
    );
    Ok((text, holds && passed == ExitCode::SUCCESS))
}

/// The tables as a section of docs/parity.md.
pub(crate) fn section(tables: &[Table]) -> String {
    let mut text = String::from("## Differential test\n");
    for table in tables {
        let _ = write!(
            text,
            "\n### strongSwan {}, kernel {}\n\n{}.\n\n| row | verdict | compared | remark |\n| --- | --- | --- | --- |\n",
            table.run.release.strongswan(),
            table.kernel,
            counts(&table.rows)
        );
        for row in &table.rows {
            let mut remark = remark(row);
            if !row.meant.is_empty() {
                let meant: Vec<String> = row
                    .meant
                    .iter()
                    .map(|text| format!("`{}`", text.replace('|', "\\|")))
                    .collect();
                let _ = write!(remark, ": {}", meant.join("; "));
            }
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.row,
                row.verdict.word(),
                row.compared,
                remark
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Collected, script};

    #[test]
    fn rows_that_are_done_are_not_played_again() {
        let mut collected = Collected::default();
        for line in [
            "plugin kernel-netlink",
            "known a/b",
            "row a/b",
            "note x",
            "endrow a/b",
            "row a/c",
        ] {
            collected.line(line);
        }
        let text = script(&collected, None);
        assert!(text.contains("-e 'a/b')"), "{text}");
        assert!(!text.contains("a/c"), "{text}");
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let mut collected = Collected::default();
        for line in [
            "plugin kernel-netlink",
            "known z",
            "known a/b",
            "row a/b",
            "note x",
            "endrow a/b",
            "plugin kernel-fastswan",
            "row a/b",
            "note y",
            "note z",
            "endrow a/b",
        ] {
            collected.line(line);
        }
        let mut again = Collected::default();
        collected.text().lines().for_each(|line| again.line(line));
        assert_eq!(again.known, ["z", "a/b"]);
        assert_eq!(again.blocks, collected.blocks);
    }
}
