// SPDX-License-Identifier: GPL-2.0-or-later
//! What happens to offloaded units when a device goes down, comes back, or disappears.
//!
//! Owns the reaction to link events. The kernel flushes all SAs and policies of a device that goes
//! down, without a word on the XFRM socket (net/xfrm/xfrm_device.c: xfrm_dev_down), unless the
//! device lost its offload feature before; so the kernel is asked what is gone. Policies that are
//! gone are replaced by blocks in software at once; the SAs go to `recovery.rs`. A device that comes
//! back gets its policies; one that comes back under another index, or not at all, is for `device.rs`
//! to notice when the SAs are rekeyed. Called by charon's watcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::Readable;
use crate::nic::{Link, LinkChange};
use crate::spd::Turn;
use crate::xfrm::PolicyKey;

use super::Core;

/// Listens to link events.
pub(super) struct LinkWatch {
    core: Arc<Core>,
    stopped: AtomicBool,
}

impl LinkWatch {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            stopped: AtomicBool::new(false),
        }
    }

    /// Reacts to nothing any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn down(&self, link: &Link, what: &str) {
        let core = &self.core;
        core.recovery.flapped();
        let on_device = core
            .sad
            .select(|record| record.placement.device() == Some(link.ifindex));
        let missing = core.missing(on_device);
        // Before the policies: what leads to a lost SA is blocked even if the device is up again.
        core.lose(&missing);
        let policies = core.flushed_policies(link.ifindex);
        let (sas, count) = (missing.gone.len(), policies.len());
        if sas == 0 && count == 0 {
            return;
        }
        core.units.device_flushed(link.ifindex);
        if count > 0 {
            core.bypass.forget(link.ifindex);
        }
        let counts = core.reinstall_where(|turn| policies.contains(turn.key()));
        log::warn!(
            "{} {what}: the kernel removed its {sas} offloaded SAs and {count} policies; {} \
             policies block until it is back, {} are in place",
            link.name,
            counts.blocked,
            counts.restored
        );
    }

    fn up(&self, link: &Link) {
        let core = &self.core;
        let counts = core.reinstall_where(|turn| {
            let installed = turn.entry.installed.as_ref();
            installed.is_some_and(|installed| installed.away == Some(link.ifindex))
                && !core.is_held(turn, link.ifindex)
        });
        let waiting = core.recovery.count();
        if counts.restored + counts.failed + waiting > 0 {
            log::warn!(
                "{} is back: {} policies restored, {} failed, {waiting} CHILD_SAs to be rekeyed",
                link.name,
                counts.restored,
                counts.failed
            );
        }
        core.recovery.hurry();
    }
}

impl Core {
    /// Policies that should be on a device and are not in the kernel. Their entries say so then.
    fn flushed_policies(&self, ifindex: u32) -> Vec<PolicyKey> {
        let is_there = |turn: &Turn<'_>| {
            !matches!(self.kernel.get_policy(turn.key()),
                      Err(error) if error.errno == libc::ENOENT)
        };
        let mut flushed = Vec::new();
        for key in self.spd.keys() {
            let Some(mut turn) = self.spd.existing(&key) else {
                continue;
            };
            let installed = turn.entry.installed.as_ref();
            if installed.is_none_or(|installed| installed.offload != Some(ifindex))
                || is_there(&turn)
            {
                continue;
            }
            turn.entry.installed = None;
            // It is counted anew when it is installed.
            self.bypass.leave(&self.kernel, ifindex);
            flushed.push(key);
        }
        flushed
    }
}

impl Readable for LinkWatch {
    fn readable(&self) -> bool {
        if self.stopped.load(Ordering::Acquire) {
            return false;
        }
        let mut resynced = false;
        let changes = self.core.links.update();
        if !changes.is_empty() {
            self.core.paths.suspect_all(&self.core);
        }
        for change in changes {
            match change {
                LinkChange::Up(link) if resynced => {
                    self.down(&link, "went down unseen");
                    self.up(&link);
                }
                LinkChange::Down(link) => self.down(&link, "went down"),
                LinkChange::Gone(link) => self.down(&link, "is gone"),
                LinkChange::Up(link) => self.up(&link),
                LinkChange::Features(_) => self.core.recovery.hurry(),
                LinkChange::Resynced => {
                    resynced = true;
                    log::warn!("link events were lost, read all links again");
                }
            }
        }
        true
    }
}
