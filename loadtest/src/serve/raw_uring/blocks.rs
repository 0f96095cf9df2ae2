//! Memory that the kernel receives into: blocks in one mapping, offered through a buffer ring.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The group of the blocks; a connection's own group, if it has one, is its slot plus one.
pub(super) const GROUP: u16 = 0;

const PAGE: usize = 4096;

/// Bytes by which the starts of neighbouring blocks are shifted against each other. Blocks that
/// all begin on a page boundary compete for one set of the first-level cache, and small messages
/// touch nothing but the beginnings.
const COLOUR: usize = 64;

/// Zeroed memory that is given back when dropped.
struct Mapping {
    start: NonNull<u8>,
    layout: Layout,
}

impl Mapping {
    fn new(bytes: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(bytes, align).expect("sizes are checked by clap");
        // SAFETY: the layout is not empty: every caller asks for at least one page.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => alloc::handle_alloc_error(layout),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` came from the allocator with this layout in `new`, and nobody else
        // frees it. Memory that a ring knows is never dropped.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A ring in which the kernel finds buffers.
pub(super) struct BufferRing {
    entries: Mapping,
    count: u16,
    /// Entries ever put; published to the kernel by [`publish`](Self::publish).
    tail: u16,
}

impl BufferRing {
    /// An empty ring with room for `count` entries, a power of two.
    pub(super) fn new(count: u16) -> Self {
        let bytes = (count as usize * size_of::<BufRingEntry>()).next_multiple_of(PAGE);
        Self { entries: Mapping::new(bytes, PAGE), count, tail: 0 }
    }

    /// Makes the ring known as `group`.
    ///
    /// # Safety
    /// The ring, and every buffer put into it, stays allocated until `group` is unregistered or
    /// the process ends.
    pub(super) unsafe fn register(&self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        let address = self.entries.start.as_ptr() as u64;
        // SAFETY: passed on to the caller of this function.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, group, 0) }
    }

    /// Empties a ring whose kernel's side was unregistered.
    pub(super) fn clear(&mut self) {
        self.tail = 0;
        self.publish();
    }

    /// Adds a buffer; the kernel sees it after the next [`publish`](Self::publish).
    pub(super) fn put(&mut self, start: *const u8, len: u32, id: u16) {
        let entries = self.entries.start.as_ptr().cast::<BufRingEntry>();
        let at = usize::from(self.tail & (self.count - 1));
        // SAFETY: `at` is inside the ring of `count` entries; the kernel reads this entry only
        // after the tail has passed it. The setters leave `resv` alone, which in entry 0 is the
        // tail itself.
        let entry = unsafe { &mut *entries.add(at) };
        entry.set_addr(start as u64);
        entry.set_len(len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was put since the last time.
    pub(super) fn publish(&mut self) {
        // SAFETY: the tail lies in entry 0 of the ring, is aligned and lives as long as `self`;
        // the kernel only reads it, hence an atomic store.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

/// All blocks, and the ring of the free ones.
///
/// Invariant: a block is either in the ring (the kernel's) or was handed out by a completion (the
/// connection's) until [`put`](Self::put). Once registered it is never dropped: see the server's
/// `run`.
pub(super) struct Blocks {
    memory: Mapping,
    ring: BufferRing,
    stride: usize,
    block_bytes: usize,
    count: u16,
    /// Blocks that the ring holds, counting those not yet published.
    pub(super) free: u16,
}

impl Blocks {
    /// `count` blocks (a power of two) of `block_bytes`, all in the ring.
    pub(super) fn new(block_bytes: usize, count: u16) -> Self {
        let stride = block_bytes + COLOUR;
        let huge = 2 << 20;
        let memory = Mapping::new((stride * count as usize).next_multiple_of(huge), huge);
        // SAFETY: advice on memory that is ours whole; it changes no byte of it. Fewer entries of
        // the TLB are worth asking for, and a kernel that declines is as good as before.
        let _ = unsafe {
            rustix::mm::madvise(
                memory.start.as_ptr().cast(),
                memory.layout.size(),
                rustix::mm::Advice::LinuxHugepage,
            )
        };
        let ring = BufferRing::new(count);
        let mut blocks = Self { memory, ring, stride, block_bytes, count, free: 0 };
        (0..count).for_each(|id| blocks.put(id));
        blocks.publish();
        blocks
    }

    /// Makes the blocks known to a ring.
    pub(super) fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the blocks stay allocated to the end of the process, see `Blocks`.
        unsafe { self.ring.register(submitter, GROUP) }
    }

    /// Half of the blocks: below that, a starved connection has others copied out.
    pub(super) fn half(&self) -> u16 {
        self.count / 2
    }

    /// A completion handed out a block.
    pub(super) fn take(&mut self) {
        self.free -= 1;
    }

    /// Gives a block back; the kernel sees it after the next [`publish`](Self::publish).
    pub(super) fn put(&mut self, id: u16) {
        self.ring.put(self.address(id), self.block_bytes as u32, id);
        self.free += 1;
    }

    /// Shows the kernel what was put since the last time.
    pub(super) fn publish(&mut self) {
        self.ring.publish();
    }

    /// Where a block begins.
    pub(super) fn address(&self, id: u16) -> *mut u8 {
        assert!(id < self.count, "the kernel names only blocks that it was given");
        // SAFETY: `id` is below `count`, so the offset is inside the mapping.
        unsafe { self.memory.start.as_ptr().add(self.stride * usize::from(id)) }
    }

    /// The bytes that a completion put in a block.
    pub(super) fn bytes(&self, id: u16, start: u32, len: u32) -> &[u8] {
        assert!(start as usize + len as usize <= self.block_bytes, "a range inside the block");
        // SAFETY: the range is inside block `id`, which a completion handed to us: the kernel
        // writes to it again only after `put`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.address(id).add(start as usize), len as usize) }
    }
}
