// SPDX-License-Identifier: GPL-2.0-or-later
//! The other forms in which distributions take the plugin: Fedora's spec, OpenWrt's entry, strongSwan's own tree, and
//! another architecture.
//!
//! Owns how far each can be tried on a Debian machine, and says of the rest that it was not. `package` calls it.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, Check, NotTried, autotools, check,
    roots::{Clean, Kind, ensure_root},
    says,
};
use crate::{
    roots::Release,
    run::{command, logged, output},
    setup,
    sources::Source,
};

fn newest(bench: &Bench<'_>) -> Result<Source> {
    setup::strongswan(bench.cache)?
        .into_iter()
        .find(|source| source.version == "6.1.0")
        .context("no source of strongSwan 6.1.0")
}

/// The spec, with rpmbuild of Debian: there are no Fedora packages here to build against or to install beside.
pub(super) fn rpm(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let root = ensure_root(bench.cache, Kind::Build, Release::Trixie)?;
    let clean = Clean::new(&root, &bench.dir.join("rpm"))?;
    let share = clean.share();
    let tarball = bench.tarball()?;
    fs::copy(
        &tarball,
        share.join(format!("kernel-fastswan-{}.tar.xz", bench.version)),
    )
    .context("cannot copy the tarball")?;
    let source = newest(bench)?;
    let tree = share.join(format!("strongswan-headers-{}", source.version));
    autotools::headers(bench, &source, &tree)?;
    let spec = "kernel-fastswan.spec";
    fs::copy(
        bench.repo.root.join("packaging/fedora").join(spec),
        share.join(spec),
    )
    .with_context(|| format!("cannot copy {spec}"))?;
    Ok(vec![
        check(
            "rpmbuild makes both packages, files and relations as they should be",
            || {
                let text = clean.run(
                "rpmbuild",
                &format!(
                    "mkdir -p /root/rpmbuild/SOURCES /root/rpmbuild/SPECS && cd /mnt\n\
                     tar -cJf /root/rpmbuild/SOURCES/strongswan-headers-{v}.tar.xz strongswan-headers-{v}\n\
                     cp kernel-fastswan-*.tar.xz /root/rpmbuild/SOURCES\n\
                     rpmbuild -bb --nodeps --nocheck --define 'debug_package %{{nil}}' --define 'strongswan_version {v}' \
                     --define '_libdir /usr/lib64' kernel-fastswan.spec\n\
                     cd /root/rpmbuild/RPMS && for f in $(find . -name '*.rpm'); do echo \"== $f\"; rpm -qpl $f; rpm -qpR $f; done",
                    v = source.version
                ),
            )?;
                for wanted in [
                    "/usr/lib64/strongswan/plugins/libstrongswan-kernel-fastswan.so",
                    "/etc/strongswan/strongswan.d/charon/kernel-fastswan.conf",
                    "/usr/sbin/fastswanctl",
                    "strongswan = 6.1.0",
                ] {
                    says(&text, wanted)?;
                }
                Ok(())
            },
        ),
        check(
            "installed on Fedora beside its strongSwan, SELinux enforcing",
            || Err(NotTried("this machine's package sources have no Fedora".to_owned()).into()),
        ),
    ])
}

