// SPDX-License-Identifier: GPL-2.0-or-later
//! What the release is made of: licences, advisories, sources, and the bill of materials.
//!
//! Owns how deny.toml is applied, and the bill of materials beside the tarball. `package` calls it. It must not decide
//! what is allowed: that is deny.toml.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Bench, Check, NotTried, check, says};
use crate::{
    dist,
    run::{command, logged, output},
};

/// Checks of what we depend on, and the bill of materials.
pub(super) fn chain(bench: &Bench<'_>) -> Result<Vec<Check>> {
    Ok(vec![
        check("each direct dependency has a reason in Cargo.toml", || {
            reasons(bench)
        }),
        check("cargo-deny: licences, bans, sources", || {
            deny(bench, &["bans", "licenses", "sources"])
        }),
        check("cargo-deny: advisories", || deny(bench, &["advisories"])),
        check("bill of materials (CycloneDX)", || bill(bench)),
    ])
}

/// A comment directly above each dependency of the product.
fn reasons(bench: &Bench<'_>) -> Result<()> {
    let text = fs::read_to_string(bench.repo.root.join("Cargo.toml")).context("no Cargo.toml")?;
    let mut inside = false;
    let mut before = "";
    let mut missing = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if inside
            && line.contains(" = ")
            && !line.starts_with('#')
            && !before.starts_with('#')
        {
            missing.push(line);
        }
        before = line;
    }
    ensure!(missing.is_empty(), "no reason above: {missing:?}");
    Ok(())
}

fn deny(bench: &Bench<'_>, what: &[&str]) -> Result<()> {
    if output(command("cargo-deny").arg("--version")).is_err() {
        return Err(
            NotTried("cargo-deny is not installed (cargo install cargo-deny)".to_owned()).into(),
        );
    }
    let log = bench
        .dir
        .join(format!("deny-{}.log", what.first().unwrap_or(&"all")));
    let run = |options: &[&str]| {
        logged(
            command("cargo-deny")
                .arg("--manifest-path")
                .arg(bench.repo.root.join("Cargo.toml"))
                .args(["--all-features", "--config"])
                .arg(bench.repo.root.join("deny.toml"))
                .args(options)
                .arg("check")
                .args(what),
            &log,
        )
    };
    let first = run(&[]);
    let unreachable = || {
        fs::read_to_string(&log)
            .is_ok_and(|text| text.contains("failed to fetch advisory database"))
    };
    if first.is_ok() || !unreachable() {
        return first;
    }
    // A copy that an earlier run fetched says something, but not that nothing was found since.
    match run(&["--offline"]) {
        Err(_) if unreachable() => Err(NotTried(
            "the advisory database cannot be reached from here and there is no copy of it".to_owned(),
        )
        .into()),
        Err(error) => Err(error),
        Ok(()) => Err(NotTried(
            "the advisory database cannot be reached from here; nothing was found in the copy of an earlier run"
                .to_owned(),
        )
        .into()),
    }
}

