// SPDX-License-Identifier: GPL-2.0-or-later
//! The clean Debian roots in which packages are built, checked and installed.
//!
//! Owns their package lists, how they are made and how a step works in one of them: in an overlay that is thrown away,
//! without a network, so that nothing a step does is seen by another, and nothing can be downloaded behind our back.
//! The rooms of `package` call it. It must not know what is built.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    archive::Archive,
    cache::{Cache, fingerprint, remove},
    roots::Release,
    run::{command, display, logged, tail},
    say,
};

/// Change it when the recipe below changes in a way the key does not see.
const RECIPE: u32 = 1;

/// What a root is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Builds from the release tarball: what debian/control asks for, autotools, lintian, and rpmbuild beside them.
    Build,
    /// Builds for arm64: a cross compiler, and Rust's standard library of that architecture.
    Cross,
    /// A gateway: the distribution's charon-systemd, nothing of ours yet.
    Gateway,
}

const BUILD: &[&str] = &[
    "build-essential",
    "debhelper",
    "cargo",
    "rustc",
    "libstrongswan",
    "lintian",
    "fakeroot",
    "xz-utils",
    "file",
];

const CROSS: &[&str] = &[
    "gcc",
    "libc6-dev",
    "make",
    "cargo",
    "rustc",
    "crossbuild-essential-arm64",
    "libstd-rust-dev:arm64",
    "xz-utils",
    "file",
];

const GATEWAY: &[&str] = &[
    "charon-systemd",
    "strongswan-swanctl",
    "libcharon-extra-plugins",
    "libstrongswan-standard-plugins",
    "apparmor",
    "iproute2",
    "procps",
    "autopkgtest",
];

/// rustc of trixie is older than what the crates need; the one of trixie-backports is taken, and nothing else of it.
const PIN: &str = "Package: src:rustc\nPin: release n=trixie-backports\nPin-Priority: 600\n";

/// The tools of another distribution, which Debian has too.
const RPM: &[&str] = &["rpm"];

fn packages(kind: Kind, release: Release) -> Vec<&'static str> {
    let mut packages = match kind {
        Kind::Build => BUILD.to_vec(),
        Kind::Cross => CROSS.to_vec(),
        Kind::Gateway => GATEWAY.to_vec(),
    };
    if kind == Kind::Build && release == Release::Trixie {
        packages.extend(RPM);
    }
    packages
}

/// A root in the cache; never written to after it was made.
#[derive(Clone, Debug)]
pub(super) struct Root {
    tree: PathBuf,
    pub(super) release: Release,
}

impl Root {
    /// The files, for reading.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }
}

/// Makes the root unless the cache has it.
pub(super) fn ensure_root(cache: &Cache, kind: Kind, release: Release) -> Result<Root> {
    let entry = format!(
        "roots/package-{}-{release}",
        match kind {
            Kind::Build => "build",
            Kind::Cross => "cross",
            Kind::Gateway => "gateway",
        }
    );
    let key = fingerprint((RECIPE, packages(kind, release), PIN));
    let root = Root {
        tree: cache.path(&entry),
        release,
    };
    if cache.holds(&entry, &key) {
        return Ok(root);
    }
    // A lock of its own: whoever boots a machine meanwhile need not wait for minutes.
    let _lock = cache.lock_named(&format!("roots-package-{release}"))?;
    if cache.holds(&entry, &key) {
        return Ok(root);
    }
    let archive = {
        let _lock = cache.lock()?;
        Archive::open(cache, false)?
    };
    let part = cache.scratch(&entry)?;
    say::step(format_args!(
        "root: making a clean {release} with {} (mmdebstrap)",
        packages(kind, release).join(", ")
    ));
    let mut make = command("mmdebstrap");
    make.args([
        "--variant=minbase",
        "--mode=root",
        "--format=directory",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]);
    if kind == Kind::Cross {
        make.arg("--architectures=amd64,arm64");
    }
    make.arg(format!("--include={}", packages(kind, release).join(",")));
    for option in archive.acquire_options()? {
        make.arg(format!("--aptopt={}", option.trim_end_matches(';')));
    }
    let file = match release {
        Release::Trixie => archive.trixie_sources(),
        Release::Sid => archive.sid_sources(),
    };
    let mut list =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    if release == Release::Trixie {
        let backports: Vec<String> = list
            .lines()
            .filter(|line| line.contains(" trixie main"))
            .map(|line| line.replace(" trixie main", " trixie-backports main"))
            .collect();
        ensure!(
            !backports.is_empty(),
            "{} names no main archive",
            file.display()
        );
        list.push_str(&backports.join("\n"));
        list.push('\n');
        let pin = cache.path("roots/rustc-of-backports");
        crate::cache::write_whole(&pin, PIN)?;
        make.arg(format!(
            "--setup-hook=mkdir -p \"$1/etc/apt/preferences.d\" && cp '{}' \"$1/etc/apt/preferences.d/rustc\"",
            pin.display()
        ));
    }
    let sources = cache.path(&format!("roots/package-{release}.list"));
    crate::cache::write_whole(&sources, list)?;
    make.arg(release.to_string()).arg(&part).arg(&sources);
    logged(&mut make, &cache.log(&entry.replace('/', "-")))?;
    cache.commit(&entry, &key)?;
    Ok(root)
}