/// The patch that makes it a plugin of strongSwan's tree, and the build that comes of it.
pub(super) fn in_tree(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let source = newest(bench)?;
    let dir = bench.folder("in-tree")?;
    let tree = dir.join("strongswan");
    crate::cache::remove(&tree)?;
    logged(
        command("cp").arg("-a").arg(&source.dir).arg(&tree),
        &dir.join("copy.log"),
    )?;
    // Ours, not strongSwan's: a configured tree has one, and it would win over the one that configure makes.
    crate::cache::remove(&tree.join("config.h"))?;
    let release = dir.join("release");
    crate::cache::remove(&release)?;
    fs::create_dir_all(&release).context("cannot create a folder for the release")?;
    logged(
        command("tar")
            .arg("-xf")
            .arg(bench.tarball()?)
            .args(["--strip-components=1", "-C"])
            .arg(&release),
        &dir.join("unpack.log"),
    )?;
    let mut checks = vec![check("the patch applies to strongSwan 6.1.0", || {
        logged(
            command("sh")
                .arg(bench.repo.root.join("packaging/strongswan/apply.sh"))
                .arg(&release)
                .arg(&tree),
            &dir.join("apply.log"),
        )
    })];
    checks.push(check("./configure --enable-kernel-fastswan && make builds the plugin", || {
        logged(
            command("sh")
                .args(["-ec"])
                .arg(
                    "autoreconf -i && ./configure --quiet --disable-defaults --disable-gmp --enable-kernel-fastswan \
                     --enable-kernel-netlink --enable-charon --enable-ikev2 --enable-nonce --enable-random \
                     --enable-openssl=no && make -s -C src/libstrongswan libstrongswan.la && \
                     make -s -C src/libcharon/plugins/kernel_fastswan",
                )
                .current_dir(&tree),
            &dir.join("build.log"),
        )?;
        let plugin = tree.join(
            "src/libcharon/plugins/kernel_fastswan/.libs/libstrongswan-kernel-fastswan.so",
        );
        let symbols = output(command("nm").args(["-D", "--defined-only"]).arg(&plugin))?;
        says(&symbols, "kernel_fastswan_plugin_create")?;
        says(&symbols, "kernel_fastswan_plugin_version")
    }));
    checks.push(check(
        "it is off by default, and the list of plugins has it before kernel-netlink",
        || {
            let configure =
                fs::read_to_string(tree.join("configure.ac")).context("no configure.ac")?;
            let ours = configure
                .find("ADD_PLUGIN([kernel-fastswan]")
                .context("not in the list of plugins")?;
            let theirs = configure
                .find("ADD_PLUGIN([kernel-netlink]")
                .context("no kernel-netlink in the list")?;
            ensure!(ours < theirs, "it comes after kernel-netlink");
            says(&configure, "ARG_ENABL_SET([kernel-fastswan]")
        },
    ));
    Ok(checks)
}

/// OpenWrt's entry: its form is checked here, a build needs OpenWrt's own tree.
pub(super) fn openwrt(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let folder = bench.repo.root.join("packaging/openwrt");
    Ok(vec![
        check(
            "the entry names the plugin as every other one of strongSwan",
            || {
                let text = read(&folder.join("strongswan-mod-kernel-fastswan.mk"))?;
                says(&text, "BuildPlugin,kernel-fastswan")?;
                says(&text, "--enable-kernel-fastswan")
            },
        ),
        check("built in OpenWrt's tree", || {
            Err(NotTried("OpenWrt's tree and toolchain are not at hand".to_owned()).into())
        }),
    ])
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// arm64, with the cross compiler and the standard library of the release.
pub(super) fn cross(bench: &Bench<'_>) -> Result<Vec<Check>> {
    let root = ensure_root(bench.cache, Kind::Cross, Release::Trixie)?;
    let clean = Clean::new(&root, &bench.dir.join("cross"))?;
    fs::copy(bench.tarball()?, clean.share().join("release.tar.xz"))
        .context("cannot copy the tarball")?;
    autotools::headers(bench, &newest(bench)?, &clean.share().join("headers"))?;
    let version = &bench.version;
    Ok(vec![
        check("./configure --host=aarch64-linux-gnu && make", || {
            let text = clean.run(
                "cross",
                &format!(
                    "mkdir -p /src /build /cargo && cd /src && tar -xf /mnt/release.tar.xz && cd /build\n\
                     export CARGO_HOME=/cargo\n\
                     /src/kernel-fastswan-{version}/configure --host=aarch64-linux-gnu --with-strongswan-headers=/mnt/headers\n\
                     make && make check && make install DESTDIR=/tmp/d && file libstrongswan-kernel-fastswan.so fastswanctl"
                ),
            )?;
            let foreign = text
                .lines()
                .filter(|line| line.contains("ELF 64-bit") && line.contains("ARM aarch64"))
                .count();
            ensure!(foreign == 2, "not two files for arm64:\n{text}");
            Ok(())
        }),
        check("built for musl", || {
            Err(NotTried("Debian packages no Rust standard library for musl".to_owned()).into())
        }),
    ])
}
