// SPDX-License-Identifier: GPL-2.0-or-later
//! The way in for the C program of `tests/boundary/`.
//!
//! Owns what differs from the plugin there: the table is exported, the core stands on a model of
//! the kernel, and a connection with a certain name panics. Compiled with feature `boundary` only,
//! which no build of the plugin has (`plugin` and `boundary` together do not compile).

use std::sync::Arc;

use super::{OPS, c};
use crate::backend::Backend;
use crate::error::Result;
use crate::host::Host;
use crate::xfrm::fake::FakeKernel;

#[cfg(feature = "plugin")]
compile_error!("feature boundary is for the tests and must not be in the plugin");

/// A connection with this name is what a bug looks like.
const PANIC: &str = "fastswan-boundary-panic";

/// `const struct fs_ops *fastswan_ops(void)`
#[unsafe(no_mangle)]
pub extern "C" fn fastswan_ops() -> *const c::fs_ops {
    &raw const OPS
}

/// Panics if the connection asks for it.
pub(super) fn provoke(name: &str) {
    assert!(name != PANIC, "provoked by the name of the connection");
}

/// A core over the model of the kernel.
pub(super) fn backend(host: Arc<dyn Host>, version: &str) -> Result<Arc<Backend>> {
    Backend::with_transport(host, version, FakeKernel::new())
}