/// A root that a step may change; everything is gone when it is dropped.
#[derive(Debug)]
pub(super) struct Clean {
    dir: PathBuf,
    root: Root,
}

impl Clean {
    /// A fresh one, in `dir`.
    pub(super) fn new(root: &Root, dir: &Path) -> Result<Self> {
        remove(dir)?;
        for name in ["changes", "work", "root", "share"] {
            let path = dir.join(name);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(Self {
            dir: dir.canonicalize()?,
            root: root.clone(),
        })
    }

    /// The folder that the root sees as /share; it outlives the root.
    pub(super) fn share(&self) -> PathBuf {
        self.dir.join("share")
    }

    /// The command that runs `script` (bash) as root in the root: mounts, processes and network are its own.
    fn enter(&self, script: &str) -> Result<Command> {
        let file = self.share().join("script");
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
        let mut enter = command("unshare");
        // The mounts are made where nobody else sees them, so that nothing is left whatever happens.
        enter
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
            .args(["bash", "-ec"])
            .arg(
                "cd \"$1\"\n\
                 mount -t overlay overlay -o \"lowerdir=$2,upperdir=$1/changes,workdir=$1/work\" root\n\
                 mount --bind share root/mnt\n\
                 mount -t proc proc root/proc\n\
                 mount -t tmpfs tmpfs root/tmp\n\
                 mount -t tmpfs tmpfs root/run\n\
                 mount -t devtmpfs devtmpfs root/dev 2>/dev/null || mount --rbind /dev root/dev\n\
                 ip link set lo up 2>/dev/null || true\n\
                 exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
                 CARGO_BUILD_JOBS=\"$CARGO_BUILD_JOBS\" \"${@:3}\" chroot root bash /mnt/script",
            )
            .arg("sh")
            .arg(&self.dir)
            .arg(&self.root.tree)
            .args(profile())
            .env("CARGO_BUILD_JOBS", jobs());
        Ok(enter)
    }

    /// Runs a script that has to succeed.
    pub(super) fn run(&self, name: &str, script: &str) -> Result<String> {
        let (succeeded, text, log) = self.attempt(name, script)?;
        if !succeeded {
            bail!(
                "{name} failed in a clean {}; the end of {}:\n{}",
                self.root.release,
                log.display(),
                tail(&log, 30)
            );
        }
        Ok(text)
    }

    /// Runs a script that has to fail, and returns what it said.
    pub(super) fn refused(&self, name: &str, script: &str) -> Result<String> {
        let (succeeded, text, log) = self.attempt(name, script)?;
        ensure!(
            !succeeded,
            "{name} should have been refused in a clean {}; it said ({}):\n{}",
            self.root.release,
            log.display(),
            tail(&log, 30)
        );
        Ok(text)
    }

    fn attempt(&self, name: &str, script: &str) -> Result<(bool, String, PathBuf)> {
        let log = self
            .dir
            .join(format!("{}.log", name.replace([' ', '/'], "-")));
        let mut enter = self.enter(&format!("exec 2>&1\nset -e\n{script}\n"))?;
        let out =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone()?;
        let shown = display(&enter);
        let status = enter
            .stdin(std::process::Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .with_context(|| format!("cannot start: {shown}"))?;
        let text = fs::read(&log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        Ok((status.success(), text, log))
    }
}

impl Drop for Clean {
    fn drop(&mut self) {
        // The overlay's own folders; logs and results stay.
        for name in ["changes", "work", "root"] {
            let _ = remove(&self.dir.join(name));
        }
    }
}

/// What the caller has said of cargo's release profile (less optimisation, to see sooner whether packages work).
fn profile() -> Vec<String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_PROFILE_RELEASE_"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// How many compilers may run at a time, as the caller was told.
fn jobs() -> String {
    std::env::var("CARGO_BUILD_JOBS").unwrap_or_else(|_| {
        std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .to_string()
    })
}
