// SPDX-License-Identifier: GPL-2.0-or-later
//! What git says of the content of files: on what a kept result or a written page depends.
//!
//! Owns the names of content, by which a change is seen without running anything. lab, compare, parity and docs ask it.
//! It must not know what the content means.

use std::{fmt, io::Write as _, process::Stdio};

use anyhow::{Context, Result, ensure};

use crate::{
    cache::fingerprint,
    run::{command, output},
    setup::Repo,
};

/// A file or folder of the repository, perhaps without some of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    path: String,
    without: &'static [&'static str],
}

impl Part {
    pub(crate) fn all(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            without: &[],
        }
    }

    pub(crate) fn without(path: &str, without: &'static [&'static str]) -> Self {
        Self {
            path: path.to_owned(),
            without,
        }
    }

    fn holds(&self, file: &str) -> bool {
        !self.without.iter().any(|left_out| {
            file.strip_prefix(left_out)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.without.is_empty() {
            return Ok(());
        }
        write!(f, " without {}", self.without.join(" "))
    }
}

/// What the plugin is built from.
pub(crate) fn product() -> Vec<Part> {
    [
        "src",
        "include",
        "strongswan-plugin",
        "build.rs",
        "Cargo.toml",
        "Cargo.lock",
    ]
    .map(Part::all)
    .to_vec()
}

/// git's name of the content of a part in the working commit.
pub(crate) fn object(repo: &Repo, part: &Part) -> Result<String> {
    let git = |arguments: &[&str]| output(command("git").args(arguments).current_dir(&repo.root));
    if part.without.is_empty() {
        let text = git(&["rev-parse", "--verify", &format!("HEAD:{}", part.path)])
            .with_context(|| format!("{part} is not in the working commit"))?;
        return Ok(text.trim().to_owned());
    }
    // git has no name for a folder without a part of it: that of the list of what is left stands in for it.
    let listed = git(&["ls-tree", "-r", "HEAD", "--", &part.path])?;
    let left = left(part, &listed);
    ensure!(!left.is_empty(), "{part} is not in the working commit");
    hash(repo, &left)
}

/// The lines of `git ls-tree` that belong to the part.
fn left(part: &Part, listed: &str) -> String {
    listed
        .split_inclusive('\n')
        .filter(|line| {
            line.split_once('\t')
                .is_some_and(|(_, file)| part.holds(file.trim_end()))
        })
        .collect()
}

fn hash(repo: &Repo, text: &str) -> Result<String> {
    let mut git = command("git")
        .args(["hash-object", "--stdin"])
        .current_dir(&repo.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start git hash-object")?;
    if let Some(mut stdin) = git.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let done = git.wait_with_output()?;
    ensure!(
        done.status.success(),
        "git hash-object ended with {}",
        done.status
    );
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// What of these is in the work tree and in no commit, one line each.
pub(crate) fn changed(repo: &Repo, parts: &[Part]) -> Result<String> {
    let excluded = parts
        .iter()
        .flat_map(|part| part.without)
        .map(|path| format!(":(exclude){path}"));
    let text = output(
        command("git")
            .args(["status", "--porcelain", "--"])
            .args(parts.iter().map(|part| &part.path))
            .args(excluded)
            .current_dir(&repo.root),
    )?;
    Ok(text.trim_end().to_owned())
}

/// A name for the content of all of these; none where the work tree holds other content than the working commit.
pub(crate) fn key(repo: &Repo, parts: &[Part]) -> Result<Option<String>> {
    if !changed(repo, parts)?.is_empty() {
        return Ok(None);
    }
    let named = parts
        .iter()
        .map(|part| Ok((part.to_string(), object(repo, part)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(fingerprint(named)))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path, process};

    use super::{Part, changed, key, left, object};
    use crate::{
        run::{command, output},
        setup::Repo,
    };

    fn git(root: &Path, arguments: &[&str]) {
        output(
            command("git")
                .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
                .args(arguments)
                .current_dir(root),
        )
        .expect("git works");
    }

    /// A repository with src/a, src/bin/b and doc.
    fn repository(name: &str) -> Repo {
        let root = env::temp_dir().join(format!("xtask-objects-{name}-{}", process::id()));
        fs::create_dir_all(root.join("src/bin")).expect("a folder");
        for file in ["src/a", "src/bin/b", "doc"] {
            fs::write(root.join(file), "1").expect("a file");
        }
        git(&root, &["init", "-q"]);
        git(&root, &["add", "."]);
        git(&root, &["commit", "-q", "-m", "x"]);
        Repo {
            target: root.join("target"),
            root,
        }
    }

    fn write(repo: &Repo, file: &str, text: &str, commit: bool) {
        fs::write(repo.root.join(file), text).expect("a file");
        if commit {
            git(&repo.root, &["commit", "-q", "-a", "-m", "y"]);
        }
    }

    #[test]
    fn what_is_left_out_changes_nothing() {
        let repo = repository("without");
        let (some, all) = (
            Part::without("src", &["src/bin", "src/status"]),
            Part::all("src"),
        );
        let names =
            || [&some, &all].map(|part| object(&repo, part).expect("it is in the working commit"));
        let before = names();
        write(&repo, "src/bin/b", "2", true);
        let later = names();
        assert_eq!(before[0], later[0]);
        assert_ne!(before[1], later[1]);
        write(&repo, "src/a", "2", true);
        assert_ne!(later[0], names()[0]);
        fs::remove_dir_all(&repo.root).expect("it is ours");
    }

    #[test]
    fn what_is_in_no_commit_has_no_key() {
        let repo = repository("key");
        let some = [Part::without("src", &["src/bin"])];
        let first = key(&repo, &some).expect("git works").expect("no change");
        write(&repo, "doc", "2", false);
        write(&repo, "src/bin/b", "2", false);
        assert_eq!(key(&repo, &some).expect("git works"), Some(first.clone()));
        write(&repo, "src/new", "1", false);
        assert_eq!(key(&repo, &some).expect("git works"), None);
        assert_eq!(changed(&repo, &some).expect("git works"), "?? src/new");
        fs::remove_file(repo.root.join("src/new")).expect("it is ours");
        write(&repo, "src/a", "2", false);
        assert_eq!(key(&repo, &some).expect("git works"), None);
        write(&repo, "src/a", "2", true);
        assert_ne!(key(&repo, &some).expect("git works"), Some(first));
        fs::remove_dir_all(&repo.root).expect("it is ours");
    }

    #[test]
    fn a_name_that_only_begins_like_another_is_another() {
        let part = Part::without("src", &["src/bin"]);
        let list = "100644 blob 1\tsrc/bin/x\n100644 blob 2\tsrc/binary.rs\n";
        assert_eq!(left(&part, list), "100644 blob 2\tsrc/binary.rs\n");
        assert_eq!(part.to_string(), "src without src/bin");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let repo = repository("absent");
        let error = object(&repo, &Part::all("nothing")).expect_err("there is none");
        assert!(
            error
                .to_string()
                .contains("nothing is not in the working commit")
        );
        fs::remove_dir_all(&repo.root).expect("it is ours");
    }
}
