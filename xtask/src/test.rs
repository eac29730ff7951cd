// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask test`: everything that must hold, in the order in which a failure is cheapest to find.
//!
//! Owns the order, the table and the count. It runs each step also when an earlier one failed, so that one run shows
//! all. A step that could not run counts as failed: nothing is passed or skipped because something was missing; what a
//! kernel cannot do, and has said so to the scenario that tried, is counted as skipped and listed. It must not check
//! anything itself.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    cache::Cache,
    check, compare, dist, docs,
    kernels::Series,
    lab::{self, Plugin},
    lanes::{self, Group},
    leaks, parity,
    results::Ended,
    roots::Release,
    run::{display, tail},
    say,
    scenarios::{self, Scenario},
    setup::{self, Repo},
    vm,
};

/// Scenarios run on the older kernel too: one of each kind, since the plugin is the same and the kernel's part differs.
const SMOKE: &[&str] = &[
    "tunnel-v4",
    "tunnel-v6",
    "transport",
    "crypto",
    "rekey-child",
    "trap",
    "refused-by-nic",
    "net2net-cert",
    "compress",
    "double-nat",
    "mobike-virtual-ip",
    "net2net-xfrmi",
];

/// The file of the virtual NIC's own checks that runs on the older kernel too. The device is the same code on both, and the
/// smoke scenarios use it there.
const RAW_SMOKE: &str = "1";
/// Seconds of the virtual NIC's own checks, all and those, for the split over the lanes.
const RAW_CHECKS: [u64; 2] = [500, 60];
/// Seconds of the differential test in one place.
const DIFFERENCES: u64 = 180;

/// The row of scenarios that only the long run holds (`tier: full` of their descriptions).
const FULL_ONLY: &str = "lab, with --full only";

/// The set whose comparison `--lab` prints.
const PARITY: &str = "parity";

/// What to run.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Also every scenario on the older kernel, and all of them with strongSwan's own plugin for comparison.
    pub(crate) full: bool,
    /// Only what needs the virtual machine.
    pub(crate) lab: bool,
    /// Only steps or scenarios whose name contains this.
    pub(crate) only: Option<String>,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    step: String,
    passed: usize,
    failed: usize,
    pub(crate) skipped: usize,
    seconds: u64,
    /// Counted in the sum; a comparison with strongSwan's own plugin is shown but proves nothing about ours.
    counts: bool,
    failures: Vec<String>,
    /// What was skipped, each with its reason.
    limits: Vec<String>,
}

/// Runs what is selected and prints the table.
pub(crate) fn run(repo: &Repo, cache: &Cache, selection: &Selection) -> Result<ExitCode> {
    let mut rows = Vec::new();
    // First, so that two lanes never make the same root and no step waits for a download in its own time.
    setup::all(cache, false)?;
    if !selection.lab {
        if selection.wants("check") {
            rows.push(timed("check", || checks(repo, cache)));
        }
        if selection.wants("unit") {
            rows.extend(cargo_tests(
                repo,
                "unit",
                &[
                    "--workspace",
                    "--lib",
                    "--bins",
                    "--features",
                    "fastswan/ctl",
                ],
            ));
        }
        if selection.wants("integration") || selection.wants("boundary") {
            let only: &[&str] = match selection.only.as_deref() {
                Some("boundary") => &["--package", "fastswan", "--test", "boundary"],
                // The operator's tool is tested as a process: it has to be built.
                _ => &["--package", "fastswan", "--features", "ctl", "--test", "*"],
            };
            rows.extend(cargo_tests(repo, "integration", only));
        }
    }
    if !selection.lab && selection.wants("docs") {
        rows.push(timed("docs", || Ok(pages(repo))));
    }
    if selection.wants("dist") {
        rows.push(timed("dist", || builds(repo, cache)));
    }
    let candidates: Vec<String> = scenarios::select(repo, &[], None)?
        .into_iter()
        .filter(|scenario| scenario.set == scenarios::CANDIDATE)
        .map(|scenario| scenario.name)
        .collect();
    if !candidates.is_empty() {
        println!(
            "not run, since not yet seen to pass with both plugins: {}",
            candidates.join(" ")
        );
    }
    let mut long = Row::new(FULL_ONLY);
    long.limits = scenarios::select(repo, &[], None)?
        .into_iter()
        .filter(|scenario| scenario.set != scenarios::CANDIDATE && selection.wants(&scenario.name))
        .filter(|scenario| selection.leaves_to_full(scenario))
        .map(|scenario| format!("{}: {}", scenario.name, scenario.shows))
        .collect();
    long.skipped = long.limits.len();
    if long.skipped > 0 {
        rows.push(long);
    }
    let compared = Mutex::new(Vec::new());
    let [first, second] = lab_jobs(repo, cache, selection, &compared)?;
    let work = |lane: Vec<Job<'_>>| -> Vec<Row> {
        lane.into_iter()
            .map(|(step, work)| timed(&step, work))
            .collect()
    };
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| work(second));
        (work(first), second.join())
    });
    rows.extend(second.unwrap_or_else(|_| {
        let mut row = Row::new("lab");
        row.add("a lane of the tests panicked", false);
        vec![row]
    }));
    rows.extend(first);
    if selection.lab {
        println!("\n{}", compare::table(repo, PARITY)?);
    }
    // Not where they are made: the other lane is printing meanwhile.
    for table in compared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        println!();
        parity::print(&table);
    }
    Ok(table(&rows))
}

