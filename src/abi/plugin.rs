// SPDX-License-Identifier: GPL-2.0-or-later
//! The two symbols that charon looks for.
//!
//! Owns nothing but them: they are Rust items because a cdylib hides what a C archive defines.
//! charon's plugin loader calls them once (plugin_loader.c: create_plugin). Must not do anything
//! itself: tools of strongSwan load plugins as well, so the work begins when charon asks for the
//! kernel interface.

use std::ffi::{c_char, c_void};

use super::guard::guarded;
use super::{OPS, c};

unsafe extern "C" {
    /// strongswan-plugin/kernel_fastswan_plugin.c
    fn kernel_fastswan_plugin_new(ops: *const c::fs_ops) -> *mut c_void;
}

/// A pointer that is never written.
#[derive(Debug)]
#[repr(transparent)]
pub struct Text(*const c_char);

// SAFETY: It points to a constant.
unsafe impl Sync for Text {}

/// `const char *`: since 6.0.3, charon loads a plugin only if this is its own version.
#[unsafe(no_mangle)]
#[used]
#[allow(non_upper_case_globals, reason = "the name is charon's")]
pub static kernel_fastswan_plugin_version: Text = Text(
    concat!(env!("FASTSWAN_STRONGSWAN_VERSION"), "\0")
        .as_ptr()
        .cast(),
);

/// `plugin_t *`: the plugin, or NULL with the reason in the log, and charon goes on without it.
#[unsafe(no_mangle)]
pub extern "C" fn kernel_fastswan_plugin_create() -> *mut c_void {
    guarded("plugin_create", None, || {
        // SAFETY: The table is a static, and complete.
        unsafe { kernel_fastswan_plugin_new(&raw const OPS) }
    })
}
