// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the kernel honours a request for offload at all.
//!
//! A kernel without `CONFIG_XFRM_OFFLOAD` accepts the attribute and ignores it: everything would be
//! in software, and nobody would know. Owns the answer, which is found by reading back the first
//! object that went to a NIC. Called by whoever installs one.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::KernelError;

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Honoured(AtomicBool);

impl Honoured {
    /// Reads back, unless it is known by now. `offloaded` tells what the kernel reports of the object
    /// that was just installed; `remove` takes it away if it is not where it was sent.
    pub(super) fn check(
        &self,
        request: &'static str,
        offloaded: impl FnOnce() -> Result<bool, KernelError>,
        remove: impl FnOnce() -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        if self.0.load(Ordering::Acquire) {
            return Ok(());
        }
        match offloaded() {
            Ok(true) => {
                self.0.store(true, Ordering::Release);
                return Ok(());
            }
            Ok(false) => remove()?,
            // It may be anywhere: a failure must leave nothing behind.
            Err(error) => {
                remove()?;
                return Err(error);
            }
        }
        Err(KernelError {
            text: Some("the kernel ignores the request for offload".to_owned()),
            ..KernelError::new(request, libc::EOPNOTSUPP)
        })
    }
}
