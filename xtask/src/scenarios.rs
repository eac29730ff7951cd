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
    collections::{HashMap, HashSet},
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

/// Where the scenarios are, one folder each.
pub(crate) const FOLDER: &str = "tests/lab/scenarios";

/// What runs every scenario and builds its topology.
pub(crate) const RUNS: [&str; 5] = [
    "tests/lab/runner.sh",
    "tests/lab/lib.sh",
    "tests/lab/lib",
    "tests/lab/common",
    "tests/lab/guest",
];

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
    /// Too long for every run: `cargo xtask test --full` runs it (`tier: full`), and the short one names it.
    pub(crate) only_full: bool,
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
            only_full: false,
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
                "tier" if value == "full" => scenario.only_full = true,
                "tier" => bail!(wrong()),
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
    repo.root.join(FOLDER)
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

/// What a result of this scenario depends on besides plugin, kernel and strongSwan: its own files, what it uses of the
/// lab's, and the virtual NIC's. The line `set:` says to which page it belongs, which changes no result.
pub(crate) fn tests_key(repo: &Repo, name: &str) -> Result<String> {
    let lab = repo.root.join("tests/lab");
    let mut files = Vec::new();
    for part in [
        folder(repo).join(name),
        lab.join("common"),
        lab.join("guest"),
    ] {
        collect(&part, &mut files)?;
    }
    files.extend([lab.join("runner.sh"), lab.join("lib.sh")]);
    let mut parts = Vec::new();
    collect(&lab.join("lib"), &mut parts)?;
    let mut content = read_all(repo, files)?;
    content.extend(used(&content, read_all(repo, parts)?));
    files = Vec::new();
    collect(&repo.root.join("tests/vnic"), &mut files)?;
    content.extend(read_all(repo, files)?);
    content.sort();
    Ok(fingerprint(content))
}

/// A file's path in the repository and what it says.
type Content = (PathBuf, Vec<u8>);

fn read_all(repo: &Repo, files: Vec<PathBuf>) -> Result<Vec<Content>> {
    let read = |file: PathBuf| {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let bytes = without_places(&file, bytes);
        Ok((
            file.strip_prefix(&repo.root).unwrap_or(&file).to_owned(),
            bytes,
        ))
    };
    files.into_iter().map(read).collect()
}

/// Without the lines that change no result: to which set a scenario belongs, and which parts of the library there are.
fn without_places(file: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let prefix: &[u8] = match file.file_name().and_then(|name| name.to_str()) {
        Some("description.txt") => b"set: ",
        Some("lib.sh") => b". \"$LAB/lib/",
        _ => return bytes,
    };
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(prefix))
        .flatten()
        .copied()
        .collect()
}

/// The parts of the library that `texts` use, and the parts those use: a part of which neither its name nor the name of
/// a function or variable occurs anywhere is not used.
fn used(texts: &[Content], mut parts: Vec<Content>) -> Vec<Content> {
    let mut words: HashSet<Vec<u8>> = texts.iter().flat_map(|(_, text)| all_words(text)).collect();
    let mut found = Vec::new();
    loop {
        let (now, later): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(file, text)| {
            // A shell script names a file, Python's import a module.
            [file.file_name(), file.file_stem()]
                .into_iter()
                .flatten()
                .any(|name| words.contains(name.as_encoded_bytes()))
                || defined(text).any(|name| words.contains(name))
        });
        if now.is_empty() {
            return found;
        }
        words.extend(now.iter().flat_map(|(_, text)| all_words(text)));
        found.extend(now);
        parts = later;
    }
}

fn all_words(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')))
        .map(<[u8]>::to_owned)
}

/// The names of functions and variables that a shell file defines.
fn defined(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let end = line
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))?;
        let (name, rest) = line.split_at(end);
        (!name.is_empty() && (rest.starts_with(b"()") || rest.starts_with(b"="))).then_some(name)
    })
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
    use std::path::{Path, PathBuf};

    use super::{Scenario, Version, used, without_places};
    use crate::{kernels::Series, lab::Plugin, roots::Release};

    #[test]
    fn a_description_says_where_it_belongs() {
        let text = "   alice [10.1.0.10]----moon\nset: parity\nneeds: 6.0.2\nkernel: 7.3\ntier: full\n\n\
                    SAs of one CPU each. The first\npacket uses the fallback.\n";
        let scenario = Scenario::parse("per-cpu", text, 9).expect("it is well formed");
        assert_eq!(scenario.set, "parity");
        assert!(scenario.only_full);
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
        assert!(!scenario.only_full);
        assert_eq!(scenario.release(), Release::Trixie);
        assert_eq!(scenario.shows, "One line: with a colon");
    }

    #[test]
    fn a_wrong_word_is_refused() {
        for wrong in ["needs: six", "plugin: other", "kernel: 5.4", "tier: some"] {
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

    #[test]
    fn a_part_that_nothing_names_is_not_used() {
        let texts = [(PathBuf::from("run.sh"), b"on moon ping; agree x".to_vec())];
        let part = |name: &str, text: &str| (PathBuf::from(name), text.as_bytes().to_vec());
        let found = used(
            &texts,
            vec![
                part("lib/gate.sh", "gate_open() { on moon x; }\nGATES=1\n"),
                part("lib/offload.sh", "agree() { python3 lib/compare.py; }\n"),
                part("lib/compare.py", "from vici import Vici\n"),
                part("lib/vici.py", "import socket\n"),
                part("lib/topology.sh", "HOSTS=\non() { :; }\n"),
            ],
        );
        let names: Vec<_> = found
            .iter()
            .map(|(file, _)| file.display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "lib/offload.sh",
                "lib/topology.sh",
                "lib/compare.py",
                "lib/vici.py"
            ]
        );
    }

    #[test]
    fn a_set_makes_no_other_result() {
        let text = |set: &str| format!("   a--b\n{set}kernel: 7.3\n\nText.\n").into_bytes();
        let of = |file: &str, set: &str| without_places(Path::new(file), text(set));
        assert_eq!(
            of("x/description.txt", "set: parity\n"),
            of("x/description.txt", "")
        );
        assert_ne!(of("x/run.sh", "set: parity\n"), of("x/run.sh", ""));
    }
}
