// SPDX-License-Identifier: GPL-2.0-or-later
//! Both plugins in one table.
//!
//! Owns the order (strongSwan's own plugin first, ours second), the reuse of a result of the same tests, and the table
//! in text and in Markdown. `cargo xtask lab compare`, test and the writer of pages call it. It must not run checks of
//! its own: a cell is what the scenario itself reported.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::Result;

use crate::{
    cache::Cache,
    kernels::Series,
    lab::{self, Plugin},
    objects,
    results::{Ended, Verdict},
    roots::Release,
    scenarios::{self, Scenario},
    setup::Repo,
};

/// The plugins in the order of the columns.
const COLUMNS: [Plugin; 2] = [Plugin::KernelNetlink, Plugin::KernelFastswan];

/// Runs both columns and prints the table; it fails if a scenario of ours failed.
pub(crate) fn run(
    repo: &Repo,
    cache: &Cache,
    chosen: &[Scenario],
    kernel: Series,
    fresh: bool,
) -> Result<ExitCode> {
    fill(repo, cache, chosen, kernel, fresh)?;
    let rows = rows(repo, chosen, kernel)?;
    println!("\n{}", text(&rows));
    let failed = rows
        .iter()
        .filter(|row| {
            row.scenario
                .fits(kernel, Plugin::KernelFastswan, row.scenario.release())
        })
        .any(|row| {
            row.results[1]
                .as_ref()
                .is_none_or(|verdict| !verdict.passed())
        });
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs what both columns lack, or all if `fresh`.
pub(crate) fn fill(
    repo: &Repo,
    cache: &Cache,
    chosen: &[Scenario],
    kernel: Series,
    fresh: bool,
) -> Result<()> {
    for plugin in COLUMNS {
        for release in [Release::Trixie, Release::Sid] {
            let names = due(repo, chosen, kernel, plugin, release, fresh)?;
            if names.is_empty() {
                continue;
            }
            let run = lab::Run {
                names,
                lane: 0,
                kernel,
                plugin,
                release,
                verbose: false,
                keep: false,
                packages: None,
            };
            lab::run(repo, cache, &run)?;
        }
    }
    Ok(())
}

/// Names of the scenarios that must run with `plugin` in the guest of `release`: those without a result of the same tests
/// and, with ours, of the same code of the plugin. A failure of ours is not taken from an earlier run.
pub(crate) fn due(
    repo: &Repo,
    chosen: &[Scenario],
    kernel: Series,
    plugin: Plugin,
    release: Release,
    fresh: bool,
) -> Result<Vec<String>> {
    let folder = lab::results(repo, kernel, plugin, release);
    let product = objects::key(repo, &objects::product())?;
    let mut names = Vec::new();
    for scenario in chosen
        .iter()
        .filter(|scenario| scenario.release() == release && scenario.fits(kernel, plugin, release))
    {
        let name = &scenario.name;
        let key = scenarios::tests_key(repo, name)?;
        if fresh || !reusable(&folder.join(name), plugin, &key, product.as_deref()) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Whether the result kept in `folder` says what another run would.
fn reusable(folder: &Path, plugin: Plugin, tests: &str, product: Option<&str>) -> bool {
    match plugin {
        Plugin::KernelNetlink => Verdict::read(folder, Some(tests)).is_some(),
        Plugin::KernelFastswan => product
            .and_then(|product| Verdict::read_of_product(folder, tests, product))
            .is_some_and(|verdict| verdict.passed()),
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    scenario: Scenario,
    /// In the order of `COLUMNS`; none where the scenario did not run.
    results: [Option<Verdict>; 2],
}

/// A result of other tests than the present ones counts as none.
fn rows(repo: &Repo, chosen: &[Scenario], kernel: Series) -> Result<Vec<Row>> {
    let row = |scenario: &Scenario| {
        let key = scenarios::tests_key(repo, &scenario.name)?;
        let results = COLUMNS.map(|plugin| {
            let folder = lab::results(repo, kernel, plugin, scenario.release());
            Verdict::read(&folder.join(&scenario.name), Some(&key))
        });
        Ok(Row {
            scenario: scenario.clone(),
            results,
        })
    };
    chosen.iter().map(row).collect()
}

/// What a cell says.
fn cell(scenario: &Scenario, plugin: Plugin, result: Option<&Verdict>) -> String {
    if scenario.plugin.is_some_and(|only| only != plugin) {
        return "-".to_owned();
    }
    match result {
        None => "not run".to_owned(),
        Some(verdict) => match verdict.ended {
            Ended::Passed => format!("passed ({} checks)", verdict.checks),
            Ended::Limit => format!("not on this kernel: {}", verdict.why),
            Ended::Failed => format!(
                "FAILED ({} of {}): {}",
                verdict.failures, verdict.checks, verdict.why
            ),
        },
    }
}

fn cells(row: &Row) -> [String; 2] {
    [0, 1].map(|column| cell(&row.scenario, COLUMNS[column], row.results[column].as_ref()))
}

/// The table for a terminal.
fn text(rows: &[Row]) -> String {
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).max(14);
    let name = width(&mut rows.iter().map(|row| row.scenario.name.chars().count()));
    let shows = width(&mut rows.iter().map(|row| row.scenario.shows.chars().count()));
    let first = width(&mut rows.iter().map(|row| cells(row)[0].chars().count()));
    let mut out = format!(
        "{:name$} | {:shows$} | {:first$} | {}\n",
        "scenario", "what it shows", COLUMNS[0], COLUMNS[1]
    );
    for row in rows {
        let [netlink, ours] = cells(row);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:name$} | {:shows$} | {netlink:first$} | {ours}",
            row.scenario.name, row.scenario.shows
        );
    }
    out
}

/// The table as Markdown.
fn markdown(rows: &[Row]) -> String {
    let mut out = format!(
        "| scenario | what it shows | {} | {} |\n|---|---|---|---|\n",
        COLUMNS[0], COLUMNS[1]
    );
    for row in rows {
        let [netlink, ours] = cells(row).map(|cell| cell.replace('|', "\\|"));
        let strongswan = match row.scenario.release() {
            Release::Trixie => String::new(),
            other => format!(" (strongSwan {})", other.strongswan()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {}{strongswan} | {} | {netlink} | {ours} |",
            row.scenario.name,
            row.scenario.shows.replace('|', "\\|")
        );
    }
    out
}

/// The table of these scenarios from the results that are there, for a page under docs/.
pub(crate) fn section(repo: &Repo, chosen: &[Scenario]) -> Result<String> {
    Ok(markdown(&rows(repo, chosen, Series::New)?))
}

/// What `docs/offload.md` says: both plugins over every scenario of offload, and whether ours held in all of them.
pub(crate) fn offload_page(
    repo: &Repo,
    cache: &Cache,
    only: Option<&str>,
) -> Result<(String, bool)> {
    let mut chosen = scenarios::select(repo, &[], Some("offload"))?;
    chosen.retain(|scenario| only.is_none_or(|only| scenario.name.contains(only)));
    let held = run(repo, cache, &chosen, Series::New, false)? == ExitCode::SUCCESS;
    let table = section(repo, &chosen)?;
    Ok((
        format!(
            "## What happens to a CHILD_SA in the NIC\n\nOne scenario of `tests/lab/scenarios` per row, on the virtual \
             NIC of `tests/vnic`, the stock plugin first. A cell is what the scenario itself reported.\n\n{table}"
        ),
        held,
    ))
}

/// The table of a set from the results that are there, for a terminal.
pub(crate) fn table(repo: &Repo, set: &str) -> Result<String> {
    let chosen = scenarios::select(repo, &[], Some(set))?;
    Ok(text(&rows(repo, &chosen, Series::New)?))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path, process};

    use super::{Row, markdown, reusable, text};
    use crate::{lab::Plugin, results::Verdict, scenarios::Scenario};

    fn row(only: Option<Plugin>, netlink: Option<&str>, ours: Option<&str>) -> Row {
        let read = |line: &str| Verdict::parse(line, Path::new("/r"));
        Row {
            scenario: Scenario {
                name: "trap".to_owned(),
                set: "parity".to_owned(),
                needs: None,
                kernel: None,
                plugin: only,
                only_full: false,
                shows: "A trap works.".to_owned(),
                seconds: 5,
            },
            results: [netlink.map(read), ours.map(read)],
        }
    }

    #[test]
    fn every_way_to_end_has_its_words() {
        let rows = [
            row(
                None,
                Some("trap PASS 5 20 0"),
                Some("trap FAIL 5 20 2 no acquire | seen"),
            ),
            row(None, Some("trap LIMIT 5 3 0 mode 4 is refused"), None),
            row(Some(Plugin::KernelFastswan), None, Some("trap PASS 5 7 0")),
        ];
        let lines: Vec<String> = markdown(&rows).lines().map(str::to_owned).collect();
        assert_eq!(
            lines[2..],
            [
                "| trap | A trap works. | passed (20 checks) | FAILED (2 of 20): no acquire \\| seen |",
                "| trap | A trap works. | not on this kernel: mode 4 is refused | not run |",
                "| trap | A trap works. | - | passed (7 checks) |",
            ]
        );
        assert!(text(&rows).contains("| FAILED (2 of 20): no acquire | seen"));
    }

    #[test]
    fn a_result_is_reused_for_the_same_tests_and_plugin() {
        let folder = env::temp_dir().join(format!("xtask-compare-{}", process::id()));
        let (ours, theirs) = (Plugin::KernelFastswan, Plugin::KernelNetlink);
        let kept = |line: &str, product| {
            let verdict = Verdict::parse(line, &folder);
            verdict.write("tests", product).expect("it can be written");
        };
        let at = folder.join("trap");
        kept("trap PASS 5 20 0", Some("product"));
        assert!(reusable(&at, ours, "tests", Some("product")));
        for (tests, product) in [
            ("tests", Some("other")),
            ("tests", None),
            ("other", Some("product")),
        ] {
            assert!(!reusable(&at, ours, tests, product));
        }
        assert!(reusable(&at, theirs, "tests", None));
        assert!(!reusable(&at, theirs, "other", None));
        kept("trap FAIL 5 20 1 no acquire", Some("product"));
        assert!(!reusable(&at, ours, "tests", Some("product")));
        assert!(reusable(&at, theirs, "tests", None));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
