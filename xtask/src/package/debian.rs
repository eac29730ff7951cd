// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian packages of one suite.
//!
//! Owns how the source package is put together (the release tarball, the headers of each strongSwan, debian/) and that
//! it builds in a clean root without a network, and what lintian says of it. Makes `target/package/debs/<suite>/`, which
//! gateway installs. It must not know what is in the packages beyond their names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, Check, autotools, check, digest,
    roots::{Clean, Kind, ensure_root},
    says,
};
use crate::{
    cache::remove,
    roots::Release,
    run::{command, logged},
    setup,
};

/// Packages made for one suite, with the version each has in its file name.
pub(super) fn debs(bench: &Bench<'_>, release: Release) -> Result<Vec<PathBuf>> {
    let folder = bench.dir.join(format!("debs/{release}"));
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| {
            format!(
                "{} is not there: run the step 'debian {release}' first",
                folder.display()
            )
        })?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|end| end == "deb")
                && !path.to_string_lossy().contains("dbgsym")
        })
        .collect();
    found.sort();
    ensure!(
        found.len() == 2,
        "{} should hold two packages: {found:?}",
        folder.display()
    );
    Ok(found)
}

/// Source package, binary packages, lintian.
pub(super) fn build(bench: &Bench<'_>, release: Release) -> Result<Vec<Check>> {
    let root = ensure_root(bench.cache, Kind::Build, release)?;
    let clean = Clean::new(&root, &bench.dir.join(format!("debian-{release}")))?;
    let share = clean.share();
    let version = &bench.version;
    fs::copy(
        bench.tarball()?,
        share.join(format!("kernel-fastswan_{version}.orig.tar.xz")),
    )
    .context("cannot copy the tarball")?;
    component(bench, &share)?;
    // debian/ of the tarball is replaced, as the format 3.0 (quilt) does with any upstream's.
    remove(&share.join("debian"))?;
    logged(
        command("cp")
            .arg("-a")
            .arg(bench.repo.root.join("debian"))
            .arg(&share),
        &bench.dir.join("debian-copy.log"),
    )?;
    // What is committed to debian/ is for unstable; the package of trixie is a backport of it, as Debian counts.
    let entry = match release {
        Release::Sid => "",
        Release::Trixie => {
            "v=$(dpkg-parsechangelog -S Version)~bpo13+1\n\
             { printf 'kernel-fastswan (%s) trixie-backports; urgency=medium\\n\\n  * Rebuild for trixie-backports.\\n\\n' \"$v\"\n\
             printf ' -- %s  %s\\n\\n' \"$(dpkg-parsechangelog -S Maintainer)\" \"$(dpkg-parsechangelog -S Date)\"\n\
             cat debian/changelog; } >changelog.new\n\
             mv changelog.new debian/changelog\n"
        }
    };
    let options = "export DEB_BUILD_OPTIONS=nocheck";
    clean.run(
        "source",
        &format!(
            "mkdir -p /build && cd /build && cp /mnt/*.orig*.tar.xz . && tar -xf kernel-fastswan_{version}.orig.tar.xz\n\
             cd kernel-fastswan-{version} && mkdir strongswan && tar -xf ../kernel-fastswan_{version}.orig-strongswan.tar.xz \
             --strip-components=1 -C strongswan\n\
             rm -rf debian && cp -a /mnt/debian debian\n{entry}\
             dpkg-buildpackage --build=source -sa --no-sign"
        ),
    )?;
    let mut checks = vec![check("builds in a clean root without a network", || {
        let text = clean.run(
            "binary",
            &format!(
                "{options}\ncd /build/kernel-fastswan-{version} && dpkg-checkbuilddeps && \
                 dpkg-buildpackage --build=binary --no-sign"
            ),
        )?;
        says(&text, "dpkg-genchanges")
    })];
    checks.push(check("lintian says nothing", || {
        let text = clean.run(
            "lintian",
            "cd /build && lintian --fail-on none --display-info --pedantic --tag-display-limit 0 \
             --allow-root *_source.changes *_amd64.changes",
        )?;
        // "running with root privileges" is said of the run, not of the package.
        let tags: Vec<&str> = text
            .lines()
            .filter(|line| {
                ["E: ", "W: ", "I: ", "P: "]
                    .iter()
                    .any(|mark| line.starts_with(mark))
            })
            .collect();
        ensure!(tags.is_empty(), "{}", tags.join("\n"));
        Ok(())
    }));
    let into = bench.dir.join(format!("debs/{release}"));
    remove(&into)?;
    fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    clean.run(
        "collect",
        "mkdir -p /mnt/out && cp /build/*.deb /build/*.orig*.tar.xz /build/*.dsc /build/*.changes /build/*.buildinfo /build/*.debian.tar.* /mnt/out",
    )?;
    logged(
        command("cp").arg("-rT").arg(share.join("out")).arg(&into),
        &bench.dir.join("debs.log"),
    )?;
    remove(&share.join("out"))?;
    checks.push(check("depends on the exact libstrongswan it was built with", || {
        let text = clean.run(
            "depends",
            "v=$(dpkg-query -W -f '${Version}' libstrongswan); echo \"built with $v\"\n\
             for deb in /build/strongswan-kernel-fastswan_*.deb; do dpkg-deb -f $deb Depends; done | grep -F \"libstrongswan (= $v)\"",
        )?;
        says(&text, &format!("built with {}-", release.strongswan()))
    }));
    Ok(checks)
}

/// The source package that `build` made, built a second time, elsewhere in another root: the same bytes.
pub(super) fn again(bench: &Bench<'_>, release: Release) -> Result<Vec<Check>> {
    let made = bench.dir.join(format!("debs/{release}"));
    let before = sums(&made)?;
    let root = ensure_root(bench.cache, Kind::Build, release)?;
    let clean = Clean::new(&root, &bench.dir.join(format!("debian-again-{release}")))?;
    let share = clean.share();
    for entry in fs::read_dir(&made).with_context(|| format!("cannot read {}", made.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        fs::copy(&path, share.join(name)).context("cannot copy the source package")?;
    }
    Ok(vec![check(
        "a second build gives the same packages",
        || {
            clean.run(
            "binary again",
            "export DEB_BUILD_OPTIONS=nocheck\nmkdir -p /elsewhere && cd /elsewhere && \
             dpkg-source --no-check -x /mnt/kernel-fastswan_*.dsc tree && cd tree && \
             dpkg-buildpackage --build=binary --no-sign && mkdir -p /mnt/out && cp ../*.deb /mnt/out",
        )?;
            let after = sums(&share.join("out"))?;
            ensure!(before == after, "first {before:#?}, second {after:#?}");
            Ok(())
        },
    )])
}

/// Name and digest of each package in a folder.
fn sums(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), digest(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

/// The headers of each supported strongSwan, one folder per version, as an archive of their own.
fn component(bench: &Bench<'_>, share: &Path) -> Result<()> {
    let tree = bench.dir.join("component/strongswan");
    remove(&tree)?;
    fs::create_dir_all(&tree).with_context(|| format!("cannot create {}", tree.display()))?;
    for source in setup::strongswan(bench.cache)? {
        autotools::headers(bench, &source, &tree.join(&source.version))?;
    }
    logged(
        command("tar")
            .args([
                "--sort=name",
                "--mtime=@0",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
            ])
            .args(["--mode=u=rwX,go=rX", "-cJf"])
            .arg(share.join(format!(
                "kernel-fastswan_{}.orig-strongswan.tar.xz",
                bench.version
            )))
            .arg("-C")
            .arg(bench.dir.join("component"))
            .arg("strongswan"),
        &bench.dir.join("component.log"),
    )
}
