// SPDX-License-Identifier: GPL-2.0-or-later
//! What we put into the kernel, in a file that survives a crash of charon.
//!
//! Owns that file: a line for each SA, policy and neighbour entry, written before it is installed, and one that takes
//! it back after it was deleted. The next charon removes what the last one left, and only that: an
//! object of the kernel that is described by a line, word for word. There is no key in it. Called by
//! `backend/`. Must not wait for anything but a file on a tmpfs, and must not fail what it describes:
//! a ledger that cannot be written is said once.
//!
//! The first line names the boot, the network namespace and the format; with another boot the file is
//! void, with another namespace it is somebody else's. A lock on the file tells whether its charon
//! is alive; where a profile of AppArmor denies locks, its process id in the first line does. Each line has a checksum, so that one that was torn by a crash counts as not written.
//! The file grows by one line per change and is written
//! anew when most of it is history: the cost of
//! a change does not depend on how much there is.
//!
//! A line is written through memory that is mapped (a system call for each would be a third of what a CHILD_SA takes), in
//! room that was added to the file before, as empty lines. Without room it is appended by write(2). Lines about one object
//! are in the file in the order of what they tell: room is only used while nothing stands behind it.
#![forbid(unsafe_code)]

mod describe;
mod words;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::xfrm::{FileLock, MappedRoom, is_gone, try_lock};
use words::Words;

pub use describe::{
    Entry, neighbour, neighbour_key, neighbour_of, policy, policy_key, policy_state, reqid_of, sa,
    sa_key, sa_state,
};

/// Lines that are history before the file is written anew; at least so many, so that a small ledger
/// is not rewritten all the time.
const SLACK: usize = 1024;

/// Bytes of room that are added at a time, and how few are left when more are added. A line has some 150.
const ROOM: usize = 64 << 10;
const LOW: usize = 8 << 10;

/// Descriptions of one object that may be true: before a change and after it.
const VERSIONS: usize = 4;

/// Between the key of an object and the rest.
const SEPARATOR: &str = " | ";

/// A line's words for an object.
pub fn join(key: &str, rest: &str) -> String {
    format!("{key}{SEPARATOR}{rest}")
}

/// Whose ledger it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `/proc/sys/kernel/random/boot_id`
    pub boot: String,
    /// Inode of the network namespace.
    pub netns: u64,
}

impl Owner {
    /// This process.
    pub fn current() -> io::Result<Self> {
        let netns = std::fs::metadata("/proc/self/ns/net")?.ino();
        // A confined charon may not read it. /run is empty after a boot anyway.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned());
        Ok(Self { boot, netns })
    }

    fn header(&self) -> String {
        let pid = std::process::id();
        let text = format!("fastswan 1 {} {} {pid}", self.boot, self.netns);
        line('=', &text, None)
    }
}

#[derive(Debug)]
struct State {
    /// What may be in the kernel: keys, and what else each object may be.
    live: HashMap<Box<str>, Vec<Box<str>>>,
    /// Lines in the file.
    lines: usize,
    file: Arc<File>,
    /// The file that takes over as soon as it has everything.
    next: Option<Arc<File>>,
    /// Where the next lines go, if there is room: the end of `file`.
    room: Option<MappedRoom>,
    /// Lines that were written otherwise, and those of them of which nobody knows yet whether they are in the file.
    appended: u64,
    pending: usize,
    adding: Adding,
}

/// Whether room is being added to the file. One thread does it at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Adding {
    #[default]
    No,
    Busy,
    /// There was none to be had: not tried again with this file.
    Refused,
}

impl State {
    /// Writes a line to memory, if there is room for it.
    fn write(&mut self, text: &str) -> bool {
        let room = self.room.as_mut();
        room.is_some_and(|room| room.write(text.as_bytes()))
    }

    /// Has the calling thread add room, if it is time: to this file, unless more lines are appended than now.
    fn is_short(&mut self) -> Option<(Arc<File>, u64)> {
        let short = self.adding == Adding::No
            && self.next.is_none()
            && self.pending == 0
            && self.room.as_ref().is_none_or(|room| room.left() < LOW);
        if short {
            self.adding = Adding::Busy;
        }
        short.then(|| (Arc::clone(&self.file), self.appended))
    }

    fn text(&self) -> (String, usize) {
        let (mut text, mut lines) = (String::new(), 0);
        for (key, rests) in &self.live {
            for rest in rests {
                text.push_str(&line('+', key, Some(rest)));
                lines += 1;
            }
        }
        (text, lines)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    owner: Owner,
    state: Mutex<State>,
    failed: AtomicBool,
    rewriting: AtomicBool,
}

impl Ledger {
    /// Opens the ledger at `path` and returns what an earlier charon of this boot and namespace left
    /// behind. If the file belongs to a charon in another namespace, the ledger is put beside it.
    ///
    /// # Errors
    /// `WouldBlock` if another charon in this namespace is alive and has it; others from the file
    /// system.
    pub fn open(path: &Path, owner: Owner) -> io::Result<(Self, HashSet<String>)> {
        Self::open_by(path, owner, &try_lock)
    }

