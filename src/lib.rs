// SPDX-License-Identifier: GPL-2.0-or-later
//! kernel-fastswan: charon's `kernel_ipsec_t`, with every SA and policy in the NIC where asked.
//!
//! Map, from the top down; a layer calls only what stands below it:
//!
//! * `strongswan-plugin/` (C): the only code that knows strongSwan's types
//! * [`abi`]: every `extern "C"`, checks what comes in, keeps panics in
//! * [`backend`]: the methods of `kernel_ipsec_t`
//! * [`events`]: what the kernel reports
//! * [`guard`]: keeps what is protected from leaving and entering in clear
//! * [`sad`], [`spd`], [`offload`]: what is installed, and what may be; no I/O
//! * [`nic`]: devices, their features, routes and neighbours
//! * [`xfrm`]: messages and the socket
//! * [`status`]: what the plugin tells
//! * [`model`], [`host`], [`error`], [`config`]: words, questions to charon, failures, settings
//!
//! Invariants, each with a test that fails when it is broken: one CHILD_SA is one unit on one
//! device in one mode; packet means packet; the kernel is the truth; no lock is held across a
//! system call; no panic and no key leaves this library.

pub mod abi;
pub mod backend;
pub mod config;
#[cfg(test)]
mod counted;
pub mod error;
pub mod events;
mod few;
pub mod guard;
pub mod host;
pub mod ledger;
pub mod model;
pub mod nic;
pub mod offload;
pub mod sad;
pub mod spd;
pub mod status;
pub mod xfrm;
