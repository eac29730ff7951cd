// SPDX-License-Identifier: GPL-2.0-or-later
//! Which line of what kernel-netlink does is shown by what.
//!
//! Owns the reading of tests/parity/coverage.txt and the check that it is whole and true: what it names exists, every
//! row of the harness stands in a line, and no line is without something that runs or a reason. The runner and the
//! writer of pages in `parity` call it. It must not play anything.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{scenarios, setup::Repo};

const FILE: &str = "tests/parity/coverage.txt";

/// What shows that a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// A row of the harness.
    Row(String),
    /// All rows that begin so.
    Rows(String),
    /// A function of a test: its file and its name.
    Test {
        file: String,
        function: String,
    },
    Scenario(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    section: String,
    subject: String,
    proofs: Vec<Proof>,
    /// Why no row shows it.
    why: Option<String>,
}

/// The lines, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Coverage(Vec<Line>);

impl Proof {
    fn parse(word: &str) -> Self {
        if let Some(name) = word.strip_prefix("scenario:") {
            Self::Scenario(name.to_owned())
        } else if let Some((file, function)) = word.split_once("::") {
            Self::Test {
                file: file.to_owned(),
                function: function.to_owned(),
            }
        } else if let Some(start) = word.strip_suffix('*') {
            Self::Rows(start.to_owned())
        } else {
            Self::Row(word.to_owned())
        }
    }

    fn shows(&self, row: &str) -> bool {
        match self {
            Self::Row(name) => name == row,
            Self::Rows(start) => row.starts_with(start),
            Self::Test { .. } | Self::Scenario(_) => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Row(name) => name.clone(),
            Self::Rows(start) => format!("{start}*"),
            Self::Test { file, function } => format!("{file}::{function}"),
            Self::Scenario(name) => format!("scenario {name}"),
        }
    }
}

impl Coverage {
    fn parse(text: &str) -> Result<Self> {
        let mut section = None;
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = Some(title.to_owned());
                continue;
            }
            let mut parts = line.split('|').map(str::trim);
            let subject = parts.next().unwrap_or_default().to_owned();
            let proofs: Vec<Proof> = parts
                .next()
                .with_context(|| format!("{FILE}: '{line}' has no proofs"))?
                .split_whitespace()
                .map(Proof::parse)
                .collect();
            let why = parts.next().map(str::to_owned);
            ensure!(
                parts.next().is_none() && !subject.is_empty(),
                "{FILE}: '{line}' has not two or three parts"
            );
            ensure!(
                !proofs.is_empty() || why.is_some(),
                "{FILE}: '{subject}' has neither a proof nor a reason"
            );
            lines.push(Line {
                section: section
                    .clone()
                    .with_context(|| format!("{FILE}: '{subject}' stands in no section"))?,
                subject,
                proofs,
                why,
            });
        }
        Ok(Self(lines))
    }

    /// Reads the file and checks the tests and scenarios that it names.
    pub(super) fn read(repo: &Repo) -> Result<Self> {
        let file = repo.root.join(FILE);
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let coverage = Self::parse(&text)?;
        let runs: BTreeSet<String> = scenarios::all(repo)?
            .into_iter()
            .filter(|scenario| scenario.set != scenarios::CANDIDATE)
            .map(|scenario| scenario.name)
            .collect();
        for line in &coverage.0 {
            for proof in &line.proofs {
                let there = match proof {
                    Proof::Row(_) | Proof::Rows(_) => true,
                    Proof::Scenario(name) => runs.contains(name),
                    Proof::Test { file, function } => has_test(&repo.root.join(file), function),
                };
                ensure!(
                    there,
                    "{FILE}: '{}' names {}, which is not there or is not run",
                    line.subject,
                    proof.text()
                );
            }
        }
        Ok(coverage)
    }

    /// Whether the rows of the harness and those of the lines are the same.
    pub(super) fn check_rows(&self, known: &[String]) -> Result<()> {
        for line in &self.0 {
            for proof in &line.proofs {
                let of_rows = matches!(proof, Proof::Row(_) | Proof::Rows(_));
                if of_rows && !known.iter().any(|row| proof.shows(row)) {
                    bail!(
                        "{FILE}: '{}' names {}, and the harness has no such row",
                        line.subject,
                        proof.text()
                    );
                }
            }
        }
        let proofs = || self.0.iter().flat_map(|line| &line.proofs);
        let stray: Vec<&str> = known
            .iter()
            .filter(|row| !proofs().any(|proof| proof.shows(row)))
            .map(String::as_str)
            .collect();
        ensure!(
            stray.is_empty(),
            "{FILE} has no line for these rows: {}",
            stray.join(" ")
        );
        Ok(())
    }

    /// The section of docs/parity.md. `played` are the rows that were played somewhere and held: a line that has nothing
    /// else needs one of them, or its reason.
    pub(super) fn section(&self, played: &BTreeSet<String>) -> Result<String> {
        let mut text = String::from(
            "## What kernel-netlink does, and what shows it\n\nRows are those of the tables below, where one that cannot be \
             played says why; the others are tests of the code and scenarios of the lab.\n",
        );
        let mut section = "";
        for line in &self.0 {
            let shown = line.proofs.iter().any(|proof| {
                matches!(proof, Proof::Test { .. } | Proof::Scenario(_))
                    || played.iter().any(|row| proof.shows(row))
            });
            ensure!(
                shown || line.why.is_some(),
                "{FILE}: nothing that was played shows '{}'",
                line.subject
            );
            if line.section != section {
                section = &line.section;
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "\n### {section}\n\n| what | shown by |\n| --- | --- |\n"
                );
            }
            let mut proofs: Vec<String> = line
                .proofs
                .iter()
                .map(|proof| format!("`{}`", proof.text()))
                .collect();
            proofs.extend(line.why.clone());
            let _ = writeln!(text, "| {} | {} |", line.subject, proofs.join(", "));
        }
        Ok(text)
    }
}

