// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line.
//!
//! Owns names, options and their help, from which manual page and completions are made. Called by
//! `main`. Must not do anything.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::machine::Sockets;
use crate::out::Color;

/// What stands below the options in --help and in the manual page.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0  done; for doctor: no check failed
  1  a check failed, something is not there, or objects disagree
  2  it could not be done: wrong usage, no permission, unreadable file";

/// Shows what packet offload of IPsec needs, and what is in the NIC
#[derive(Debug, Parser)]
#[command(name = "fastswanctl", version, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    /// Colours: with auto, on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        global = true,
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    #[command(flatten)]
    pub(crate) paths: Paths,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The two sockets.
#[derive(Debug, Args)]
pub(crate) struct Paths {
    /// charon's vici socket
    #[arg(
        long,
        default_value = "/run/charon.vici",
        global = true,
        value_name = "PATH"
    )]
    pub(crate) vici: PathBuf,
    /// The plugin's socket
    #[arg(
        long,
        default_value = "/run/charon.fastswan",
        global = true,
        value_name = "PATH"
    )]
    pub(crate) socket: PathBuf,
}

impl Paths {
    pub(crate) fn sockets(&self) -> Sockets {
        Sockets {
            charon: self.vici.clone(),
            plugin: self.socket.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks whether packet offload can work here, with remedies
    ///
    /// Changes nothing but with --live.
    Doctor(Doctor),
    /// Shows each CHILD_SA with what kernel and NIC really hold of it
    ///
    /// Changes nothing.
    Status(Status),
    /// Lists and opens the gates against traffic in clear
    Guard {
        #[command(subcommand)]
        command: Guard,
    },
    /// Shows status, live; keys sort and filter
    ///
    /// Changes nothing.
    Watch {
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
        interval: u64,
        /// Shows a recorded machine instead of this one
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Writes counters in the text format of Prometheus
    ///
    /// Changes nothing but the file of --textfile.
    Metrics(Metrics),
    /// Shows the versions of command, plugin, strongSwan and kernel
    ///
    /// Changes nothing.
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Writes a completion script for a shell to stdout
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the manual page to stdout
    #[command(hide = true)]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Checks the connections of a swanctl.conf instead of the loaded ones
    #[arg(long, value_name = "FILE")]
    pub(crate) conf: Option<PathBuf>,
    /// Also has a device take and drop trial SAs and policies
    ///
    /// Needs root. Briefly blocks tc offload and mode changes on it.
    #[arg(long, value_name = "DEV", conflicts_with = "from")]
    pub(crate) live: Option<String>,
    /// Writes what was found out about this machine to a folder
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub(crate) record: Option<PathBuf>,
    /// Judges a recorded machine instead of this one
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Fixes that the kernel has beyond its release
    ///
    /// all, or names as in kernel-fix, with commas between.
    #[arg(long, value_name = "LIST")]
    pub(crate) kernel_fixes: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// One line for each CHILD_SA
    #[arg(long, conflicts_with_all = ["json", "child"])]
    pub(crate) brief: bool,
    /// Only CHILD_SAs of this name, in detail
    ///
    /// CONNECTION/CHILD and CONNECTION/CHILD#ID are names, too.
    #[arg(long, value_name = "NAME")]
    pub(crate) child: Option<String>,
    /// Only what is on this device
    #[arg(long, value_name = "DEV")]
    pub(crate) device: Option<String>,
    /// Only CHILD_SAs with this peer
    #[arg(long, value_name = "IP")]
    pub(crate) peer: Option<IpAddr>,
    /// Seconds between the two looks that rates are made of
    ///
    /// 0 for one look without rates. NICs count about once a second,
    /// so that a longer time is more exact.
    #[arg(verbatim_doc_comment, long, value_name = "SECONDS", default_value = "1", conflicts_with = "from", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) interval: u64,
    /// Shows a recorded machine instead of this one
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Guard {
    /// Lists the gates that are closed, and who holds them
    ///
    /// Changes nothing.
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Opens gates: what they guard may then leave and enter in clear
    ///
    /// CHANGES THE STATE of the kernel. Works without charon; while that
    /// runs, it closes again at once what a CHILD_SA or trap holds.
    #[command(verbatim_doc_comment)]
    Open(GuardOpen),
}

#[derive(Debug, Args)]
pub(crate) struct GuardOpen {
    /// The gate as list shows it, such as "10.1.0.0/16 === 10.2.0.0/16"
    #[arg(
        value_name = "SELECTOR",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) selector: Option<String>,
    /// All gates
    #[arg(long)]
    pub(crate) all: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// Writes to a file, under another name first; for the textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(crate) textfile: Option<PathBuf>,
    /// Serves them over HTTP
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// One series per CHILD_SA; else they are summed up by device and mode
    #[arg(long)]
    pub(crate) per_child: bool,
    /// Counts a recorded machine instead of this one
    #[arg(long, value_name = "DIR", conflicts_with = "listen")]
    pub(crate) from: Option<PathBuf>,
}
