// SPDX-License-Identifier: GPL-2.0-or-later
//! Recordings of earlier runs of the differential test, in target/parity.
//!
//! Owns what a recording depends on, and whether it says what another run would. The runner in `parity` writes and the
//! writer of pages reads through it; `cargo xtask parity` and `cargo xtask test` always play. It must not judge rows.

use std::{fs, path::Path};

use anyhow::Result;

use super::{Collected, Compared, Run, Table, again, results};
use crate::{
    cache::{Cache, write_whole},
    objects::{self, Part},
    setup::{self, Repo},
};

/// In the folder of a run: everything that was recorded, and what it depends on.
const RECORDED: &str = "recorded";
const KEY: &str = "key";

/// What the rows depend on besides the kernel and strongSwan.
fn parts() -> Vec<Part> {
    let mut parts = objects::product();
    parts.extend(
        [
            "tests/parity",
            "tests/vnic",
            "tests/lab/guest",
            "xtask/src/harness.rs",
            "xtask/src/parity.rs",
            "xtask/src/parity",
        ]
        .map(Part::all),
    );
    parts
}

/// What a run played earlier in the same checkout recorded, if all rows were and everything it depends on is the same.
pub(super) fn table(repo: &Repo, cache: &Cache, run: &Run) -> Result<Option<Table>> {
    let lab = setup::lab(cache)?;
    let release = &lab.kernel(run.kernel)?.release;
    // Also for a part of the rows: it is cut out of the whole.
    let whole = Run {
        only: None,
        ..run.clone()
    };
    let folder = results(repo, &whole);
    let Some(key) = key(repo)? else {
        return Ok(None);
    };
    let file = folder.join(RECORDED);
    if !matches_key(&folder, &key, release) || !file.exists() {
        return Ok(None);
    }
    let mut table = again(&file, run)?;
    table.kernel.clone_from(release);
    // Not to print a failure of the past: what differs is played again.
    Ok(table.rows.iter().all(Compared::passed).then_some(table))
}

/// The name of what the rows depend on; none where some of it is in no commit.
pub(super) fn key(repo: &Repo) -> Result<Option<String>> {
    objects::key(repo, &parts())
}

/// Leaves what was recorded in the folder of the run, and of a whole run what it depended on when it began.
pub(super) fn keep(
    run: &Run,
    folder: &Path,
    collected: &Collected,
    key: Option<&str>,
    release: &str,
) -> Result<()> {
    write_whole(&folder.join(RECORDED), collected.text())?;
    match (key, &run.only) {
        (Some(key), None) => write_whole(&folder.join(KEY), key_line(key, release)),
        _ => Ok(()),
    }
}

fn matches_key(folder: &Path, key: &str, release: &str) -> bool {
    fs::read_to_string(folder.join(KEY)).is_ok_and(|found| found == key_line(key, release))
}

fn key_line(key: &str, release: &str) -> String {
    format!("{key} {release}\n")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::{KEY, key_line, matches_key};

    #[test]
    fn rows_are_kept_for_one_kernel_and_one_code() {
        let folder = env::temp_dir().join(format!("xtask-parity-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        assert!(!matches_key(&folder, "k", "7.3.4"));
        fs::write(folder.join(KEY), key_line("k", "7.3.4")).expect("a file");
        assert!(matches_key(&folder, "k", "7.3.4"));
        assert!(!matches_key(&folder, "k", "7.3.5") && !matches_key(&folder, "l", "7.3.4"));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
