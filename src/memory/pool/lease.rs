//! Leases: counted holds on received bytes, on this core or detached from it.
#![allow(unsafe_code)] // Leases reach into blocks; see docs/UNSAFE.md.

use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use super::{Entry, Memory, Owner};

/// A counted hold on received bytes: cheap to clone, bound to its core.
pub(crate) struct Lease(pub(super) NonNull<Entry>);

impl Lease {
    /// A lease on bytes of the heap.
    pub(crate) fn heap(mut bytes: Vec<u8>) -> Lease {
        assert!(u32::try_from(bytes.len()).is_ok(), "a frame is below 4 GiB");
        let data = NonNull::from(bytes.as_mut_slice()).cast();
        let entry = Entry {
            count: Cell::new(1),
            away: Cell::new(0),
            len: Cell::new(bytes.len() as u32),
            data: Cell::new(data),
            owner: Owner::Heap(bytes),
        };
        Lease(NonNull::from(Box::leak(Box::new(entry))))
    }

    fn entry(&self) -> &Entry {
        // SAFETY: a pool's entries live as long as the pool, which the count keeps alive; a heap
        // entry lives until the last lease drops.
        unsafe { self.0.as_ref() }
    }

    /// The bytes that were received.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let entry = self.entry();
        // SAFETY: `len` bytes at `data` were written before the lease was made, and nobody writes
        // them while a lease exists.
        unsafe { slice::from_raw_parts(entry.data.get().as_ptr(), entry.len.get() as usize) }
    }

    /// The bytes, to be changed where they lie; only while this is all there is of them: no other
    /// lease, here or detached.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let entry = self.entry();
        if entry.count.get() != 1 || entry.away.get() != 0 {
            return None;
        }
        // SAFETY: as in `bytes`; this is the only lease, nothing of the block is detached, and it
        // is borrowed for as long as the slice lives: nobody else reads these bytes, and no second
        // lease can be made of it meanwhile.
        Some(unsafe {
            slice::from_raw_parts_mut(entry.data.get().as_ptr(), entry.len.get() as usize)
        })
    }

    /// How many bytes were received.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.entry().len.get()
    }

    /// Whether both are leases on the same bytes.
    #[inline]
    pub(crate) fn is_same(&self, other: &Lease) -> bool {
        self.0 == other.0
    }

    /// Turns a lease on a block into one that may leave the core, or gives it back when the bytes
    /// lie on the heap. Allocates nothing.
    pub(crate) fn detach(self, range: Range<usize>) -> Result<Detached, Lease> {
        assert!(range.end <= self.len() as usize && range.start <= range.end);
        let Owner::Pool { core, id } = &self.entry().owner else { return Err(self) };
        // SAFETY: this lease keeps the pool alive; the reference ends on this line.
        let memory = unsafe { (*core.get()).memory.clone() };
        let detached = Detached { memory, id: *id, range };
        let away = &self.entry().away;
        away.set(away.get() + 1);
        drop(self); // the block stays lent, by the one that is away
        Ok(detached)
    }

    /// The heap buffer itself, when this is its only lease.
    pub(crate) fn into_heap(self) -> Result<Vec<u8>, Lease> {
        let entry = self.entry();
        if entry.count.get() != 1 || !matches!(entry.owner, Owner::Heap(_)) {
            return Err(self);
        }
        // SAFETY: made by `Box::leak` in `heap`, and this is the last lease on it.
        let entry = unsafe { Box::from_raw(self.0.as_ptr()) };
        std::mem::forget(self);
        let Owner::Heap(bytes) = entry.owner else { unreachable!("checked above") };
        Ok(bytes)
    }
}

impl Clone for Lease {
    #[inline]
    fn clone(&self) -> Lease {
        let entry = self.entry();
        // A leak of four billion clones would wrap to a freed block: stop before.
        assert!(entry.count.get() < u32::MAX, "too many leases on one block");
        entry.count.set(entry.count.get() + 1);
        Lease(self.0)
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        let entry = self.entry();
        match &entry.owner {
            Owner::Pool { core, id } => {
                let (core, id) = (core.get(), *id);
                entry.count.set(entry.count.get() - 1);
                if entry.count.get() > 0 {
                    return;
                }
                let is_home = entry.away.get() == 0;
                // SAFETY: this was the last lease of this core on the block, and keeps the pool
                // alive until here: the count that `received` took is given back, and nothing is
                // touched after.
                unsafe {
                    if is_home {
                        (*core).go_home(id);
                    }
                    Rc::decrement_strong_count(core);
                }
            }
            Owner::Heap(_) if entry.count.get() > 1 => entry.count.set(entry.count.get() - 1),
            // SAFETY: made by `Box::leak` in `heap`; this was the last lease.
            Owner::Heap(_) => drop(unsafe { Box::from_raw(self.0.as_ptr()) }),
        }
    }
}

/// A lease that may leave its core; dropped anywhere, its block goes home.
pub(crate) struct Detached {
    memory: Arc<Memory>,
    id: u16,
    range: Range<usize>,
}

impl AsRef<[u8]> for Detached {
    fn as_ref(&self) -> &[u8] {
        let data = self.memory.block(self.id);
        // SAFETY: the range was inside the received bytes of this block (`Lease::detach`), and the
        // count it took over keeps the block from the kernel until `drop`.
        unsafe { slice::from_raw_parts(data.as_ptr().add(self.range.start), self.range.len()) }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.memory.returns.give_back(self.id);
    }
}
