// SPDX-License-Identifier: GPL-2.0-or-later
//! What the counters of an SA mean.
//!
//! Owns the memory of the last reading, and what follows from the next. Pure code. Called by the
//! table in `mod.rs`.

use crate::model::{Lifetime, Limit, SaId, SaKey};

/// A limit that the kernel should have reported is reported by us after so many seconds.
const GRACE: i64 = 2;
/// Seconds between two lines about errors of one SA.
const QUIET: i64 = 60;
/// Seconds for which a reading may stand in for another one.
const FRESH: i64 = 30;

/// Counters as the kernel reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which SA.
    pub key: SaKey,
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that failed authentication.
    pub integrity_failed: u32,
    /// Packets that were replayed, or older than the window.
    pub replayed: u32,
}

/// Something charon or the operator has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which SA.
    pub id: SaId,
    /// CHILD_SA and connection.
    pub name: String,
    /// Bytes so far.
    pub bytes: u64,
    /// Packets so far.
    pub packets: u64,
    /// What it is.
    pub what: What,
}

/// See [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A limit was reached, and nobody reported it.
    Limit {
        /// The hard one.
        hard: bool,
    },
    /// Packets were refused since the last report.
    Errors {
        /// Authentication failed.
        integrity_failed: u32,
        /// Replayed or too late.
        replayed: u32,
    },
}

/// What was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Monotonic second when the packet counter was last seen to grow, 0 if never.
    pub used: i64,
}

/// What is remembered of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Activity {
    packets: u64,
    /// When the packet counter was last seen to grow.
    since: i64,
    limits: Lifetime,
    /// The device does not keep them.
    own: bool,
    over: Option<i64>,
    soft_told: bool,
    hard_told: bool,
    integrity_failed: u32,
    replayed: u32,
    reported: Option<i64>,
    /// Bytes at the last reading, and when that was.
    read: Option<(u64, i64)>,
}

impl Activity {
    /// Of an SA with these limits, which the device keeps or not.
    pub(super) fn new(limits: Lifetime, own: bool) -> Self {
        Self {
            limits,
            own,
            ..Self::default()
        }
    }

    /// The kernel reported a limit.
    pub(super) fn told(&mut self, hard: bool) {
        self.soft_told = true;
        self.hard_told |= hard;
    }

    /// Notes the packet counter; returns when it was last seen to grow, 0 if never.
    pub(super) fn observe(&mut self, packets: u64, now: i64) -> i64 {
        // A counter that fell belongs to another SA under the same key: start over.
        if packets != self.packets {
            self.packets = packets;
            self.since = if packets == 0 { 0 } else { now };
        }
        self.since
    }

    /// Notes a reading; returns what follows from it.
    pub(super) fn sample(&mut self, sample: &Sample, now: i64) -> Vec<What> {
        self.observe(sample.packets, now);
        self.read = Some((sample.bytes, now));
        self.limit(sample, now)
            .into_iter()
            .chain(self.errors(sample, now))
            .collect()
    }

    /// The last reading, unless it is too old.
    pub(super) fn reading(&self, now: i64) -> Option<Reading> {
        let (bytes, at) = self.read?;
        (now - at <= FRESH).then_some(Reading {
            bytes,
            packets: self.packets,
            used: self.since,
        })
    }

    fn limit(&mut self, sample: &Sample, now: i64) -> Option<What> {
        let reached = |limit: fn(&Limit) -> u64| {
            let over = |value, limit| limit != 0 && value >= limit;
            over(sample.bytes, limit(&self.limits.bytes))
                || over(sample.packets, limit(&self.limits.packets))
        };
        let hard = reached(|limit| limit.life);
        let due = if hard {
            !self.hard_told
        } else {
            !self.soft_told && reached(|limit| limit.rekey)
        };
        if !due {
            self.over = None;
            return None;
        }
        let since = *self.over.get_or_insert(now);
        if !self.own && now - since < GRACE {
            return None;
        }
        self.over = None;
        self.told(hard);
        Some(What::Limit { hard })
    }

