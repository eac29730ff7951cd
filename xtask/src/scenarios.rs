// SPDX-License-Identifier: GPL-2.0-or-later
//! What scenarios say of themselves.
//!
//! Owns the reading of `description.txt` and of the known durations, and which guest a scenario runs in. lab, compare
//! and test ask it. It must not run anything, and it judges nothing by a scenario's name.
//!
//! The first block of a description holds the topology and, one a line, what the tools must know: `set: parity` (which
//! page it belongs to; base if absent), `needs: 6.0.2` (the least strongSwan), `kernel: 7.3` (only that series),
//! `plugin: kernel-fastswan` (it makes sense with that plugin only). The second block says what is shown; its first
//! sentence is what tables print.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{cache::fingerprint, kernels::Series, lab::Plugin, roots::Release, setup::Repo};

/// Seconds of a scenario that nobody has measured yet.
const UNKNOWN: u64 = 60;

/// The set of scenarios that have not been seen to pass with both plugins yet: they run by name or set, and
/// `cargo xtask test` lists them instead of running them.
pub(crate) const CANDIDATE: &str = "candidate";

/// One scenario of tests/lab/scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// Its folder's name.
    pub(crate) name: String,
    /// The set (and so the page) it belongs to.
    pub(crate) set: String,
    /// The least strongSwan it makes sense with.
    pub(crate) needs: Option<Version>,
    /// The only kernel series it can run on.
    pub(crate) kernel: Option<Series>,
    /// The only plugin it makes sense with.
    pub(crate) plugin: Option<Plugin>,
    /// What is shown, in one sentence.
    pub(crate) shows: String,
    /// How long it takes on the machine the project is developed on.
    pub(crate) seconds: u64,
}

/// A version of strongSwan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    /// Reads `6.0.2`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl Scenario {
    /// Reads the text of a description.
    fn parse(name: &str, text: &str, seconds: u64) -> Result<Self> {
        let mut scenario = Self {
            name: name.to_owned(),
            set: "base".to_owned(),
            needs: None,
            kernel: None,
            plugin: None,
            shows: String::new(),
            seconds,
        };
        let (head, body) = text
            .split_once("\n\n")
            .with_context(|| format!("the description of {name} has no second block"))?;
        for line in head.lines() {
            let Some((key, value)) = line.split_once(": ") else {
                continue;
            };
            let value = value.trim();
            let wrong = || format!("the description of {name} says '{line}'");
            match key {
                "set" => scenario.set = value.to_owned(),
                "needs" => {
                    scenario.needs = Some(Version::parse(value).with_context(wrong)?);
                }
                "kernel" => scenario.kernel = Some(value_of(value).with_context(wrong)?),
                "plugin" => scenario.plugin = Some(value_of(value).with_context(wrong)?),
                _ => {}
            }
        }
        scenario.shows = first_sentence(body);
        if scenario.shows.is_empty() {
            bail!("the description of {name} does not say what is shown");
        }
        Ok(scenario)
    }

    /// Whether it makes sense in that guest with that plugin.
    pub(crate) fn fits(&self, series: Series, plugin: Plugin, release: Release) -> bool {
        self.needs
            .is_none_or(|least| Version::parse(release.strongswan()).is_some_and(|v| v >= least))
            && self.kernel.is_none_or(|only| only == series)
            && self.plugin.is_none_or(|only| only == plugin)
    }

    /// The guest it runs in unless another is asked for: the oldest strongSwan that has what it needs.
    pub(crate) fn release(&self) -> Release {
        if self.fits_release(Release::Trixie) {
            Release::Trixie
        } else {
            Release::Sid
        }
    }

    fn fits_release(&self, release: Release) -> bool {
        self.fits(
            self.kernel.unwrap_or(Series::New),
            self.plugin.unwrap_or(Plugin::KernelFastswan),
            release,
        )
    }
}

fn value_of<T: ValueEnum>(text: &str) -> Option<T> {
    T::from_str(text, false).ok()
}

/// The text up to the first full stop that ends a sentence, on one line.
fn first_sentence(text: &str) -> String {
    let block = text.trim_start().split("\n\n").next().unwrap_or_default();
    let line = block.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.find(". ") {
        Some(end) => line[..=end].to_owned(),
        None => line,
    }
}

fn folder(repo: &Repo) -> PathBuf {
    repo.root.join("tests/lab/scenarios")
}

