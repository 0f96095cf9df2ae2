//! The core's blocks: where the kernel puts received bytes, and the leases that keep them.
//!
//! ```text
//!            provide()                 received()                  last lease drops
//!   home ───────────────▶ buffer ring ───────────▶ lent (count>0) ─────────────────▶ home
//!    ▲                    (the kernel's)                │ detach()
//!    └──────── returns (lock-free) ◀─────────── [`Detached`], on any thread
//! ```
//! A block is at one of three places at each moment; `docs/UNSAFE.md` begins with that table. The
//! count of a block is a plain cell of this core; only a [`Detached`] lease crosses threads, and it
//! comes home through a lock-free list.
#![allow(unsafe_code)] // Blocks are shared with the kernel; see docs/UNSAFE.md.

mod lease;
mod ring;

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use rustix::mm::{self, MapFlags, ProtFlags};

pub(crate) use self::lease::{Detached, Lease};
use self::ring::BufferRing;
use super::returns::Returns;

/// The kernel reads a buffer ring of at most this many entries (`io_uring_register_buf_ring(3)`).
pub(crate) const POOL_BLOCKS_MAX: u32 = 32_768;
/// Received bytes that the kernel may put in blocks before the first of them is used again; about
/// what a core's second-level cache and a share of the third hold.
const RATION_BYTES: u32 = 1 << 20;
/// The kernel gets this many blocks in any case: an enter brings about as many completions.
const RATION_BLOCKS_MIN: u32 = 16;
/// Receives over which the fill of blocks is averaged.
const FILL_WEIGHT: u32 = 8;
/// Buffer rings and blocks begin on a page.
const PAGE_BYTES: usize = 4096;
/// What a block holds after its return in a debug build: a stale reader sees it at once.
#[cfg(debug_assertions)]
const POISON: u8 = 0xDB;

/// The blocks of one core. A clone is another handle to the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Rc<Core>);

struct Core {
    memory: Arc<Memory>,
    entries: Box<[Entry]>,
    ring: BufferRing,
    /// Blocks that came home and are not with the kernel yet.
    home: RefCell<Vec<u16>>,
    /// Blocks under a lease or detached.
    lent: Cell<u32>,
    /// Blocks that the kernel may fill.
    provided: Cell<u32>,
    /// How far blocks are filled of late, in bytes: a moving average.
    fill: Cell<u32>,
    rationed: Cell<bool>,
    /// More lent blocks than this, and new bytes are copied to the heap.
    quota: u32,
}

/// The bytes of all blocks. Lives until the pool, every lease and every [`Detached`] are gone.
struct Memory {
    base: NonNull<u8>,
    len: usize,
    block_bytes: usize,
    /// Detached leases that were dropped.
    returns: Returns,
}

// SAFETY: `base` is a mapping of its own that only `Drop` ends. Bytes of a block are read
// through a lease, and written only by the kernel while no lease on that block exists.
unsafe impl Send for Memory {}
// SAFETY: as above; `returns` is made of atomics.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `Memory::new` with this length; the last owner is here.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

impl Memory {
    fn new(blocks: usize, block_bytes: usize) -> Memory {
        let len = blocks * block_bytes;
        assert!(len > 0, "a pool holds at least one block");
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a fresh mapping at an address that the kernel chooses. Pages cost memory when
        // they are first written, so blocks that are never used cost none; an allocator would
        // write the zeros of aligned memory itself.
        let base = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), len, access, flags) };
        let base = base.ok().and_then(|base| NonNull::new(base.cast()));
        let Some(base) = base else {
            alloc::handle_alloc_error(
                Layout::from_size_align(len, PAGE_BYTES).unwrap_or(Layout::new::<u8>()),
            )
        };
        Memory { base, len, block_bytes, returns: Returns::new(blocks) }
    }

    fn block(&self, id: u16) -> NonNull<u8> {
        let offset = usize::from(id) * self.block_bytes;
        assert!(offset < self.len, "a block id is below the number of blocks");
        // SAFETY: the offset lies inside the allocation.
        unsafe { self.base.add(offset) }
    }
}