    fn errors(&mut self, sample: &Sample, now: i64) -> Option<What> {
        let grown = |new: u32, old: u32| new.checked_sub(old).unwrap_or(new);
        let integrity_failed = grown(sample.integrity_failed, self.integrity_failed);
        let replayed = grown(sample.replayed, self.replayed);
        if integrity_failed == 0 && replayed == 0 {
            return None;
        }
        if self.reported.is_some_and(|last| now - last < QUIET) {
            return None;
        }
        self.reported = Some(now);
        (self.integrity_failed, self.replayed) = (sample.integrity_failed, sample.replayed);
        Some(What::Errors {
            integrity_failed,
            replayed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mark, Proto, Spi};

    fn sample(packets: u64) -> Sample {
        Sample {
            key: SaKey {
                dst: "192.0.2.2".parse().unwrap(),
                spi: Spi(1),
                proto: Proto::Esp,
                mark: Mark::default(),
                if_id: 0,
            },
            bytes: packets * 100,
            packets,
            integrity_failed: 0,
            replayed: 0,
        }
    }

    fn limits(bytes: (u64, u64), packets: (u64, u64)) -> Lifetime {
        let limit = |(rekey, life)| Limit { life, rekey };
        Lifetime {
            bytes: limit(bytes),
            packets: limit(packets),
            ..Lifetime::default()
        }
    }

    #[test]
    fn last_use_follows_the_packet_counter() {
        let mut activity = Activity::default();
        let mut at = |packets, now| activity.observe(packets, now);
        assert_eq!(at(0, 100), 0);
        assert_eq!(at(3, 110), 110);
        assert_eq!(at(3, 120), 110, "no growth, no use");
        assert_eq!(at(4, 130), 130);
        assert_eq!(at(0, 140), 0, "another SA under this key");
    }

    #[test]
    fn a_reading_stands_in_for_another_one_for_a_while() {
        let mut activity = Activity::default();
        assert_eq!(activity.reading(100), None, "nothing was read");
        activity.sample(&sample(3), 100);
        let reading = Reading {
            bytes: 300,
            packets: 3,
            used: 100,
        };
        assert_eq!(activity.reading(130), Some(reading));
        assert_eq!(activity.reading(131), None);
    }

    #[test]
    fn limits_of_our_own_are_reported_once_and_at_once() {
        for limits in [limits((500, 1000), (0, 0)), limits((0, 0), (5, 10))] {
            let mut activity = Activity::new(limits, true);
            let mut at = |packets, now| activity.sample(&sample(packets), now);
            assert_eq!(at(4, 100), []);
            assert_eq!(at(5, 101), [What::Limit { hard: false }]);
            assert_eq!(at(9, 102), []);
            assert_eq!(at(10, 103), [What::Limit { hard: true }]);
            assert_eq!(at(20, 104), []);
        }
        let mut activity = Activity::new(limits((500, 1000), (0, 0)), true);
        assert_eq!(
            activity.sample(&sample(50), 100),
            [What::Limit { hard: true }],
            "both at once: the harder one counts"
        );
        let mut none = Activity::new(limits((0, 0), (0, 0)), true);
        assert_eq!(none.sample(&sample(u64::MAX / 200), 1), []);
    }

    #[test]
    fn the_kernel_has_some_time_to_report_a_limit_itself() {
        let limits = limits((0, 0), (5, 10));
        let mut silent = Activity::new(limits, false);
        assert_eq!(silent.sample(&sample(5), 100), []);
        assert_eq!(silent.sample(&sample(6), 101), []);
        assert_eq!(
            silent.sample(&sample(7), 102),
            [What::Limit { hard: false }]
        );
        let mut reported = Activity::new(limits, false);
        assert_eq!(reported.sample(&sample(5), 100), []);
        reported.told(false);
        assert_eq!(reported.sample(&sample(7), 110), []);
        assert_eq!(reported.sample(&sample(11), 111), []);
        reported.told(true);
        assert_eq!(reported.sample(&sample(11), 120), []);
    }

    #[test]
    fn errors_are_told_with_their_number_and_not_all_the_time() {
        let mut activity = Activity::default();
        let mut at = |integrity_failed, replayed, now| {
            let sample = Sample {
                integrity_failed,
                replayed,
                ..sample(1)
            };
            activity.sample(&sample, now)
        };
        let errors = |integrity_failed, replayed| {
            [What::Errors {
                integrity_failed,
                replayed,
            }]
        };
        assert_eq!(at(0, 0, 100), []);
        assert_eq!(at(2, 0, 101), errors(2, 0));
        assert_eq!(at(5, 1, 102), [], "too soon");
        assert_eq!(at(5, 1, 162), errors(3, 1), "with what was held back");
        assert_eq!(at(5, 1, 300), [], "no growth");
        assert_eq!(at(1, 0, 400), errors(1, 0), "another SA under this key");
    }
}
