// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds the virtual NIC of tests/vnic for the lab's kernels.
//!
//! Owns the call of kbuild inside the build root and where the module lands. lab and test call it. It must not know
//! what the module does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::{fingerprint, write_whole},
    kernels::Kernel,
    run::{command, logged},
    say,
    setup::{Lab, Repo},
};

/// What the lab takes into the guest.
#[derive(Debug)]
pub(crate) struct Built {
    /// The module.
    pub(crate) module: PathBuf,
    /// What lets iproute2 make a pair, if the device asks for it.
    pub(crate) iproute: Option<PathBuf>,
}

/// Builds for one kernel what changed.
pub(crate) fn build(repo: &Repo, lab: &Lab, kernel: &Kernel) -> Result<Built> {
    let source = repo.root.join("tests/vnic");
    if !source.join("Makefile").exists() {
        bail!(
            "{} holds no Makefile: there is no virtual NIC to build",
            source.display()
        );
    }
    // Several checkouts, and several runs of one, may use the build root at the same time.
    let name = format!("{}-{}", kernel.release, fingerprint(&repo.root));
    let _lock = lab.cache.lock_named(&format!("roots/vnic-{name}"))?;
    let inside = lab.builder.join("build").join(&name);
    mirror(&source, &inside)?;
    let out = repo.target.join("vnic").join(&kernel.release);
    let wanted = content(&inside)?;
    let stamp = inside.join("built-from");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
        say::step(format_args!(
            "vnic: building the virtual NIC's module for {}",
            kernel.release
        ));
        let headers = format!("/usr/src/linux-headers-{}", kernel.release);
        make(
            lab,
            &[
                "-C",
                &headers,
                &format!("M=/build/{name}"),
                "CC=gcc-14",
                "-j2",
                "modules",
            ],
            &out.join("build.log"),
        )
        .with_context(|| format!("the virtual NIC does not build for {}", kernel.release))?;
        if inside.join("ip").exists() {
            make(
                lab,
                &["-C", &format!("/build/{name}"), "CC=gcc-14", IPROUTE],
                &out.join("build-ip.log"),
            )
            .context("the virtual NIC's part for iproute2 does not build")?;
        }
        fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    let place = |file: &str| -> Result<PathBuf> {
        let to = out.join(file);
        let bytes =
            fs::read(inside.join(file)).with_context(|| format!("the build made no {file}"))?;
        write_whole(&to, bytes)?;
        Ok(to)
    };
    let iproute = inside
        .join(IPROUTE)
        .exists()
        .then(|| place(IPROUTE))
        .transpose()?;
    Ok(Built {
        module: place("vnic.ko")?,
        iproute,
    })
}

/// The library iproute2 loads for `ip link add type vnic`.
const IPROUTE: &str = "link_vnic.so";

fn make(lab: &Lab, arguments: &[&str], log: &Path) -> Result<()> {
    logged(
        // objtool reads /proc; a mount namespace of its own leaves nothing mounted behind, however this ends.
        command("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c"])
            .arg("mount -t proc proc \"$1/proc\" && exec chroot \"$@\"")
            .arg("build")
            .arg(&lab.builder)
            .args(["/usr/bin/make", "-s"])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin")
            .env("LC_ALL", "C"),
        log,
    )
}

/// Whether kbuild reads this file.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    matches!(name.as_ref(), "Kbuild" | "Makefile")
        || (path.extension().is_some_and(|end| end == "c" || end == "h")
            && !name.ends_with(".mod.c"))
}

/// The sources below a folder, without those of subfolders that are not part of the build.
fn sources(from: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["", "ip"] {
        let Ok(entries) = fs::read_dir(from.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_file() && is_source(&path) {
                found.push(Path::new(folder).join(path.file_name().unwrap_or_default()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the copy equal to the sources, touching only what differs, so that make rebuilds only that.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    let wanted = sources(from)?;
    for gone in sources(to)?
        .into_iter()
        .filter(|file| !wanted.contains(file))
    {
        fs::remove_file(to.join(&gone))
            .with_context(|| format!("cannot remove {}", gone.display()))?;
    }
    for file in wanted {
        let fresh = fs::read(from.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let copy = to.join(&file);
        if fs::read(&copy).is_ok_and(|old| old == fresh) {
            continue;
        }
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&copy, fresh).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(())
}

/// Fingerprint of every source in the copy.
fn content(folder: &Path) -> Result<String> {
    let mut all = Vec::new();
    for file in sources(folder)? {
        let bytes = fs::read(folder.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        all.push((file, bytes));
    }
    Ok(fingerprint(all))
}
