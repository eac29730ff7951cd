// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks of the sources themselves: form, lints, licence lines, and that the product does not know its test device.
//!
//! Owns these rules and nothing that runs the product. Called by main and test. A rule that fails names each file.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    dist, host,
    run::{command, logged},
    say,
    setup::{self, Repo},
};

const LICENCE: &str = "SPDX-License-Identifier: GPL-2.0-or-later";
/// Names the files that cannot carry the line.
const EXCEPTIONS: &str = "REUSE.toml";
/// Where the product lives; the built-in virtual NIC is one device among many to it.
const PRODUCT: &[&str] = &[
    "src/",
    "strongswan-plugin/",
    "include/",
    "build.rs",
    "configure.ac",
    "Makefile.am",
];
/// What the virtual NIC is called.
const TEST_DEVICE: &str = "vnic";

/// One check: its name and how it ended.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) name: &'static str,
    pub(crate) result: Result<()>,
}

/// Runs every check, also after one has failed.
pub(crate) fn all(repo: &Repo, cache: &Cache) -> Vec<Checked> {
    say::step("check: format, lints, licence lines, independence from the test device");
    if let Err(error) = host::ensure_toolchain(cache) {
        // The two checks that need it fail below and say so again.
        println!("{error:#}");
    }
    let checks: [(&str, &dyn Fn() -> Result<()>); 6] = [
        ("rustfmt", &|| format(repo)),
        ("clippy", &|| clippy(repo, cache)),
        ("licence lines", &|| licence(repo)),
        ("product knows no test device", &|| independence(repo)),
        ("shell syntax", &|| shell(repo)),
        ("manual pages", &|| pages(repo, cache)),
    ];
    checks
        .into_iter()
        .map(|(name, check)| {
            let result = check();
            if let Err(error) = &result {
                println!("{name}: {error:#}");
            }
            Checked { name, result }
        })
        .collect()
}

fn format(repo: &Repo) -> Result<()> {
    logged(
        dist::cargo(repo).args(["fmt", "--all", "--check"]),
        &repo.target.join("check/fmt.log"),
    )
}

fn clippy(repo: &Repo, cache: &Cache) -> Result<()> {
    let sources = setup::strongswan(cache)?;
    let source = sources
        .first()
        .context("no strongSwan source is supported")?;
    let runs: [(&str, &[&str]); 3] = [
        ("clippy", &["--workspace", "--all-targets"]),
        (
            "clippy-plugin",
            &["--package", "fastswan", "--features", "plugin"],
        ),
        (
            "clippy-ctl",
            &[
                "--package",
                "fastswan",
                "--features",
                "ctl",
                "--bin",
                "fastswanctl",
                "--test",
                "ctl",
            ],
        ),
    ];
    for (name, arguments) in runs {
        logged(
            dist::with_source(
                dist::cargo(repo)
                    .arg("clippy")
                    .args(arguments)
                    .args(["--", "-D", "warnings"]),
                source,
            ),
            &repo.target.join(format!("check/{name}.log")),
        )?;
    }
    Ok(())
}

/// Both manual pages, as groff reads them with all its warnings.
fn pages(repo: &Repo, cache: &Cache) -> Result<()> {
    host::ensure(cache, &[host::Part::Build])?;
    let made = repo.target.join("check/kernel-fastswan.5");
    crate::cache::write_whole(&made, dist::settings_page(repo)?.into_bytes())?;
    for page in [repo.root.join("contrib/fastswanctl.8"), made] {
        let out = command("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(&page)
            .output()
            .context("cannot run groff")?;
        let said = String::from_utf8_lossy(&out.stderr);
        if !out.status.success() || !said.is_empty() {
            bail!("{}: {}", page.display(), said.trim());
        }
    }
    Ok(())
}

/// The files of the repository, whether added to git yet or not.
fn files(repo: &Repo) -> Result<Vec<PathBuf>> {
    let listed = command("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&repo.root)
        .output();
    if let Ok(out) = listed
        && out.status.success()
    {
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        return Ok(text
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .collect());
    }
    // An unpacked archive of the sources has no git.
    let mut found = Vec::new();
    let mut folders = vec![repo.root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(&repo.root) {
                found.push(relative.to_path_buf());
            }
        }
    }
    Ok(found)
}

/// The paths of [`EXCEPTIONS`]; `**` stands for any folders.
fn exceptions(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .collect()
}

fn is_exception(path: &str, exceptions: &[&str]) -> bool {
    exceptions
        .iter()
        .any(|exception| match exception.split_once("**") {
            None => path == *exception,
            Some((above, below)) => path.starts_with(above) && path.ends_with(below),
        })
}

/// Every file has the line at its top, or is one of the exceptions.
fn licence(repo: &Repo) -> Result<()> {
    let list = fs::read_to_string(repo.root.join(EXCEPTIONS))
        .with_context(|| format!("cannot read {EXCEPTIONS}"))?;
    let exceptions = exceptions(&list);
    let files = files(repo)?;
    let mut missing = Vec::new();
    for path in &files {
        let name = path.to_string_lossy();
        if is_exception(&name, &exceptions) {
            continue;
        }
        // A file that git still lists may have been deleted.
        let Ok(bytes) = fs::read(repo.root.join(path)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        if !text.lines().take(6).any(|line| line.contains(LICENCE)) {
            missing.push(name.into_owned());
        }
    }
    if !missing.is_empty() {
        bail!(
            "no line '{LICENCE}' at the top of, and not in {EXCEPTIONS}: {}",
            missing.join(", ")
        );
    }
    let unused: Vec<&str> = exceptions
        .iter()
        .copied()
        .filter(|one| {
            !files
                .iter()
                .any(|path| is_exception(&path.to_string_lossy(), &[one]))
        })
        .collect();
    if !unused.is_empty() {
        bail!("{EXCEPTIONS} names no file with: {}", unused.join(", "));
    }
    Ok(())
}

fn independence(repo: &Repo) -> Result<()> {
    let mut found = Vec::new();
    for path in files(repo)? {
        let name = path.to_string_lossy();
        if !PRODUCT.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        let text = fs::read(repo.root.join(&path)).unwrap_or_default();
        for (number, line) in String::from_utf8_lossy(&text).lines().enumerate() {
            if line.to_lowercase().contains(TEST_DEVICE) {
                found.push(format!("{name}:{}", number + 1));
            }
        }
    }
    if !found.is_empty() {
        bail!(
            "product code names the test device '{TEST_DEVICE}': {}",
            found.join(", ")
        );
    }
    Ok(())
}

fn shell(repo: &Repo) -> Result<()> {
    for path in files(repo)? {
        if path.extension().is_some_and(|end| end == "sh") {
            logged(
                command("bash").arg("-n").arg(&path).current_dir(&repo.root),
                &repo.target.join("check/shell.log"),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{exceptions, is_exception};

    #[test]
    fn an_exception_is_a_path_or_what_is_below_a_folder() {
        let list = exceptions(
            "path = [\n\t\"Cargo.lock\",\n\t\"tests/**/description.txt\",\n\t\"data/**\",\n]\n",
        );
        assert_eq!(list.len(), 3);
        assert!(is_exception("Cargo.lock", &list));
        assert!(is_exception("tests/lab/a/description.txt", &list));
        assert!(is_exception("data/x.json", &list));
        assert!(!is_exception("xtask/Cargo.lock", &list));
        assert!(!is_exception("tests/lab/a/run.sh", &list));
        assert!(!is_exception("src/data/x.json", &list));
    }
}