/// All scenarios of the repository, by name.
pub(crate) fn all(repo: &Repo) -> Result<Vec<Scenario>> {
    let known = durations(repo)?;
    let folder = folder(repo);
    let mut found = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if !path.join("run.sh").exists() {
            continue;
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = path.join("description.txt");
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let seconds = known.get(&name).copied().unwrap_or(UNKNOWN);
        found.push(Scenario::parse(&name, &text, seconds)?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The scenarios of these names, or of this set, or all.
pub(crate) fn select(repo: &Repo, names: &[String], set: Option<&str>) -> Result<Vec<Scenario>> {
    let known = all(repo)?;
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.iter().any(|k| k.name == **name))
    {
        let known: Vec<&str> = known.iter().map(|k| k.name.as_str()).collect();
        bail!(
            "there is no scenario {unknown}; known are: {}",
            known.join(" ")
        );
    }
    if let Some(set) = set
        && !known.iter().any(|scenario| scenario.set == set)
    {
        bail!("no scenario belongs to the set {set}");
    }
    Ok(known
        .into_iter()
        .filter(|scenario| names.is_empty() || names.contains(&scenario.name))
        .filter(|scenario| set.is_none_or(|set| scenario.set == set))
        .collect())
}

/// tests/lab/seconds: a name and its seconds per line.
fn durations(repo: &Repo) -> Result<HashMap<String, u64>> {
    let file = repo.root.join("tests/lab/seconds");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, seconds) = line.split_once(' ')?;
            Some((name.to_owned(), seconds.trim().parse().ok()?))
        })
        .collect())
}

/// What a result of this scenario depends on besides plugin, kernel and strongSwan: its own files, the lab's, and the
/// virtual NIC's.
pub(crate) fn tests_key(repo: &Repo, name: &str) -> Result<String> {
    let mut files = Vec::new();
    for part in ["lib", "common", "guest"] {
        collect(&repo.root.join("tests/lab").join(part), &mut files)?;
    }
    for file in ["runner.sh", "lib.sh"] {
        files.push(repo.root.join("tests/lab").join(file));
    }
    collect(&repo.root.join("tests/vnic"), &mut files)?;
    collect(&folder(repo).join(name), &mut files)?;
    files.sort();
    let mut content = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        content.push((
            file.strip_prefix(&repo.root).unwrap_or(&file).to_owned(),
            bytes,
        ));
    }
    Ok(fingerprint(content))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Scenario, Version};
    use crate::{kernels::Series, lab::Plugin, roots::Release};

    #[test]
    fn a_description_says_where_it_belongs() {
        let text = "   alice [10.1.0.10]----moon\nset: parity\nneeds: 6.0.2\nkernel: 7.3\n\n\
                    SAs of one CPU each. The first\npacket uses the fallback.\n";
        let scenario = Scenario::parse("per-cpu", text, 9).expect("it is well formed");
        assert_eq!(scenario.set, "parity");
        assert_eq!(scenario.needs, Version::parse("6.0.2"));
        assert_eq!(scenario.shows, "SAs of one CPU each.");
        assert_eq!(scenario.release(), Release::Sid);
        assert!(scenario.fits(Series::New, Plugin::KernelNetlink, Release::Sid));
        assert!(!scenario.fits(Series::New, Plugin::KernelNetlink, Release::Trixie));
        assert!(!scenario.fits(Series::Stable, Plugin::KernelNetlink, Release::Sid));
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let scenario =
            Scenario::parse("plain", "   a [1]--b\n\nOne line: with a colon\n", 1).expect("fine");
        assert_eq!(scenario.set, "base");
        assert_eq!(scenario.release(), Release::Trixie);
        assert_eq!(scenario.shows, "One line: with a colon");
    }

    #[test]
    fn a_wrong_word_is_refused() {
        for wrong in ["needs: six", "plugin: other", "kernel: 5.4"] {
            let text = format!("   a--b\n{wrong}\n\nText.\n");
            let error = Scenario::parse("x", &text, 1).expect_err("it is wrong");
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert!(Scenario::parse("x", "no second block", 1).is_err());
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(Version::parse("6.10.0") > Version::parse("6.9.9"));
        assert_eq!(Version::parse("6.1"), None);
        assert_eq!(Version::parse("6.1.0.1"), None);
    }
}
