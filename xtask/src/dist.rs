// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds the plugin for each supported strongSwan and proves what is in it.
//!
//! Owns `target/dist/<version>/` and the assertions on the finished file: which symbols it exports and which crates it
//! was linked from. Called by main, lab, test and demo. It must not know how the plugin is built inside: that is
//! build.rs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cache::{Cache, Lock, fingerprint},
    objects,
    run::{command, logged, output},
    say,
    setup::{self, Repo},
    sources::{self, Source},
};

/// What charon looks up; anything else exported could collide with a symbol of the daemon.
const EXPORTED: [&str; 2] = [
    "kernel_fastswan_plugin_create",
    "kernel_fastswan_plugin_version",
];
/// Crates of the command line tool that have no place in a daemon.
const CLI_CRATES: &[&str] = &[
    "clap",
    "clap_builder",
    "clap_complete",
    "clap_mangen",
    "serde",
    "serde_json",
    "comfy-table",
    "tabled",
    "ratatui",
    "crossterm",
    "tokio",
];
pub(crate) const LIBRARY: &str = "libstrongswan-kernel-fastswan.so";
/// Beside a plugin: of what it was made.
const MADE_OF: &str = "made-of";
pub(crate) const CONF: &str = "kernel-fastswan.conf";

/// cargo, as the one that started us.
pub(crate) fn cargo(repo: &Repo) -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(&repo.root)
        .env("CARGO_TARGET_DIR", &repo.target);
    // These describe xtask's own package; a build script of another package must not see them.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") {
            cargo.env_remove(name);
        }
    }
    cargo
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH");
    cargo
}

/// Tells build.rs which strongSwan to build for.
pub(crate) fn with_source<'c>(cargo: &'c mut Command, source: &Source) -> &'c mut Command {
    cargo
        .env("FASTSWAN_STRONGSWAN_SRC", &source.dir)
        .env("FASTSWAN_STRONGSWAN_CONFIG", &source.config)
}

/// Builds for every supported version, or for the tree in `foreign`; returns the folders made.
pub(crate) fn all(repo: &Repo, cache: &Cache, foreign: Option<&Path>) -> Result<Vec<PathBuf>> {
    let found = match foreign {
        None => setup::strongswan(cache)?,
        Some(dir) => {
            crate::host::ensure(cache, &[crate::host::Part::Build])?;
            vec![sources::foreign(dir, &repo.target.join("dist"))?]
        }
    };
    // What is built last need not be built again for the lab, whose machines have the oldest.
    let made = found
        .iter()
        .rev()
        .map(|source| build(repo, source))
        .collect::<Result<Vec<_>>>()?;
    crates(repo)?;
    Ok(made)
}

/// Builds for the strongSwan of one of the lab's roots.
pub(crate) fn for_lab(repo: &Repo, cache: &Cache, version: &str) -> Result<PathBuf> {
    let found = setup::strongswan(cache)?;
    let source = found
        .iter()
        .find(|source| source.version == version)
        .with_context(|| format!("strongSwan {version} is not among the supported sources"))?;
    build(repo, source)
}

fn build(repo: &Repo, source: &Source) -> Result<PathBuf> {
    say::step(format_args!(
        "dist: building the plugin for strongSwan {}",
        source.version
    ));
    let out = repo.target.join("dist").join(&source.version);
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    // Every version is linked to the same file in cargo's folder: it is built and copied in one turn.
    let _turn = Lock::take(&repo.target.join("dist/lock"))?;
    let made_of = made_of(repo, source)?;
    let note = out.join(MADE_OF);
    let before = fs::read_to_string(&note).ok();
    if made_of.is_some() && before == made_of && out.join(LIBRARY).is_file() {
        return Ok(out);
    }
    if before.is_some() {
        fs::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))?;
    }
    let log = repo
        .target
        .join("dist")
        .join(format!("build-{}.log", source.version));
    logged(
        with_source(
            cargo(repo).args([
                "build",
                "--release",
                "--package",
                "fastswan",
                "--lib",
                "--features",
                "plugin",
            ]),
            source,
        ),
        &log,
    )
    .with_context(|| {
        format!(
            "the plugin does not build for strongSwan {}",
            source.version
        )
    })?;
    let library = out.join(LIBRARY);
    place(&repo.target.join("release/libfastswan.so"), &library)?;
    place(
        &repo.root.join("strongswan-plugin").join(CONF),
        &out.join(CONF),
    )?;
    crate::cache::write_whole(
        &out.join("kernel-fastswan.5"),
        settings_page(repo)?.into_bytes(),
    )?;
    symbols(&library)?;
    if let Some(made_of) = made_of {
        crate::cache::write_whole(&note, made_of.into_bytes())?;
    }
    Ok(out)
}

