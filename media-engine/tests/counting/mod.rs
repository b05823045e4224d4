//! The allocator of tests that prove that nothing allocates: the system's, counted per thread, so that tests do not disturb
//! each other.

#![allow(unsafe_code, reason = "a global allocator")]
#![allow(dead_code, reason = "not every test asks for everything")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Allocations, reallocations and frees of this thread so far.
pub(crate) fn calls() -> u64 {
    CALLS.with(Cell::get)
}

/// Bytes that this thread has asked for so far, freed or not.
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

// SAFETY: every call is handed on to the system's allocator with its arguments unchanged; counting touches two thread-local
// numbers that need no destructor, and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0);
        // SAFETY: `pointer` came from `System` by way of `alloc` above, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: `pointer` came from `System` by way of `alloc` above, with the same layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
