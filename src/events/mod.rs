// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel reports: acquires, expiries, new mappings, migrations.
//!
//! Owns the XFRM event socket. Called by charon's watcher when it is readable; passes each event on
//! to charon. A lost event (the socket's buffer ran over) is never silent: what the kernel has is
//! compared with what we have, and charon is told of each SA that is gone. Must not call charon with
//! a lock held.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::error::Result;
use crate::host::{Host, Readable};
use crate::model::{Proto, SaKey};
use crate::sad::Sad;
use crate::xfrm::{
    Event, EventSocket, Kernel, Protocol, Received, XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE,
    XFRMNLGRP_MAPPING, XFRMNLGRP_MIGRATE, decode_event,
};

/// Messages read in one go, so that a flood of acquires does not hold a worker for ever.
const BATCH: usize = 256;

/// The event socket and those who are told.
pub struct Events {
    socket: Box<dyn EventSocket>,
    kernel: Kernel,
    host: Arc<dyn Host>,
    sad: Arc<Sad>,
}

impl Events {
    /// Opens the socket and joins the groups.
    pub fn open(kernel: &Kernel, host: Arc<dyn Host>, sad: Arc<Sad>) -> Result<Self> {
        let groups = [
            XFRMNLGRP_ACQUIRE,
            XFRMNLGRP_EXPIRE,
            XFRMNLGRP_MIGRATE,
            XFRMNLGRP_MAPPING,
        ];
        let socket = kernel.transport().subscribe(Protocol::Xfrm, &groups)?;
        Ok(Self {
            socket,
            kernel: kernel.clone(),
            host,
            sad,
        })
    }

    /// For the watcher.
    pub fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    fn deliver(&self, event: Event) {
        match event {
            Event::Acquire(acquire) => {
                log::debug!(
                    "received acquire for reqid {}: {} === {}",
                    acquire.reqid,
                    acquire.src,
                    acquire.dst
                );
                self.host.acquire(&acquire);
            }
            Event::Expire { key, hard } => self.expire(&key, hard),
            Event::Mapping { key, new, old_port } => {
                // Without an old port it is the first packet of an SA that had none: no change.
                if old_port != 0 && matches!(key.proto, Proto::Esp) {
                    log::debug!("received mapping for SPI {}: now {new}", key.spi);
                    self.host.mapping(key.proto, key.spi, key.dst, new);
                }
            }
            Event::Migrate(pairs) => {
                for pair in &pairs {
                    self.host.migrate(pair);
                }
            }
        }
    }

    fn expire(&self, key: &SaKey, hard: bool) {
        // charon has no job for an expired IPComp SA: it goes with its ESP SA. A larval SA that never
        // got an SPI expires too (net/xfrm/xfrm_user.c: xfrm_alloc_userspi after a failure).
        if matches!(key.proto, Proto::Esp | Proto::Ah) && key.spi.0 != 0 {
            log::debug!(
                "received {} expire for {} SPI {} to {}",
                if hard { "hard" } else { "soft" },
                key.proto,
                key.spi,
                key.dst
            );
            self.host.expire(key.proto, key.spi, key.dst, hard);
        }
    }

    /// Events were lost: an SA that the kernel no longer has expired unseen.
    fn resync(&self) {
        // First what we have, then what the kernel has: an SA that is added in between is only in
        // the second.
        let ours = self.sad.select(|_| true);
        let mut kernels = HashSet::new();
        if let Err(error) = self.kernel.dump_sas(&mut |state| {
            kernels.insert(state.id.key());
        }) {
            log::error!("XFRM events were lost, and the SAD cannot be read: {error}");
            return;
        }
        let lost: Vec<_> = ours
            .iter()
            .map(|record| record.id.key())
            // One that charon deleted in the meantime did not expire.
            .filter(|key| !kernels.contains(key) && self.sad.get(key).is_some())
            .collect();
        log::warn!(
            "XFRM events were lost: {} of {} SAs are gone from the kernel",
            lost.len(),
            ours.len()
        );
        for key in lost {
            self.expire(&key, true);
        }
    }
}

impl Readable for Events {
    fn readable(&self) -> bool {
        for _ in 0..BATCH {
            match self.socket.read() {
                Ok(None) => break,
                Ok(Some(Received::Message(reply))) => {
                    if let Some(event) = decode_event(&reply) {
                        self.deliver(event);
                    }
                }
                Ok(Some(Received::Overrun)) => self.resync(),
                Err(error) => {
                    log::error!("reading XFRM events failed: {error}");
                    break;
                }
            }
        }
        true
    }
}
