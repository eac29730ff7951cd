// SPDX-License-Identifier: GPL-2.0-or-later
//! Pages of results under docs/: written by a run, and known to be of the code that is there.
//!
//! Owns the list of pages, their head, and the rule that a page holds as long as the paths it vouches for are what
//! they were. Called by main and test. What a page says comes from the rooms that ran it; nothing is typed in here.

use std::{env, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cache::{Cache, write_whole},
    run::{command, output},
    say,
    setup::Repo,
};

/// Makes the text of a page, of the part of that name if there is one, and says whether everything in it passed.
type Writer = fn(&Repo, &Cache, Option<&str>) -> Result<(String, bool)>;

/// A page of results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// What it is called on the command line.
    name: &'static str,
    title: &'static str,
    /// Files and folders whose change makes it stale.
    vouches: &'static [&'static str],
    /// Runs what is reported (of it, only what contains the text), and returns the page's sections and whether all held.
    write: Writer,
}

/// Every page; one that was not written yet is no failure.
const PAGES: &[Page] = &[
    Page {
        name: "parity",
        title: "Parity with kernel-netlink",
        vouches: &[
            "src",
            "include",
            "strongswan-plugin",
            "build.rs",
            "Cargo.lock",
            "tests/parity",
            "tests/lab",
            "tests/vnic",
            "xtask/src/parity.rs",
            "xtask/src/parity",
        ],
        write: crate::parity::page,
    },
    Page {
        name: "offload",
        title: "Offload: both plugins on the same NIC",
        vouches: &[
            "src",
            "include",
            "strongswan-plugin",
            "build.rs",
            "Cargo.lock",
            "tests/lab",
            "tests/vnic",
        ],
        write: crate::compare::offload_page,
    },
];

/// How a line begins that names a path and what it was.
const VOUCHES: &str = "<!-- vouches for ";

impl Page {
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
    let stale: Vec<&str> = stale(&vouched(text), page.vouches, |path| object(repo, path))?;
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

/// Which of `paths` are not named by the page with what they are now.
fn stale<'p>(
    vouched: &[(String, String)],
    paths: &[&'p str],
    now: impl Fn(&str) -> Result<String>,
) -> Result<Vec<&'p str>> {
    let mut stale = Vec::new();
    for path in paths {
        let now = now(path)?;
        if !vouched
            .iter()
            .any(|(named, object)| named == path && *object == now)
        {
            stale.push(*path);
        }
    }
    Ok(stale)
}

/// git's name of the content of a path in the working commit.
fn object(repo: &Repo, path: &str) -> Result<String> {
    let text = output(
        command("git")
            .args(["rev-parse", "--verify", &format!("HEAD:{path}")])
            .current_dir(&repo.root),
    )
    .with_context(|| format!("{path} is not in the working commit"))?;
    Ok(text.trim().to_owned())
}

/// The lines by which a page names what it vouches for.
fn vouching(paths: &[&str], now: impl Fn(&str) -> Result<String>) -> Result<String> {
    paths
        .iter()
        .map(|path| Ok(format!("{VOUCHES}{path} {} -->\n", now(path)?)))
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
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(page.vouches);
    let changed = git(&status)?;
    ensure!(
        changed.is_empty(),
        "{} would vouch for what is in no commit; commit first:\n{changed}",
        page.file()
    );
    let mut text = format!(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n<!-- Written by `{}`; do not edit. -->\n",
        page.command()
    );
    text += &vouching(page.vouches, |path| object(repo, path))?;
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
    use super::{stale, vouched, vouching};

    const PAGE: &str = "# x\n<!-- vouches for src 1111 -->\n<!-- vouches for a b 2222 -->\ntext\n";

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
            stale(&vouched(PAGE), &["src"], |_| Ok(now.to_owned())).expect("objects")
        };
        assert!(found("1111").is_empty());
        assert_eq!(found("3333"), ["src"]);
    }

    #[test]
    fn what_is_written_is_fresh_until_something_changes() {
        let paths = ["src", "tests/lab"];
        let head = vouching(&paths, |path| Ok(format!("of-{path}"))).expect("objects");
        let page = vouched(&format!("<!-- x -->\n{head}# title\n"));
        let now = stale(&page, &paths, |path| Ok(format!("of-{path}")));
        assert!(now.expect("objects").is_empty());
        let later = stale(&page, &paths, |path| {
            Ok(if path == "src" { "of-src" } else { "other" }.to_owned())
        });
        assert_eq!(later.expect("objects"), ["tests/lab"]);
    }

    #[test]
    fn a_path_it_does_not_name_makes_it_stale() {
        let found = stale(&vouched(PAGE), &["include"], |_| Ok("1111".to_owned()));
        assert_eq!(found.expect("objects"), ["include"]);
    }
}
