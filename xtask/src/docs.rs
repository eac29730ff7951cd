// SPDX-License-Identifier: GPL-2.0-or-later
//! Pages of results under docs/: written by a run, and known to be of the code that is there.
//!
//! Owns the list of pages, their head, and the rule that a page holds as long as the paths it vouches for are what
//! they were. Called by main and test. What a page says comes from the rooms that ran it; nothing is typed in here.

use std::{env, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cache::{Cache, write_whole},
    objects::{self, Part},
    run::{command, output},
    say, scenarios,
    setup::Repo,
};

/// Makes the text of a page, of the part of that name if there is one, and says whether everything in it passed.
type Writer = fn(&Repo, &Cache, Option<&str>) -> Result<(String, bool)>;

/// A page of results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// What it is called on the command line, and the set of scenarios it shows.
    name: &'static str,
    title: &'static str,
    /// Besides what every page depends on, files and folders whose change makes it stale.
    also: &'static [&'static str],
    /// Runs what is reported (of it, only what contains the text), and returns the page's sections and whether all held.
    write: Writer,
}

/// Every page; one that was not written yet is no failure.
const PAGES: &[Page] = &[
    Page {
        name: "parity",
        title: "Parity with kernel-netlink",
        also: &[
            "tests/parity",
            "xtask/src/harness.rs",
            "xtask/src/parity.rs",
            "xtask/src/parity",
        ],
        write: crate::parity::page,
    },
    Page {
        name: "offload",
        title: "Offload: both plugins on the same NIC",
        also: &[],
        write: crate::compare::offload_page,
    },
    Page {
        name: "security",
        title: "Security: who can send what, and what the gate is for",
        also: &["xtask/src/leaks.rs", "xtask/src/leaks"],
        write: crate::leaks::page,
    },
];

/// What of the plugin's code no page reports: the tool is not in the plugin, and the socket only tells of it. Sets of
/// scenarios about these two (ctl) have no page.
const NOT_SHOWN: &[&str] = &["src/bin", "src/status"];

/// How a line begins that names a path and what it was.
const VOUCHES: &str = "<!-- vouches for ";

impl Page {
    /// What the page depends on. The rule: what the plugin is built from, without what no page reports; the virtual
    /// NIC; of the lab what runs a scenario and builds its topology; the scenarios of the page's own set, each by itself,
    /// so that those of another set change nothing and one more or less does.
    fn vouches(&self, scenarios: &[String]) -> Vec<Part> {
        let mut parts: Vec<Part> = objects::product()
            .into_iter()
            .map(|part| {
                if part == Part::all("src") {
                    Part::without("src", NOT_SHOWN)
                } else {
                    part
                }
            })
            .collect();
        parts.extend(self.also.iter().map(|path| Part::all(*path)));
        parts.push(Part::all("tests/vnic"));
        parts.extend(scenarios::RUNS.iter().map(|path| Part::all(*path)));
        parts.extend(
            scenarios
                .iter()
                .map(|name| Part::all(format!("{}/{name}", scenarios::FOLDER))),
        );
        parts
    }

    fn parts(&self, repo: &Repo) -> Result<Vec<Part>> {
        let names: Vec<String> = scenarios::all(repo)?
            .into_iter()
            .filter(|scenario| scenario.set == self.name)
            .map(|scenario| scenario.name)
            .collect();
        Ok(self.vouches(&names))
    }

    fn file(&self) -> String {
        format!("docs/{}.md", self.name)
    }

    fn path(&self, repo: &Repo) -> PathBuf {
        repo.root.join(self.file())
    }

    /// Where a page of a part of the runs goes.
    fn draft(&self, repo: &Repo) -> PathBuf {
        repo.target.join(self.file())
    }

    fn command(&self) -> String {
        format!("cargo xtask docs {}", self.name)
    }
}