    fn open_by(
        path: &Path,
        owner: Owner,
        lock: &dyn Fn(&File) -> io::Result<FileLock>,
    ) -> io::Result<(Self, HashSet<String>)> {
        let mut path = path.to_owned();
        let mut content = String::new();
        let mut old = open(&path)?;
        read(&mut old, &mut content)?;
        if let Some(found) = owner_of(&content)
            && found.boot == owner.boot
            && found.netns != owner.netns
        {
            let mut name = path.into_os_string();
            name.push(format!(".{}", owner.netns));
            path = name.into();
            old = open(&path)?;
            content.clear();
            read(&mut old, &mut content)?;
        }
        let alive = match lock(&old)? {
            FileLock::Taken => false,
            FileLock::Held => true,
            FileLock::Denied => {
                pid_of(&content).is_some_and(|pid| pid != std::process::id() && !is_gone(pid))
            }
        };
        if alive {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let left = if owner_of(&content).is_some_and(|found| found == owner) {
            entries(&content)
        } else {
            HashSet::new()
        };
        let ledger = Self {
            path,
            state: Mutex::new(State {
                live: HashMap::new(),
                lines: 0,
                file: Arc::new(old),
                next: None,
                room: None,
                appended: 0,
                pending: 0,
                adding: Adding::No,
            }),
            owner,
            failed: AtomicBool::new(false),
            rewriting: AtomicBool::new(false),
        };
        // What was left stays written until it was looked at.
        for (key, rest) in left.iter().filter_map(|entry| entry.split_once(SEPARATOR)) {
            let live = &mut ledger.lock().live;
            live.entry(key.into()).or_default().push(rest.into());
        }
        ledger.rewrite()?;
        let short = ledger.lock().is_short();
        if let Some((file, appended)) = short {
            ledger.add_room(&file, appended);
        }
        Ok((ledger, left))
    }

    /// An object is about to be installed, or changed. Tells whether something was written of it before.
    pub fn add(&self, (key, rest): &Entry) -> bool {
        let text = line('+', key, Some(rest));
        let mut known = false;
        self.append(&text, |live| {
            let rests = match live.get_mut(key.as_str()) {
                Some(rests) => {
                    known = true;
                    rests
                }
                None => live.entry(key.as_str().into()).or_default(),
            };
            if rests.iter().any(|known| **known == **rest) {
                return false;
            }
            // There is one nearly always.
            rests.reserve_exact(1);
            rests.push(rest.as_str().into());
            if rests.len() > VERSIONS {
                rests.remove(0);
            }
            true
        });
        known
    }

    /// An object is gone, or was not installed.
    pub fn remove(&self, key: &str) {
        let text = line('-', key, None);
        self.append(&text, |live| live.remove(key).is_some());
    }

    /// What else an object is, as it was last written down.
    pub fn rest_of(&self, key: &str) -> Option<String> {
        Some(self.lock().live.get(key)?.last()?.to_string())
    }

    /// All objects are gone.
    pub fn clear(&self) {
        self.clear_kind("");
    }

    /// All objects whose key begins so are gone.
    pub fn clear_kind(&self, prefix: &str) {
        self.lock().live.retain(|key, _| !key.starts_with(prefix));
        self.retry(self.rewrite());
    }

    /// The end: without anything left, the file goes too.
    pub fn close(&self) {
        if self.lock().live.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Number of objects that are written down.
    pub fn len(&self) -> usize {
        self.lock().live.len()
    }

    /// Nothing is written down.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append(
        &self,
        text: &str,
        change: impl FnOnce(&mut HashMap<Box<str>, Vec<Box<str>>>) -> bool,
    ) {
        let (file, next, full, mut short, _room) = {
            let mut state = self.lock();
            if !change(&mut state.live) {
                return;
            }
            state.lines += 1;
            let full = state.next.is_none() && state.lines > 2 * state.live.len() + SLACK;
            let file = (!state.write(text)).then(|| Arc::clone(&state.file));
            let next = state.next.clone();
            // A shorter line would still fit, and stand in front of what comes behind the room. It is
            // unmapped with the lock released.
            let room = file.as_ref().and_then(|_| state.room.take());
            let mut short = None;
            if file.is_some() || next.is_some() {
                state.appended += 1;
                state.pending += 1;
            } else {
                short = state.is_short();
            }
            (file, next, full, short, room)
        };
        // One write per line: appends of several threads do not mix.
        let mut result = Ok(());
        for file in file.iter().chain(&next) {
            result = result.and((&**file).write_all(text.as_bytes()));
        }
        if file.is_some() || next.is_some() {
            let mut state = self.lock();
            state.pending -= 1;
            short = state.is_short();
        }
        self.retry(result);
        if let Some((file, appended)) = short {
            self.add_room(&file, appended);
        }
        if full {
            self.retry(self.rewrite());
        }
    }

    /// Adds room to a file. If somebody appended to it meanwhile, nobody knows what stands where, and the room remains
    /// empty.
    fn add_room(&self, file: &Arc<File>, appended: u64) {
        let mut room = match MappedRoom::append(file, ROOM) {
            Ok(room) => Some(room),
            Err(error) => {
                // Lines are appended, and if that fails, too, it is said.
                log::debug!("no room in {}: {error}", self.path.display());
                self.lock().adding = Adding::Refused;
                return;
            }
        };
        let mut state = self.lock();
        state.adding = Adding::No;
        if state.appended == appended
            && state.pending == 0
            && state.next.is_none()
            && Arc::ptr_eq(&state.file, file)
        {
            std::mem::swap(&mut state.room, &mut room);
        }
        // What is not needed is unmapped with the lock released.
        drop(state);
    }

    fn retry(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            log::error!(
                "unable to write {}: {error}; what a crash of charon leaves behind will have to be \
                 removed by hand",
                self.path.display()
            );
        }
    }

