//! The buffer ring: how the kernel is given blocks.
#![allow(unsafe_code)] // The kernel reads it; see docs/UNSAFE.md.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use super::PAGE_BYTES;

/// The ring by which the kernel is given blocks (`io_uring_register_buf_ring(3)`).
pub(super) struct BufferRing {
    base: NonNull<RingEntry>,
    layout: Layout,
    mask: u16,
    tail: Cell<u16>,
    /// What the simulated kernel has taken; the real one keeps its own.
    head: Cell<u16>,
}

/// `struct io_uring_buf`. The `reserved` of entry 0 is the ring's tail.
#[repr(C)]
struct RingEntry {
    address: u64,
    len: u32,
    id: u16,
    reserved: AtomicU16,
}

impl BufferRing {
    /// An empty ring; `entries` is a power of two.
    pub(super) fn new(entries: u16) -> BufferRing {
        let layout = Layout::array::<RingEntry>(usize::from(entries))
            .and_then(|layout| layout.align_to(PAGE_BYTES))
            .expect("at most 32,768 entries of 16 bytes");
        // SAFETY: the size is not zero; all-zero entries are valid.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base.cast()) else { alloc::handle_alloc_error(layout) };
        BufferRing { base, layout, mask: entries - 1, tail: Cell::new(0), head: Cell::new(0) }
    }

    /// Where the kernel finds it: address and number of entries.
    pub(super) fn place(&self) -> (u64, u16) {
        (self.base.as_ptr() as u64, self.mask + 1)
    }

    /// Adds a block; the kernel sees it after `publish`.
    pub(super) fn push(&self, block: NonNull<u8>, len: u32, id: u16) {
        let tail = self.tail.get();
        // SAFETY: the index is masked to the ring. The kernel reads an entry only below the
        // published tail, so this one is ours; `reserved` is not touched (it is the tail).
        unsafe {
            let entry = self.base.add(usize::from(tail & self.mask)).as_ptr();
            (*entry).address = block.as_ptr() as u64;
            (*entry).len = len;
            (*entry).id = id;
        }
        self.tail.set(tail.wrapping_add(1));
    }

    /// Shows the kernel what was pushed.
    pub(super) fn publish(&self) {
        // SAFETY: entry 0 exists as long as the ring; the kernel reads its tail by acquire.
        let tail = unsafe { &(*self.base.as_ptr()).reserved };
        tail.store(self.tail.get(), Ordering::Release);
    }

    /// The next entry, as the kernel would take it.
    pub(super) fn take(&self) -> (u16, *mut u8) {
        let head = self.head.get();
        assert_ne!(head, self.tail.get(), "`provided` counts the entries");
        self.head.set(head.wrapping_add(1));
        // SAFETY: the index is masked, the entry was pushed before.
        let entry = unsafe { self.base.add(usize::from(head & self.mask)).as_ref() };
        (entry.id, entry.address as *mut u8)
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout. The driver closed its ring before it let
        // go of the pool, so the kernel reads it no more.
        unsafe { alloc::dealloc(self.base.as_ptr().cast(), self.layout) }
    }
}
