// SPDX-License-Identifier: GPL-2.0-or-later
//! charon's process: what it may do, and what its netlink sockets missed.
//!
//! Owns the reading of /proc/PID. Called by `mod`. Must not touch the process.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::facts::{Answer, Process};

/// Names of the daemon, as `comm` has them.
const NAMES: [&str; 3] = ["charon", "charon-systemd", "charon-cmd"];
/// Bit of CAP_NET_ADMIN.
const NET_ADMIN: u64 = 1 << 12;

/// The daemon of this network namespace; `None` inside if there is none.
pub(super) fn charon(root: &Path) -> Answer<Option<Process>> {
    let proc = root.join("proc");
    let folders = match fs::read_dir(&proc) {
        Ok(folders) => folders,
        Err(error) => return Answer::Unknown(format!("/proc: {error}")),
    };
    let own = fs::read_link(proc.join("self/ns/net")).ok();
    for folder in folders.flatten() {
        let Some(pid) = folder
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let folder = folder.path();
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let name = name.trim();
        if !NAMES.contains(&name) || fs::read_link(folder.join("ns/net")).ok() != own {
            continue;
        }
        let Ok(status) = fs::read_to_string(folder.join("status")) else {
            continue;
        };
        let Some(sockets) = sockets(&folder) else {
            return Answer::Unknown(format!("{name} (pid {pid}) may be looked at by root only"));
        };
        let table = fs::read_to_string(folder.join("net/netlink")).unwrap_or_default();
        return Answer::Known(Some(Process {
            name: name.to_owned(),
            pid,
            net_admin: net_admin(&status),
            rmem_max: fs::read_to_string(proc.join("sys/net/core/rmem_max"))
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
            events_lost: drops(&table, &sockets),
        }));
    }
    Answer::Known(None)
}

fn net_admin(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & NET_ADMIN != 0)
}

/// Inodes of the sockets of a process; `None` if we may not look.
fn sockets(folder: &Path) -> Option<HashSet<String>> {
    let files = fs::read_dir(folder.join("fd")).ok()?;
    Some(
        files
            .flatten()
            .filter_map(|file| {
                let target = fs::read_link(file.path()).ok()?;
                let inode = target
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?;
                Some(inode.to_owned())
            })
            .collect(),
    )
}

/// Sum of the messages that did not fit, of the sockets in /proc/net/netlink that are listed:
/// `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode`.
fn drops(table: &str, sockets: &HashSet<String>) -> u64 {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [.., lost, inode] = columns.as_slice() else {
                return None;
            };
            sockets.contains(*inode).then(|| lost.parse().unwrap_or(0))
        })
        .sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sockets_of_the_process_missed_is_counted() {
        let table = "sk  Eth Pid  Groups  Rmem Wmem Dump Locks Drops Inode\n\
                     0000 6 1 00000003 0 0 0 2 5 100\n\
                     0000 0 1 00000001 0 0 0 2 2 101\n\
                     0000 6 2 00000001 0 0 0 2 7 200\n\
                     garbage\n";
        let sockets = ["100".to_owned(), "101".to_owned()].into();
        assert_eq!(drops(table, &sockets), 7);
        assert_eq!(drops("", &sockets), 0);
    }

    #[test]
    fn capabilities_are_read() {
        assert!(net_admin("Name:\tcharon\nCapEff:\t000001ffffffffff\n"));
        assert!(net_admin("CapEff:\t0000000000001000\n"));
        assert!(!net_admin("CapEff:\t0000000000000400\n"));
        assert!(!net_admin("CapPrm:\t000001ffffffffff\n"));
    }

    #[test]
    fn a_machine_without_proc_says_so() {
        assert!(matches!(
            charon(Path::new("/nonexistent")),
            Answer::Unknown(_)
        ));
    }
}
