// SPDX-License-Identifier: GPL-2.0-or-later
//! What the figures should be.
//!
//! Owns the goals of the bench. Called by `bench`. A goal whose cells were not measured is "not measured", never met.

use super::{
    Cell, Who,
    measured::{Measured, Mode},
};

/// A goal and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) goal: String,
    /// What was measured, in the goal's unit.
    pub(super) found: Option<f64>,
    pub(super) met: Option<bool>,
}

impl Verdict {
    pub(super) fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        }
    }
}

fn at_least(goal: &str, found: Option<f64>, least: f64) -> Verdict {
    Verdict {
        goal: format!("{goal}: at least {least}"),
        found,
        met: found.map(|found| found >= least),
    }
}

fn at_most(goal: &str, found: Option<f64>, most: f64) -> Verdict {
    Verdict {
        goal: format!("{goal}: at most {most}"),
        found,
        met: found.map(|found| found <= most),
    }
}

/// All goals that this bench can judge.
pub(super) fn judge(measured: &Measured) -> Vec<Verdict> {
    let time = |cell, who, phase, what| measured.each(cell, Mode::Time, who, phase, what);
    let faster = |cell, phase| {
        Some(time(cell, Who::Theirs, phase, "wall")? / time(cell, Who::Ours, phase, "wall")?)
    };
    // A goal is for any number of CHILD_SAs: the largest that was measured counts.
    let largest = |routes, install_routes| {
        [10_000, 5000, 1000]
            .map(|count| Cell::new(count, routes, true, install_routes))
            .into_iter()
            .find(|cell| time(*cell, Who::Ours, "setup", "wall").is_some())
    };
    let mut verdicts = vec![at_least(
        "times faster, set-up with 100,000 routes and routes installed",
        largest(100_000, true).and_then(|cell| faster(cell, "setup")),
        200.0,
    )];
    for phase in ["setup", "rekey"] {
        verdicts.push(at_least(
            &format!("times faster, {phase} of 5,000, routes installed in an empty table"),
            faster(Cell::new(5000, 0, true, true), phase),
            5.0,
        ));
    }
    let plain = Cell::new(1000, 0, true, false);
    let over = |who, floor| {
        Some(time(plain, who, "setup", "wall")? / time(plain, floor, "setup", "wall")?)
    };
    verdicts.push(at_most(
        "times the floor's wall time, set-up of 1,000, guard = no",
        over(Who::Unguarded, Who::UnguardedFloor),
        1.15,
    ));
    verdicts.push(at_most(
        "times the floor's wall time, set-up of 1,000",
        over(Who::Ours, Who::Floor),
        1.15,
    ));
    verdicts.push(at_most(
        "of kernel-netlink's user CPU, set-up of 1,000, routes not installed",
        time(plain, Who::Ours, "setup", "user")
            .zip(time(plain, Who::Theirs, "setup", "user"))
            .map(|(ours, theirs)| ours / theirs),
        0.5,
    ));
    let calls = |peers, who| {
        let cells = measured.cells(Mode::Calls);
        let cell = cells.into_iter().find(|cell| {
            cell.packet && !cell.install_routes && cell.routes == 0 && cell.peers == peers
        })?;
        measured.each(cell, Mode::Calls, who, "setup", "calls")
    };
    // A call in a hundred may belong to what is done now and then.
    for (goal, found, most) in [
        ("guard = no, peer known", calls(false, Who::Unguarded), 12.0),
        ("peer known", calls(false, Who::Ours), 16.0),
        ("new peer", calls(true, Who::Ours), 24.0),
    ] {
        verdicts.push(at_most(
            &format!("system calls of a set-up, {goal}"),
            found.map(f64::round),
            most,
        ));
    }
    verdicts.push(at_most(
        "times the user CPU of 100 without routes, set-up of 10,000 beside 1,000,000 routes",
        time(
            Cell::new(10_000, 1_000_000, true, true),
            Who::Ours,
            "setup",
            "user",
        )
        .zip(time(
            Cell::new(100, 0, true, true),
            Who::Ours,
            "setup",
            "user",
        ))
        .map(|(large, small)| large / small),
        1.1,
    ));
    let widest = largest(0, false);
    verdicts.push(at_least(
        "times faster, query of both SAs (10,000 CHILD_SAs are the goal)",
        widest.and_then(|cell| faster(cell, "query")),
        5.0,
    ));
    for (what, install_routes, most) in
        [("without routes", false, 2.85), ("with routes", true, 4.5)]
    {
        verdicts.push(at_most(
            &format!("KiB of memory by CHILD_SA, {what}"),
            time(
                Cell::new(5000, 0, true, install_routes),
                Who::Ours,
                "setup",
                "rss",
            ),
            most / 2.0,
        ));
    }
    let threads = |count| {
        let cell = Cell {
            threads: count,
            ..plain
        };
        time(cell, Who::Ours, "setup", "wall")
    };
    verdicts.push(at_most(
        "times one thread's wall time, set-up of 1,000 by 16 threads",
        threads(16).zip(threads(1)).map(|(many, one)| many / one),
        1.0,
    ));
    verdicts
}

#[cfg(test)]
mod tests {
    use super::{Measured, judge};

    #[test]
    fn a_goal_without_figures_is_not_met() {
        let verdicts = judge(&Measured::default());
        assert!(verdicts.iter().all(|verdict| verdict.met.is_none()));
    }

    #[test]
    fn the_clock_may_have_stopped_the_slower_one() {
        let measured = Measured::read(
            "run n1000-table100000-packet-routes-t1-peer/time kernel-netlink\n\
             result phase=setup done=10 failed=0 wall=1000000\n\
             run n1000-table100000-packet-routes-t1-peer/time kernel-fastswan\n\
             result phase=setup done=1000 failed=0 wall=400000\n",
        );
        let first = &judge(&measured)[0];
        assert_eq!((first.found, first.met), (Some(250.0), Some(true)));
    }

    #[test]
    fn system_calls_are_counted_apart_for_known_peers() {
        let measured = Measured::read(
            "run n500-table0-packet-noroutes-t1-peer/calls guard=no\n\
             result phase=setup done=500 failed=0 calls=6100\n\
             run n500-table0-packet-noroutes-t1-peers/calls kernel-fastswan\n\
             result phase=setup done=500 failed=0 calls=12500\n",
        );
        let of = |text: &str| {
            let verdicts = judge(&measured);
            let found = verdicts.iter().find(|verdict| verdict.goal.contains(text));
            found
                .map(|verdict| (verdict.found, verdict.met))
                .expect("a goal")
        };
        assert_eq!(
            of("set-up, guard = no, peer known"),
            (Some(12.0), Some(true))
        );
        assert_eq!(
            of("system calls of a set-up, new peer"),
            (Some(25.0), Some(false))
        );
    }
}
