// SPDX-License-Identifier: GPL-2.0-or-later
//! Advisory locks on files: flock(2).
//!
//! Owns the call. Called by `ledger/`, which finds out by it whether another charon is alive. Must
//! not wait.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes the lock of an open file, which ends with its last descriptor; `false` if somebody else
/// has it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: no pointers; the descriptor is open for the length of the call.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        error => Err(error),
    }
}
