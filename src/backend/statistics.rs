// SPDX-License-Identifier: GPL-2.0-or-later
//! What the NIC counted: when an SA was last used, what it refused, and limits it cannot keep.
//!
//! Owns the regular reading of the counters of SAs in packet mode, for which the kernel keeps no time
//! of last use (net/xfrm/xfrm_input.c and xfrm_output.c set it, and neither is passed) and which some
//! devices let run over their limits. Called by the ticker. Nothing is read while no SA is in packet
//! mode, and the reading takes no more than a fiftieth of the time. What it means is `sad/`'s to
//! say.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::events::Repair;
use crate::sad::{Finding, Sample, What};
use crate::xfrm::SaState;

use super::Core;
use super::ticker::{Task, TaskId};

/// As often as a NIC refreshes its counters (mlx5: once a second).
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Reading takes at most one part in so many of the time.
const SHARE: u32 = 50;
/// Up to so many SAs are asked for one by one, more by a dump.
const FEW: usize = 32;
/// So many lines about errors at a time.
const LINES: usize = 8;

/// Reads the counters again and again.
pub(super) struct Statistics(Weak<Core>);

impl Statistics {
    /// Registers with the ticker; it is not due until an SA is in packet mode.
    pub(super) fn register(core: &Arc<Core>) -> (Arc<Self>, TaskId) {
        let task = Arc::new(Self(Arc::downgrade(core)));
        let weak: Weak<Self> = Arc::downgrade(&task);
        let id = core.ticker.register(weak);
        (task, id)
    }
}

impl Task for Statistics {
    fn run(&self, now: Duration) -> Option<Duration> {
        let core = self.0.upgrade()?;
        let sas = core.sad.in_packet_mode();
        if sas.is_empty() {
            return None;
        }
        let mut samples = Vec::with_capacity(sas.len());
        if sas.len() <= FEW {
            for (key, src) in sas {
                // One that is gone was deleted meanwhile, or expired, or flushed: others see to that.
                if let Ok(state) = core.kernel.get_sa(&key, src) {
                    samples.push(sample(&state));
                }
            }
        } else if let Err(error) = core.kernel.dump_esp(&mut |state| {
            if state.placement.is_packet() {
                samples.push(sample(&state));
            }
        }) {
            // EINTR: the SAD changed meanwhile. What was read is true.
            log::debug!("reading the counters of SAs was cut short: {error}");
        }
        core.act(core.sad.sample(&samples, core.seconds()));
        let cost = core.ticker.now().saturating_sub(now);
        Some(core.ticker.now() + INTERVAL.max(cost * SHARE))
    }
}

fn sample(state: &SaState) -> Sample {
    Sample {
        key: state.id.key(),
        bytes: state.bytes,
        packets: state.packets,
        integrity_failed: state.integrity_failed,
        replayed: state.replay_errors,
    }
}

impl Core {
    /// Seconds of the clock that charon's times are on.
    pub(super) fn seconds(&self) -> i64 {
        i64::try_from(self.ticker.now().as_secs()).unwrap_or(i64::MAX)
    }

    fn act(&self, findings: Vec<Finding>) {
        let (mut lines, mut more) = (0, 0);
        for finding in findings {
            let id = &finding.id;
            match finding.what {
                What::Errors {
                    integrity_failed,
                    replayed,
                } => {
                    if lines == LINES {
                        more += 1;
                        continue;
                    }
                    lines += 1;
                    log::warn!(
                        "{}: {id} refused {integrity_failed} packets that failed authentication and \
                         {replayed} that were replayed or too late",
                        finding.name
                    );
                }
                What::Limit { hard } => {
                    log::info!(
                        "{}: {id} is over its {} limit ({} bytes, {} packets)",
                        finding.name,
                        if hard { "hard" } else { "soft" },
                        finding.bytes,
                        finding.packets
                    );
                    if hard
                        && let Err(error) = self.kernel.del_sa(&id.key(), id.src.ip)
                        && error.errno != libc::ESRCH
                    {
                        log::error!("unable to delete SAD entry with SPI {}: {error}", id.spi);
                    }
                    self.recovery.sa_expired(&id.key(), hard);
                    self.host.expire(id.proto, id.spi, id.dst.ip, hard);
                }
            }
        }
        if more > 0 {
            log::warn!("{more} more SAs refused packets");
        }
    }
}
