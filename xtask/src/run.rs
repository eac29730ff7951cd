// SPDX-License-Identifier: GPL-2.0-or-later
//! Running other programs.
//!
//! Owns how a child process is started, logged and reported when it fails. Every room calls it instead of
//! `Command::status`, so that a failure always names the program, its arguments and the last lines it wrote. It
//! must not decide anything about the result beyond success or failure.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// A command whose child dies with us: no orphan is left when xtask is interrupted or killed.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    die_with_parent(&mut command);
    command
}

/// Asks the kernel to kill the child when the thread that starts it ends.
///
/// Callers start children from a thread that waits for them, so "thread ends" means "xtask ends".
fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes one async-signal-safe system call; it touches no
    // memory of the parent.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// The command as a person would type it.
pub(crate) fn display(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| {
        let arg = arg.to_string_lossy();
        if arg.contains(' ') {
            format!("'{arg}'")
        } else {
            arg.into_owned()
        }
    }));
    words.join(" ")
}

/// Last lines of a log, for error messages.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path)
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs quietly with everything written to `log`; on failure the error carries the end of it.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let out =
        File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
    let err = out.try_clone()?;
    let shown = display(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .with_context(|| format!("cannot start: {shown}"))?;
    if !status.success() {
        bail!(
            "{shown}\nended with {status}; its last lines (all of it: {}):\n{}",
            log.display(),
            tail(log, 25)
        );
    }
    Ok(())
}

/// Runs and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = display(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start: {text}"))?;
    if !out.status.success() {
        bail!(
            "{text}\nended with {}: {}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