    /// Writes all that is live to a new file, which then takes the place of the old one. Changes in
    /// the meantime go to both.
    fn rewrite(&self) -> io::Result<()> {
        if self.rewriting.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let result = self.rewrite_alone();
        self.rewriting.store(false, Ordering::Release);
        result
    }

    fn rewrite_alone(&self) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let _ = std::fs::remove_file(&temporary);
        let file = Arc::new(open(&temporary)?);
        try_lock(&file)?;
        (&*file).write_all(self.owner.header().as_bytes())?;
        let (text, lines) = {
            let mut state = self.lock();
            state.next = Some(Arc::clone(&file));
            state.text()
        };
        let result = (&*file)
            .write_all(text.as_bytes())
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        let mut state = self.lock();
        state.next = None;
        // After a failure the old one has everything; the next try comes after as many changes.
        state.lines = lines;
        let mut room = None;
        if result.is_ok() {
            state.file = file;
            room = state.room.take();
            if state.adding == Adding::Refused {
                state.adding = Adding::No;
            }
        }
        drop(state);
        // Unmapped with the lock released.
        drop(room);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Single changes only: there is nothing half done to fear after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

/// Not as text: a torn file may hold anything.
fn read(file: &mut File, content: &mut String) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    *content = String::from_utf8_lossy(&bytes).into_owned();
    Ok(())
}

/// FNV-1a: against torn lines, not against malice.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn line(sign: char, key: &str, rest: Option<&str>) -> String {
    // Sign, separator, checksum and newline are 15 bytes.
    let mut words = Words::for_len(key.len() + rest.map_or(0, str::len) + 16);
    words.text(match sign {
        '+' => "+ ",
        '-' => "- ",
        _ => "= ",
    });
    words.text(key);
    if let Some(rest) = rest {
        words.text(SEPARATOR).text(rest);
    }
    let sum = checksum(words.so_far());
    words.text(" ").spi(sum).text("\n");
    words.done()
}

/// Sign and entry of a whole line.
fn parse(line: &str) -> Option<(char, &str)> {
    let (text, sum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != checksum(text) || sum.len() != 8 {
        return None;
    }
    let (sign, entry) = text.split_once(' ')?;
    Some((sign.chars().next()?, entry))
}

fn owner_of(content: &str) -> Option<Owner> {
    let ('=', entry) = parse(content.lines().next()?)? else {
        return None;
    };
    let mut words = entry.split(' ');
    if (words.next(), words.next()) != (Some("fastswan"), Some("1")) {
        return None;
    }
    Some(Owner {
        boot: words.next()?.to_owned(),
        netns: words.next()?.parse().ok()?,
    })
}

/// The process of a ledger.
fn pid_of(content: &str) -> Option<u32> {
    owner_of(content)?;
    parse(content.lines().next()?)?
        .1
        .split(' ')
        .nth(4)?
        .parse()
        .ok()
}

fn entries(content: &str) -> HashSet<String> {
    let mut live: HashMap<&str, HashSet<&str>> = HashMap::new();
    for line in content.lines() {
        match parse(line) {
            Some(('+', entry)) => {
                if let Some((key, _)) = entry.split_once(SEPARATOR) {
                    live.entry(key).or_default().insert(entry);
                }
            }
            Some(('-', key)) => {
                live.remove(key);
            }
            _ => {}
        }
    }
    live.into_values().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