/// The crates that are linked into the plugin and into the tool, from cargo's own metadata, in CycloneDX 1.5.
fn bill(bench: &Bench<'_>) -> Result<()> {
    let text = output(dist::cargo(bench.repo).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform=x86_64-unknown-linux-gnu",
        "--features=fastswan/ctl,fastswan/plugin",
    ]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    let linked = linked(&metadata)?;
    let lock = fs::read_to_string(bench.repo.root.join("Cargo.lock")).context("no Cargo.lock")?;
    let mut components = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str())
        else {
            continue;
        };
        let id = package["id"].as_str().unwrap_or_default();
        if package["source"].is_null() || !linked.iter().any(|one| one == id) {
            continue;
        }
        let hash = checksum(&lock, name, version)
            .with_context(|| format!("Cargo.lock has no checksum of {name} {version}"))?;
        let purl = format!("pkg:cargo/{name}@{version}");
        components.push(json!({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "scope": "required",
            "hashes": [{ "alg": "SHA-256", "content": hash }],
            "licenses": [{ "expression": spdx(package["license"].as_str().unwrap_or_default()) }],
        }));
    }
    components.sort_by_key(|one| one["bom-ref"].to_string());
    ensure!(
        components.len() > 5,
        "only {} crates were found",
        components.len()
    );
    let own = format!("pkg:generic/kernel-fastswan@{}", bench.version);
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "kernel-fastswan",
                "version": bench.version,
                "licenses": [{ "expression": "GPL-2.0-or-later" }],
                "purl": own,
            },
        },
        "components": components,
    });
    let file = bench
        .folder("dist")?
        .join(format!("kernel-fastswan-{}.cdx.json", bench.version));
    fs::write(&file, format!("{bill:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let written = fs::read_to_string(&file).context("the bill cannot be read back")?;
    says(&written, "pkg:cargo/libc@")?;
    ensure!(
        !written.contains("pkg:cargo/bindgen@"),
        "a build tool is listed as linked"
    );
    Ok(())
}

/// Ids of what is linked: reached from our package by edges that are neither of a build script nor of a test, and not
/// through a macro, which runs in the compiler.
fn linked(metadata: &Value) -> Result<Vec<String>> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("no dependency graph")?;
    let root = metadata["packages"]
        .as_array()
        .and_then(|packages| {
            packages
                .iter()
                .find(|package| package["name"] == "fastswan")
        })
        .and_then(|package| package["id"].as_str())
        .context("cargo does not know our package")?;
    let macros: Vec<&str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| {
            package["targets"].as_array().is_some_and(|targets| {
                targets
                    .iter()
                    .any(|target| target["kind"] == json!(["proc-macro"]))
            })
        })
        .filter_map(|package| package["id"].as_str())
        .collect();
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(id) = found.get(next).cloned() {
        next += 1;
        let Some(node) = nodes.iter().find(|node| node["id"] == id.as_str()) else {
            continue;
        };
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let normal = dependency["dep_kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            if let Some(id) = dependency["pkg"].as_str()
                && normal
                && !macros.contains(&id)
                && !found.iter().any(|one| one == id)
            {
                found.push(id.to_owned());
            }
        }
    }
    Ok(found)
}

/// `checksum` of a package in Cargo.lock.
fn checksum<'l>(lock: &'l str, name: &str, version: &str) -> Option<&'l str> {
    let head = format!("name = \"{name}\"\nversion = \"{version}\"\n");
    let entry = &lock[lock.find(&head)?..];
    let entry = entry.split("\n\n").next()?;
    entry
        .lines()
        .find_map(|line| line.strip_prefix("checksum = \"")?.strip_suffix('"'))
}

/// Old manifests write a slash for "or".
fn spdx(licence: &str) -> String {
    licence.replace('/', " OR ").replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::{checksum, linked, spdx};
    use serde_json::json;

    #[test]
    fn the_checksum_is_that_of_the_version() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"11\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0.0\"\nchecksum = \"22\"\n\n\
                    [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n\n";
        assert_eq!(checksum(lock, "a", "2.0.0"), Some("22"));
        assert_eq!(checksum(lock, "a", "3.0.0"), None);
        // Without one of its own it must not get the next package's.
        assert_eq!(checksum(lock, "b", "2.0.0"), None);
    }

    #[test]
    fn tools_of_the_build_are_not_linked() {
        let edge =
            |to: &str, kind: Option<&str>| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                { "name": "fastswan", "id": "us" },
                { "name": "derive", "id": "derive", "targets": [{ "kind": ["proc-macro"] }] },
            ],
            "resolve": { "nodes": [
                { "id": "us", "deps": [edge("libc", None), edge("bindgen", Some("build")), edge("route", Some("dev"))] },
                { "id": "libc", "deps": [edge("deeper", None), edge("derive", None)] },
                { "id": "derive", "deps": [edge("syn", None)] },
                { "id": "bindgen", "deps": [edge("clang", None)] },
            ] },
        });
        assert_eq!(
            linked(&metadata).expect("a graph"),
            ["us", "libc", "deeper"]
        );
    }

    #[test]
    fn a_slash_is_an_or() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("MIT OR Apache-2.0"), "MIT OR Apache-2.0");
    }
}