/// Writes the pages named, or all; the exit status says whether what they report holds. With `only` it is a part of
/// the runs, which vouches for nothing: such a page goes to target/docs/.
pub(crate) fn write(
    repo: &Repo,
    cache: &Cache,
    names: &[String],
    only: Option<&str>,
) -> Result<ExitCode> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !PAGES.iter().any(|page| page.name == **name))
    {
        let known: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
        bail!("there is no page {unknown}; known are: {}", known.join(" "));
    }
    let mut all_hold = true;
    for page in PAGES
        .iter()
        .filter(|page| names.is_empty() || names.iter().any(|name| name == page.name))
    {
        // First, so that no hour is spent on a run that vouches for nothing.
        let (head, file) = match only {
            None => (head(repo, page)?, page.path(repo)),
            Some(only) => (part_head(page, only), page.draft(repo)),
        };
        let (sections, holds) = (page.write)(repo, cache, only)?;
        all_hold &= holds;
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        write_whole(&file, format!("{head}\n{sections}"))?;
        say::step(format_args!("docs: wrote {}", file.display()));
    }
    Ok(if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Has fastswanctl's own tests write what they compare it with.
pub(crate) fn screens(repo: &Repo) -> Result<ExitCode> {
    let status = crate::dist::cargo(repo)
        .args([
            "test",
            "--package",
            "fastswan",
            "--features",
            "ctl",
            "--bin",
            "fastswanctl",
        ])
        .env("FASTSWAN_UPDATE", "1")
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One result for each page that was written: whether it is of the code of the working commit.
pub(crate) fn fresh(repo: &Repo) -> Vec<(String, Result<()>)> {
    PAGES
        .iter()
        .filter_map(|page| {
            let text = fs::read_to_string(page.path(repo)).ok()?;
            Some((page.file(), compare(repo, page, &text)))
        })
        .collect()
}

fn compare(repo: &Repo, page: &Page, text: &str) -> Result<()> {
    let stale = stale(&vouched(text), &page.parts(repo)?, |part| {
        objects::object(repo, part)
    })?;
    ensure!(
        stale.is_empty(),
        "{} is of an older state of {}; write it again: {}",
        page.file(),
        stale.join(", "),
        page.command()
    );
    Ok(())
}

/// The paths and objects a page names.
fn vouched(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(VOUCHES)?.strip_suffix(" -->")?;
            let (path, object) = rest.rsplit_once(' ')?;
            Some((path.to_owned(), object.to_owned()))
        })
        .collect()
}

/// Which of `parts` are not named by the page with what they are now, and what it names beside them.
fn stale(
    vouched: &[(String, String)],
    parts: &[Part],
    now: impl Fn(&Part) -> Result<String>,
) -> Result<Vec<String>> {
    let names: Vec<String> = parts.iter().map(Part::to_string).collect();
    let mut stale = Vec::new();
    for (part, name) in parts.iter().zip(&names) {
        let now = now(part)?;
        if !vouched
            .iter()
            .any(|(named, object)| named == name && *object == now)
        {
            stale.push(name.clone());
        }
    }
    stale.extend(
        vouched
            .iter()
            .filter(|(named, _)| !names.contains(named))
            .map(|(named, _)| named.clone()),
    );
    Ok(stale)
}

/// The lines by which a page names what it vouches for.
fn vouching(parts: &[Part], now: impl Fn(&Part) -> Result<String>) -> Result<String> {
    parts
        .iter()
        .map(|part| Ok(format!("{VOUCHES}{part} {} -->\n", now(part)?)))
        .collect()
}

/// What stands above the sections of a part.
fn part_head(page: &Page, only: &str) -> String {
    format!(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n# {}\n\nOnly what contains `{only}`; vouches for nothing.\n",
        page.title
    )
}

