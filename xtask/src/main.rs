// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask`: every developer command of kernel-fastswan.
//!
//! Owns the command line and nothing else; each command is a room of its own (one file). No product code may depend
//! on this crate, and it depends on none of theirs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its terminal"
)]

mod archive;
mod bench;
mod cache;
mod check;
mod compare;
mod demo;
mod dist;
mod docs;
mod harness;
mod host;
mod initramfs;
mod kernels;
mod lab;
mod lanes;
mod leaks;
mod objects;
mod package;
mod parity;
mod results;
mod roots;
mod run;
mod say;
mod scenarios;
mod setup;
mod sources;
mod test;
mod vm;
mod vnic;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{cache::Cache, kernels::Series, setup::Repo};

/// Developer commands of kernel-fastswan.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the host lacks and fill the cache: kernels, roots, strongSwan's sources.
    Setup {
        /// Ask the suites again and make anew what changed.
        #[arg(long)]
        refresh: bool,
    },
    /// Show the main job on the built-in virtual NIC.
    Demo {
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
    },
    /// Run all tests and count them.
    Test {
        /// Also everything on both kernels, and strongSwan's own plugin for comparison.
        #[arg(long)]
        full: bool,
        /// Only what runs in the virtual machine.
        #[arg(long)]
        lab: bool,
        /// Only steps (check, unit, integration, boundary, docs, dist, vnic, parity) and scenarios whose name contains this.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Build the plugin for every supported strongSwan into target/dist/.
    Dist {
        /// Build for this unpacked source tree instead.
        #[arg(long, value_name = "DIR")]
        strongswan_src: Option<PathBuf>,
    },
    /// Make the release: tarball and packages, each built, installed and tested in clean roots.
    Package {
        /// Only steps whose name contains this (those they need are run too).
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Also the lab's main scenarios from the installed packages, with AppArmor enforced.
        #[arg(long)]
        lab: bool,
    },
    /// Check form, lints and rules of the sources.
    Check,
    /// Compare with strongSwan's own plugin, attribute by attribute.
    Parity {
        /// Which release the guest is: trixie has strongSwan 6.0.1, sid 6.1.0.
        #[arg(long, default_value = "trixie")]
        release: roots::Release,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
        /// Only rows whose name contains this.
        #[arg(long, value_name = "ROW")]
        only: Option<String>,
        /// Play nothing; compare what an earlier run wrote (target/parity/*/output).
        #[arg(long, value_name = "FILE")]
        recorded: Option<PathBuf>,
    },
    /// Measure what a CHILD_SA costs with either plugin, and at least (docs/performance.md).
    Bench {
        /// The cells that carry the goals, in half an hour, instead of the whole grid.
        #[arg(long)]
        quick: bool,
        /// Print JSON instead of the table.
        #[arg(long)]
        json: bool,
        /// Write docs/performance.md and its picture.
        #[arg(long)]
        docs: bool,
        /// Only cells whose name contains this (n1000-table0-packet-routes-t1-peer).
        #[arg(long, value_name = "CELL")]
        only: Option<String>,
        /// How often each plays each cell.
        #[arg(long)]
        rounds: Option<u32>,
        /// Measure nothing; read what an earlier run printed (target/bench/*.txt).
        #[arg(long, value_name = "FILE")]
        recorded: Option<PathBuf>,
        /// Which release the guest is: trixie has strongSwan 6.0.1, sid 6.1.0.
        #[arg(long, default_value = "trixie")]
        release: roots::Release,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
    },
    /// Play the leak matrix: faults while traffic runs, and what of it was in clear.
    Leaks {
        /// Only this plugin (else strongSwan's own, where it was not run with the same tests, and ours).
        #[arg(long)]
        plugin: Option<lab::Plugin>,
        /// Only scenarios whose name contains this (links, tables, ike, daemon, shapes).
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
        /// Play nothing; print what the last runs counted.
        #[arg(long)]
        recorded: bool,
    },
    /// Write the pages of results under docs/, or those named, from runs.
    Docs {
        /// Names of pages.
        names: Vec<String>,
        /// Only rows and scenarios whose name contains this, into target/docs/: to look at what a page will be.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Write what tests compare fastswanctl with: the README's pictures, manual page, completions, texts of modelled
    /// machines. To be read before it is committed.
    Screens,
    /// Work with the lab's virtual machine.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Work with the virtual NIC.
    #[command(subcommand)]
    Vnic(VnicCommand),
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Run any script as root in the virtual machine; its output and exit status come back.
    Script {
        /// The script (run by bash, in the guest).
        file: PathBuf,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
        /// Folders or files the script finds beside it, under their own name.
        #[arg(long = "with", value_name = "PATH")]
        with: Vec<PathBuf>,
        /// Stop it after so many seconds.
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// Do not build or copy the virtual NIC.
        #[arg(long)]
        no_vnic: bool,
    },
    /// Run scenarios of tests/lab/scenarios (all of them if none is named).
    Run {
        /// Names of scenarios.
        names: Vec<String>,
        /// All scenarios of a set instead (the line `set:` of their descriptions).
        #[arg(long, conflicts_with = "names")]
        set: Option<String>,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
        /// Which plugin charon uses.
        #[arg(long, default_value = "kernel-fastswan")]
        plugin: lab::Plugin,
        /// Which release the guest is: trixie has strongSwan 6.0.1, sid 6.1.0.
        #[arg(long, default_value = "trixie")]
        release: roots::Release,
        /// Keep the shared folder of the run.
        #[arg(long)]
        keep: bool,
        /// Print scenarios and failures only.
        #[arg(long)]
        quiet: bool,
    },
    /// Run scenarios with strongSwan's own plugin first and with ours second, and print both results in one table.
    Compare {
        /// Names of scenarios.
        names: Vec<String>,
        /// All scenarios of a set instead (the line `set:` of their descriptions).
        #[arg(long, conflicts_with = "names")]
        set: Option<String>,
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
        /// Run strongSwan's own plugin also where a result of the same tests is there.
        #[arg(long)]
        fresh: bool,
    },
    /// A shell in the virtual machine on this terminal.
    Shell {
        /// Which kernel to boot.
        #[arg(long, default_value = "7.3")]
        kernel: Series,
    },
}

#[derive(Debug, Subcommand)]
enum VnicCommand {
    /// Build the module for both kernels.
    Build,
}

fn main() -> ExitCode {
    say::start();
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let repo = Repo::find()?;
    match command {
        Command::Setup { refresh } => {
            setup::all(&cache, refresh)?;
            say::step(format_args!(
                "everything is there (cache: {})",
                cache.path("").display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { kernel } => demo::run(&repo, &cache, kernel),
        Command::Test { full, lab, only } => {
            test::run(&repo, &cache, &test::Selection { full, lab, only })
        }
        Command::Dist { strongswan_src } => {
            for folder in dist::all(&repo, &cache, strongswan_src.as_deref())? {
                println!("{}", folder.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Package { only, lab } => package::run(&repo, &cache, only.as_deref(), lab),
        Command::Check => {
            let failed = check::all(&repo, &cache)
                .iter()
                .filter(|check| check.result.is_err())
                .count();
            Ok(if failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Parity {
            release,
            kernel,
            only,
            recorded,
        } => parity::command_line(
            &repo,
            &cache,
            &parity::Run {
                release,
                kernel,
                only,
            },
            recorded.as_deref(),
        ),
        Command::Bench {
            quick,
            json,
            docs,
            only,
            rounds,
            recorded,
            release,
            kernel,
        } => bench::command_line(
            &repo,
            &cache,
            &bench::Run {
                quick,
                kernel,
                release,
                rounds,
                only,
                json,
                docs,
                recorded,
            },
        ),
        Command::Screens => docs::screens(&repo),
        Command::Leaks {
            plugin,
            only,
            kernel,
            recorded,
        } => leaks::command_line(
            &repo,
            &cache,
            &leaks::Run {
                kernel,
                plugin,
                only,
                recorded,
            },
        ),
        Command::Docs { names, only } => docs::write(&repo, &cache, &names, only.as_deref()),
        Command::Lab(LabCommand::Run {
            names,
            set,
            kernel,
            plugin,
            release,
            keep,
            quiet,
        }) => {
            let names = if names.is_empty() {
                scenarios::select(&repo, &[], set.as_deref())?
                    .into_iter()
                    .filter(|scenario| scenario.fits(kernel, plugin, release))
                    .map(|scenario| scenario.name)
                    .collect()
            } else {
                names
            };
            let verdicts = lab::run(
                &repo,
                &cache,
                &lab::Run {
                    names,
                    lane: 0,
                    kernel,
                    plugin,
                    release,
                    verbose: !quiet,
                    keep,
                    packages: None,
                },
            )?;
            let count = |how| {
                verdicts
                    .iter()
                    .filter(|verdict| verdict.ended == how)
                    .count()
            };
            let failed = count(results::Ended::Failed);
            println!(
                "{} passed, {failed} failed, {} skipped",
                count(results::Ended::Passed),
                count(results::Ended::Limit)
            );
            Ok(if failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Lab(LabCommand::Compare {
            names,
            set,
            kernel,
            fresh,
        }) => {
            let chosen = scenarios::select(&repo, &names, set.as_deref())?;
            compare::run(&repo, &cache, &chosen, kernel, fresh)
        }
        Command::Lab(LabCommand::Script {
            file,
            kernel,
            with,
            limit,
            no_vnic,
        }) => lab::script(
            &repo,
            &cache,
            &lab::Script {
                file,
                kernel,
                with,
                limit,
                vnic: !no_vnic,
            },
        ),
        Command::Lab(LabCommand::Shell { kernel }) => lab::shell(&repo, &cache, kernel),
        Command::Vnic(VnicCommand::Build) => {
            let lab = setup::lab(&cache)?;
            for kernel in &lab.kernels {
                println!("{}", vnic::build(&repo, &lab, kernel)?.module.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
