// SPDX-License-Identifier: GPL-2.0-or-later
//! Room at the end of a file that is written through memory.
//!
//! Owns mmap(2) of a shared file. What is written so survives a crash of this process just as what write(2) wrote: it is
//! in the page cache at once. But it takes no system call. Called by `ledger/`. Must not know what is written; must not be
//! used for a file that others shorten, since access beyond its end is a signal (SIGBUS).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// Alignment of mappings; a multiple of every page size that Linux has by default.
const PAGE: u64 = 64 << 10;

/// See the [module](self).
#[derive(Debug)]
pub struct MappedRoom {
    map: NonNull<u8>,
    /// Length of the mapping.
    len: usize,
    /// Where the room begins in the mapping, and how much of it is used.
    begin: usize,
    used: usize,
}

// SAFETY: the mapping belongs to this value alone and is no thread's.
unsafe impl Send for MappedRoom {}

impl MappedRoom {
    /// Appends `len` newlines to a file that was opened for reading and appending, and maps them. Nobody else may append
    /// to the file at the same time. There are pages for all of it when this returns: a full file system is an error here
    /// and no signal later. After an error the file is as it was, and so is the room for other lines.
    pub fn append(mut file: &File, len: usize) -> io::Result<Self> {
        let start = file.metadata()?.len();
        reserve(file, start, len)?;
        let offset = start / PAGE * PAGE;
        let begin = (start - offset) as usize;
        let whole = begin + len;
        // SAFETY: a new mapping at an address of the kernel's choice; it is checked below.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                whole,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        let room = match NonNull::new(map.cast::<u8>()) {
            Some(map) if map.as_ptr().cast() != libc::MAP_FAILED => Self {
                map,
                len: whole,
                begin,
                used: 0,
            },
            _ => return Err(io::Error::last_os_error()),
        };
        // Not touched before the file is so long.
        file.write_all(&vec![b'\n'; len])?;
        Ok(room)
    }

    /// Bytes that there is room for.
    pub fn left(&self) -> usize {
        self.len - self.begin - self.used
    }

    /// Writes behind what was written before; false, and nothing is written, if there is too little room.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.left() {
            return false;
        }
        // SAFETY: begin + used + bytes.len() <= len by the check above, the mapping lives as long as `self`, is writable,
        // and nothing in this process borrows from it.
        unsafe {
            let to = self.map.as_ptr().add(self.begin + self.used);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        self.used += bytes.len();
        true
    }
}

/// Has the file system set pages aside, all of them or none.
fn reserve(file: &File, start: u64, len: usize) -> io::Result<()> {
    let range = (libc::off_t::try_from(start), libc::off_t::try_from(len));
    let (Ok(start), Ok(len)) = range else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: the call has no pointers, and the descriptor is open as long as `file` is.
    let result =
        unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, start, len) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Drop for MappedRoom {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, whole, and nobody borrows from it.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn what_is_written_to_memory_is_in_the_file() {
        let path = std::env::temp_dir().join(format!("fastswan-mapped-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        (&file).write_all(b"head\n").unwrap();
        let mut room = MappedRoom::append(&file, 10).unwrap();
        assert!(room.write(b"one\n") && room.write(b"two\n"));
        assert!(!room.write(b"three\n"), "there are two bytes left");
        assert_eq!(room.left(), 2);
        // Another one begins behind it, whatever its place in a page.
        let mut next = MappedRoom::append(&file, 8).unwrap();
        assert!(next.write(b"three\n"));
        let content = std::fs::read_to_string(&path).unwrap();
        assert_eq!(content, "head\none\ntwo\n\n\nthree\n\n\n");
        drop((room, next));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        let file = OpenOptions::new().write(true).open("/dev/null").unwrap();
        assert!(MappedRoom::append(&file, 10).is_err());
    }
}
