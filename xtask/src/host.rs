// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages of the developer's own machine.
//!
//! Owns the list of what the other rooms need from the host and installs what is missing with apt, saying so. The
//! commands call it before they use a tool. It must not install anything a room could take from a root of its own.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    run::{command, logged, output},
    say,
};

/// A tool and the package that brings it; `found` lists paths of which one is enough.
struct Need {
    package: &'static str,
    found: &'static [&'static str],
}

/// To download from the archive and to build roots from it.
const ARCHIVE: &[Need] = &[
    Need {
        package: "debian-archive-keyring",
        found: &["/usr/share/keyrings/debian-archive-keyring.gpg"],
    },
    Need {
        package: "mmdebstrap",
        found: &["/usr/bin/mmdebstrap"],
    },
    Need {
        package: "dpkg-dev",
        found: &["/usr/bin/dpkg-source"],
    },
    Need {
        package: "e2fsprogs",
        found: &["/usr/sbin/mke2fs", "/sbin/mke2fs"],
    },
    Need {
        package: "xz-utils",
        found: &["/usr/bin/xz"],
    },
    Need {
        package: "bzip2",
        found: &["/usr/bin/bzip2", "/bin/bzip2"],
    },
];

/// To boot the lab's kernels.
const VM: &[Need] = &[
    Need {
        package: "qemu-system-x86",
        found: &["/usr/bin/qemu-system-x86_64"],
    },
    // Up to Debian 12 it is part of qemu-system-common, which qemu-system-x86 depends on.
    Need {
        package: "virtiofsd",
        found: &["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"],
    },
];

/// To compile the plugin and the programs that test it.
const BUILD: &[Need] = &[
    Need {
        package: "gcc",
        found: &["/usr/bin/gcc"],
    },
    Need {
        package: "libc6-dev",
        found: &["/usr/include/stdlib.h"],
    },
    Need {
        package: "make",
        found: &["/usr/bin/make"],
    },
    Need {
        package: "binutils",
        found: &["/usr/bin/nm"],
    },
    // bindgen loads libclang at build time and reads clang's own headers.
    Need {
        package: "libclang-dev",
        found: &["/usr/lib/llvm-*/lib/libclang.so*"],
    },
    Need {
        package: "autoconf",
        found: &["/usr/bin/autoconf"],
    },
    Need {
        package: "automake",
        found: &["/usr/bin/automake"],
    },
    Need {
        package: "libtool",
        found: &["/usr/bin/libtoolize"],
    },
    // Reads the manual pages.
    Need {
        package: "groff-base",
        found: &["/usr/bin/groff"],
    },
];

/// Which part of the machine a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Download from the archive, build roots.
    Archive,
    /// Boot virtual machines.
    Vm,
    /// Compile Rust and C.
    Build,
}

/// Installs what is missing for `parts`.
pub(crate) fn ensure(cache: &Cache, parts: &[Part]) -> Result<()> {
    let missing: Vec<&str> = parts
        .iter()
        .flat_map(|part| match part {
            Part::Archive => ARCHIVE,
            Part::Vm => VM,
            Part::Build => BUILD,
        })
        .filter(|need| !need.found.iter().any(|path| exists(path)))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!(
            "packages are missing and only root can install them: apt-get install {}",
            missing.join(" ")
        );
    }
    let _lock = cache.lock()?;
    say::step("host: reading the package lists (apt-get update)");
    update(cache)?;
    // qemu of Debian 12 brings its virtiofsd along and the archive has no package of that name there.
    let mut wanted = Vec::new();
    for package in missing {
        if package == "virtiofsd" && !has_candidate(package)? {
            continue;
        }
        wanted.push(package);
    }
    say::step(format_args!("host: installing {}", wanted.join(" ")));
    logged(
        command("apt-get")
            .args([
                "install",
                "-y",
                "--no-install-recommends",
                "-o",
                "DPkg::Lock::Timeout=600",
            ])
            .args(&wanted)
            .env("DEBIAN_FRONTEND", "noninteractive"),
        &cache.log("host-install"),
    )
    .context("cannot install the host's packages")?;
    for need in parts.iter().flat_map(|part| match part {
        Part::Archive => ARCHIVE,
        Part::Vm => VM,
        Part::Build => BUILD,
    }) {
        if !need.found.iter().any(|path| exists(path)) {
            bail!(
                "{} was installed but none of {:?} is there",
                need.package,
                need.found
            );
        }
    }
    Ok(())
}

