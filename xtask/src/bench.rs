// SPDX-License-Identifier: GPL-2.0-or-later
//! The bench: what kernel_interface costs with strongSwan's own plugin, with ours, and at least.
//!
//! Owns which cells are measured and how a run in the guest is made of them. Called by main. The program is in
//! tests/bench; its lines are read by `bench/measured`, goals are in `bench/goals`, and `bench/page` writes what people
//! and machines read. Must not judge.

mod goals;
mod measured;
mod page;

use std::{fmt, fmt::Write as _, fs, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    harness,
    kernels::Series,
    lab::{self, Plugin},
    roots::Release,
    say,
    setup::{self, Repo},
    vm,
};

use measured::Measured;

/// How long a whole run may take.
const LIMIT: Duration = Duration::from_secs(12 * 3600);
/// Rounds in which every contestant plays a cell once.
const ROUNDS: u32 = 5;
/// Seconds of a phase; kernel-netlink's cells have four that can be long.
const PHASE_LIMIT: u32 = 60;
const QUICK_LIMIT: u32 = 15;
/// Of a phase whose messages are kept: the floor needs all of them.
const RECORD_LIMIT: u32 = 600;
/// CHILD_SAs of the runs that count system calls or allocations: neither depends on the speed.
const COUNTED: u32 = 100;
/// More messages than this many CHILD_SAs send do not fit into the guest's memory.
const RECORDED: u32 = 1000;

/// What is asked for on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) quick: bool,
    pub(crate) kernel: Series,
    pub(crate) release: Release,
    pub(crate) rounds: Option<u32>,
    /// Only cells whose name contains this.
    pub(crate) only: Option<String>,
    /// Print JSON instead of the table.
    pub(crate) json: bool,
    /// Write docs/performance.md and its picture.
    pub(crate) docs: bool,
    /// Measure nothing, read what an earlier run printed.
    pub(crate) recorded: Option<std::path::PathBuf>,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// In the main routing table.
    routes: u32,
    /// CHILD_SAs.
    count: u32,
    packet: bool,
    install_routes: bool,
    threads: u32,
    /// Each CHILD_SA has a peer of its own.
    peers: bool,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "n{}-table{}-{}-{}-t{}-{}",
            self.count,
            self.routes,
            if self.packet { "packet" } else { "software" },
            if self.install_routes {
                "routes"
            } else {
                "noroutes"
            },
            self.threads,
            if self.peers { "peers" } else { "peer" },
        )
    }
}

impl Cell {
    const fn new(count: u32, routes: u32, packet: bool, install_routes: bool) -> Self {
        Self {
            routes,
            count,
            packet,
            install_routes,
            threads: 1,
            peers: false,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let [count, routes, mode, own, threads, peers] = parts[..] else {
            return None;
        };
        Some(Self {
            routes: routes.strip_prefix("table")?.parse().ok()?,
            count: count.strip_prefix('n')?.parse().ok()?,
            packet: mode == "packet",
            install_routes: own == "routes",
            threads: threads.strip_prefix('t')?.parse().ok()?,
            peers: peers == "peers",
        })
    }
}

/// Who plays a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Theirs,
    Ours,
    /// Ours with `guard = no`.
    Unguarded,
    /// The messages of `Ours`, sent by a bare loop.
    Floor,
    /// Those of `Unguarded`.
    UnguardedFloor,
}

impl Who {
    const ALL: [Self; 5] = [
        Self::Theirs,
        Self::Ours,
        Self::Unguarded,
        Self::Floor,
        Self::UnguardedFloor,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Theirs => "kernel-netlink",
            Self::Ours => "kernel-fastswan",
            Self::Unguarded => "guard=no",
            Self::Floor => "floor",
            Self::UnguardedFloor => "floor,guard=no",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }

    fn plugin(self) -> Plugin {
        match self {
            Self::Theirs => Plugin::KernelNetlink,
            _ => Plugin::KernelFastswan,
        }
    }

    /// A gate is there for packet mode only.
    fn plays(self, cell: &Cell) -> bool {
        match self {
            Self::Theirs | Self::Ours => true,
            Self::Unguarded => cell.packet,
            Self::Floor => cell.count <= RECORDED && cell.threads == 1,
            Self::UnguardedFloor => cell.packet && cell.count <= RECORDED && cell.threads == 1,
        }
    }
}

/// The cells that carry the goals.
fn quick() -> Vec<Cell> {
    vec![
        Cell::new(1000, 0, true, false),
        Cell::new(1000, 0, true, true),
        Cell::new(1000, 0, false, false),
        Cell::new(5000, 0, true, false),
        Cell::new(5000, 0, true, true),
        Cell::new(1000, 100_000, true, true),
        Cell::new(5000, 100_000, true, true),
    ]
}

