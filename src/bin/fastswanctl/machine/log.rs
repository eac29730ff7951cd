// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's log.
//!
//! Owns the choice of lines: what the driver says about IPsec, and faults of the kernel with a trace
//! through IPsec or the driver. Called by `mod`. Must not wait for lines to come, nor keep what has
//! nothing to do with offload: a recorded machine is shown to others.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::facts::Answer;

/// A record of /dev/kmsg is no longer.
const RECORD_MAX: usize = 8192;
/// Records that are read: the log's ring has some ten thousand.
const RECORDS_MAX: usize = 200_000;
/// Lines that are kept, the latest.
const LINES_MAX: usize = 40;
/// A trace is no longer.
const TRACE_MAX: usize = 60;

/// How a fault begins.
const FAULTS: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "Oops",
    "general protection fault",
    "Kernel panic",
    "INFO: task ",
    "kernel BUG at",
    "KASAN: ",
];
/// What a trace has to go through to be of interest: prefixes of functions and modules.
const OURS: &[&str] = &["xfrm", "mlx5e_ipsec", "mlx5e_accel_ipsec", "esp4", "esp6"];

/// The lines of interest, oldest first.
pub(super) fn kernel(root: &Path) -> Answer<Vec<String>> {
    let path = root.join("dev/kmsg");
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) => return Answer::Unknown(format!("/dev/kmsg: {error}")),
    };
    let mut chosen = Chosen::default();
    let mut room = vec![0; RECORD_MAX];
    for _ in 0..RECORDS_MAX {
        match file.read(&mut room) {
            Ok(0) => break,
            Ok(count) => chosen.take(&String::from_utf8_lossy(&room[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // EPIPE: it was overwritten meanwhile; the next read goes on behind the gap.
            Err(error)
                if error.kind() == ErrorKind::Interrupted
                    || error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) => return Answer::Unknown(format!("/dev/kmsg: {error}")),
        }
    }
    Answer::Known(chosen.lines.into())
}

#[derive(Default)]
struct Chosen {
    lines: VecDeque<String>,
    /// The first line of a fault, and how far its trace may still go.
    fault: Option<(String, usize)>,
}

impl Chosen {
    /// A record: `priority,number,time,flags;text`, then lines that begin with a blank.
    fn take(&mut self, record: &str) {
        let text = record.split_once(';').map_or(record, |(_, text)| text);
        let line = text.lines().next().unwrap_or_default().trim();
        if FAULTS.iter().any(|begin| line.contains(begin)) {
            self.fault = Some((line.to_owned(), TRACE_MAX));
        }
        if let Some((first, left)) = self.fault.take() {
            // The first line may name the place itself.
            if concerns_us(line) {
                self.keep(first);
            } else if left > 0 && !line.contains("end trace") {
                self.fault = Some((first, left - 1));
            }
            return;
        }
        if says_of_ipsec(line) {
            self.keep(line.to_owned());
        }
    }

    fn keep(&mut self, line: String) {
        if self.lines.contains(&line) {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Whether a word of a trace is a function or module of IPsec or its offload.
fn concerns_us(line: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| OURS.iter().any(|name| word.starts_with(name)))
}

/// What a driver says about IPsec, of a device or at its start.
fn says_of_ipsec(line: &str) -> bool {
    line.to_ascii_lowercase().contains("ipsec") && (line.contains("mlx5") || line.contains("ESP"))
}

/// Whether a line is a fault.
pub(crate) fn is_fault(line: &str) -> bool {
    FAULTS.iter().any(|begin| line.contains(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(records: &[&str]) -> Vec<String> {
        let mut chosen = Chosen::default();
        for record in records {
            chosen.take(record);
        }
        chosen.lines.into()
    }

    #[test]
    fn faults_of_others_and_other_lines_are_left_out() {
        let warning = "4,100,1,-;WARNING: CPU: 1 PID: 9 at net/xfrm/xfrm_state.c:1 x+0x1/0x2\n";
        assert_eq!(
            chosen(&[
                "6,1,1,-;mlx5_core 0000:03:00.0: mlx5e: IPSec ESP acceleration enabled\n\
                 \x20SUBSYSTEM=pci\n",
                "6,2,1,-;e1000: link is up\n",
                "4,3,1,-;WARNING: CPU: 0 PID: 1 at fs/inode.c:1 iput+0x1/0x2\n",
                "4,4,1,-; iput+0x1/0x2\n",
                "4,5,1,-;---[ end trace 0000000000000000 ]---\n",
                warning,
                warning,
                "4,6,1,-;BUG: kernel NULL pointer dereference, address: 0\n",
                "4,7,1,-;Call Trace:\n",
                "4,8,1,-; mlx5e_ipsec_handle_tx_skb+0x1/0x2 [mlx5_core]\n",
            ]),
            [
                "mlx5_core 0000:03:00.0: mlx5e: IPSec ESP acceleration enabled",
                "WARNING: CPU: 1 PID: 9 at net/xfrm/xfrm_state.c:1 x+0x1/0x2",
                "BUG: kernel NULL pointer dereference, address: 0",
            ]
        );
    }

    #[test]
    fn a_long_log_keeps_the_latest_lines() {
        let mut chosen = Chosen::default();
        for number in 0..100 {
            chosen.take(&format!("6,1,1,-;mlx5_core: IPsec {number}\n"));
        }
        assert_eq!(chosen.lines.len(), LINES_MAX);
        assert_eq!(chosen.lines[LINES_MAX - 1], "mlx5_core: IPsec 99");
    }

    #[test]
    fn a_machine_without_a_log_says_so() {
        let Answer::Unknown(why) = kernel(Path::new("/nonexistent")) else {
            panic!("there is no log");
        };
        assert!(why.starts_with("/dev/kmsg: "), "{why}");
    }
}
