// SPDX-License-Identifier: GPL-2.0-or-later
//! The lab's commands: a script, a shell, scenarios.
//!
//! Owns what is put into the shared folder of a run. Called by main, test and demo. It must not contain checks: those
//! are in tests/lab, in the guest, where a person can repeat them by hand.

use std::{
    collections::HashMap,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    cache::{Cache, remove},
    dist,
    kernels::{Kernel, Series},
    leaks, objects,
    results::{Ended, Verdict},
    roots::Release,
    run::{command, logged},
    say,
    scenarios::{self, Scenario},
    setup::{self, Lab, Repo},
    vm, vnic,
};

/// The plugin that charon's kernel interface comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plugin {
    /// Ours.
    KernelFastswan,
    /// strongSwan's own.
    KernelNetlink,
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KernelFastswan => "kernel-fastswan",
            Self::KernelNetlink => "kernel-netlink",
        })
    }
}

/// Scenarios to run in one boot of the guest.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) names: Vec<String>,
    /// Tells machines apart that run at the same time with the same kernel and plugin.
    pub(crate) lane: usize,
    pub(crate) kernel: Series,
    pub(crate) plugin: Plugin,
    /// Which root, and so which strongSwan, is booted.
    pub(crate) release: Release,
    /// Print every check, not only scenarios and failures.
    pub(crate) verbose: bool,
    /// Keep the shared folder of the run.
    pub(crate) keep: bool,
    /// Install the plugin from the packages in this folder, under AppArmor, instead of copying what was just built.
    pub(crate) packages: Option<PathBuf>,
}

/// A scenario may take this long; one that hangs must not eat the time of the others.
const SCENARIO_LIMIT: Duration = Duration::from_secs(240);
/// A scenario of the leak matrix plays all its faults twice.
const MATRIX_LIMIT: Duration = Duration::from_secs(900);

/// How long a scenario may take.
fn limit(repo: &Repo, name: &str) -> Duration {
    let matrix = scenarios::select(repo, &[name.to_owned()], None)
        .is_ok_and(|found| found.iter().any(|scenario| scenario.set == leaks::SET));
    if matrix { MATRIX_LIMIT } else { SCENARIO_LIMIT }
}

/// Starts the operator's tool from the guest's memory: each page of a program in the shared folder costs a way out of the
/// machine, which was most of the time that a run of it took.
const LAUNCHER: &str = "#!/bin/sh\n\
    [ /tmp/fastswanctl -nt /share/ctl/bin/fastswanctl ] || cp /share/ctl/bin/fastswanctl /tmp/fastswanctl\n\
    exec /tmp/fastswanctl \"$@\"\n";

/// A script to run in the guest.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) file: PathBuf,
    pub(crate) kernel: Series,
    pub(crate) with: Vec<PathBuf>,
    pub(crate) limit: u64,
    pub(crate) vnic: bool,
}

/// A fresh shared folder for one run: the guest's init, the lab's functions, and the virtual NIC's module.
pub(crate) fn prepare(
    repo: &Repo,
    lab: &Lab,
    kernel: &Kernel,
    name: &str,
    with_vnic: bool,
) -> Result<PathBuf> {
    let share =
        repo.target
            .join("lab/run")
            .join(format!("{}-{name}-{}", kernel.series, process::id()));
    remove(&share)?;
    fs::create_dir_all(share.join("out"))
        .with_context(|| format!("cannot create {}", share.display()))?;
    // Relative target folders would mean something else to virtiofsd.
    let share = share.canonicalize()?;
    copy(&repo.root.join("tests/lab/guest"), &share)?;
    if with_vnic {
        let built = vnic::build(repo, lab, kernel)?;
        copy(&built.module, &share)?;
        if let Some(iproute) = &built.iproute {
            copy(iproute, &share)?;
        }
    }
    Ok(share)
}

/// Copies a file or folder into `into` under its own name.
pub(crate) fn copy(from: &Path, into: &Path) -> Result<()> {
    logged(
        command("cp").arg("-a").arg(from).arg(into),
        &into.join("copy.log"),
    )
    .with_context(|| format!("cannot copy {} for the guest", from.display()))
}

