//! A bounded ring from one thread to one other: a lane of the fabric between two cores.
//!
//! ```text
//!   Producer                                            Consumer
//!   push ──▶ slot[tail], then tail + 1 (release)        tail (acquire) ──▶ pop slot[head]
//!   full? head (acquire) ◀───────────────────────────── head + 1 (release)
//! ```
//! The indices run free and wrap with the word; an index masked is a slot. Each end keeps its own
//! index, and the other's as it last saw it, so it touches the other's cache line only when the
//! ring looks full, or empty. After Lamport's ring with the cached indices of Lee, Bu and
//! Chandranmenon (MCRingBuffer, IPDPS 2010); crate rtrb is of the same family, and as fast within the
//! noise. Each push is published at once: MCRingBuffer's batches of 8 to 64 gained nothing that could
//! be measured with messages of 32 and 64 bytes.
//!
//! A producer may sleep until there is room. Neither side waits for the other:
//!
//! ```text
//!   Producer::wait_for_room            Consumer::drained
//!   blocked = true                     head moved
//!   fence(SeqCst)                      fence(SeqCst)
//!   room? then go on, else sleep       blocked? then wake the producer
//! ```
//! Without the fences both may miss the other: the ring is empty, and its producer sleeps.
#![allow(unsafe_code)] // A slot changes hands by an index; see docs/UNSAFE.md.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crossbeam::utils::CachePadded;

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use super::sync::{Arc, UnsafeCell};
use crate::guard::caught;

/// The end that pushes. Moves to any thread, and is used by one at a time.
pub(crate) struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// The slot of the next push.
    tail: Cell<usize>,
    /// The consumer's index when it was last looked at: never past the true one.
    head: Cell<usize>,
}

/// The end that pops. Moves to any thread, and is used by one at a time.
pub(crate) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// The slot of the next pop.
    head: Cell<usize>,
    /// The producer's index when it was last looked at: never past the true one.
    tail: Cell<usize>,
    /// `head` at the last `drained`.
    told: Cell<usize>,
}

/// Invariant: slots from `head` up to `tail` hold a value and are the consumer's, the others are
/// empty and the producer's.
struct Ring<T> {
    /// Written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// Written by the producer.
    tail: CachePadded<AtomicUsize>,
    /// The producer waits for room. Rarely written, so a line that both ends can keep.
    blocked: CachePadded<AtomicBool>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is reached by one end at a time: the indices hand it over, with release and
// acquire, for as long as the ring lives. So values cross threads (`T: Send`) and are not shared.
unsafe impl<T: Send> Sync for Ring<T> {}

/// A ring of `slots` slots: its two ends.
///
/// # Panics
/// Unless `slots` is a power of two.
pub(crate) fn ring<T>(slots: usize) -> (Producer<T>, Consumer<T>) {
    ring_from(slots, 0)
}

/// As `ring`, with indices that begin at `start`.
fn ring_from<T>(slots: usize, start: usize) -> (Producer<T>, Consumer<T>) {
    assert!(slots.is_power_of_two(), "config rounds the slots of a ring to a power of two");
    let ring = Arc::new(Ring {
        head: CachePadded::new(AtomicUsize::new(start)),
        tail: CachePadded::new(AtomicUsize::new(start)),
        blocked: CachePadded::new(AtomicBool::new(false)),
        slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let (head, tail, told) = (Cell::new(start), Cell::new(start), Cell::new(start));
    let producer = Producer { ring: ring.clone(), tail: tail.clone(), head: head.clone() };
    (producer, Consumer { ring, head, tail, told })
}

impl<T> Producer<T> {
    /// Puts a value in, where the consumer sees it at once.
    ///
    /// # Errors
    /// The ring is full: the value comes back.
    #[inline]
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let tail = self.tail.get();
        if tail.wrapping_sub(self.head.get()) == self.capacity() && !self.has_room() {
            return Err(value);
        }
        self.ring.slot(tail).with_mut(|slot| {
            // SAFETY: the slot is outside of head..tail, so it is empty and this end's until the
            // store of `tail` below; the consumer has moved its last value out before it released
            // `head`, which this end has acquired.
            unsafe { (*slot).write(value) };
        });
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        self.ring.tail.store(tail, Ordering::Release);
        Ok(())
    }

    /// Whether the next push succeeds; looks at the consumer's index anew.
    pub(crate) fn has_room(&self) -> bool {
        self.head.set(self.ring.head.load(Ordering::Acquire));
        self.tail.get().wrapping_sub(self.head.get()) < self.capacity()
    }

    /// Asks to be woken when there is room: `true` if there is already, `false` when the consumer
    /// will find the request in its next [`Consumer::drained`].
    ///
    /// A thread that sleeps on a bell calls this after `Bell::will_sleep`, or once more then: a
    /// bell that was rung before is not heard.
    pub(crate) fn wait_for_room(&self) -> bool {
        let blocked = &self.ring.blocked;
        blocked.swap(true, Ordering::Relaxed); // not a store, for loom: as in `Bell::is_awake`
        fence(Ordering::SeqCst);
        let has_room = self.has_room();
        if has_room {
            blocked.swap(false, Ordering::Relaxed);
        }
        has_room
    }

    /// Whether the wish of [`Producer::wait_for_room`] still stands. One load of a line that is
    /// rarely written: made to be polled.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ring.blocked.load(Ordering::Relaxed)
    }

    /// Values that the consumer has not taken; it may be taking them.
    pub(crate) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.ring.head.load(Ordering::Relaxed))
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.ring.slots.len()
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value out. Call [`Consumer::drained`] after the last one of a turn.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let head = self.head.get();
        if head == self.tail.get() {
            self.tail.set(self.ring.tail.load(Ordering::Acquire));
            if head == self.tail.get() {
                return None;
            }
        }
        let value = self.ring.slot(head).with(|slot| {
            // SAFETY: the slot is inside of head..tail: the producer wrote it before it released
            // `tail`, which this end has acquired, and leaves it until the store of `head` below.
            // `head` moves on, so the value is read once.
            unsafe { (*slot).assume_init_read() }
        });
        let head = head.wrapping_add(1);
        self.head.set(head);
        self.ring.head.store(head, Ordering::Release);
        Some(value)
    }

    /// Tells whether the producer waits for room that the pops since the last call have made; then
    /// wake it. Costs a fence after pops, and nothing without.
    pub(crate) fn drained(&self) -> bool {
        if self.told.replace(self.head.get()) == self.head.get() {
            return false;
        }
        fence(Ordering::SeqCst);
        let blocked = &self.ring.blocked;
        blocked.load(Ordering::Relaxed)
            && blocked.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// One load: made to be polled.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that can be popped.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ring.tail.load(Ordering::Relaxed).wrapping_sub(self.head.get())
    }
}

impl<T> Ring<T> {
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[index & (self.slots.len() - 1)]
    }
}

/// What is left goes with the last end. A value may be a user's: its panic is reported and keeps the
/// others from nothing.
impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != tail {
            let value = self.slot(head).with(|slot| {
                // SAFETY: the slot is inside of head..tail, so it holds a value; both ends are
                // gone, and `head` moves on, so it is read once.
                unsafe { (*slot).assume_init_read() }
            });
            head = head.wrapping_add(1);
            caught("a message panicked while it was dropped", || drop(value));
        }
    }
}

#[cfg(all(test, loom))]
mod loom;
#[cfg(test)]
mod tests;
