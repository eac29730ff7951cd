// SPDX-License-Identifier: GPL-2.0-or-later
//! Counts what a thread allocates, so that tests can hold what a call costs.
//!
//! Owns the allocator of the unit tests. Called by tests of cost, and by the model of the kernel, which stands outside of
//! what is counted. Must not be in the plugin.
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Const and without a destructor: an allocator must not allocate.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static OUTSIDE: Cell<u32> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(calls: u64, bytes: i64) {
    if OUTSIDE.get() == 0 {
        CALLS.set(CALLS.get() + calls);
        LIVE.set(LIVE.get() + bytes);
    }
}

// SAFETY: all is done by the system's allocator; the cells are not touched by it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// Allocations of this thread so far.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// Bytes that this thread has allocated and not freed.
pub(crate) fn live() -> i64 {
    LIVE.get()
}

/// What is done meanwhile does not count.
pub(crate) struct Outside;

impl Outside {
    pub(crate) fn begin() -> Self {
        OUTSIDE.set(OUTSIDE.get() + 1);
        Self
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        OUTSIDE.set(OUTSIDE.get() - 1);
    }
}
