// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask package`: the release as distributions get it, and the proof that it works for them.
//!
//! Owns the order of the steps, the table, and `target/package/`. A step that needs what an earlier one makes takes it
//! from there if that one ran before on the same commit. As in `test`, every step runs although another failed, and
//! what could not be tried here counts as skipped, by name and with the reason. It must not build anything itself:
//! that is the business of Makefile.am, debian/ and packaging/.

mod autotools;
mod debian;
mod gateway;
mod other;
mod roots;
mod supply;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cache::Cache,
    roots::Release,
    run::{command, output},
    setup::Repo,
    test::{Row, table, timed},
};

/// Both releases that packages are made for.
const RELEASES: [Release; 2] = [Release::Trixie, Release::Sid];

/// What every step gets.
#[derive(Debug)]
struct Bench<'a> {
    repo: &'a Repo,
    cache: &'a Cache,
    /// target/package
    dir: PathBuf,
    version: String,
}

/// A result of one check within a step: its name, and how it ended.
type Check = (String, Result<()>);

impl Bench<'_> {
    /// A folder of a step's own.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// The tarball, if the step that makes it has run.
    fn tarball(&self) -> Result<PathBuf> {
        let path = self
            .dir
            .join(format!("dist/kernel-fastswan-{}.tar.xz", self.version));
        ensure!(
            path.is_file(),
            "{} is not there: run the step 'tarball' first",
            path.display()
        );
        Ok(path)
    }
}

/// Runs the steps and prints the table.
pub(crate) fn run(repo: &Repo, cache: &Cache, only: Option<&str>, lab: bool) -> Result<ExitCode> {
    let manifest = fs::read_to_string(repo.root.join("Cargo.toml")).context("no Cargo.toml")?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""))
        .and_then(|rest| rest.strip_suffix('"'))
        .context("Cargo.toml names no version")?
        .to_owned();
    let dir = repo.target.join("package");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let bench = Bench {
        repo,
        cache,
        dir,
        version,
    };
    let mut steps: Vec<Step<'_>> = vec![
        ("configure", Box::new(|| autotools::configure(&bench))),
        ("supply chain", Box::new(|| supply::chain(&bench))),
        ("tarball", Box::new(|| autotools::tarball(&bench))),
        ("make in trixie", Box::new(|| autotools::make(&bench))),
    ];
    for release in RELEASES {
        let bench = &bench;
        steps.push((
            match release {
                Release::Trixie => "debian trixie",
                Release::Sid => "debian sid",
            },
            Box::new(move || debian::build(bench, release)),
        ));
    }
    for release in RELEASES {
        let bench = &bench;
        steps.push((
            match release {
                Release::Trixie => "gateway trixie",
                Release::Sid => "gateway sid",
            },
            Box::new(move || gateway::proof(bench, release)),
        ));
    }
    for release in RELEASES {
        let bench = &bench;
        steps.push((
            match release {
                Release::Trixie => "second build trixie",
                Release::Sid => "second build sid",
            },
            Box::new(move || debian::again(bench, release)),
        ));
    }
    steps.push(("rpm", Box::new(|| other::rpm(&bench))));
    steps.push(("in tree", Box::new(|| other::in_tree(&bench))));
    steps.push(("openwrt", Box::new(|| other::openwrt(&bench))));
    steps.push(("cross arm64", Box::new(|| other::cross(&bench))));
    if lab {
        for release in RELEASES {
            let bench = &bench;
            steps.push((
                match release {
                    Release::Trixie => "lab trixie, AppArmor",
                    Release::Sid => "lab sid, AppArmor",
                },
                Box::new(move || gateway::lab(bench, release)),
            ));
        }
    }
    let chosen: Vec<_> = steps
        .into_iter()
        .filter(|(name, _)| only.is_none_or(|only| name.contains(only)))
        .collect();
    if chosen.is_empty() {
        bail!("no step's name contains '{}'", only.unwrap_or_default());
    }
    let mut not_tried = Vec::new();
    let rows: Vec<Row> = chosen
        .into_iter()
        .map(|(name, work)| {
            timed(name, || {
                let mut row = Row::new(name);
                for (check, result) in work()? {
                    match result {
                        Ok(()) => {
                            println!("pass  {name}: {check}");
                            row.add(&check, true);
                        }
                        Err(error) if error.is::<NotTried>() => {
                            not_tried.push(format!("{name}: {check}: {error:#}"));
                            row.skipped += 1;
                        }
                        Err(error) => {
                            println!("FAIL  {name}: {check}: {error:#}");
                            row.add(&check, false);
                        }
                    }
                }
                Ok(row)
            })
        })
        .collect();
    let code = table(&rows);
    for line in not_tried {
        println!("not tried: {line}");
    }
    Ok(code)
}

/// A step: its name, and its checks.
type Step<'a> = (&'static str, Box<dyn FnOnce() -> Result<Vec<Check>> + 'a>);

/// What cannot be tried on this machine, with the reason; counted as skipped.
#[derive(Debug)]
struct NotTried(String);

impl std::fmt::Display for NotTried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotTried {}

/// A check that is one function.
fn check(name: impl Into<String>, work: impl FnOnce() -> Result<()>) -> Check {
    (name.into(), work())
}

/// `text` has `wanted` in one of its lines.
fn says(text: &str, wanted: &str) -> Result<()> {
    ensure!(
        text.contains(wanted),
        "'{wanted}' was expected; it said:\n{}",
        text.lines()
            .rev()
            .take(12)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    );
    Ok(())
}

/// The sha256 of a file, as coreutils print it.
fn digest(file: &Path) -> Result<String> {
    let text = output(command("sha256sum").arg(file))?;
    text.split_whitespace()
        .next()
        .map(str::to_owned)
        .context("sha256sum printed nothing")
}
