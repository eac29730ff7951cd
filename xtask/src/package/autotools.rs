// SPDX-License-Identifier: GPL-2.0-or-later
//! The build that people do by hand: configure, make, make check, make install, make dist.
//!
//! Owns the checks of configure's answers to bad input, of the tarball (complete, the same twice, builds offline) and of
//! what is installed and uninstalled. `package` calls it. It must not look into the plugin.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, Check, check, digest,
    roots::{Clean, Kind, ensure_root},
    says,
};
use crate::{
    cache::{Lock, remove, write_whole},
    roots::Release,
    run::{command, logged},
    setup,
    sources::Source,
};

/// One configure run that must end with one line.
struct Refusal<'a> {
    name: &'a str,
    arguments: Vec<String>,
    /// What the one line must say: the object, and the package that has it.
    says: &'a [&'a str],
}

/// configure tells each bad input in one line with the package that has what is missing.
pub(super) fn configure(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let sources = setup::strongswan(bench.cache)?;
    let find = |version: &str| {
        sources
            .iter()
            .find(|source| source.version == version)
            .with_context(|| format!("no source of strongSwan {version}"))
    };
    let (old, new) = (find("6.0.1")?, find("6.1.0")?);
    bootstrap(bench)?;
    let dir = bench.folder("configure")?;
    let src = |source: &Source| format!("--with-strongswan-src={}", source.dir.display());

    let rustc = dir.join("rustc-1.85");
    write_whole(
        &rustc,
        "#!/bin/sh\necho 'rustc 1.85.1 (4eb161250 2025-03-15)'\n",
    )?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))
        .context("cannot make a program of the old rustc")?;

    let changed = dir.join("changed-headers");
    remove(&changed)?;
    headers(bench, new, &changed)?;
    let header = changed.join("kernel/kernel_ipsec.h");
    let text = fs::read_to_string(&header).context("no kernel_ipsec.h among the headers")?;
    let unknown = text.replace("\tuint32_t reqid;", "\tuint64_t reqid;");
    ensure!(text != unknown, "kernel_ipsec.h has no reqid to change");
    write_whole(&header, unknown)?;

    let empty = bench.folder("configure/empty")?;
    let cases = [
        Refusal {
            name: "no strongSwan named",
            arguments: vec![],
            says: &["no headers of strongSwan", "apt-get source strongswan"],
        },
        Refusal {
            name: "a folder without headers",
            arguments: vec![format!("--with-strongswan-src={}", empty.display())],
            says: &["no headers of strongSwan", "apt-get source strongswan"],
        },
        Refusal {
            name: "headers of another version than the installed one",
            arguments: vec![src(old), "STRONGSWAN_INSTALLED=6.1.0".to_owned()],
            says: &[
                "of strongSwan 6.0.1",
                "6.1.0 is installed",
                "apt-get source",
            ],
        },
        Refusal {
            name: "config.h of another version than the headers",
            arguments: vec![
                src(new),
                format!("--with-strongswan-config={}", old.config.display()),
            ],
            says: &[
                "is of strongSwan 6.0.1",
                "headers are of 6.1.0",
                "source package",
            ],
        },
        Refusal {
            name: "an unknown interface",
            arguments: vec![format!("--with-strongswan-headers={}", changed.display())],
            says: &[
                "interface of strongSwan 6.1.0",
                "--enable-untested-strongswan",
            ],
        },
        Refusal {
            name: "no cargo",
            arguments: vec![src(old), "CARGO=/nonexistent/cargo".to_owned()],
            says: &["cargo not found", "package cargo"],
        },
        Refusal {
            name: "a rustc that is too old",
            arguments: vec![src(old), format!("RUSTC={}", rustc.display())],
            says: &[
                "rustc 1.85.1 is too old",
                "package rustc",
                "trixie-backports",
            ],
        },
        Refusal {
            name: "a target without a standard library",
            arguments: vec![src(old), "RUST_TARGET=riscv64gc-unknown-none".to_owned()],
            says: &[
                "no standard library of Rust for riscv64gc-unknown-none",
                "libstd-rust-dev",
            ],
        },
        Refusal {
            name: "a load that means nothing",
            arguments: vec![src(old), "--with-load=perhaps".to_owned()],
            says: &["--with-load=perhaps"],
        },
    ];
    let mut checks: Vec<Check> = cases
        .into_iter()
        .map(|case| check(case.name, || refuse(bench, &dir, &case)))
        .collect();
    checks.push(check("an unknown interface, if told to", || {
        let out = run_configure(
            bench,
            &dir,
            &[
                format!("--with-strongswan-headers={}", changed.display()),
                "--enable-untested-strongswan".to_owned(),
            ],
        )?;
        ensure!(out.status.success(), "it was refused");
        says(&String::from_utf8_lossy(&out.stderr), "untested")
    }));
    checks.push(check("headers and source have the same digest", || {
        let taken = dir.join("headers");
        remove(&taken)?;
        headers(bench, old, &taken)?;
        let out = run_configure(
            bench,
            &dir,
            &[format!("--with-strongswan-headers={}", taken.display())],
        )?;
        ensure!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
        Ok(())
    }));
    Ok(checks)
}

