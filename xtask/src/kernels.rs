// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian cloud kernels the lab boots.
//!
//! Owns finding which versions the suites hold now, downloading image, modules and headers, and keeping the choice
//! until it is refreshed. roots, vnic and vm call it. It must not contain a version beyond the series the project
//! promises (7.3 of trixie-backports, 6.12 of trixie).

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    archive::Archive,
    cache::{Cache, write_whole},
    run::{command, logged, output},
    say,
};

/// A series the project supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// Linux 7.3 of trixie-backports.
    #[value(name = "7.3")]
    New,
    /// Linux 6.12 of trixie.
    #[value(name = "6.12")]
    Stable,
}

impl Series {
    /// Both, the one the project is made for first.
    pub(crate) const ALL: [Self; 2] = [Self::New, Self::Stable];

    fn prefix(self) -> &'static str {
        match self {
            Self::New => "7.3",
            Self::Stable => "6.12",
        }
    }

    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::New => &["trixie-backports"],
            Self::Stable => &["trixie", "trixie-security"],
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix())
    }
}

/// One kernel in the cache: its packages are unpacked under `dir`.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) series: Series,
    /// What `uname -r` will say.
    pub(crate) release: String,
    dir: PathBuf,
}

impl Kernel {
    /// Folder with image and modules as their packages lay them out.
    pub(crate) fn image_tree(&self) -> PathBuf {
        self.dir.join("image")
    }

    /// Folder with headers, kbuild and what belongs to them.
    pub(crate) fn headers_tree(&self) -> PathBuf {
        self.dir.join("headers")
    }

    /// The bootable image; newer packages keep it beside the modules.
    pub(crate) fn vmlinuz(&self) -> Result<PathBuf> {
        let candidates = [
            self.image_tree()
                .join(format!("boot/vmlinuz-{}", self.release)),
            self.image_tree()
                .join(format!("usr/lib/modules/{}/vmlinuz", self.release)),
            self.image_tree()
                .join(format!("lib/modules/{}/vmlinuz", self.release)),
        ];
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => Ok(path.clone()),
            None => bail!(
                "the packages of {} hold no vmlinuz (looked for {candidates:?})",
                self.release
            ),
        }
    }

    /// `lib/modules/<release>` inside `tree`, with or without the leading `usr`.
    pub(crate) fn modules_in(&self, tree: &Path) -> Result<PathBuf> {
        [tree.join("usr/lib/modules"), tree.join("lib/modules")]
            .map(|base| base.join(&self.release))
            .into_iter()
            .find(|path| path.exists())
            .with_context(|| format!("no modules of {} under {}", self.release, tree.display()))
    }
}

/// The kernel of `series`, if the cache already has a choice.
pub(crate) fn cached(cache: &Cache, series: Series) -> Option<Kernel> {
    let release = fs::read_to_string(choice(cache, series))
        .ok()?
        .trim()
        .to_owned();
    let entry = format!("kernels/{release}");
    cache.key_of(&entry)?;
    Some(Kernel {
        series,
        dir: cache.path(&entry),
        release,
    })
}

/// Finds, downloads and unpacks the kernel of `series`. The caller holds the cache's lock.
pub(crate) fn ensure(
    cache: &Cache,
    archive: &Archive,
    series: Series,
    refresh: bool,
) -> Result<Kernel> {
    if !refresh && let Some(kernel) = cached(cache, series) {
        return Ok(kernel);
    }
    let release = find(archive, series)?;
    let entry = format!("kernels/{release}");
    let kernel = Kernel {
        series,
        dir: cache.path(&entry),
        release: release.clone(),
    };
    if cache.key_of(&entry).is_none() {
        say::step(format_args!(
            "kernel {series}: downloading image, modules and headers of {release}"
        ));
        let part = cache.scratch(&entry)?;
        fetch(cache, archive, &release, &part)?;
        cache.commit(&entry, &release)?;
    }
    write_whole(&choice(cache, series), format!("{release}\n"))?;
    Ok(kernel)
}

fn choice(cache: &Cache, series: Series) -> PathBuf {
    cache.path(&format!("kernels/choice-{series}"))
}

/// The newest release of the series in its suites, e.g. `7.3.4+deb13-cloud-amd64`.
fn find(archive: &Archive, series: Series) -> Result<String> {
    const META: &str = "linux-image-cloud-amd64";
    let versions = archive.versions(META)?;
    let wanted = versions
        .iter()
        .find(|(version, suite)| {
            series.suites().contains(&suite.as_str())
                && version.starts_with(&format!("{}.", series.prefix()))
        })
        .map(|(version, _)| version);
    let Some(version) = wanted else {
        bail!(
            "no kernel {series} in {:?} any more: {META} is there as {versions:?}. \
             The series the lab boots must be changed in xtask/src/kernels.rs",
            series.suites()
        );
    };
    let shown = output(&mut archive.apt("apt-cache", &["show", &format!("{META}={version}")]))?;
    let release = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))
        .and_then(|depends| {
            depends
                .split([',', '|'])
                .find_map(|word| word.split_whitespace().next()?.strip_prefix("linux-image-"))
        })
        .with_context(|| format!("{META} {version} depends on no linux-image package"))?;
    Ok(release.to_owned())
}

/// Downloads every package of `release` and unpacks them into `part/image` and `part/headers`.
fn fetch(cache: &Cache, archive: &Archive, release: &str, part: &Path) -> Result<()> {
    let abi = release.split("-cloud").next().unwrap_or(release);
    let roots = [
        format!("linux-image-{release}"),
        format!("linux-headers-{release}"),
    ];
    let mut query = archive.apt(
        "apt-cache",
        &[
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
        ],
    );
    query.args(&roots);
    let mut packages: Vec<String> = output(&mut query)?
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches('|')
                .trim_start_matches("Depends: ")
                .to_owned()
        })
        .filter(|name| name.starts_with("linux-") && name.contains(abi))
        .filter(|name| !name.ends_with("-unsigned") && !name.ends_with("-dbg"))
        .collect();
    packages.sort();
    packages.dedup();
    let debs = part.join("debs");
    archive.download(&packages, &debs, &format!("kernel-{release}"))?;
    for entry in fs::read_dir(&debs).with_context(|| format!("cannot read {}", debs.display()))? {
        let deb = entry?.path();
        let name = deb
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let development = ["linux-headers-", "linux-kbuild-"]
            .iter()
            .any(|start| name.starts_with(start));
        // linux-base carries module lists: the image needs them for depmod, kbuild for its configuration.
        let shared = name.starts_with("linux-base-");
        for (wanted, folder) in [
            (!development || shared, "image"),
            (development || shared, "headers"),
        ] {
            if wanted {
                logged(
                    command("dpkg-deb")
                        .arg("-x")
                        .arg(&deb)
                        .arg(part.join(folder)),
                    &cache.log("kernel-unpack"),
                )?;
            }
        }
    }
    fs::remove_dir_all(&debs).with_context(|| format!("cannot remove {}", debs.display()))
}
