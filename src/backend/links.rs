// SPDX-License-Identifier: GPL-2.0-or-later
//! What happens to offloaded units when a device goes down, comes back, or disappears.
//!
//! Owns the reaction to link events. The kernel flushes all SAs and policies of a device that goes
//! down, without a word on the XFRM socket (net/xfrm/xfrm_device.c: xfrm_dev_down). SAs cannot be
//! put back, since only the NIC knew their sequence numbers: charon is told that they expire, and
//! rekeys. Policies are put back. Called by charon's watcher.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::Readable;
use crate::model::Proto;
use crate::nic::{Link, LinkChange};

use super::Core;

/// Listens to link events.
pub(super) struct LinkWatch {
    core: Arc<Core>,
    /// Devices that were flushed and wait to come back.
    flushed: Mutex<Vec<u32>>,
    stopped: AtomicBool,
}

impl LinkWatch {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            flushed: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        }
    }

    /// Reacts to nothing any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn down(&self, link: &Link, what: &str) {
        let sas = self
            .core
            .sad
            .select(|record| record.placement.device() == Some(link.ifindex))
            .len();
        let policies = self.policies_on(link.ifindex);
        if sas == 0 && policies.is_empty() {
            return;
        }
        log::warn!(
            "{} {what}: the kernel removed its {sas} offloaded SAs and {} policies",
            link.name,
            policies.len()
        );
        self.core.bypass.forget(link.ifindex);
        self.core.units.device_flushed(link.ifindex);
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        if !flushed.contains(&link.ifindex) {
            flushed.push(link.ifindex);
        }
    }

    fn up(&self, link: &Link) {
        {
            let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(at) = flushed.iter().position(|ifindex| *ifindex == link.ifindex) else {
                return;
            };
            flushed.swap_remove(at);
        }
        let (mut restored, mut failed) = (0, 0);
        for key in self.policies_on(link.ifindex) {
            let Some(mut turn) = self.core.spd.existing(&key) else {
                continue;
            };
            match self.core.reinstall(&mut turn) {
                Ok(()) => restored += 1,
                Err(error) => {
                    failed += 1;
                    log::error!(
                        "unable to restore policy {} {} on {}: {error}",
                        key.selector,
                        key.dir,
                        link.name
                    );
                }
            }
        }
        // Outbound ones only: a CHILD_SA is rekeyed once, not once per direction.
        let sas = self
            .core
            .sad
            .select(|record| record.placement.device() == Some(link.ifindex) && !record.inbound);
        log::warn!(
            "{} is back: {restored} policies restored, {failed} failed, {} CHILD_SAs to be rekeyed",
            link.name,
            sas.len()
        );
        for record in sas {
            if record.id.proto != Proto::Comp {
                self.core
                    .host
                    .expire(record.id.proto, record.id.spi, record.id.dst.ip, false);
            }
        }
    }

    /// Whether what should be on a device is gone from the kernel: it was down, and nobody saw it.
    fn was_flushed(&self, ifindex: u32) -> bool {
        let kernel = &self.core.kernel;
        let sas = self
            .core
            .sad
            .select(|record| record.placement.device() == Some(ifindex));
        self.policies_on(ifindex)
            .iter()
            .any(|key| matches!(kernel.get_policy(key), Err(error) if error.errno == libc::ENOENT))
            || sas.iter().any(|record| {
                matches!(kernel.get_sa(&record.id.key(), record.id.src.ip),
                         Err(error) if error.errno == libc::ESRCH)
            })
    }

    fn policies_on(&self, ifindex: u32) -> Vec<crate::xfrm::PolicyKey> {
        self.core
            .spd
            .keys()
            .into_iter()
            .filter(|key| {
                self.core.spd.existing(key).is_some_and(|turn| {
                    turn.entry
                        .installed
                        .as_ref()
                        .is_some_and(|installed| installed.offload == Some(ifindex))
                })
            })
            .collect()
    }
}

impl Readable for LinkWatch {
    fn readable(&self) -> bool {
        if self.stopped.load(Ordering::Acquire) {
            return false;
        }
        let mut resynced = false;
        for change in self.core.links.update() {
            match change {
                LinkChange::Up(link) if resynced && self.was_flushed(link.ifindex) => {
                    self.down(&link, "went down unseen");
                    self.up(&link);
                }
                LinkChange::Down(link) => self.down(&link, "went down"),
                LinkChange::Gone(link) => self.down(&link, "is gone"),
                LinkChange::Up(link) => self.up(&link),
                LinkChange::Features(_) => {}
                LinkChange::Resynced => {
                    resynced = true;
                    log::warn!("link events were lost, read all links again");
                }
            }
        }
        true
    }
}