fn refuse(bench: &Bench<'_>, dir: &Path, case: &Refusal<'_>) -> Result<()> {
    let out = run_configure(bench, dir, &case.arguments)?;
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(!out.status.success(), "it was accepted");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    ensure!(
        lines.len() == 1 && lines[0].starts_with("configure: error: "),
        "one line is wanted, it said:\n{text}"
    );
    case.says.iter().try_for_each(|wanted| says(&text, wanted))
}

/// Out of tree, in a folder of its own each time.
fn run_configure(
    bench: &Bench<'_>,
    dir: &Path,
    arguments: &[String],
) -> Result<std::process::Output> {
    let build = dir.join("build");
    remove(&build)?;
    fs::create_dir_all(&build).with_context(|| format!("cannot create {}", build.display()))?;
    command(bench.repo.root.join("configure"))
        .arg("--quiet")
        .args(arguments)
        .current_dir(&build)
        .stdin(Stdio::null())
        .output()
        .context("cannot start configure")
}

/// configure and Makefile.in of what is checked out.
fn bootstrap(bench: &Bench<'_>) -> Result<()> {
    let _turn = Lock::take(&bench.dir.join("autoreconf.lock"))?;
    logged(
        command("autoreconf")
            .args(["--install", "--warnings=all,error"])
            .current_dir(&bench.repo.root),
        &bench.dir.join("autoreconf.log"),
    )
}

/// The headers of a strongSwan as a package carries them.
pub(super) fn headers(bench: &Bench<'_>, source: &Source, into: &Path) -> Result<()> {
    logged(
        command("sh")
            .arg(bench.repo.root.join("packaging/strongswan-headers.sh"))
            .arg(&source.dir)
            .arg(into),
        &bench.dir.join("headers.log"),
    )
}

/// `make dist` from two folders gives the same bytes, and nothing that does not belong into it.
pub(super) fn tarball(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let sources = setup::strongswan(bench.cache)?;
    let source = sources.first().context("no source of strongSwan")?;
    bootstrap(bench)?;
    let name = format!("kernel-fastswan-{}.tar.xz", bench.version);
    let mut made: Vec<PathBuf> = Vec::new();
    for folder in ["dist", "dist-again"] {
        let build = bench.folder(folder)?;
        remove(&build.join(&name))?;
        logged(
            command(bench.repo.root.join("configure"))
                .arg(format!("--with-strongswan-src={}", source.dir.display()))
                .current_dir(&build),
            &bench.dir.join(format!("{folder}-configure.log")),
        )?;
        logged(
            // What cargo has checked already need not be compiled for each.
            make_in(&build)
                .arg("dist")
                .arg(format!("target_dir={}", bench.repo.target.display())),
            &bench.dir.join(format!("{folder}.log")),
        )?;
        made.push(build.join(&name));
    }
    Ok(vec![
        check("two make dist give the same bytes", || {
            let (one, other) = (digest(&made[0])?, digest(&made[1])?);
            ensure!(one == other, "{one} and {other}");
            Ok(())
        }),
        check(
            "it has crates, bindings, manual pages and configure",
            || {
                let list = crate::run::output(command("tar").arg("-tf").arg(&made[0]))?;
                let prefix = format!("kernel-fastswan-{}/", bench.version);
                let has = |file: &str| {
                    list.lines()
                        .any(|line| line.strip_prefix(&prefix) == Some(file))
                };
                for file in [
                    "configure",
                    "include/bindings.rs",
                    "contrib/fastswanctl.8",
                    "strongswan-plugin/opt2man.awk",
                    "Cargo.lock",
                    "MANIFEST",
                    "debian/control",
                ] {
                    ensure!(has(file), "{file} is not in it");
                }
                ensure!(
                    list.lines().any(|line| line.contains("/vendor/libc-")),
                    "no crates are in it"
                );
                let foreign: Vec<&str> = list
                    .lines()
                    .filter(|line| {
                        line.starts_with(&format!("{prefix}target/"))
                            || [".ko", ".o", ".so", ".a", ".lib", ".dll"]
                                .iter()
                                .any(|end| line.ends_with(end))
                    })
                    .collect();
                ensure!(foreign.is_empty(), "binaries are in it: {foreign:?}");
                Ok(())
            },
        ),
    ])
}

