// SPDX-License-Identifier: GPL-2.0-or-later
//! Two machines' work, shared out evenly.
//!
//! Owns the split of scenarios over the two lanes by their known durations. test calls it. It must not run anything.

use crate::{kernels::Series, lab::Plugin, roots::Release, scenarios::Scenario};

/// Seconds of a boot: what one more machine costs.
const BOOT: u64 = 30;
/// A group this short stays whole: a second boot would cost more than it saves.
const WHOLE: u64 = 20 * BOOT;

/// Scenarios that can share a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) kernel: Series,
    pub(crate) plugin: Plugin,
    pub(crate) release: Release,
    pub(crate) scenarios: Vec<Scenario>,
}

/// Gives both lanes about the same work, on top of the seconds they have already.
///
/// Short groups go whole to the lane that has less, then the scenarios of the long ones, longest first, one by one.
pub(crate) fn split(groups: Vec<Group>, mut loads: [u64; 2]) -> [Vec<Group>; 2] {
    let mut lanes = [Vec::new(), Vec::new()];
    let sum = |group: &Group| group.scenarios.iter().map(|one| one.seconds).sum::<u64>();
    let (short, long): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| sum(group) <= WHOLE);
    for group in short {
        let lane = lighter(loads);
        loads[lane] += BOOT + sum(&group);
        lanes[lane].push(group);
    }
    for group in long {
        let mut parts = [Vec::new(), Vec::new()];
        let mut scenarios = group.scenarios;
        scenarios.sort_by(|a, b| b.seconds.cmp(&a.seconds).then(a.name.cmp(&b.name)));
        for scenario in scenarios {
            let lane = lighter(loads);
            loads[lane] += scenario.seconds;
            parts[lane].push(scenario);
        }
        for (lane, mut scenarios) in parts.into_iter().enumerate() {
            if scenarios.is_empty() {
                continue;
            }
            loads[lane] += BOOT;
            scenarios.sort_by(|a, b| a.name.cmp(&b.name));
            lanes[lane].push(Group {
                scenarios,
                kernel: group.kernel,
                plugin: group.plugin,
                release: group.release,
            });
        }
    }
    lanes
}

fn lighter(loads: [u64; 2]) -> usize {
    usize::from(loads[1] < loads[0])
}

#[cfg(test)]
mod tests {
    use super::{Group, split};
    use crate::{kernels::Series, lab::Plugin, roots::Release, scenarios::Scenario};

    fn group(release: Release, seconds: &[u64]) -> Group {
        let scenarios = seconds
            .iter()
            .enumerate()
            .map(|(number, seconds)| Scenario {
                name: format!("s{number:02}"),
                set: "base".to_owned(),
                needs: None,
                kernel: None,
                plugin: None,
                only_full: false,
                shows: "x".to_owned(),
                seconds: *seconds,
            })
            .collect();
        Group {
            kernel: Series::New,
            plugin: Plugin::KernelFastswan,
            release,
            scenarios,
        }
    }

    fn seconds(lane: &[Group]) -> u64 {
        lane.iter()
            .flat_map(|group| &group.scenarios)
            .map(|one| one.seconds)
            .sum()
    }

    #[test]
    fn long_groups_are_halved_and_nothing_is_lost() {
        let all = [120, 40, 200, 80, 160, 40, 240, 80, 20, 60];
        let [first, second] = split(vec![group(Release::Trixie, &all)], [0, 0]);
        assert_eq!(seconds(&first) + seconds(&second), all.iter().sum::<u64>());
        assert!(seconds(&first).abs_diff(seconds(&second)) <= 80);
        let mut names: Vec<String> = first
            .iter()
            .chain(&second)
            .flat_map(|group| group.scenarios.iter().map(|one| one.name.clone()))
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn short_groups_stay_whole_and_what_a_lane_has_counts() {
        let groups = vec![
            group(Release::Trixie, &[160, 160, 160, 160]),
            group(Release::Sid, &[40, 80]),
        ];
        let [first, second] = split(groups, [400, 0]);
        assert!(first.iter().all(|group| group.scenarios.len() < 4));
        assert_eq!(
            second
                .iter()
                .filter(|group| group.release == Release::Sid)
                .count(),
            1
        );
        assert!(seconds(&second) > seconds(&first));
    }
}
