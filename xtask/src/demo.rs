// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask demo`: the main job on the built-in virtual NIC, for a person to read.
//!
//! Owns the way from nothing to the summary. What is shown is made in the guest by tests/lab/scenarios/demo, whose
//! checks decide whether the demo succeeded. It must not contain any of it.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    cache::Cache,
    kernels::Series,
    lab::{self, Plugin},
    roots::Release,
    say,
    setup::{self, Repo},
};

const SCENARIO: &str = "demo";

/// Sets up what is missing, runs the demo on `kernel` and prints its summary.
pub(crate) fn run(repo: &Repo, cache: &Cache, kernel: Series) -> Result<ExitCode> {
    setup::all(cache, false)?;
    let run = lab::Run {
        names: vec![SCENARIO.to_owned()],
        lane: 0,
        kernel,
        plugin: Plugin::KernelFastswan,
        release: Release::Trixie,
        verbose: false,
        keep: false,
        packages: None,
    };
    let verdicts = lab::run(repo, cache, &run)?;
    let verdict = verdicts.first().context("the demo left no result")?;
    let summary = verdict.files.join("summary.txt");
    match fs::read_to_string(&summary) {
        Ok(text) => println!("\n{text}"),
        Err(_) => println!(
            "the demo came to no summary; its logs are in {}",
            verdict.files.display()
        ),
    }
    say::step(format_args!(
        "demo: {} (logs, dumps and the capture of the wire: {})",
        if verdict.passed() {
            "everything shown was checked and holds"
        } else {
            "FAILED, see above"
        },
        verdict.files.display()
    ));
    Ok(if verdict.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