fn make_in(folder: &Path) -> Command {
    let mut make = command("make");
    make.current_dir(folder);
    // A make that started us must not hand us its own flags.
    for name in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        make.env_remove(name);
    }
    make
}

/// From the tarball, in a clean trixie without a network, out of tree, the source read-only.
pub(super) fn make(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let root = ensure_root(bench.cache, Kind::Build, Release::Trixie)?;
    let clean = Clean::new(&root, &bench.dir.join("make"))?;
    let tarball = bench.tarball()?;
    fs::copy(&tarball, clean.share().join("release.tar.xz")).context("cannot copy the tarball")?;
    let sources = setup::strongswan(bench.cache)?;
    let source = sources.first().context("no source of strongSwan")?;
    let headers_dir = clean.share().join("headers");
    headers(bench, source, &headers_dir)?;
    let version = &bench.version;
    clean.run(
        "configure",
        &format!(
            "mkdir -p /src /build && cd /src && tar -xf /mnt/release.tar.xz && chmod -R a-w kernel-fastswan-{version}\n\
             mkdir /home-of-cargo && cd /build\n\
             /src/kernel-fastswan-{version}/configure --prefix=/usr --sysconfdir=/etc \
             --with-strongswan-headers=/mnt/headers --with-plugindir=/usr/lib/ipsec/plugins \
             --with-strongswan-conf=/etc/swan STRONGSWAN_INSTALLED=no"
        ),
    )?;
    let home = "export CARGO_HOME=/home-of-cargo; cd /build";
    let mut checks = vec![
        check("make, offline, out of tree, V=1", || {
            let text = clean.run("make", &format!("{home}; make V=1"))?;
            says(&text, "--offline")?;
            says(&text, "Running `")
        }),
        check("make again builds nothing", || {
            let text = clean.run("make again", &format!("{home}; make V=1"))?;
            ensure!(!text.contains("Compiling"), "it compiled again:\n{text}");
            Ok(())
        }),
        check("make install DESTDIR= and make uninstall", || {
            let text = clean.run(
                "install",
                &format!(
                    "{home}; make install DESTDIR=/tmp/d && cd /tmp/d && find . -type f | LC_ALL=C sort\n\
                     grep -q '^    load = 2$' etc/swan/strongswan.d/charon/kernel-fastswan.conf\n\
                     cd /build && make uninstall DESTDIR=/tmp/d && cd /tmp/d && echo left: && find . -type f"
                ),
            )?;
            let (installed, left) = text.split_once("left:").context("it did not come so far")?;
            for file in [
                "./etc/swan/strongswan.d/charon/kernel-fastswan.conf",
                "./usr/lib/ipsec/plugins/libstrongswan-kernel-fastswan.so",
                "./usr/sbin/fastswanctl",
                "./usr/share/man/man5/kernel-fastswan.5",
                "./usr/share/man/man8/fastswanctl.8",
                "./usr/share/strongswan/templates/config/plugins/kernel-fastswan.conf",
                "./usr/share/bash-completion/completions/fastswanctl",
            ] {
                ensure!(
                    installed.lines().any(|line| line == file),
                    "{file} was not installed:\n{installed}"
                );
            }
            ensure!(left.trim().is_empty(), "left after make uninstall: {left}");
            Ok(())
        }),
        check("make install keeps a changed configuration", || {
            clean.run(
                "install over a change",
                &format!(
                    "{home}; c=/tmp/k/etc/swan/strongswan.d/charon; mkdir -p $c && echo mine >$c/kernel-fastswan.conf\n\
                     make install DESTDIR=/tmp/k >/dev/null && grep -qx mine $c/kernel-fastswan.conf\n\
                     make uninstall DESTDIR=/tmp/k >/dev/null && grep -qx mine $c/kernel-fastswan.conf"
                ),
            )
            .map(drop)
        }),
        check("the plugin has no path of the machine in it", || {
            clean.run(
                "paths",
                "! grep -a -o -E '/build/target[^[:space:]]{0,60}|/src/kernel-fastswan-[^[:space:]]{0,60}' \
                 /build/libstrongswan-kernel-fastswan.so",
            )
            .map(drop)
        }),
    ];
    checks.push(check("make check", || {
        clean.run("check", &format!("{home}; make check")).map(drop)
    }));
    Ok(checks)
}
