// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian roots: what the lab boots, and the one that compiles kernel modules.
//!
//! Owns their package lists and how they are made (mmdebstrap, mke2fs). setup, vm and vnic call it. It must not
//! contain anything of the project itself: plugin, module and scenarios reach the guest through the shared folder,
//! so that a change of code never costs a new root.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    archive::Archive,
    cache::{Cache, fingerprint, remove},
    kernels::Kernel,
    run::{command, logged},
    say,
};

/// Change it when the recipe below changes in a way the key does not see.
const RECIPE: u32 = 4;

/// What scenarios and people in `lab shell` use.
const GUEST: &[&str] = &[
    "strongswan-swanctl",
    "strongswan-charon",
    "libcharon-extra-plugins",
    "libstrongswan-standard-plugins",
    "libstrongswan-extra-plugins",
    // Certificates of scenarios are made when they run.
    "strongswan-pki",
    "iproute2",
    "iputils-ping",
    "iputils-arping",
    "tcpdump",
    "nftables",
    "ethtool",
    "python3-minimal",
    "socat",
    "iperf3",
    "kmod",
    "procps",
    "strace",
    "gdb",
    // The initial file system is one static shell.
    "busybox-static",
];

/// What kbuild of an out-of-tree module runs; the compiler must be the one the kernels were built with.
const BUILDER: &[&str] = &[
    "gcc-14",
    "make",
    "libc6-dev",
    "libelf1t64",
    "libssl3t64",
    "zlib1g",
    "mawk",
    "dash",
    "bash",
    "coreutils",
    "sed",
    "grep",
    "findutils",
    "diffutils",
    "xz-utils",
    "perl-base",
    "kmod",
    // The newer kernel adds type information to every module.
    "pahole",
];

/// The root the lab boots.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// ext4 image, never written to.
    pub(crate) image: PathBuf,
    /// Static busybox for the initial file system.
    pub(crate) busybox: PathBuf,
}

/// A release whose strongSwan the lab runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Debian 13, strongSwan 6.0.1.
    #[value(name = "trixie")]
    Trixie,
    /// Debian unstable, strongSwan 6.1.0.
    #[value(name = "sid")]
    Sid,
}

impl Release {
    fn entry(self) -> &'static str {
        match self {
            Self::Trixie => "roots/lab",
            Self::Sid => "roots/lab-sid",
        }
    }

    /// Upstream version of the strongSwan it brings.
    pub(crate) fn strongswan(self) -> &'static str {
        match self {
            Self::Trixie => "6.0.1",
            Self::Sid => "6.1.0",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        })
    }
}

const BUILDER_ENTRY: &str = "roots/builder";

/// The guest's packages: what one release still has among its essential ones, another must be told.
fn guest_packages(from: Release) -> Vec<&'static str> {
    let mut packages = GUEST.to_vec();
    if from == Release::Sid {
        packages.push("mount");
    }
    packages
}

fn guest_key(kernels: &[Kernel], from: Release) -> String {
    let releases: Vec<&str> = kernels
        .iter()
        .map(|kernel| kernel.release.as_str())
        .collect();
    fingerprint((RECIPE, guest_packages(from), releases))
}

fn builder_key(kernels: &[Kernel]) -> String {
    let releases: Vec<&str> = kernels
        .iter()
        .map(|kernel| kernel.release.as_str())
        .collect();
    fingerprint((RECIPE, BUILDER, releases))
}

/// The guest root, if it is in the cache and fits `kernels`.
pub(crate) fn cached_guest(cache: &Cache, kernels: &[Kernel], from: Release) -> Option<Guest> {
    cache
        .holds(from.entry(), &guest_key(kernels, from))
        .then(|| guest(cache, from))
}

/// The build root, if it is in the cache and fits `kernels`.
pub(crate) fn cached_builder(cache: &Cache, kernels: &[Kernel]) -> Option<PathBuf> {
    cache
        .holds(BUILDER_ENTRY, &builder_key(kernels))
        .then(|| cache.path(BUILDER_ENTRY))
}

fn guest(cache: &Cache, from: Release) -> Guest {
    let dir = cache.path(from.entry());
    Guest {
        image: dir.join("root.ext4"),
        busybox: dir.join("busybox"),
    }
}

