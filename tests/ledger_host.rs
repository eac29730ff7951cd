// SPDX-License-Identifier: GPL-2.0-or-later
//! The ledger on file systems as machines have them.
//!
//! Needs root to mount one, so it is ignored by default and says so: `cargo test --test ledger_host -- --ignored`. What the
//! ledger is for and how it is read is tested beside it (src/ledger/tests.rs).

use std::path::Path;
use std::process::Command;
use std::thread;

use fastswan::ledger::{Ledger, Owner};

/// Runs `work` in a mount namespace of its own, with a file system of `size` mounted there.
fn with_tmpfs(size: &str, work: impl FnOnce(&Path) + Send) {
    let folder = std::env::temp_dir().join(format!("fastswan-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(&folder).status();
        assert!(status.unwrap().success(), "mount {arguments:?}");
    };
    let ended = thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: the call has no pointers; only this thread gets other mounts.
                let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) };
                let error = std::io::Error::last_os_error();
                assert_eq!(unshared, 0, "unshare: {error}");
                let private = Command::new("mount")
                    .args(["--make-rprivate", "/"])
                    .status();
                assert!(private.unwrap().success(), "mounts are made private");
                mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
                work(&folder);
            })
            .join()
    });
    std::fs::remove_dir(&folder).unwrap();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
#[ignore = "needs root"]
fn a_file_system_without_room_to_spare_is_filled_by_entries_only() {
    with_tmpfs("48k", |folder| {
        let path = folder.join("state");
        let (ledger, _) = Ledger::open(&path, Owner::current().unwrap()).unwrap();
        let entry = |number: u32| (format!("sa {number:04}"), "x".repeat(80));
        for number in 0..200 {
            ledger.add(&entry(number));
        }
        // As after a crash: nothing was closed.
        let content = std::fs::read_to_string(&path).unwrap();
        for number in 0..200 {
            assert!(content.contains(&entry(number).0), "{number} is missing");
        }
        assert!(!content.contains("\n\n"), "the file has empty lines");
    });
}