/// What stands above the sections: how it was made, where, and of what.
fn head(repo: &Repo, page: &Page) -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let text = output(command("git").args(arguments).current_dir(&repo.root))?;
        Ok(text.trim().to_owned())
    };
    let parts = page.parts(repo)?;
    let changed = objects::changed(repo, &parts)?;
    ensure!(
        changed.is_empty(),
        "{} would vouch for what is in no commit; commit first:\n{changed}",
        page.file()
    );
    let mut text = format!(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n<!-- Written by `{}`; do not edit. -->\n",
        page.command()
    );
    text += &vouching(&parts, |part| objects::object(repo, part))?;
    let (cpu, cores) = machine();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "# {}\n\nWritten by `{}` on {} from commit {}, on {cores} cores of {cpu}.\n",
        page.title,
        page.command(),
        output(command("date").args(["-u", "+%Y-%m-%d"]))?.trim(),
        git(&["rev-parse", "--short=12", "HEAD"])?
    );
    Ok(text)
}

/// The processor's name, and how many there are.
fn machine() -> (String, usize) {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| env::consts::ARCH.to_owned(), |(_, name)| name.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cpu, cores)
}

#[cfg(test)]
mod tests {
    use super::{PAGES, Part, stale, vouched, vouching};

    const PAGE: &str = "# x\n<!-- vouches for src 1111 -->\n<!-- vouches for a b 2222 -->\ntext\n";

    fn parts(paths: &[&str]) -> Vec<Part> {
        paths.iter().map(|path| Part::all(*path)).collect()
    }

    #[test]
    fn a_page_names_what_it_vouches_for() {
        assert_eq!(
            vouched(PAGE),
            [
                ("src".to_owned(), "1111".to_owned()),
                ("a b".to_owned(), "2222".to_owned())
            ]
        );
    }

    #[test]
    fn a_change_makes_it_stale() {
        let found = |now: &'static str| {
            let named = [("src".to_owned(), "1111".to_owned())];
            stale(&named, &parts(&["src"]), |_| Ok(now.to_owned())).expect("objects")
        };
        assert!(found("1111").is_empty());
        assert_eq!(found("3333"), ["src"]);
    }

    #[test]
    fn what_is_written_is_fresh_until_something_changes() {
        let parts = [
            Part::without("src", &["src/bin", "src/status"]),
            Part::all("tests/lab/lib"),
        ];
        let head = vouching(&parts, |part| Ok(format!("of-{}", part.to_string().len())));
        let page = vouched(&format!("<!-- x -->\n{}# title\n", head.expect("objects")));
        let now = stale(&page, &parts, |part| {
            Ok(format!("of-{}", part.to_string().len()))
        });
        assert!(now.expect("objects").is_empty());
        let later = stale(&page, &parts, |_| Ok("other".to_owned()));
        assert_eq!(
            later.expect("objects"),
            ["src without src/bin src/status", "tests/lab/lib"]
        );
    }

    #[test]
    fn one_part_more_or_less_makes_it_stale() {
        let found = |paths: &[&str]| {
            stale(&vouched(PAGE), &parts(paths), |part| {
                Ok(if *part == Part::all("src") {
                    "1111"
                } else {
                    "2222"
                }
                .to_owned())
            })
            .expect("objects")
        };
        assert!(found(&["src", "a b"]).is_empty());
        assert_eq!(found(&["src", "a b", "include"]), ["include"]);
        assert_eq!(found(&["src"]), ["a b"]);
    }

    #[test]
    fn a_page_depends_on_its_own_scenarios_only() {
        for page in PAGES {
            let names: Vec<String> = page
                .vouches(&["trap-any".to_owned()])
                .iter()
                .map(Part::to_string)
                .collect();
            let has = |name: &str| names.iter().any(|named| named == name);
            assert!(has("src without src/bin src/status") && has("Cargo.lock"));
            assert!(has("tests/lab/scenarios/trap-any") && has("tests/lab/lib"));
            assert!(has("tests/lab/runner.sh") && has("tests/vnic"));
            assert!(!has("src") && !has("tests/lab") && !has("tests/lab/scenarios"));
            assert_eq!(has("tests/parity"), page.name == "parity");
        }
    }
}