/// Counts the leases on one stretch of bytes: a block of the pool, or a heap buffer.
struct Entry {
    /// Leases on this core.
    count: Cell<u32>,
    /// Leases that were detached, and that the pool has not seen come home.
    away: Cell<u32>,
    len: Cell<u32>,
    data: Cell<NonNull<u8>>,
    owner: Owner,
}

enum Owner {
    /// A block; the pool stays alive while `count` is above zero. A detached lease keeps the bytes
    /// alive, not the pool, which may have ended when it comes home.
    Pool { core: Cell<*const Core>, id: u16 },
    /// A heap buffer, freed with the last lease.
    Heap(Vec<u8>),
}

impl Pool {
    /// A pool of `blocks` (a power of two) of `block_bytes` each. `quota`: above that many lent
    /// blocks, [`Pool::is_over_quota`] says to copy instead of lend. One block is never lent for
    /// long, whatever the quota, so that those who wait for one get one.
    pub(crate) fn new(blocks: u32, block_bytes: u32, quota: u32) -> Pool {
        assert!(blocks.is_power_of_two() && blocks <= POOL_BLOCKS_MAX, "config checks this");
        let memory = Arc::new(Memory::new(blocks as usize, block_bytes as usize));
        let entries = (0..blocks as u16)
            .map(|id| Entry {
                count: Cell::new(0),
                away: Cell::new(0),
                len: Cell::new(0),
                data: Cell::new(memory.block(id)),
                owner: Owner::Pool { core: Cell::new(std::ptr::null()), id },
            })
            .collect();
        let core = Rc::new(Core {
            entries,
            ring: BufferRing::new(blocks as u16),
            // The first block to be used is block 0: pages are touched in order of need.
            home: RefCell::new((0..blocks as u16).rev().collect()),
            lent: Cell::new(0),
            provided: Cell::new(0),
            fill: Cell::new(0),
            rationed: Cell::new(false),
            quota: quota.min(blocks - 1),
            memory,
        });
        for entry in &core.entries {
            let Owner::Pool { core: owner, .. } = &entry.owner else { unreachable!("made above") };
            owner.set(Rc::as_ptr(&core));
        }
        Pool(core)
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u32 {
        self.0.entries.len() as u32
    }

    /// The size of each block.
    pub(crate) fn block_bytes(&self) -> u32 {
        self.0.memory.block_bytes as u32
    }

    /// Blocks under a lease, on this core or detached.
    pub(crate) fn lent(&self) -> u32 {
        self.0.lent.get()
    }

    /// Blocks that the kernel may fill now.
    pub(crate) fn provided(&self) -> u32 {
        self.0.provided.get()
    }

    /// Whether so many blocks are lent that new bytes are better copied.
    pub(crate) fn is_over_quota(&self) -> bool {
        self.0.lent.get() > self.0.quota
    }

    /// Whether so many blocks are with the kernel that starved receives may go on: half of them, or
    /// as many as are there when frames hold all that they may.
    pub(crate) fn is_replenished(&self) -> bool {
        let enough = (self.ration() / 2).min(self.blocks() - self.0.quota);
        self.provided() >= enough
    }

    /// Where the kernel finds the buffer ring: address and number of entries.
    pub(crate) fn ring(&self) -> (u64, u16) {
        self.0.ring.place()
    }

    /// How many blocks the kernel gets at most: all of them while receives are small. Large ones
    /// cycle through a few, so that what was received is still in the cache when it is sent.
    fn ration(&self) -> u32 {
        (RATION_BYTES / self.0.fill.get().max(1)).max(RATION_BLOCKS_MIN).min(self.blocks())
    }

    /// Whether the ration held blocks back when the kernel last got some.
    pub(crate) fn is_rationed(&self) -> bool {
        self.0.rationed.get()
    }

    /// Gives the kernel blocks that are home, up to the ration, those that came last (and are in
    /// the cache) first. Looks for what other threads returned before. Returns how many.
    pub(crate) fn provide(&self) -> u32 {
        self.0.memory.returns.collect(|id, count| {
            let entry = &self.0.entries[usize::from(id)];
            entry.away.set(entry.away.get() - count);
            if entry.count.get() == 0 && entry.away.get() == 0 {
                self.0.go_home(id);
            }
        });
        let mut home = self.0.home.borrow_mut();
        let room = self.ration().saturating_sub(self.0.provided.get());
        let count = room.min(home.len() as u32);
        self.0.rationed.set(home.len() as u32 > count);
        if count == 0 {
            return 0;
        }
        for _ in 0..count {
            let id = home.pop().expect("counted above");
            self.0.ring.push(self.0.memory.block(id), self.0.memory.block_bytes as u32, id);
        }
        self.0.ring.publish();
        self.0.provided.set(self.0.provided.get() + count);
        count
    }

    /// The lease on block `id`, into which the kernel has put `len` bytes.
    ///
    /// # Safety
    /// The kernel took this block from the ring and has completed the one operation that did. It
    /// touches the block no more until [`Pool::provide`] gives it back.
    pub(crate) unsafe fn received(&self, id: u16, len: u32) -> Lease {
        assert!(len as usize <= self.0.memory.block_bytes, "the kernel fills one block at most");
        let entry = &self.0.entries[usize::from(id)];
        assert_eq!(
            (entry.count.get(), entry.away.get()),
            (0, 0),
            "the kernel filled a block that is still lent"
        );
        entry.count.set(1);
        entry.len.set(len);
        let fill = self.0.fill.get();
        self.0.fill.set(fill - fill / FILL_WEIGHT + len / FILL_WEIGHT);
        self.0.lent.set(self.0.lent.get() + 1);
        self.0.provided.set(self.0.provided.get() - 1);
        // SAFETY: the pointer is that of `self.0`; the lease owns one count of the pool until its
        // own count falls to zero (`Core::release`).
        unsafe { Rc::increment_strong_count(Rc::as_ptr(&self.0)) };
        Lease(NonNull::from(entry))
    }

    /// What a kernel does on a receive, for the simulated one: takes the next block of the ring
    /// and puts the front of `bytes` in it. Returns the lease and how many bytes fitted, or `None`
    /// when the ring is empty (ENOBUFS).
    pub(crate) fn fill(&self, bytes: &[u8]) -> Option<Lease> {
        if self.0.provided.get() == 0 {
            return None;
        }
        let (id, at) = self.0.ring.take();
        let len = bytes.len().min(self.0.memory.block_bytes);
        // SAFETY: the block was in the ring, so no lease on it exists; `len` is within the block.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, len) };
        // SAFETY: taken from the ring just above, and this "kernel" is done with it.
        Some(unsafe { self.received(id, len as u32) })
    }

    /// Leases that left the core and are not home again.
    pub(crate) fn detached(&self) -> u32 {
        Arc::strong_count(&self.0.memory) as u32 - 1
    }

    /// Keeps the memory for ever: the last resort when a ring could not be drained.
    pub(crate) fn leak(&self) {
        std::mem::forget(self.clone());
    }
}

impl Core {
    /// No lease on block `id` is left, here or elsewhere.
    fn go_home(&self, id: u16) {
        #[cfg(debug_assertions)]
        let entry = &self.entries[usize::from(id)];
        #[cfg(debug_assertions)]
        // SAFETY: the last lease is gone and the kernel does not have the block yet.
        unsafe {
            entry.data.get().as_ptr().write_bytes(POISON, entry.len.get() as usize);
        }
        self.lent.set(self.lent.get() - 1);
        self.home.borrow_mut().push(id);
    }
}

#[cfg(all(test, loom))]
mod loom;
#[cfg(test)]
mod tests;
