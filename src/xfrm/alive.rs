// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether another process is alive: advisory locks on files, and process ids where a lock is denied.
//!
//! Owns flock(2) and the null signal of kill(2). Called by `ledger/`, which finds out by them whether
//! another charon is alive. Must not wait.

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

#[cfg(test)]
mod tests {
    use super::is_gone;

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
