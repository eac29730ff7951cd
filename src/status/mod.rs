// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin tells, and the language it tells it in.
//!
//! Owns the wire format of vici and, behind it, what is said. Called by `backend/`, and by
//! `fastswanctl` for the format. Must not change anything, and must not tell a key: no type here
//! has one.

pub mod vici;
