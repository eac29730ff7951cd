// SPDX-License-Identifier: GPL-2.0-or-later
//! strongSwan's sources, whose headers the plugin's C side is compiled against.
//!
//! Owns finding, downloading and unpacking the distribution's source packages and writing the few lines of
//! config.h that the headers ask for. dist calls it. It must not build strongSwan: a plugin needs headers only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    archive::Archive,
    cache::Cache,
    run::{command, logged, output},
    say,
};

/// A suite that strongSwan is taken from, and the upstream version known there.
#[derive(Clone, Copy, Debug)]
struct Supported {
    suite: &'static str,
    upstream: &'static str,
}

/// What the project promises to build for. A version is added here after its structures were compared.
const SUPPORTED: &[Supported] = &[
    Supported {
        suite: "trixie-security",
        upstream: "6.0.1",
    },
    Supported {
        suite: "sid",
        upstream: "6.1.0",
    },
];

/// An unpacked source tree.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Upstream version, e.g. `6.0.1`.
    pub(crate) version: String,
    /// The unpacked tree.
    pub(crate) dir: PathBuf,
    /// The config.h to compile with.
    pub(crate) config: PathBuf,
}

/// Every supported source tree the cache already has, or nothing if one is missing.
pub(crate) fn cached(cache: &Cache) -> Option<Vec<Source>> {
    SUPPORTED
        .iter()
        .map(|wanted| {
            cache
                .key_of(&entry(wanted.upstream))
                .map(|_| in_cache(cache, wanted.upstream))
        })
        .collect()
}

/// Downloads and unpacks what is missing. The caller holds the cache's lock.
pub(crate) fn ensure(cache: &Cache, archive: &Archive, refresh: bool) -> Result<Vec<Source>> {
    SUPPORTED
        .iter()
        .map(|wanted| ensure_one(cache, archive, *wanted, refresh))
        .collect()
}

fn ensure_one(
    cache: &Cache,
    archive: &Archive,
    wanted: Supported,
    refresh: bool,
) -> Result<Source> {
    let entry = entry(wanted.upstream);
    let have = cache.key_of(&entry);
    if have.is_some() && !refresh {
        return Ok(in_cache(cache, wanted.upstream));
    }
    let offered = offered(archive)?;
    let Some(debian) = offered
        .iter()
        .find(|version| upstream(version) == wanted.upstream)
    else {
        if let Some(have) = have {
            say::step(format_args!(
                "strongSwan: {} no longer holds {} (it offers {}), using {have} from the cache",
                wanted.suite,
                wanted.upstream,
                offered.join(", ")
            ));
            return Ok(in_cache(cache, wanted.upstream));
        }
        bail!(
            "unknown strongSwan version: {} should hold {}, the suites offer {}. Its structures must be compared \
             with the known ones before it is added to xtask/src/sources.rs; to build for a tree you have: \
             cargo xtask dist --strongswan-src DIR",
            wanted.suite,
            wanted.upstream,
            offered.join(", ")
        );
    };
    if have.as_ref() == Some(debian) {
        return Ok(in_cache(cache, wanted.upstream));
    }
    say::step(format_args!(
        "strongSwan: downloading and unpacking the sources of {debian} ({})",
        wanted.suite
    ));
    let part = cache.scratch(&entry)?;
    let work = part.with_extension("work");
    crate::cache::remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    // apt checks the files against the signed list, dpkg-source applies the distribution's patches.
    logged(
        archive
            .apt(
                "apt-get",
                &["source", "--only-source", &format!("strongswan={debian}")],
            )
            .current_dir(&work),
        &cache.log(&format!("strongswan-{}", wanted.upstream)),
    )?;
    let unpacked = work.join(format!("strongswan-{}", wanted.upstream));
    fs::rename(&unpacked, &part)
        .with_context(|| format!("the package unpacked to no {}", unpacked.display()))?;
    crate::cache::remove(&work)?;
    fs::write(part.join("config.h"), config(wanted.upstream)).context("cannot write config.h")?;
    cache.commit(&entry, debian)?;
    Ok(in_cache(cache, wanted.upstream))
}

/// A tree the developer names. A config.h of its own is used; otherwise one is written to `scratch`, never into it.
pub(crate) fn foreign(dir: &Path, scratch: &Path) -> Result<Source> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("no strongSwan source in {}", dir.display()))?;
    let file = dir.join("configure.ac");
    let text = fs::read_to_string(&file).with_context(|| {
        format!(
            "{} is no strongSwan source tree: cannot read {}",
            dir.display(),
            file.display()
        )
    })?;
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("AC_INIT([strongSwan],["))
        .and_then(|rest| rest.split(']').next())
        .with_context(|| format!("{} names no strongSwan version (AC_INIT)", file.display()))?
        .to_owned();
    let own = dir.join("config.h");
    let config_path = if own.exists() {
        own
    } else {
        let path = scratch.join(format!("config-{version}/config.h"));
        crate::cache::write_whole(&path, config(&version))?;
        path
    };
    Ok(Source {
        version,
        dir,
        config: config_path,
    })
}

fn entry(upstream: &str) -> String {
    format!("strongswan/{upstream}")
}

fn in_cache(cache: &Cache, upstream: &str) -> Source {
    let dir = cache.path(&entry(upstream));
    Source {
        version: upstream.to_owned(),
        config: dir.join("config.h"),
        dir,
    }
}

/// Debian versions of strongSwan's source package in the suites we read, newest first.
fn offered(archive: &Archive) -> Result<Vec<String>> {
    let text = output(&mut archive.apt("apt-cache", &["showsrc", "--only-source", "strongswan"]))?;
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Version: "))
        .map(str::to_owned)
        .collect();
    // dpkg knows how Debian versions compare.
    let newer = |a: &str, b: &str| {
        command("dpkg")
            .args(["--compare-versions", a, "gt", b])
            .status()
    };
    let mut failed = None;
    found.sort_by(|a, b| match newer(a, b) {
        Ok(status) if status.success() => std::cmp::Ordering::Less,
        Ok(_) if a == b => std::cmp::Ordering::Equal,
        Ok(_) => std::cmp::Ordering::Greater,
        Err(error) => {
            failed = Some(error);
            std::cmp::Ordering::Equal
        }
    });
    found.dedup();
    failed.map_or(Ok(found), |error| {
        Err(error).context("cannot start dpkg to compare versions")
    })
}

/// `6.0.1` of `6.0.1-6+deb13u7`.
fn upstream(debian: &str) -> &str {
    let no_epoch = debian.split_once(':').map_or(debian, |(_, rest)| rest);
    no_epoch
        .rsplit_once('-')
        .map_or(no_epoch, |(version, _)| version)
}

/// What the headers need of config.h outside strongSwan's own build, with the options of Debian's package that
/// change a structure (mediation).
fn config(version: &str) -> String {
    format!(
        "/* SPDX-License-Identifier: GPL-2.0-or-later\n \
         * Written by kernel-fastswan's xtask: only what strongSwan's headers need outside its own build. */\n\
         #ifndef CONFIG_H_INCLUDED\n#define CONFIG_H_INCLUDED\n\
         #define VERSION \"{version}\"\n#define PACKAGE_VERSION \"{version}\"\n\
         #define ME 1\n#define HAVE_STDBOOL_H 1\n#define HAVE_SIGWAITINFO 1\n#define HAVE_PRINTF_SPECIFIER 1\n\
         #ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n#endif\n"
    )
}