/// Makes the guest root. The caller holds the cache's lock.
pub(crate) fn ensure_guest(
    cache: &Cache,
    archive: &Archive,
    kernels: &[Kernel],
    from: Release,
    refresh: bool,
) -> Result<Guest> {
    if !refresh && let Some(found) = cached_guest(cache, kernels, from) {
        return Ok(found);
    }
    let part = cache.scratch(from.entry())?;
    let tree = part.join("tree");
    fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
    say::step(format_args!(
        "root: making the guest's {from} with strongSwan and its tools (mmdebstrap)"
    ));
    // Documentation and translations only make the image bigger.
    let slim = ["doc", "man", "locale", "info"]
        .map(|dir| format!("--dpkgopt=path-exclude=/usr/share/{dir}/*"));
    mmdebstrap(
        cache,
        archive,
        from,
        &format!("root-guest-{from}"),
        "essential",
        &guest_packages(from),
        &slim,
        &tree,
    )?;
    say::step("root: writing the guest's disk image");
    for kernel in kernels {
        let from = kernel.modules_in(&kernel.image_tree())?;
        let to = tree.join("usr/lib/modules");
        fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
        logged(
            command("cp").arg("-a").arg(&from).arg(&to),
            &cache.log("root-modules"),
        )?;
        logged(
            command("chroot")
                .arg(&tree)
                .args(["depmod", &kernel.release]),
            &cache.log("root-depmod"),
        )
        .with_context(|| format!("cannot index the modules of {}", kernel.release))?;
    }
    for folder in ["share", "var/lib/fastswan"] {
        let path = tree.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    // The guest's daemons are started by scenarios; a name in the prompt and in logs is all it needs.
    fs::write(tree.join("etc/hostname"), "lab\n").context("cannot name the guest")?;
    let busybox = ["usr/bin/busybox", "bin/busybox"].map(|path| tree.join(path));
    let busybox = busybox
        .iter()
        .find(|path| path.exists())
        .context("busybox-static brought no busybox")?;
    fs::copy(busybox, part.join("busybox")).context("cannot copy busybox")?;
    // No journal: every run starts from the untouched image and throws its changes away.
    logged(
        command("mke2fs")
            .args([
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-E",
                "root_owner=0:0,lazy_itable_init=1",
            ])
            .args(["-L", "fastswan-lab", "-d"])
            .arg(&tree)
            .arg(part.join("root.ext4"))
            .arg("1800M"),
        &cache.log("root-image"),
    )?;
    remove(&tree)?;
    cache.commit(from.entry(), &guest_key(kernels, from))?;
    Ok(guest(cache, from))
}

/// Makes the build root. The caller holds the cache's lock.
pub(crate) fn ensure_builder(
    cache: &Cache,
    archive: &Archive,
    kernels: &[Kernel],
    refresh: bool,
) -> Result<PathBuf> {
    if !refresh && let Some(found) = cached_builder(cache, kernels) {
        return Ok(found);
    }
    let part = cache.scratch(BUILDER_ENTRY)?;
    say::step(
        "root: making the module builder's trixie with gcc-14 and both kernels' headers (mmdebstrap)",
    );
    // Unpacked packages are enough to run a compiler; configuring them would take longer than unpacking.
    mmdebstrap(
        cache,
        archive,
        Release::Trixie,
        "root-builder",
        "extract",
        BUILDER,
        &[],
        &part,
    )?;
    for kernel in kernels {
        logged(
            command("cp")
                .arg("-aT")
                .arg(kernel.headers_tree())
                .arg(&part),
            &cache.log("root-headers"),
        )?;
    }
    // Normally made by maintainer scripts, which do not run here.
    for (link, target) in [
        ("usr/bin/awk", "mawk"),
        ("usr/bin/gcc", "gcc-14"),
        ("usr/bin/cc", "gcc-14"),
    ] {
        let path = part.join(link);
        if fs::symlink_metadata(&path).is_err() {
            std::os::unix::fs::symlink(target, &path)
                .with_context(|| format!("cannot link {}", path.display()))?;
        }
    }
    cache.commit(BUILDER_ENTRY, &builder_key(kernels))
}

#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one command line, each said once"
)]
fn mmdebstrap(
    cache: &Cache,
    archive: &Archive,
    from: Release,
    log: &str,
    variant: &str,
    packages: &[&str],
    options: &[String],
    into: &Path,
) -> Result<()> {
    let mut make = command("mmdebstrap");
    make.arg(format!("--variant={variant}"))
        .arg(format!("--include={}", packages.join(",")))
        .args([
            "--mode=root",
            "--format=directory",
            "--aptopt=APT::Install-Recommends \"false\"",
        ])
        .args(options);
    for option in archive.acquire_options()? {
        make.arg(format!("--aptopt={}", option.trim_end_matches(';')));
    }
    let sources = match from {
        Release::Trixie => archive.trixie_sources(),
        Release::Sid => archive.sid_sources(),
    };
    make.arg(from.to_string()).arg(into).arg(sources);
    logged(&mut make, &cache.log(log))
}
