//! An allocator that counts: what lives, and what the reactors' threads allocate.
#![allow(unsafe_code)] // A global allocator is unsafe to write; it passes everything on.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub(crate) struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Neither allocates nor has a destructor, so the allocator may look at it at any time.
    static IS_REACTOR: Cell<bool> = const { Cell::new(false) };
}

/// Bytes that were allocated and not freed, of all threads.
pub(crate) fn live() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

/// Calls of reactors for memory: allocations and reallocations.
pub(crate) fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// The calls of this thread count from now on; for a set-up hook.
pub(crate) fn count_this_thread() {
    IS_REACTOR.set(true);
}

fn note(bytes: i64) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
    if bytes > 0 && IS_REACTOR.get() {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came, and its answer comes back as it is;
// the counts beside it touch no memory of the caller, at no time.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: as in `alloc`; the memory came from there.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        note(size as i64);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
