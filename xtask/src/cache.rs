// SPDX-License-Identifier: GPL-2.0-or-later
//! The cache of everything downloaded or built from downloads.
//!
//! Owns the folder, its lock and the rule that a partial result is never taken for a whole one: a room builds under
//! a temporary name and `commit` renames it, together with the key that says what it was made from. Every room that
//! downloads calls it. It must not know what the entries are.

use std::{
    env, fs,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result, bail};

use crate::say;

/// The cache folder of this user.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$FASTSWAN_CACHE`, else `$XDG_CACHE_HOME/fastswan`, else `~/.cache/fastswan`.
    pub(crate) fn open() -> Result<Self> {
        let set = |name| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let root = match (set("FASTSWAN_CACHE"), set("XDG_CACHE_HOME"), set("HOME")) {
            (Some(dir), ..) => dir,
            (None, Some(xdg), _) => xdg.join("fastswan"),
            (None, None, Some(home)) => home.join(".cache/fastswan"),
            (None, None, None) => {
                bail!(
                    "no place for the cache: set FASTSWAN_CACHE (neither it nor XDG_CACHE_HOME nor HOME is set)"
                )
            }
        };
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the cache {}", root.display()))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root })
    }

    /// A path inside the cache.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where a step's log goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Whether `relative` is complete and was made from `key`.
    pub(crate) fn holds(&self, relative: &str, key: &str) -> bool {
        self.path(relative).exists()
            && fs::read_to_string(self.stamp(relative)).is_ok_and(|found| found == key)
    }

    /// The key `relative` was made from, if it is complete.
    pub(crate) fn key_of(&self, relative: &str) -> Option<String> {
        self.path(relative)
            .exists()
            .then(|| fs::read_to_string(self.stamp(relative)).ok())
            .flatten()
    }

    /// An empty temporary path beside `relative`; whatever an interrupted run left there is removed.
    pub(crate) fn scratch(&self, relative: &str) -> Result<PathBuf> {
        let path = self.path(&format!("{relative}.part"));
        remove(&path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        Ok(path)
    }

    /// Turns a finished scratch path into the entry `relative`, made from `key`.
    pub(crate) fn commit(&self, relative: &str, key: &str) -> Result<PathBuf> {
        let part = self.path(&format!("{relative}.part"));
        let whole = self.path(relative);
        let stamp = self.stamp(relative);
        // The stamp goes first: between the two renames the entry counts as missing, never as a wrong one.
        remove(&stamp)?;
        remove(&whole)?;
        fs::rename(&part, &whole)
            .with_context(|| format!("cannot rename {} to {}", part.display(), whole.display()))?;
        let fresh = stamp.with_extension("key-new");
        fs::write(&fresh, key).with_context(|| format!("cannot write {}", fresh.display()))?;
        fs::rename(&fresh, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(whole)
    }

    fn stamp(&self, relative: &str) -> PathBuf {
        self.path(&format!("{relative}.key"))
    }

    /// Takes the lock that lets one run at a time change the cache; says so when another run holds it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        self.lock_named("lock")
    }

    /// A lock for one thing only, for work that need not stop everything else.
    pub(crate) fn lock_named(&self, name: &str) -> Result<Lock> {
        let path = if name == "lock" {
            self.path(name)
        } else {
            self.path(&format!("{name}.lock"))
        };
        Lock::take(&path)
    }
}

/// A lock, held until dropped (the kernel releases it if we die).
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock file `path`; says so if another run holds it.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        if flock(&file, libc::LOCK_EX | libc::LOCK_NB).is_err() {
            say::step(format_args!(
                "waiting for another run that holds {}",
                path.display()
            ));
            flock(&file, libc::LOCK_EX)
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Self { _file: file })
    }
}

fn flock(file: &File, how: i32) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; flock has no other argument.
    match unsafe { libc::flock(file.as_raw_fd(), how) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Removes a file or a folder; a missing one is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    gone.with_context(|| format!("cannot remove {}", path.display()))
}

/// Writes a file so that a reader sees the old or the new content, never a part.
pub(crate) fn write_whole(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", process::id()));
    let fresh = PathBuf::from(name);
    fs::write(&fresh, content).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Short fingerprint of what an entry is made from. It guards against staleness, not against an attacker.
pub(crate) fn fingerprint(parts: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
