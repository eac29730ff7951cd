// SPDX-License-Identifier: GPL-2.0-or-later
//! Inbound SAs that charon has deleted and that the peer's NIC may still send with.
//!
//! Owns the short time for which they stay. Where an IKE_SA was reauthenticated by making before
//! breaking, charon deletes the old CHILD_SA at once on the side that is asked to, while the other one
//! still has its outbound SA until it gets the answer; in software it sends with the new one by then,
//! but a NIC that prefers the older of two SAs with one reqid sends with the old one. After a rekeying
//! charon itself keeps the inbound SA for some seconds (delete_rekeyed_delay). Called by `sa.rs`;
//! deletes on the ticker. An SA stays only while its unit has another inbound one in packet mode.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::model::{Placement, SaKey};

use super::Core;
use super::ticker::{Task, TaskId};
use super::units::UnitTurn;

/// So long after charon deleted it. The peer needs the answer to its request, and the time to act.
const STAYS: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
struct Old {
    key: SaKey,
    src: IpAddr,
    reqid: u32,
    ifindex: u32,
    due: Duration,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    sas: Mutex<Vec<Old>>,
    task: OnceLock<TaskId>,
}

impl Lingering {
    fn lock(&self) -> MutexGuard<'_, Vec<Old>> {
        self.sas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All are gone from the kernel.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn take(&self, which: impl Fn(&Old) -> bool) -> Vec<Old> {
        let mut sas = self.lock();
        let (taken, left) = sas.iter().copied().partition(|old| which(old));
        *sas = left;
        taken
    }
}

/// Deletes what is due.
pub(super) struct Cleaner(Weak<Core>);

impl Cleaner {
    /// Registers with the ticker; it is not due until something lingers.
    pub(super) fn register(core: &Arc<Core>) -> Arc<Self> {
        let task = Arc::new(Self(Arc::downgrade(core)));
        let weak: Weak<Self> = Arc::downgrade(&task);
        let _ = core.lingering.task.set(core.ticker.register(weak));
        task
    }
}

impl Task for Cleaner {
    fn run(&self, now: Duration) -> Option<Duration> {
        let core = self.0.upgrade()?;
        core.end_lingering(|old| old.due <= now);
        core.lingering.lock().iter().map(|old| old.due).min()
    }
}

impl Core {
    /// Whether an SA that charon deletes stays for a while: an inbound one, whose outbound SA is
    /// still there, in a unit that receives with another one by now.
    pub(super) fn lingers(&self, turn: &UnitTurn<'_>, key: &SaKey) -> bool {
        let name = (key.dst, key.spi);
        let Some(task) = self.lingering.task.get() else {
            return false;
        };
        let member = turn.view(|unit| {
            let member = unit.sa(name)?;
            let whole = member.inbound && member.partner.is_some();
            (whole && unit.another_receives(name)).then(|| member.clone())
        });
        let Some((member, ifindex)) = member.and_then(|member| match member.placement {
            Placement::Packet(ifindex) => Some((member, ifindex)),
            Placement::Crypto(_) | Placement::Software => None,
        }) else {
            return false;
        };
        // Not asked whether it received anything: a NIC counts now and then, and an SA that was idle
        // until a moment ago has a counter of 0 and a peer that sends with it.
        if self.kernel.get_sa(key, member.src).is_err() {
            return false;
        }
        self.lingering.lock().push(Old {
            key: *key,
            src: member.src,
            reqid: turn.reqid(),
            ifindex,
            due: self.ticker.now() + STAYS,
        });
        self.ticker.wake_in(*task, STAYS);
        log::debug!(
            "SAD entry with SPI {} stays for {} s: the peer may still send with it",
            key.spi,
            STAYS.as_secs()
        );
        true
    }

    /// The last inbound SA of a unit is deleted: those that linger go with it.
    pub(super) fn end_lingering_of(&self, reqid: u32) {
        self.end_lingering(|old| old.reqid == reqid);
    }

    /// Deletes all that linger.
    pub(super) fn end_all_lingering(&self) {
        self.end_lingering(|_| true);
    }

    fn end_lingering(&self, which: impl Fn(&Old) -> bool) {
        for old in self.lingering.take(which) {
            match self.kernel.del_sa(&old.key, old.src) {
                Ok(()) => {
                    log::debug!("deleted SAD entry with SPI {}", old.key.spi);
                    self.patience.freed(old.ifindex, self.ticker.now());
                }
                // Expired, or flushed with its device.
                Err(error) if error.errno == libc::ESRCH => {}
                Err(error) => log::error!(
                    "unable to delete SAD entry with SPI {}: {error}",
                    old.key.spi
                ),
            }
        }
    }
}
