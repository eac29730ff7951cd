// SPDX-License-Identifier: GPL-2.0-or-later
//! Who is there: advisory locks on files, process ids where a lock is denied, and the id of a thread.
//!
//! Owns flock(2), the null signal of kill(2) and gettid(2). Called by `ledger/`, which finds out whether another charon
//! is alive, and by `guard/`, which finds out whether a change was its own. Must not wait.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What came of asking for the lock of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLock {
    /// It is ours, until the last descriptor of the open file is closed.
    Taken,
    /// Somebody else has it.
    Held,
    /// We may not lock it. AppArmor wants `k` in a rule for that, which Debian's profile of charon does not
    /// give for `/run/charon.*`.
    Denied,
}

/// Asks for the lock of an open file.
pub fn try_lock(file: &File) -> io::Result<FileLock> {
    // SAFETY: no pointers; the descriptor is open for the length of the call.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        return Ok(FileLock::Taken);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => Ok(FileLock::Held),
        Some(libc::EACCES | libc::EPERM) => Ok(FileLock::Denied),
        _ => Err(error),
    }
}

/// Whether there is certainly no process of that id. One that we may not signal is there.
pub fn is_gone(pid: u32) -> bool {
    let Ok(pid @ 1..) = libc::pid_t::try_from(pid) else {
        return true;
    };
    // SAFETY: no pointers; signal 0 is checked and not sent.
    let result = unsafe { libc::kill(pid, 0) };
    result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// The kernel's id of the calling thread. Where nftables names who changed something it means this one
/// (`NFTA_GEN_PROC_PID`, nf_tables_fill_gen_info()), not the process.
pub fn thread_id() -> u32 {
    thread_local! {
        // A thread keeps its id: charon does not fork once it has plugins. No system call for each transaction.
        static ID: Cell<u32> = const { Cell::new(0) };
    }
    let known = ID.get();
    if known != 0 {
        return known;
    }
    // SAFETY: no arguments, and it cannot fail.
    let id = unsafe { libc::gettid() }.cast_unsigned();
    ID.set(id);
    id
}

#[cfg(test)]
mod tests {
    use super::{is_gone, thread_id};

    #[test]
    fn each_thread_has_an_id_of_its_own() {
        let other = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(other, thread_id());
        assert_eq!(thread_id(), thread_id());
    }

    #[test]
    fn a_process_is_gone_once_it_was_waited_for() {
        assert!(!is_gone(std::process::id()));
        assert!(!is_gone(1));
        assert!(is_gone(0), "no process, and no group");
        assert!(is_gone(u32::MAX));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_gone(child.id()));
    }
}
