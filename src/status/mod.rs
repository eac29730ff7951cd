// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin tells, and the language it tells it in.
//!
//! Owns the wire format of vici and the socket that speaks it; what is said is `backend/`'s. Called by `backend/`, and by
//! `fastswanctl` for the format. Must not change anything, and must not tell a key: no type here
//! has one.

mod poll;
pub mod server;
pub mod vici;