/// All cells.
fn grid() -> Vec<Cell> {
    let mut cells = Vec::new();
    for routes in [0, 10_000, 100_000, 1_000_000] {
        for count in [100, 1000, 5000, 10_000] {
            for packet in [true, false] {
                for install_routes in [false, true] {
                    for threads in [1, 4, 16] {
                        cells.push(Cell {
                            threads,
                            ..Cell::new(count, routes, packet, install_routes)
                        });
                    }
                }
            }
        }
    }
    cells
}

/// `cargo xtask bench`
pub(crate) fn command_line(repo: &Repo, cache: &Cache, run: &Run) -> Result<ExitCode> {
    let mut cells = if run.quick { quick() } else { grid() };
    cells.retain(|cell| {
        let name = cell.to_string();
        run.only.as_deref().is_none_or(|only| name.contains(only))
    });
    cells.sort_unstable();
    if cells.is_empty() {
        bail!(
            "no cell has that in its name: n<CHILD_SAs>-table<routes>-packet|software-routes|noroutes-t<threads>-peer"
        );
    }
    let measured = match &run.recorded {
        Some(file) => Measured::read(
            &fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        ),
        None => play(repo, cache, run, &cells)?,
    };
    let verdicts = goals::judge(&measured);
    if run.json {
        println!("{:#}", page::json(&measured, &verdicts));
    } else {
        print!("{}", page::table(&measured));
        print!("{}", page::goals(&verdicts));
    }
    if run.docs {
        page::write(repo, &measured, &verdicts)?;
    }
    for line in &measured.complaints {
        println!("complaint: {line}");
    }
    // A goal that is missed is shown, and no failure of the bench; calls that failed are one.
    Ok(if measured.complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(repo: &Repo, cache: &Cache, run: &Run, cells: &[Cell]) -> Result<Measured> {
    let lab = setup::lab(cache)?;
    let kernel = lab.kernel(run.kernel)?;
    let guest = setup::guest(cache, &lab, run.release)?;
    let share = harness::share(repo, cache, &lab, kernel, "bench", run.release)?;
    lab::copy(
        &repo.root.join("tests/bench/cells.sh"),
        &share.join("bench"),
    )?;
    let rounds = run.rounds.unwrap_or(ROUNDS);
    let limit = if run.quick { QUICK_LIMIT } else { PHASE_LIMIT };
    let script = script(cells, rounds, limit);
    let mut text = format!(
        "about kernel {}\nabout strongswan {}\nabout rounds {rounds}\nabout limit {limit}\nabout profile {}\nabout host {}\nabout date {}\n",
        kernel.release,
        run.release.strongswan(),
        profile(),
        page::host(),
        page::date(),
    );
    for turn in 1..=3 {
        fs::write(share.join("run"), &script).context("cannot write the guest's script")?;
        say::step(format_args!(
            "bench: booting {} with strongSwan {} for {} cells in {rounds} rounds",
            kernel.release,
            run.release.strongswan(),
            cells.len()
        ));
        let begun = text.len();
        let job = vm::Job {
            kernel,
            guest: &guest,
            share: &share,
            limit: LIMIT,
            apparmor: false,
        };
        let outcome = vm::run(cache, &job, |line| {
            let _ = writeln!(text, "{line}");
            if let Some(cell) = line.strip_prefix("run ") {
                say::step(format_args!("bench: {cell}"));
            }
        })?;
        match outcome {
            vm::Outcome::Status(0) => break,
            vm::Outcome::Status(status) => bail!(
                "the bench ended with status {status}: {}",
                text.lines().rev().take(5).collect::<Vec<_>>().join("; ")
            ),
            // Figures of two boots are not mixed: all begins anew.
            vm::Outcome::Lost { emulator: true, .. } if turn < 3 => text.truncate(begun),
            vm::Outcome::Lost { why, .. } => bail!(why),
        }
    }
    let kept = repo.target.join("bench");
    let file = kept.join(format!("{}.txt", if run.quick { "quick" } else { "grid" }));
    crate::cache::write_whole(&file, &text)?;
    crate::cache::remove(&share)?;
    say::step(format_args!("bench: recorded in {}", file.display()));
    Ok(Measured::read(&text))
}

/// How the plugin is compiled: a developer's environment may make builds fast and the plugin slow.
fn profile() -> String {
    let mut changed: Vec<String> = std::env::vars()
        .filter(|(key, _)| key.starts_with("CARGO_PROFILE_RELEASE_"))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    changed.sort();
    if changed.is_empty() {
        page::RELEASE.to_owned()
    } else {
        changed.join(" ")
    }
}

/// The guest's script. Contestants take turns, cell by cell in each round, so that whatever the host does meanwhile
/// meets all of them; what slows the process down, or the kernel for everybody (the tracepoint), comes last.
fn script(cells: &[Cell], rounds: u32, limit: u32) -> String {
    let mut text =
        "insmod /share/vnic.ko || exit 3\ncd /share/bench || exit 3\n. ./cells.sh\n".to_owned();
    let mut tables: Vec<u32> = cells.iter().map(|cell| cell.routes).collect();
    tables.dedup();
    for routes in tables {
        let _ = writeln!(text, "table {routes} || exit 3");
        let here: Vec<&Cell> = cells.iter().filter(|cell| cell.routes == routes).collect();
        for cell in &here {
            for (who, floor) in [
                (Who::Ours, Who::Floor),
                (Who::Unguarded, Who::UnguardedFloor),
            ] {
                if floor.plays(cell) {
                    let mode = format!("record:{}", record_of(cell, floor));
                    let _ = writeln!(text, "{}", line(cell, who, &mode, cell.count, RECORD_LIMIT));
                }
            }
        }
        for _ in 0..rounds {
            for cell in &here {
                for who in Who::ALL.into_iter().filter(|who| who.plays(cell)) {
                    let text = &mut text;
                    let _ = match who {
                        Who::Floor | Who::UnguardedFloor => writeln!(
                            text,
                            "cell {cell}/time '{}' floor {}",
                            who.name(),
                            record_of(cell, who)
                        ),
                        _ => writeln!(text, "{}", line(cell, who, "time", cell.count, limit)),
                    };
                }
            }
        }
        text += "rm -f /tmp/record-*\n";
    }
    let mut counted: Vec<Cell> = cells
        .iter()
        .filter(|cell| cell.threads == 1)
        .flat_map(|cell| {
            [false, true].map(|peers| Cell {
                peers,
                count: cell.count.min(COUNTED),
                ..*cell
            })
        })
        .collect();
    counted.sort_unstable();
    counted.dedup();
    for mode in ["allocs", "calls"] {
        let mut table = None;
        for cell in &counted {
            if table != Some(cell.routes) {
                let _ = writeln!(text, "table {} || exit 3", cell.routes);
                table = Some(cell.routes);
            }
            for who in [Who::Theirs, Who::Ours, Who::Unguarded] {
                if who.plays(cell) {
                    let _ = writeln!(text, "{}", line(cell, who, mode, cell.count, limit));
                }
            }
        }
    }
    text
}

fn record_of(cell: &Cell, who: Who) -> String {
    let kind = if who == Who::Floor { "gate" } else { "bare" };
    format!("/tmp/record-{kind}-{cell}")
}

fn line(cell: &Cell, who: Who, mode: &str, count: u32, limit: u32) -> String {
    let name = if mode.starts_with("record") {
        "record"
    } else {
        mode
    };
    format!(
        "cell {cell}/{name} '{}' play {} {mode} {count} {} {} {} {limit} install_routes={} \
         plugins.kernel-fastswan.guard_on_stop=open{}",
        who.name(),
        who.plugin(),
        cell.threads,
        if cell.packet { "packet" } else { "no" },
        if cell.peers { "each" } else { "one" },
        if cell.install_routes { "yes" } else { "no" },
        if who == Who::Unguarded {
            " plugins.kernel-fastswan.guard=no"
        } else {
            ""
        }
    )
}

#[cfg(test)]
mod tests {
    use super::{Cell, Who, grid, quick, script};

    #[test]
    fn a_cell_is_known_by_its_name() {
        for cell in grid() {
            assert_eq!(Cell::parse(&cell.to_string()), Some(cell));
        }
        assert_eq!(grid().len(), 4 * 4 * 2 * 2 * 3);
        assert_eq!(Cell::parse("n1-table"), None);
        for who in Who::ALL {
            assert_eq!(Who::parse(who.name()), Some(who));
        }
    }

    #[test]
    fn contestants_take_turns_and_counting_comes_last() {
        let mut cells = quick();
        cells.sort_unstable();
        let text = script(&cells, 2, 15);
        let lines: Vec<&str> = text.lines().collect();
        let timed: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains("n1000-table0-packet-noroutes-t1-peer/time"))
            .filter_map(|line| line.split('\'').nth(1))
            .collect();
        let round = [
            "kernel-netlink",
            "kernel-fastswan",
            "guard=no",
            "floor",
            "floor,guard=no",
        ];
        assert_eq!(timed, [round, round].concat());
        let last_time = lines.iter().rposition(|line| line.contains("/time"));
        let first_count = lines.iter().position(|line| line.contains("/allocs"));
        assert!(last_time < first_count, "{text}");
        assert!(
            !text.contains("record-gate-n5000"),
            "it does not fit into the guest"
        );
    }
}
