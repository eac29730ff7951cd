// SPDX-License-Identifier: GPL-2.0-or-later
//! What the bench in the guest printed, as numbers.
//!
//! Owns the lines of tests/bench and the medians. Called by `bench`. Must not know what a number should be.

use std::collections::BTreeMap;

use super::{Cell, Who};

/// What a run was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Time,
    Calls,
    Allocs,
}

/// One phase of one contestant in one cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) cell: Cell,
    pub(super) mode: Mode,
    pub(super) who: Who,
    pub(super) phase: String,
}

/// A run of the bench.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Machine, versions, date.
    pub(super) about: BTreeMap<String, String>,
    /// Each round's values.
    pub(super) samples: BTreeMap<Key, Vec<BTreeMap<String, f64>>>,
    /// Calls that failed, objects that were left, lines that nobody understands.
    pub(super) complaints: Vec<String>,
}

impl Measured {
    pub(super) fn read(text: &str) -> Self {
        let mut measured = Self::default();
        let mut current: Option<(Cell, Option<Mode>, Who)> = None;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "about" => {
                    if let Some((key, value)) = rest.split_once(' ') {
                        measured.about.insert(key.to_owned(), value.to_owned());
                    }
                }
                "run" => {
                    current = run(rest);
                    if current.is_none() {
                        measured.complaints.push(line.to_owned());
                    }
                }
                "table" => {}
                "result" => {
                    let values: BTreeMap<&str, &str> = rest
                        .split(' ')
                        .filter_map(|pair| pair.split_once('='))
                        .collect();
                    if values.get("failed") != Some(&"0") {
                        measured.complain(current, line);
                    }
                    let Some((cell, mode, who)) = current else {
                        measured.complaints.push(line.to_owned());
                        continue;
                    };
                    let (Some(mode), Some(phase)) = (mode, values.get("phase")) else {
                        continue;
                    };
                    let key = Key {
                        cell,
                        mode,
                        who,
                        phase: (*phase).to_owned(),
                    };
                    let values = values
                        .iter()
                        .filter_map(|(key, value)| Some(((*key).to_owned(), value.parse().ok()?)));
                    measured
                        .samples
                        .entry(key)
                        .or_default()
                        .push(values.collect());
                }
                // kernel-netlink was stopped by the clock in the middle.
                "left" if current.is_some_and(|(.., who)| who == Who::Theirs) => {}
                _ => measured.complain(current, line),
            }
        }
        measured
    }

    fn complain(&mut self, current: Option<(Cell, Option<Mode>, Who)>, line: &str) {
        let of = current.map_or_else(String::new, |(cell, _, who)| {
            format!("{cell} with {}: ", who.name())
        });
        self.complaints.push(format!("{of}{line}"));
    }

    /// Median over the rounds of a value by CHILD_SA.
    pub(super) fn each(
        &self,
        cell: Cell,
        mode: Mode,
        who: Who,
        phase: &str,
        what: &str,
    ) -> Option<f64> {
        let key = Key {
            cell,
            mode,
            who,
            phase: phase.to_owned(),
        };
        median(self.samples.get(&key)?.iter().filter_map(|sample| {
            let done = sample.get("done").filter(|done| **done > 0.0)?;
            Some(sample.get(what)? / done)
        }))
    }

    /// How many CHILD_SAs there was time for.
    pub(super) fn done(&self, cell: Cell, who: Who, phase: &str) -> Option<f64> {
        let key = Key {
            cell,
            mode: Mode::Time,
            who,
            phase: phase.to_owned(),
        };
        median(
            self.samples
                .get(&key)?
                .iter()
                .filter_map(|sample| sample.get("done").copied()),
        )
    }

    /// The cells of a mode.
    pub(super) fn cells(&self, mode: Mode) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self
            .samples
            .keys()
            .filter(|key| key.mode == mode)
            .map(|key| key.cell)
            .collect();
        cells.dedup();
        cells
    }
}

/// `CELL/MODE WHO`
fn run(text: &str) -> Option<(Cell, Option<Mode>, Who)> {
    let (name, who) = text.split_once(' ')?;
    let (cell, mode) = name.split_once('/')?;
    let mode = match mode {
        "time" => Some(Mode::Time),
        "calls" => Some(Mode::Calls),
        "allocs" => Some(Mode::Allocs),
        "record" => None,
        _ => return None,
    };
    Some((Cell::parse(cell)?, mode, Who::parse(who)?))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Measured, Mode, Who, median};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 9.0].into_iter()), Some(3.0));
        assert_eq!(median([3.0, 1.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn lines_become_numbers_and_failures_are_kept() {
        let measured = Measured::read(
            "about kernel 7.3\n\
             table 0\n\
             run n10-table0-packet-routes-t1-peer/record kernel-fastswan\n\
             result phase=setup wanted=10 done=10 failed=0 wall=9\n\
             run n10-table0-packet-routes-t1-peer/time kernel-fastswan\n\
             result phase=setup wanted=10 done=10 failed=0 wall=1000\n\
             run n10-table0-packet-routes-t1-peer/time kernel-fastswan\n\
             result phase=setup wanted=10 done=5 failed=1 wall=1000\n\
             left count 2\n",
        );
        let cell = Cell::new(10, 0, true, true);
        let each = |what| measured.each(cell, Mode::Time, Who::Ours, "setup", what);
        assert_eq!(each("wall"), Some(150.0));
        assert_eq!(each("calls"), None);
        assert_eq!(measured.done(cell, Who::Ours, "setup"), Some(7.5));
        assert_eq!(measured.complaints.len(), 2, "{:?}", measured.complaints);
        assert_eq!(measured.cells(Mode::Time), [cell]);
        assert_eq!(measured.about["kernel"], "7.3");
    }
}
