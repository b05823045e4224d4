//! Allocator for tests that prove the absence of allocations: the system's, with counters per thread, so that tests do not disturb
//! each other.

#![allow(unsafe_code, reason = "a global allocator")]
#![allow(dead_code, reason = "not every test uses every function")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Number of allocations, reallocations and frees of this thread so far.
pub(crate) fn calls() -> u64 {
    CALLS.with(Cell::get)
}

/// Number of bytes that this thread has requested so far, whether freed or not.
pub(crate) fn bytes() -> usize {
    BYTES.with(Cell::get)
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    CALLS.with(|calls| calls.set(calls.get() + 1));
    BYTES.with(|sum| sum.set(sum.get() + bytes));
}

// SAFETY: every call is passed to the system's allocator with its arguments unchanged; counting uses two thread-local numbers that
// need no destructor, and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: `System` requires the same guarantees about `layout` that the caller gives.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0);
        // SAFETY: `pointer` came from `System` through `alloc` above, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: `pointer` came from `System` through `alloc` above, with the same layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