/// Everything that needs a virtual machine, for two machines at a time (one of them mostly waits).
fn lab_jobs<'a>(
    repo: &'a Repo,
    cache: &'a Cache,
    selection: &Selection,
    compared: &'a Mutex<Vec<parity::Table>>,
) -> Result<[Vec<Job<'a>>; 2]> {
    let mut jobs: [Vec<Job<'a>>; 2] = [Vec::new(), Vec::new()];
    let mut loads = [0, 0];
    if selection.wants("vnic") {
        for (lane, series) in Series::ALL.into_iter().enumerate() {
            let files = (series == Series::Stable && !selection.full).then_some(RAW_SMOKE);
            let step = match files {
                None => format!("virtual NIC raw checks on {series}"),
                Some(files) => format!("virtual NIC raw checks on {series}, {files}*"),
            };
            let work = move || raw_checks(repo, cache, series, files);
            jobs[lane].push((step, Box::new(work)));
            loads[lane] += RAW_CHECKS[usize::from(files.is_some())];
        }
    }
    if selection.wants("parity") {
        let places = if selection.full {
            &parity::PLACES[..]
        } else {
            &parity::PLACES[..1]
        };
        for (release, series) in places.iter().copied() {
            let step = format!("parity on {series}, strongSwan {}", release.strongswan());
            let work = move || differences(repo, cache, release, series, compared);
            jobs[1].push((step, Box::new(work)));
            loads[1] += DIFFERENCES;
        }
    }
    for (lane, group) in lanes::split(groups(repo, selection)?, loads)
        .into_iter()
        .enumerate()
        .flat_map(|(lane, groups)| groups.into_iter().map(move |group| (lane, group)))
    {
        let step = format!(
            "lab on {} with {}, strongSwan {}",
            group.kernel,
            group.plugin,
            group.release.strongswan()
        );
        let run = lab::Run {
            names: group.scenarios.into_iter().map(|one| one.name).collect(),
            lane,
            kernel: group.kernel,
            plugin: group.plugin,
            release: group.release,
            verbose: false,
            keep: false,
            packages: None,
        };
        jobs[lane].push((step, Box::new(move || scenarios(repo, cache, &run))));
    }
    Ok(jobs)
}

/// Which scenarios run where: ours on the newer kernel with the oldest strongSwan that can, and a smoke set on the older
/// kernel; with `full` all on both kernels, with strongSwan 6.1.0 too, and with strongSwan's own plugin.
fn groups(repo: &Repo, selection: &Selection) -> Result<Vec<Group>> {
    let wanted: Vec<_> = scenarios::select(repo, &[], None)?
        .into_iter()
        .filter(|scenario| scenario.set != scenarios::CANDIDATE)
        // The whole matrix takes its time; the scenarios of `set: guard` are its shortest part.
        .filter(|scenario| selection.full || scenario.set != leaks::SET)
        .filter(|scenario| selection.wants(&scenario.name))
        .filter(|scenario| !selection.leaves_to_full(scenario))
        .collect();
    let mut groups = Vec::new();
    let mut add = |kernel, plugin, release, all: bool, names: Option<&[&str]>| {
        let scenarios: Vec<_> = wanted
            .iter()
            .filter(|one| one.fits(kernel, plugin, release))
            .filter(|one| all || one.release() == release)
            .filter(|one| names.is_none_or(|names| names.contains(&one.name.as_str())))
            .cloned()
            .collect();
        if !scenarios.is_empty() {
            groups.push(Group {
                kernel,
                plugin,
                release,
                scenarios,
            });
        }
    };
    let full = selection.full;
    let smoke = if full { None } else { Some(SMOKE) };
    add(
        Series::New,
        Plugin::KernelFastswan,
        Release::Trixie,
        false,
        None,
    );
    add(
        Series::New,
        Plugin::KernelFastswan,
        Release::Sid,
        full,
        None,
    );
    add(
        Series::Stable,
        Plugin::KernelFastswan,
        Release::Trixie,
        false,
        smoke,
    );
    if full {
        for kernel in Series::ALL {
            for release in [Release::Trixie, Release::Sid] {
                add(kernel, Plugin::KernelNetlink, release, false, None);
            }
        }
    } else if selection.lab {
        for release in [Release::Trixie, Release::Sid] {
            let parity = scenarios::select(repo, &[], Some(PARITY))?;
            let (kernel, plugin) = (Series::New, Plugin::KernelNetlink);
            let due = compare::due(repo, &parity, kernel, plugin, release, false)?;
            let due: Vec<&str> = due.iter().map(String::as_str).collect();
            add(kernel, plugin, release, false, Some(&due));
        }
    }
    Ok(groups)
}

/// Pages of results that are there must be of the code that is there.
fn pages(repo: &Repo) -> Row {
    let mut row = Row::new("docs");
    for (page, result) in docs::fresh(repo) {
        if let Err(error) = &result {
            println!("{error:#}");
        }
        row.add(&page, result.is_ok());
    }
    row
}

/// The differential test: a row that differs unexpectedly is a failure, one that cannot be played is skipped by name.
/// Its table is left in `tables`.
fn differences(
    repo: &Repo,
    cache: &Cache,
    release: Release,
    kernel: Series,
    tables: &Mutex<Vec<parity::Table>>,
) -> Result<Row> {
    let run = parity::Run {
        release,
        kernel,
        only: None,
    };
    let table = parity::play(repo, cache, &run)?;
    let mut row = Row::new("parity");
    for compared in &table.rows {
        if compared.verdict == parity::Verdict::NotRun {
            row.skipped += 1;
        } else {
            row.add(&compared.row, compared.passed());
        }
    }
    tables
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(table);
    Ok(row)
}

/// A step of the table that needs a virtual machine.
type Job<'a> = (String, Box<dyn FnOnce() -> Result<Row> + Send + 'a>);

