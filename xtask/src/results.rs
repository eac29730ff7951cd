// SPDX-License-Identifier: GPL-2.0-or-later
//! How scenarios ended, in memory and on disk.
//!
//! Owns the line with which the guest's runner reports a scenario and the file `result.json` in the scenario's folder
//! under target/lab. lab writes it; compare and the writer of pages read it. It must not decide what a result means.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every check passed.
    Passed,
    /// What it is about cannot be had from this kernel, whose refusal was checked.
    Limit,
    /// A check failed, or it did not come to an end.
    Failed,
}

/// The result of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) ended: Ended,
    pub(crate) seconds: u64,
    pub(crate) checks: u64,
    pub(crate) failures: u64,
    /// The first check that failed, or what the kernel cannot do.
    pub(crate) why: String,
    /// Where its logs, dumps and captures are.
    pub(crate) files: PathBuf,
}

impl Verdict {
    /// Reads what follows "@@ " in the runner's output: name, verdict, seconds, checks, failures, reason.
    pub(crate) fn parse(line: &str, results: &Path) -> Self {
        let mut fields = line.splitn(6, ' ');
        let name = fields.next().unwrap_or_default().to_owned();
        let ended = match fields.next() {
            Some("PASS") => Ended::Passed,
            Some("LIMIT") => Ended::Limit,
            _ => Ended::Failed,
        };
        let mut number = || {
            fields
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        let (seconds, checks, failures) = (number(), number(), number());
        let why = fields.next().unwrap_or_default().trim().to_owned();
        Self {
            files: results.join(&name),
            name,
            ended,
            seconds,
            checks,
            failures,
            why,
        }
    }

    pub(crate) fn passed(&self) -> bool {
        self.ended != Ended::Failed
    }

    /// Keeps the result beside the scenario's other files, with what it depends on: the tests and, where the plugin is
    /// ours and its code is in a commit, the plugin's code.
    pub(crate) fn write(&self, key: &str, product: Option<&str>) -> Result<()> {
        fs::create_dir_all(&self.files)
            .with_context(|| format!("cannot create {}", self.files.display()))?;
        let ended = match self.ended {
            Ended::Passed => "passed",
            Ended::Limit => "limit",
            Ended::Failed => "failed",
        };
        let value = json!({
            "scenario": self.name,
            "ended": ended,
            "seconds": self.seconds,
            "checks": self.checks,
            "failures": self.failures,
            "why": self.why,
            "tests": key,
            "product": product,
        });
        let file = self.files.join("result.json");
        fs::write(&file, format!("{value:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The kept result of a scenario, if it was made from this code of the plugin.
    pub(crate) fn read_of_product(folder: &Path, key: &str, product: &str) -> Option<Self> {
        let text = fs::read_to_string(folder.join("result.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        (value.get("product")?.as_str()? == product).then(|| Self::read(folder, Some(key)))?
    }

    /// The kept result of a scenario, if it was made from `key` (without one, of any tests).
    pub(crate) fn read(folder: &Path, key: Option<&str>) -> Option<Self> {
        let text = fs::read_to_string(folder.join("result.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let string = |field: &str| value.get(field)?.as_str();
        let number = |field: &str| value.get(field)?.as_u64();
        if key.is_some_and(|key| string("tests") != Some(key)) {
            return None;
        }
        Some(Self {
            name: string("scenario")?.to_owned(),
            ended: match string("ended")? {
                "passed" => Ended::Passed,
                "limit" => Ended::Limit,
                _ => Ended::Failed,
            },
            seconds: number("seconds")?,
            checks: number("checks")?,
            failures: number("failures")?,
            why: string("why")?.to_owned(),
            files: folder.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path, process};

    use super::{Ended, Verdict};

    #[test]
    fn the_runners_line_is_read() {
        let verdict = Verdict::parse(
            "trap FAIL 12 30 2 moon has the trap (no line)",
            Path::new("/r"),
        );
        assert_eq!(verdict.name, "trap");
        assert_eq!(verdict.ended, Ended::Failed);
        assert_eq!(
            (verdict.seconds, verdict.checks, verdict.failures),
            (12, 30, 2)
        );
        assert_eq!(verdict.why, "moon has the trap (no line)");
        assert_eq!(verdict.files, Path::new("/r/trap"));
        assert!(Verdict::parse("esn PASS 9 20 0", Path::new("/r")).passed());
        // What the runner did not write to its end is no pass.
        assert!(!Verdict::parse("esn", Path::new("/r")).passed());
    }

    #[test]
    fn a_result_is_kept_for_the_same_tests_only() {
        let folder = env::temp_dir().join(format!("xtask-results-{}", process::id()));
        let verdict = Verdict::parse("iptfs LIMIT 3 4 0 no such mode", &folder);
        verdict.write("abc", None).expect("it can be written");
        let read = |key| Verdict::read(&folder.join("iptfs"), key);
        assert_eq!(read(Some("abc")), Some(verdict.clone()));
        assert_eq!(read(None), Some(verdict.clone()));
        assert_eq!(read(Some("abd")), None);
        let of = |key, product| Verdict::read_of_product(&folder.join("iptfs"), key, product);
        assert_eq!(of("abc", "p"), None);
        verdict.write("abc", Some("p")).expect("it can be written");
        assert_eq!(of("abc", "p"), read(None));
        assert_eq!(of("abc", "q"), None);
        assert_eq!(of("abd", "p"), None);
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