/// Runs a script in the guest.
pub(crate) fn script(repo: &Repo, cache: &Cache, script: &Script) -> Result<ExitCode> {
    let lab = setup::lab(cache)?;
    let kernel = lab.kernel(script.kernel)?;
    let share = prepare(repo, &lab, kernel, "script", script.vnic)?;
    fs::copy(&script.file, share.join("run"))
        .with_context(|| format!("cannot read the script {}", script.file.display()))?;
    for extra in &script.with {
        copy(extra, &share)?;
    }
    say::step(format_args!("vm: booting {}", kernel.release));
    let job = vm::Job {
        kernel,
        guest: &lab.guest,
        share: &share,
        limit: Duration::from_secs(script.limit),
        apparmor: false,
    };
    match vm::run(cache, &job, |line| println!("{line}"))? {
        vm::Outcome::Status(status) => {
            say::step(format_args!(
                "vm: the script ended with status {status} ({})",
                share.display()
            ));
            Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
        }
        vm::Outcome::Lost { why, .. } => bail!(why),
    }
}

/// A shell in the guest.
pub(crate) fn shell(repo: &Repo, cache: &Cache, series: Series) -> Result<ExitCode> {
    let lab = setup::lab(cache)?;
    let kernel = lab.kernel(series)?;
    let share = prepare(
        repo,
        &lab,
        kernel,
        "shell",
        repo.root.join("tests/vnic/Makefile").exists(),
    )?;
    copy(&repo.root.join("tests/lab"), &share)?;
    vm::shell(cache, kernel, &lab.guest, &share)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the files of a run's scenarios are kept, one folder each.
pub(crate) fn results(repo: &Repo, kernel: Series, plugin: Plugin, release: Release) -> PathBuf {
    repo.target
        .join("lab")
        .join(kernel.to_string())
        .join(match release {
            Release::Trixie => plugin.to_string(),
            Release::Sid => format!("{plugin}-{}", release.strongswan()),
        })
}

/// Runs scenarios and prints them as they end; an error means that the lab itself failed.
pub(crate) fn run(repo: &Repo, cache: &Cache, run: &Run) -> Result<Vec<Verdict>> {
    let chosen = scenarios::select(repo, &run.names, None)?;
    if let Some(other) = chosen
        .iter()
        .find(|scenario| !scenario.fits(run.kernel, run.plugin, run.release))
    {
        bail!(
            "{} is not made for kernel {}, {} and strongSwan {} (see its description.txt)",
            other.name,
            run.kernel,
            run.plugin,
            run.release.strongswan()
        );
    }
    let keys = keys(repo, &chosen)?;
    let product = match run.plugin {
        Plugin::KernelFastswan => objects::key(repo, &objects::product())?,
        Plugin::KernelNetlink => None,
    };
    let lab = setup::lab(cache)?;
    let kernel = lab.kernel(run.kernel)?;
    let guest = setup::guest(cache, &lab, run.release)?;
    let name = format!("{}-{}-{}", run.plugin, run.release.strongswan(), run.lane);
    let share = prepare(repo, &lab, kernel, &name, true)?;
    copy(&repo.root.join("tests/lab"), &share)?;
    if let Some(packages) = &run.packages {
        copy(packages, &share)?;
    } else if run.plugin == Plugin::KernelFastswan {
        let made = dist::for_lab(repo, cache, run.release.strongswan())?;
        let folder = share.join("plugin");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for file in [dist::LIBRARY, dist::CONF] {
            copy(&made.join(file), &folder)?;
        }
    }
    if chosen.iter().any(|scenario| scenario.set == "ctl") {
        let folder = share.join("ctl");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let program = folder.join("bin");
        fs::create_dir_all(&program)
            .with_context(|| format!("cannot create {}", program.display()))?;
        copy(&dist::ctl(repo)?, &program)?;
        let launcher = folder.join("fastswanctl");
        fs::write(&launcher, LAUNCHER)
            .and_then(|()| fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", launcher.display()))?;
        // strongSwan's own client in Python, as its users have it.
        let client = "src/libcharon/plugins/vici/python/vici";
        let sources = setup::strongswan(cache)?;
        let source = sources
            .iter()
            .find(|source| source.version == run.release.strongswan())
            .context("the source of this strongSwan is not there")?;
        copy(&source.dir.join(client), &folder)?;
    }
    let results = results(repo, run.kernel, run.plugin, run.release);
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut left = run.names.clone();
    // Each turn either ends, or the emulator broke the machine in the middle and the rest gets a new one.
    for turn in 1..=3 {
        fs::write(
            share.join("run"),
            format!(
                "export PLUGIN={}\nexec bash /share/lab/runner.sh {}\n",
                run.plugin,
                left.join(" ")
            ),
        )
        .context("cannot write the guest's script")?;
        say::step(format_args!(
            "lab: booting {} for {} scenarios with {} and strongSwan {}",
            kernel.release,
            left.len(),
            run.plugin,
            run.release.strongswan()
        ));
        let mut reader = Reader {
            run,
            results: &results,
            block: Vec::new(),
            verdicts: Vec::new(),
        };
        let job = vm::Job {
            kernel,
            guest: &guest,
            share: &share,
            limit: left.iter().map(|name| limit(repo, name)).sum(),
            apparmor: run.packages.is_some(),
        };
        let ended = vm::run(cache, &job, |line| reader.line(line))?;
        verdicts.append(&mut reader.verdicts);
        left.retain(|name| !verdicts.iter().any(|verdict| verdict.name == *name));
        let vm::Outcome::Lost { why, emulator } = ended else {
            // The runner ended by itself without a result for all: what it said last is the reason.
            if !left.is_empty() {
                reader.block.iter().for_each(|line| println!("{line}"));
            }
            break;
        };
        if emulator && turn < 3 && !left.is_empty() {
            say::step(format_args!(
                "lab: QEMU's translation broke the kernel during {}, doing it again",
                left[0]
            ));
            continue;
        }
        for line in &reader.block {
            println!("{line}");
        }
        println!("error: {why}");
        break;
    }
    collect(&share, &results, &run.names, run.lane)?;
    // A scenario without a result did not run: that is a failure, never a pass.
    for name in &run.names {
        if !verdicts.iter().any(|verdict| verdict.name == *name) {
            println!("FAIL {name}: it did not come to an end");
            verdicts.push(Verdict {
                name: name.clone(),
                ended: Ended::Failed,
                seconds: 0,
                checks: 0,
                failures: 0,
                why: "it did not come to an end".to_owned(),
                files: results.join(name),
            });
        }
    }
    for verdict in &verdicts {
        let key = keys.get(&verdict.name).map_or("", String::as_str);
        verdict.write(key, product.as_deref())?;
    }
    if run.keep {
        say::step(format_args!(
            "lab: the run's shared folder is {}",
            share.display()
        ));
    } else {
        remove(&share)?;
    }
    Ok(verdicts)
}

/// What the results of these scenarios depend on.
fn keys(repo: &Repo, chosen: &[Scenario]) -> Result<HashMap<String, String>> {
    chosen
        .iter()
        .map(|scenario| {
            let key = scenarios::tests_key(repo, &scenario.name)?;
            Ok((scenario.name.clone(), key))
        })
        .collect()
}

/// Moves what each scenario left from the shared folder to its place.
fn collect(share: &Path, results: &Path, names: &[String], lane: usize) -> Result<()> {
    fs::create_dir_all(results).with_context(|| format!("cannot create {}", results.display()))?;
    for name in names {
        let from = share.join("out").join(name);
        let to = results.join(name);
        remove(&to)?;
        if from.exists() {
            fs::rename(&from, &to)
                .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
        }
    }
    for file in ["console.log", "dmesg.log", "output"] {
        if share.join(file).exists() {
            let kept = format!("{file}{}", if lane == 0 { "" } else { ".2" });
            fs::copy(share.join(file), results.join(kept))
                .with_context(|| format!("cannot copy {file}"))?;
        }
    }
    Ok(())
}

/// Reads what the runner writes.
struct Reader<'a> {
    run: &'a Run,
    results: &'a Path,
    block: Vec<String>,
    verdicts: Vec<Verdict>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("@@ ") else {
            if self.run.verbose {
                println!("{line}");
            } else {
                self.block.push(line.to_owned());
            }
            return;
        };
        let verdict = Verdict::parse(result, self.results);
        let kernel = self.run.kernel;
        let Verdict {
            name,
            seconds,
            checks,
            failures,
            why,
            files,
            ..
        } = &verdict;
        match verdict.ended {
            Ended::Passed => println!("PASS {kernel} {name} ({seconds} s, {checks} checks)"),
            Ended::Limit => println!("LIMIT {kernel} {name} ({seconds} s, {checks} checks): {why}"),
            // At once: another machine may be reporting at the same time.
            Ended::Failed => println!(
                "{}\nFAIL {kernel} {name} ({seconds} s, {failures} of {checks} checks; see {})",
                self.block.join("\n"),
                files.display()
            ),
        }
        self.block.clear();
        self.verdicts.push(verdict);
    }
}