/// A part of the Rust toolchain that cargo calls by name and that not every toolchain comes with.
struct Component {
    subcommand: &'static str,
    rustup: &'static str,
    package: &'static str,
}

const COMPONENTS: &[Component] = &[
    Component {
        subcommand: "fmt",
        rustup: "rustfmt",
        package: "rustfmt",
    },
    Component {
        subcommand: "clippy",
        rustup: "clippy",
        package: "rust-clippy",
    },
];

/// Makes `cargo fmt` and `cargo clippy` work: by rustup where the toolchain is rustup's, else by apt.
pub(crate) fn ensure_toolchain(cache: &Cache) -> Result<()> {
    let cargo = || command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let works = |subcommand: &str| output(cargo().args([subcommand, "--version"])).is_ok();
    for part in COMPONENTS {
        if works(part.subcommand) {
            continue;
        }
        let log = cache.log("host-toolchain");
        if output(command("rustup").arg("--version")).is_ok() {
            say::step(format_args!(
                "host: adding {} to the Rust toolchain (rustup)",
                part.rustup
            ));
            logged(
                command("rustup").args(["component", "add", part.rustup]),
                &log,
            )?;
        } else {
            say::step(format_args!("host: installing {} (apt-get)", part.package));
            logged(
                command("apt-get")
                    .args([
                        "install",
                        "-y",
                        "--no-install-recommends",
                        "-o",
                        "DPkg::Lock::Timeout=600",
                        part.package,
                    ])
                    .env("DEBIAN_FRONTEND", "noninteractive"),
                &log,
            )?;
        }
        if !works(part.subcommand) {
            bail!(
                "cargo {} still does not work after {} was installed",
                part.subcommand,
                part.rustup
            );
        }
    }
    Ok(())
}

/// `apt-get update` of the host. A foreign source that cannot be reached is not ours to judge: what matters is
/// whether the packages can be had afterwards, and the install says so.
pub(crate) fn update(cache: &Cache) -> Result<()> {
    let log = cache.log("host-update");
    if let Err(error) = logged(
        command("apt-get").args(["update", "-o", "DPkg::Lock::Timeout=600"]),
        &log,
    ) {
        say::step(format_args!(
            "host: apt-get update had errors, going on with what it got ({})",
            log.display()
        ));
        if !has_candidate("qemu-system-x86")? {
            return Err(error).context(
                "the host's apt knows no qemu-system-x86: its package lists are unusable",
            );
        }
    }
    Ok(())
}

fn has_candidate(package: &str) -> Result<bool> {
    let policy = output(command("apt-cache").args(["policy", package]))?;
    Ok(policy
        .lines()
        .any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)")))
}

/// Whether we may install packages, enter a chroot and boot a VM with a shared folder.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The first path of `candidates` that exists.
pub(crate) fn first_existing(candidates: &[&'static str]) -> Option<&'static Path> {
    candidates
        .iter()
        .copied()
        .map(Path::new)
        .find(|path| path.exists())
}

/// Whether a path exists; a `*` in a folder or file name stands for anything.
fn exists(pattern: &str) -> bool {
    let Some(star) = pattern.find('*') else {
        return Path::new(pattern).exists();
    };
    let cut = pattern[..star].rfind('/').unwrap_or(0);
    let prefix = &pattern[cut + 1..star];
    let rest = &pattern[star + 1..];
    let (suffix, below) = rest
        .find('/')
        .map_or((rest, ""), |slash| rest.split_at(slash));
    let suffix = suffix.trim_end_matches('*');
    let Ok(entries) = fs::read_dir(&pattern[..cut]) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(prefix)
            && name[prefix.len()..].contains(suffix)
            && (below.is_empty() || exists(&format!("{}{below}", entry.path().display())))
    })
}