/// What decides how the plugin of this strongSwan comes out; none where the work tree holds what no commit names. cargo
/// itself forgets it as soon as another version was linked to the same file, and takes a minute to do it again.
fn made_of(repo: &Repo, source: &Source) -> Result<Option<String>> {
    let Some(product) = objects::key(repo, &objects::product())? else {
        return Ok(None);
    };
    let mut set: Vec<(String, String)> = env::vars()
        .filter(|(name, _)| {
            name.starts_with("CARGO_PROFILE_RELEASE_") || name.contains("RUSTFLAGS")
        })
        .collect();
    set.sort();
    set.push((source.version.clone(), source.dir.display().to_string()));
    set.push((product, output(command("rustc").arg("-vV"))?));
    Ok(Some(fingerprint(set)))
}

/// Builds the operator's tool; returns its file. It belongs to no strongSwan version. It is the build that its tests use,
/// so that it is not built twice, without what is for debuggers: nine tenths of what a guest would read at each start.
pub(crate) fn ctl(repo: &Repo) -> Result<PathBuf> {
    say::step("dist: building fastswanctl");
    logged(
        cargo(repo).args([
            "build",
            "--package",
            "fastswan",
            "--bin",
            "fastswanctl",
            "--features",
            "ctl",
        ]),
        &repo.target.join("dist/build-ctl.log"),
    )
    .context("fastswanctl does not build")?;
    let stripped = repo.target.join("dist/fastswanctl");
    let part = repo.target.join("dist/fastswanctl.part");
    output(
        command("strip")
            .arg("-o")
            .arg(&part)
            .arg(repo.target.join("debug/fastswanctl")),
    )?;
    fs::rename(&part, &stripped).with_context(|| format!("cannot write {}", stripped.display()))?;
    Ok(stripped)
}

/// The manual page of the settings.
pub(crate) fn settings_page(repo: &Repo) -> Result<String> {
    let plugin = repo.root.join("strongswan-plugin");
    output(
        command("awk")
            .arg("-f")
            .arg(plugin.join("opt2man.awk"))
            .arg(plugin.join("kernel-fastswan.opt")),
    )
}

/// Copies under a temporary name first, so that an interrupted run leaves no half of a plugin.
fn place(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    crate::cache::write_whole(to, bytes)
}

/// Exactly the two symbols charon looks for are exported.
fn symbols(library: &Path) -> Result<()> {
    let text = output(command("nm").args(["-D", "--defined-only"]).arg(library))?;
    let mut found: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    found.sort_unstable();
    ensure!(
        found == EXPORTED,
        "{} must export {EXPORTED:?} and nothing else, but exports {found:?}",
        library.display()
    );
    Ok(())
}

/// No crate of the command line tool is linked into the plugin.
fn crates(repo: &Repo) -> Result<()> {
    let tree = output(cargo(repo).args([
        "tree",
        "--quiet",
        "--package",
        "fastswan",
        "--features",
        "plugin",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]))?;
    let names = || {
        tree.lines()
            .filter_map(|line| line.split_whitespace().next())
    };
    ensure!(
        names().any(|name| name == "fastswan"),
        "cargo tree does not list the plugin's crate"
    );
    if let Some(name) = names().find(|name| CLI_CRATES.contains(name)) {
        bail!(
            "the plugin is linked with {name}, a crate of the command line tool: put it behind feature ctl"
        );
    }
    Ok(())
}