/// Whether a file has a test of that name.
fn has_test(file: &Path, function: &str) -> bool {
    let start = format!("fn {function}(");
    fs::read_to_string(file)
        .is_ok_and(|text| text.lines().any(|l| l.trim_start().starts_with(&start)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Coverage;
    use crate::setup::Repo;

    const TEXT: &str = "# a comment\n\n[SAs]\nSPIs | sa/spi sa/spi-* scenario:trap src/x.rs::works\nNames | | never sent\n\
                        \n[Bugs]\nB1 a race | bug/B1\n";

    fn rows(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn rows_of_both_must_be_the_same() {
        let coverage = Coverage::parse(TEXT).expect("it is well formed");
        let known = rows(&["sa/spi", "sa/spi-ipv6", "bug/B1"]);
        coverage.check_rows(&known).expect("all are there");
        let fails = |known: &[&str]| {
            let error = coverage.check_rows(&rows(known)).expect_err("it differs");
            format!("{error:#}")
        };
        assert!(fails(&["sa/spi", "bug/B1"]).contains("names sa/spi-*"));
        assert!(fails(&["sa/spi", "sa/spi-ipv6"]).contains("names bug/B1"));
        let stray = fails(&["sa/spi", "sa/spi-ipv6", "bug/B1", "sa/new", "sa/newer"]);
        assert!(stray.ends_with("sa/new sa/newer"), "{stray}");
    }

    #[test]
    fn a_line_needs_something_that_ran_or_a_reason() {
        let coverage = Coverage::parse(TEXT).expect("it is well formed");
        let error = coverage.section(&BTreeSet::new()).expect_err("B1 has none");
        assert!(error.to_string().contains("'B1 a race'"), "{error}");
        let played = BTreeSet::from(["bug/B1".to_owned()]);
        let text = coverage.section(&played).expect("all have one");
        assert!(text.contains("\n### SAs\n") && text.contains("\n### Bugs\n"));
        assert!(text.contains(
            "\n| SPIs | `sa/spi`, `sa/spi-*`, `scenario trap`, `src/x.rs::works` |\n| Names | never sent |\n"
        ));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for wrong in [
            "SPIs | sa/spi",
            "[SAs]\nSPIs",
            "[SAs]\nSPIs |",
            "[SAs]\n| sa/spi",
            "[SAs]\nSPIs | sa/spi | why | more",
        ] {
            assert!(Coverage::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_names_what_exists_and_every_bug() {
        let repo = Repo::find().expect("the checkout");
        let coverage = Coverage::read(&repo).expect("it is true");
        for number in 1..=15 {
            let bug = format!("B{number} ");
            let lines = coverage.0.iter().filter(|l| l.subject.starts_with(&bug));
            assert_eq!(lines.count(), 1, "{bug}");
        }
    }
}
