// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs in C that load charon's libraries in the guest: the differential test and the bench.
//!
//! Owns how such a folder of tests/ is compiled for a strongSwan that the host does not have, and what the guest gets. Called by parity and
//! bench. Must not know what the programs do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    dist,
    kernels::Kernel,
    lab,
    roots::Release,
    run::{command, logged},
    say,
    setup::{self, Lab, Repo},
    sources::Source,
};

/// A folder for a guest with tests/NAME and our plugin, both for a strongSwan; the program is in its folder NAME, the
/// plugin in `plugin`.
pub(crate) fn share(
    repo: &Repo,
    cache: &Cache,
    lab: &Lab,
    kernel: &Kernel,
    name: &str,
    release: Release,
) -> Result<PathBuf> {
    let program = build(repo, cache, name, release)?;
    let plugin = dist::for_lab(repo, cache, release.strongswan())?;
    let share = lab::prepare(repo, lab, kernel, &format!("{name}-{release}"), true)?;
    lab::copy(&program, &share)?;
    let folder = share.join("plugin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    lab::copy(&plugin.join(dist::LIBRARY), &folder)?;
    Ok(share)
}

/// Builds tests/NAME for the guest's strongSwan; returns the folder to copy, which holds the program NAME.
fn build(repo: &Repo, cache: &Cache, name: &str, release: Release) -> Result<PathBuf> {
    let version = release.strongswan();
    let sources = setup::strongswan(cache)?;
    let source = sources
        .iter()
        .find(|source| source.version == version)
        .with_context(|| format!("strongSwan {version} is not among the supported sources"))?;
    let made = repo.target.join(name).join(format!("build-{version}"));
    let out = made.join(name);
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    compile(repo, source, name, &made, &out)?;
    Ok(out)
}

fn compile(repo: &Repo, source: &Source, name: &str, scratch: &Path, out: &Path) -> Result<()> {
    say::step(format_args!(
        "{name}: building the harness for strongSwan {}",
        source.version
    ));
    let folder = repo.root.join("tests").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "c"))
        .filter(|path| path.file_name().is_some_and(|name| name != "launch.c"))
        .collect();
    files.sort();
    let log = scratch.join("build.log");
    let library = |name: &str| source.dir.join("src").join(name);
    // strongSwan's libraries are in the guest only: the linker gets empty ones of the same name, and the harness finds
    // its functions when it is started.
    for name in ["strongswan", "charon"] {
        logged(
            command("gcc")
                .args(["-shared", "-x", "c", "/dev/null"])
                .arg(format!("-Wl,-soname,lib{name}.so.0"))
                .arg("-o")
                .arg(scratch.join(format!("lib{name}.so"))),
            &log,
        )?;
    }
    logged(
        command("gcc")
            .args(["-std=gnu11", "-O1", "-g", "-fPIC", "-shared"])
            .args(["-Wall", "-Wextra", "-Werror"])
            // What strongSwan's METHOD and INIT make of any object.
            .args([
                "-Wno-unused-parameter",
                "-Wno-missing-field-initializers",
                "-Wno-sign-compare",
            ])
            .arg(format!("-DSTRONGSWAN={}", number(&source.version)?))
            .arg("-include")
            .arg(&source.config)
            .arg("-isystem")
            .arg(library("libstrongswan"))
            .arg("-isystem")
            .arg(library("libcharon"))
            .args(&files)
            .arg("-o")
            .arg(out.join(format!("lib{name}.so"))),
        &log,
    )
    .with_context(|| format!("tests/{name} does not build"))?;
    logged(
        command("gcc")
            .arg(folder.join("launch.c"))
            .arg("-L")
            .arg(out)
            .arg("-L")
            .arg(scratch)
            // First of all libraries, so that its functions stand in for those of the C library.
            .arg("-Wl,--no-as-needed")
            .arg(format!("-l{name}"))
            .args(["-lstrongswan", "-lcharon"])
            .args([
                "-Wl,--allow-shlib-undefined",
                "-Wl,--disable-new-dtags,-rpath,$ORIGIN:/usr/lib/ipsec",
            ])
            .arg("-o")
            .arg(out.join(name)),
        &log,
    )
    .with_context(|| format!("the program of tests/{name} does not link"))
}

/// 6.0.1 as 60001
fn number(version: &str) -> Result<u32> {
    let parts: Vec<u32> = version
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("strongSwan {version} is no release"))?;
    match parts[..] {
        [major, minor, patch] => Ok(major * 10_000 + minor * 100 + patch),
        _ => bail!("strongSwan {version} is no release"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_become_numbers() {
        assert_eq!(number("6.0.1").expect("a number"), 60_001);
        assert_eq!(number("6.1.0").expect("a number"), 60_100);
        assert!(number("6.1").is_err());
    }
}
