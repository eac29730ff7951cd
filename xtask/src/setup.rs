// SPDX-License-Identifier: GPL-2.0-or-later
//! Brings the machine and the cache to where a command can work.
//!
//! Owns the order of the rooms: host packages, archive, then kernels, roots and sources beside each other. Every
//! command begins here. It must not do the work of a room, and it must take no lock and no time when all is there.

use std::{env, path::PathBuf, thread};

use anyhow::{Result, anyhow, bail};

use crate::{
    archive::Archive,
    cache::Cache,
    host::{self, Part},
    kernels::{self, Kernel, Series},
    roots::{self, Guest, Release},
    sources::{self, Source},
};

/// The repository and where its results go.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Repo {
    /// The checkout this xtask was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let Some(root) = manifest.parent().map(std::path::Path::to_path_buf) else {
            bail!(
                "{} has no parent folder: start it with cargo xtask",
                manifest.display()
            );
        };
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = if target.is_absolute() {
            target
        } else {
            root.join(target)
        };
        Ok(Self { root, target })
    }
}

/// Everything the lab needs.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) cache: Cache,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) guest: Guest,
    pub(crate) builder: PathBuf,
}

impl Lab {
    /// The kernel of a series.
    pub(crate) fn kernel(&self, series: Series) -> Result<&Kernel> {
        self.kernels
            .iter()
            .find(|kernel| kernel.series == series)
            .ok_or_else(|| anyhow!("kernel {series} was not set up"))
    }
}

fn cached_lab(cache: &Cache) -> Option<Lab> {
    let kernels = Series::ALL
        .into_iter()
        .map(|series| kernels::cached(cache, series))
        .collect::<Option<Vec<_>>>()?;
    let guest = roots::cached_guest(cache, &kernels, Release::Trixie)?;
    let builder = roots::cached_builder(cache, &kernels)?;
    Some(Lab {
        cache: cache.clone(),
        kernels,
        guest,
        builder,
    })
}

/// Kernels and roots, from the cache if they are there.
pub(crate) fn lab(cache: &Cache) -> Result<Lab> {
    host::ensure(cache, &[Part::Archive, Part::Vm])?;
    if let Some(lab) = cached_lab(cache) {
        return Ok(lab);
    }
    all(cache, false).map(|(lab, _)| lab)
}

/// The root of another release, made when it is first asked for.
pub(crate) fn guest(cache: &Cache, lab: &Lab, from: Release) -> Result<Guest> {
    if from == Release::Trixie {
        return Ok(lab.guest.clone());
    }
    if let Some(found) = roots::cached_guest(cache, &lab.kernels, from) {
        return Ok(found);
    }
    let _lock = cache.lock()?;
    let archive = Archive::open(cache, false)?;
    roots::ensure_guest(cache, &archive, &lab.kernels, from, false)
}

/// strongSwan's sources, from the cache if they are there.
pub(crate) fn strongswan(cache: &Cache) -> Result<Vec<Source>> {
    host::ensure(cache, &[Part::Archive, Part::Build])?;
    if let Some(found) = sources::cached(cache) {
        return Ok(found);
    }
    let _lock = cache.lock()?;
    let archive = Archive::open(cache, false)?;
    sources::ensure(cache, &archive, false)
}

/// All of it; with `refresh` the suites are asked again and what changed is made anew.
pub(crate) fn all(cache: &Cache, refresh: bool) -> Result<(Lab, Vec<Source>)> {
    host::ensure(cache, &[Part::Archive, Part::Vm, Part::Build])?;
    if !host::is_root() {
        bail!("only root can make the roots of the lab (mmdebstrap, chroot)");
    }
    let _lock = cache.lock()?;
    if !refresh && let (Some(lab), Some(sources)) = (cached_lab(cache), sources::cached(cache)) {
        return Ok((lab, sources));
    }
    let archive = Archive::open(cache, refresh)?;
    // apt's downloads share one configuration and its lock, so kernels and sources take turns; the roots have an
    // apt of their own each.
    let kernels = Series::ALL
        .into_iter()
        .map(|series| kernels::ensure(cache, &archive, series, refresh))
        .collect::<Result<Vec<_>>>()?;
    let (guest, builder, sources) = thread::scope(|scope| {
        let builder = scope.spawn(|| roots::ensure_builder(cache, &archive, &kernels, refresh));
        let guest = scope
            .spawn(|| roots::ensure_guest(cache, &archive, &kernels, Release::Trixie, refresh));
        let sources = sources::ensure(cache, &archive, refresh);
        (guest.join(), builder.join(), sources)
    });
    let panicked = |_| anyhow!("a step of the setup panicked");
    let guest = guest.map_err(panicked)??;
    let builder = builder.map_err(panicked)??;
    Ok((
        Lab {
            cache: cache.clone(),
            kernels,
            guest,
            builder,
        },
        sources?,
    ))
}
