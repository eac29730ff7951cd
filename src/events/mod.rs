// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel reports: acquires, expiries, new mappings, migrations, deletions.
//!
//! Owns the XFRM event socket. Called by charon's watcher when it is readable; passes each event on
//! to charon. A lost event (the socket's buffer ran over) is never silent: what the kernel has is
//! compared with what we have, and charon is told of each SA that is gone. Must not call charon with
//! a lock held.
#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::sync::Arc;

use crate::error::Result;
use crate::host::{Host, Readable};
use crate::model::{Proto, SaKey};
use crate::xfrm::consts::{
    XFRM_MSG_ACQUIRE, XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA, XFRM_MSG_EXPIRE, XFRM_MSG_FLUSHPOLICY,
    XFRM_MSG_FLUSHSA, XFRM_MSG_MAPPING, XFRM_MSG_MIGRATE,
};
use crate::xfrm::{
    Event, EventSocket, Kernel, PolicyKey, Protocol, Received, Subscription, XFRMNLGRP_ACQUIRE,
    XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING, XFRMNLGRP_MIGRATE, XFRMNLGRP_POLICY, XFRMNLGRP_SA,
    decode_event,
};

/// Messages read in one go, so that a flood of acquires does not hold a worker for ever.
const BATCH: usize = 256;

/// Who repairs what others removed. Perhaps called for our own deletions, too, though the socket keeps
/// them away: who deletes something forgets it first. Must not wait, since it holds up the events
/// behind.
pub trait Repair: Send + Sync {
    /// An SA was deleted.
    fn sa_deleted(&self, key: &SaKey);
    /// A policy was deleted.
    fn policy_deleted(&self, key: &PolicyKey);
    /// The kernel reported that an SA reached a limit. With a hard one it is gone, and charon closes
    /// its CHILD_SA.
    fn sa_expired(&self, key: &SaKey, hard: bool);
    /// All SAs of some protocol were deleted.
    fn sas_flushed(&self);
    /// All policies were deleted.
    fn policies_flushed(&self);
    /// Events were lost: anything may have happened.
    fn events_lost(&self);
}

/// The event socket and those who are told.
pub struct Events {
    socket: Box<dyn EventSocket>,
    host: Arc<dyn Host>,
    repair: Arc<dyn Repair>,
}

impl Events {
    /// Opens the socket and joins the groups.
    pub fn open(kernel: &Kernel, host: Arc<dyn Host>, repair: Arc<dyn Repair>) -> Result<Self> {
        let socket = kernel.transport().subscribe_to(&Subscription {
            protocol: Protocol::Xfrm,
            groups: &[
                XFRMNLGRP_ACQUIRE,
                XFRMNLGRP_EXPIRE,
                XFRMNLGRP_MIGRATE,
                XFRMNLGRP_MAPPING,
                XFRMNLGRP_SA,
                XFRMNLGRP_POLICY,
            ],
            // Not what is added: that is most, it is our own doing, and it carries keys.
            kinds: &[
                XFRM_MSG_ACQUIRE,
                XFRM_MSG_EXPIRE,
                XFRM_MSG_MIGRATE,
                XFRM_MSG_MAPPING,
                XFRM_MSG_DELSA,
                XFRM_MSG_DELPOLICY,
                XFRM_MSG_FLUSHSA,
                XFRM_MSG_FLUSHPOLICY,
            ],
            buffer: None,
        })?;
        Ok(Self {
            socket,
            host,
            repair,
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
            Event::SaDeleted(key) => self.repair.sa_deleted(&key),
            Event::PolicyDeleted(key) => self.repair.policy_deleted(&key),
            Event::SasFlushed => self.repair.sas_flushed(),
            Event::PoliciesFlushed => self.repair.policies_flushed(),
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
            self.repair.sa_expired(key, hard);
            self.host.expire(key.proto, key.spi, key.dst, hard);
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
                Ok(Some(Received::Overrun)) => self.repair.events_lost(),
                Err(error) => {
                    log::error!("reading XFRM events failed: {error}");
                    break;
                }
            }
        }
        true
    }
}
