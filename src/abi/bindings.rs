// SPDX-License-Identifier: GPL-2.0-or-later
//! `include/fastswan.h` as bindgen sees it.
//!
//! Owns nothing of its own: build.rs writes the text, with an assertion on the size, alignment and
//! offsets of each struct. Used by `abi/` only; nothing outside may name these types.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    unnameable_types,
    unreachable_pub,
    reason = "generated from the header, which holds the documentation"
)]

include!(concat!(env!("OUT_DIR"), "/fastswan.rs"));
