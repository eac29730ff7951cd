// SPDX-License-Identifier: GPL-2.0-or-later
//! The boundary to C: every `extern "C"` function, and with the socket layer all unsafe code.
//!
//! Owns the table of functions that the shim calls ([`OPS`]) and the list of what the library
//! exports. Called by `strongswan-plugin/` only. Must not decide anything about IPsec: it checks
//! what comes in, calls `backend/`, and keeps panics from reaching C.
//!
//! * `entry`: the functions of the table, one per method of `kernel_ipsec_t`
//! * `guard`: no panic gets out; after one, nothing new is accepted
//! * `convert`: C structs to checked values of `model/`
//! * `host`, `watch`: the questions to charon, and the sockets charon watches for us
//! * `hostlog`: the `log` crate and panics, to charon's log
//! * `bindings`: `include/fastswan.h`
//! * `plugin`, `boundary`: the exports
//!
//! Exports, by feature; `nm -D --defined-only` shows these and nothing else:
//!
//! * `plugin`: `kernel_fastswan_plugin_create`, `kernel_fastswan_plugin_version`
//! * `boundary` (C program of the tests, static library): `fastswan_ops`
//! * none: nothing

mod bindings;
#[cfg(feature = "boundary")]
mod boundary;
mod convert;
mod entry;
mod guard;
mod host;
mod hostlog;
#[cfg(feature = "plugin")]
mod plugin;
mod watch;

#[cfg(feature = "boundary")]
pub use boundary::fastswan_ops;
#[cfg(feature = "plugin")]
pub use plugin::{kernel_fastswan_plugin_create, kernel_fastswan_plugin_version};

use bindings as c;

/// What the shim may call, in the order of the header. A method that is missing here is a compile
/// error, since the table has no default.
#[cfg_attr(
    not(any(feature = "plugin", feature = "boundary")),
    expect(
        dead_code,
        reason = "without one of these features nothing can reach the table"
    )
)]
static OPS: c::fs_ops = c::fs_ops {
    contract: c::FASTSWAN_CONTRACT,
    size: size_of::<c::fs_ops>() as u32,
    create: Some(entry::create),
    destroy: Some(entry::destroy),
    reload: Some(entry::reload),
    get_features: Some(entry::get_features),
    get_spi: Some(entry::get_spi),
    get_cpi: Some(entry::get_cpi),
    add_sa: Some(entry::add_sa),
    update_sa: Some(entry::update_sa),
    query_sa: Some(entry::query_sa),
    del_sa: Some(entry::del_sa),
    flush_sas: Some(entry::flush_sas),
    add_policy: Some(entry::add_policy),
    query_policy: Some(entry::query_policy),
    del_policy: Some(entry::del_policy),
    flush_policies: Some(entry::flush_policies),
    bypass_socket: Some(entry::bypass_socket),
    enable_udp_decap: Some(entry::enable_udp_decap),
    xfrmi_supported: Some(entry::xfrmi_supported),
    xfrmi_create: Some(entry::xfrmi_create),
    xfrmi_delete: Some(entry::xfrmi_delete),
    xfrmi_list: Some(entry::xfrmi_list),
    readable: Some(entry::readable),
};