impl Selection {
    /// Whether a scenario is left to the long run: one that is asked for by name is not.
    fn leaves_to_full(&self, scenario: &Scenario) -> bool {
        scenario.only_full && !self.full && self.only.as_deref() != Some(scenario.name.as_str())
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }
}

impl Row {
    pub(crate) fn new(step: &str) -> Self {
        Self {
            step: step.to_owned(),
            passed: 0,
            failed: 0,
            skipped: 0,
            seconds: 0,
            counts: true,
            failures: Vec::new(),
            limits: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }
}

/// Runs a step; one that cannot run at all is one failure.
pub(crate) fn timed(step: &str, work: impl FnOnce() -> Result<Row>) -> Row {
    say::step(format_args!("test: {step}"));
    let began = say::elapsed();
    let mut row = work().unwrap_or_else(|error| {
        println!("{step}: {error:#}");
        let mut row = Row::new(step);
        row.add("it could not run", false);
        row
    });
    step.clone_into(&mut row.step);
    row.seconds = (say::elapsed() - began).as_secs();
    row
}

fn checks(repo: &Repo, cache: &Cache) -> Result<Row> {
    let mut row = Row::new("check");
    for checked in check::all(repo, cache) {
        row.add(checked.name, checked.result.is_ok());
    }
    Ok(row)
}

fn builds(repo: &Repo, cache: &Cache) -> Result<Row> {
    let mut row = Row::new("dist");
    for folder in dist::all(repo, cache, None)? {
        row.add(&folder.display().to_string(), true);
    }
    Ok(row)
}

/// `cargo test`, one row per test program.
fn cargo_tests(repo: &Repo, step: &str, arguments: &[&str]) -> Vec<Row> {
    say::step(format_args!(
        "test: {step} (cargo test {})",
        arguments.join(" ")
    ));
    let began = say::elapsed();
    let result = cargo_test(repo, step, arguments);
    let seconds = (say::elapsed() - began).as_secs();
    let mut rows = result.unwrap_or_else(|error| {
        println!("{step}: {error:#}");
        let mut row = Row::new(step);
        row.add("it could not run", false);
        vec![row]
    });
    if let Some(first) = rows.first_mut() {
        first.seconds = seconds;
    }
    rows
}

fn cargo_test(repo: &Repo, step: &str, arguments: &[&str]) -> Result<Vec<Row>> {
    let log = repo.target.join(format!("test/{step}.log"));
    fs::create_dir_all(repo.target.join("test"))
        .context("cannot create the folder of test logs")?;
    let mut cargo = dist::cargo(repo);
    // cargo names the programs on stderr, they write results to stdout: one pipe keeps their order.
    cargo.args(["test", "--no-fail-fast"]).args(arguments);
    // Tests that need root, or a source of strongSwan, are left out by a plain `cargo test`. Both are here.
    cargo.args(["--", "--include-ignored"]);
    let out = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let err = out.try_clone()?;
    let text = display(&cargo);
    let status = cargo
        .stdout(out)
        .stderr(err)
        .status()
        .with_context(|| format!("cannot start: {text}"))?;
    let written = fs::read(&log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let mut rows = parse_cargo_test(step, &written);
    let failed: usize = rows.iter().map(|row| row.failed).sum();
    if !status.success() {
        println!(
            "{text}: {status}; the end of {}:\n{}",
            log.display(),
            tail(&log, 60)
        );
        if failed == 0 {
            // It did not even get as far as counting: the compiler failed, or a program died.
            let mut row = Row::new(step);
            row.add(&format!("{text} failed, see {}", log.display()), false);
            rows.push(row);
        }
    }
    if rows.iter().all(|row| row.passed + row.failed == 0) {
        let mut row = Row::new(step);
        row.add("no test was found", false);
        rows.push(row);
    }
    Ok(rows)
}

/// Reads the counts cargo's test programs print.
fn parse_cargo_test(step: &str, text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(program) = line.strip_prefix("Running ") {
            let name = program.split(" (").next().unwrap_or(program);
            rows.push(Row::new(&format!("{step}: {name}")));
        } else if let Some(row) = rows.last_mut() {
            if let Some(name) = line
                .strip_prefix("test ")
                .and_then(|rest| rest.strip_suffix(" ... FAILED"))
            {
                row.failures.push(name.to_owned());
            } else if line.starts_with("test result: ") {
                let count = |word: &str| {
                    line.split([';', '.'])
                        .find_map(|part| {
                            part.trim().strip_suffix(word)?.trim().parse::<usize>().ok()
                        })
                        .unwrap_or(0)
                };
                row.passed += count(" passed");
                row.failed += count(" failed");
                row.skipped += count(" ignored");
            }
        }
    }
    rows.retain(|row| row.passed + row.failed + row.skipped > 0);
    rows
}

/// The virtual NIC's own checks, in the guest: they prove the device the scenarios stand on.
fn raw_checks(repo: &Repo, cache: &Cache, series: Series, files: Option<&str>) -> Result<Row> {
    let set = setup::lab(cache)?;
    let kernel = set.kernel(series)?;
    let share = lab::prepare(repo, &set, kernel, "vnic", true)?;
    lab::copy(&repo.root.join("tests/vnic/checks"), &share)?;
    fs::write(
        share.join("run"),
        format!(
            "export VNIC_KO=/share/vnic.ko\nexec bash checks/run.sh '{}'\n",
            files.unwrap_or_default()
        ),
    )
    .context("cannot write the guest's script")?;
    let job = vm::Job {
        kernel,
        guest: &set.guest,
        share: &share,
        // Twelve minutes on an idle machine.
        limit: Duration::from_secs(1800),
        apparmor: false,
    };
    let mut row = Row::new("raw checks");
    let mut last: Vec<String> = Vec::new();
    let outcome = vm::run(cache, &job, |line| {
        if let Some(name) = line.strip_prefix("PASS ") {
            row.add(name, true);
        } else if let Some(name) = line.strip_prefix("FAIL ") {
            println!("{line}");
            row.add(name, false);
        } else if line.starts_with("SKIP ") {
            println!("{line}");
            row.skipped += 1;
        } else {
            last.push(line.to_owned());
        }
    })?;
    keep(
        &share,
        &repo
            .target
            .join("lab")
            .join(series.to_string())
            .join("vnic-checks"),
    )?;
    match outcome {
        vm::Outcome::Status(0) if row.passed > 0 => {}
        vm::Outcome::Status(status) => {
            if row.failed == 0 {
                println!("{}", last.join("\n"));
                row.add(&format!("the checks ended with status {status}"), false);
            }
        }
        vm::Outcome::Lost { why, .. } => {
            println!("{why}");
            row.add("the machine was lost", false);
        }
    }
    Ok(row)
}

fn keep(share: &Path, to: &Path) -> Result<()> {
    crate::cache::remove(to)?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::rename(share, to)
        .with_context(|| format!("cannot move {} to {}", share.display(), to.display()))
}

fn scenarios(repo: &Repo, cache: &Cache, run: &lab::Run) -> Result<Row> {
    let verdicts = lab::run(repo, cache, run)?;
    let mut row = Row::new("lab");
    row.counts = run.plugin == Plugin::KernelFastswan;
    for verdict in verdicts {
        let text = format!("{} (see {})", verdict.name, verdict.files.display());
        if verdict.ended == Ended::Limit {
            row.skipped += 1;
            row.limits
                .push(format!("{}: {}", verdict.name, verdict.why));
        } else {
            row.add(&text, verdict.passed());
        }
    }
    Ok(row)
}

pub(crate) fn table(rows: &[Row]) -> ExitCode {
    let width = rows
        .iter()
        .map(|row| row.step.chars().count())
        .max()
        .unwrap_or(0)
        .max(10);
    println!("\n{:width$} | passed | failed | skipped | seconds", "step");
    println!("{:-<width$}-|--------|--------|---------|--------", "");
    for row in rows {
        let mark = if row.counts {
            ""
        } else {
            "  (comparison, not counted)"
        };
        println!(
            "{:width$} | {:6} | {:6} | {:7} | {:7}{mark}",
            row.step, row.passed, row.failed, row.skipped, row.seconds
        );
    }
    for row in rows
        .iter()
        .filter(|row| row.counts && !row.failures.is_empty())
    {
        println!("failed in {}:", row.step);
        for failure in &row.failures {
            println!("  {failure}");
        }
    }
    for row in rows.iter().filter(|row| !row.limits.is_empty()) {
        let why = if row.step == FULL_ONLY {
            "too long for every run"
        } else {
            "the kernel's refusal checked"
        };
        println!("skipped in {}, {why}:", row.step);
        for limit in &row.limits {
            println!("  {limit}");
        }
    }
    let counted = || rows.iter().filter(|row| row.counts);
    let (passed, failed, skipped) = counted().fold((0, 0, 0), |(passed, failed, skipped), row| {
        (
            passed + row.passed,
            failed + row.failed,
            skipped + row.skipped,
        )
    });
    println!("\n{:.0} s", say::elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::parse_cargo_test;

    #[test]
    fn counts_of_several_programs_are_read() {
        let text = "   Compiling x v0.1.0\n     Running unittests src/lib.rs (target/debug/deps/x-1)\n\n\
                    running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest a::d ... ignored\n\n\
                    test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                    \n     Running tests/boundary.rs (target/debug/deps/boundary-2)\n\
                    test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        let rows = parse_cargo_test("unit", text);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].passed, rows[0].failed, rows[0].skipped), (1, 1, 1));
        assert_eq!(rows[0].failures, ["a::c"]);
        assert_eq!(
            (rows[1].passed, rows[1].failed, rows[1].skipped),
            (12, 0, 0)
        );
        assert_eq!(rows[1].step, "unit: tests/boundary.rs");
    }

    #[test]
    fn a_program_without_tests_is_no_row() {
        let text = "     Running unittests src/main.rs (x)\nrunning 0 tests\n\
                    test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert!(parse_cargo_test("unit", text).is_empty());
    }
}
