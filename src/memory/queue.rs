//! A bounded ring from one thread to one other: a lane of the fabric between two cores.
//!
//! ```text
//!   Producer                                            Consumer
//!   put ──▶ slot[tail]; show ──▶ tail (release)         tail (acquire) ──▶ pop slot[head]
//!   full? head (acquire) ◀───────────────────────────── head + 1 (release)
//! ```
//! The indices run free and wrap with the word; an index masked is a slot. Each end keeps its own
//! index, and the other's as it last saw it, so it touches the other's cache line only when the
//! ring looks full, or empty. After Lamport's ring with the cached indices of Lee, Bu and
//! Chandranmenon (MCRingBuffer, IPDPS 2010); crate rtrb is of the same family, and as fast within the
//! noise. A producer may put several values in before it shows them, as MCRingBuffer does: while the
//! consumer looks at `tail`, each store of it waits until its line has come back, and what is written
//! behind waits with it. A value is dropped with the ring, shown or not.
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
use std::mem::{ManuallyDrop, MaybeUninit};

use crossbeam::utils::CachePadded;

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use super::sync::{Arc, UnsafeCell};
use crate::guard::caught;

/// So many slots before it is popped a value is fetched, if it is there, and so many before it is
/// written a slot is claimed, if it is free: handling a message takes a fifth of what a line takes from
/// core to core, or a tenth where they are far from each other.
const LINES_AHEAD: usize = 8;

/// The end that pushes. Moves to any thread, and is used by one at a time.
pub(crate) struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// The slot of the next push.
    tail: Cell<usize>,
    /// `tail` as the consumer sees it: what lies between is written, and not handed over yet.
    shown: Cell<usize>,
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
    /// A value is used up in its slot now.
    in_place: Cell<bool>,
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
    let shown = tail.clone();
    let producer = Producer { ring: ring.clone(), tail: tail.clone(), shown, head: head.clone() };
    (producer, Consumer { ring, head, tail, told, in_place: Cell::new(false) })
}

impl<T> Producer<T> {
    /// Puts a value in, where the consumer sees it at once, and all that was put in before.
    ///
    /// # Errors
    /// The ring is full: the value comes back.
    #[cfg(test)]
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        self.put(value)?;
        self.show();
        Ok(())
    }

    /// Puts a value in, which the consumer sees after the next [`Producer::show`].
    ///
    /// # Errors
    /// The ring is full: the value comes back.
    #[inline]
    pub(crate) fn put(&self, value: T) -> Result<(), T> {
        let tail = self.tail.get();
        if tail.wrapping_sub(self.head.get()) == self.capacity() && !self.has_room() {
            return Err(value);
        }
        let ahead = tail.wrapping_add(LINES_AHEAD);
        if ahead.wrapping_sub(self.head.get()) < self.capacity() {
            self.ring.claim(ahead);
        }
        self.ring.slot(tail).with_mut(|slot| {
            // SAFETY: the slot is outside of head..tail, so it is empty and this end's until `show`
            // stores a `tail` beyond it; the consumer has moved its last value out before it released
            // `head`, which this end has acquired. `self.tail` moves on, so it is written once.
            unsafe { (*slot).write(value) };
        });
        self.tail.set(tail.wrapping_add(1));
        Ok(())
    }

    /// Hands over what was put in.
    #[inline]
    pub(crate) fn show(&self) {
        let tail = self.tail.get();
        if self.shown.replace(tail) != tail {
            self.ring.tail.store(tail, Ordering::Release);
        }
    }

    /// Values that were put in and not shown.
    #[inline]
    pub(crate) fn hidden(&self) -> usize {
        self.tail.get().wrapping_sub(self.shown.get())
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
        self.show(); // else nobody would make room
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

/// What was put in is the ring's, which drops it at the latest.
impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.show();
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value out. Call [`Consumer::drained`] after the last one of a turn.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let head = self.oldest()?;
        let value = self.ring.slot(head).with(|slot| {
            // SAFETY: the slot is inside of head..tail: the producer wrote it before it released
            // `tail`, which this end has acquired, and leaves it until the store of `head` below.
            // `head` moves on, so the value is read once.
            unsafe { (*slot).assume_init_read() }
        });
        self.move_on(head);
        Some(value)
    }

    /// Uses the oldest value up in its slot, which spares moving it out; the producer gets the slot
    /// after that, a panic included. Whether there was one.
    ///
    /// # Safety
    /// `use_up` takes the value out or drops it, once, also when it panics.
    ///
    /// # Panics
    /// When `use_up` pops from the same ring.
    #[inline]
    pub(crate) unsafe fn pop_in_place(&self, use_up: impl FnOnce(&ManuallyDrop<T>)) -> bool {
        let Some(head) = self.oldest() else { return false };
        if self.tail.get().wrapping_sub(head) > LINES_AHEAD {
            self.ring.fetch(head.wrapping_add(LINES_AHEAD));
        }
        self.in_place.set(true);
        let used = Used { consumer: self, head };
        self.ring.slot(head).with(|slot| {
            // SAFETY: the slot is inside of head..tail: the producer wrote it before it released
            // `tail`, which this end has acquired, and leaves it until `used` is dropped, below.
            // Nothing else reads it: `oldest` refuses while `in_place` is set. The caller's closure
            // is what uses the value up, and `used` moves on behind it.
            use_up(unsafe { &*slot.cast::<ManuallyDrop<T>>() });
        });
        drop(used);
        true
    }

    /// How many values can be popped; asks for the first of them to be brought near.
    #[inline]
    pub(crate) fn look(&self) -> usize {
        let tail = self.ring.tail.load(Ordering::Acquire);
        self.tail.set(tail);
        let (head, count) = (self.head.get(), tail.wrapping_sub(self.head.get()));
        (0..count.min(LINES_AHEAD)).for_each(|n| self.ring.fetch(head.wrapping_add(n)));
        count
    }

    /// The slot of the oldest value, if there is one.
    #[inline]
    fn oldest(&self) -> Option<usize> {
        assert!(!self.in_place.get(), "a value of this ring is used up in its slot");
        let head = self.head.get();
        if head == self.tail.get() {
            self.tail.set(self.ring.tail.load(Ordering::Acquire));
            if head == self.tail.get() {
                return None;
            }
        }
        Some(head)
    }

    /// Gives the slot `head` back.
    #[inline]
    fn move_on(&self, head: usize) {
        let head = head.wrapping_add(1);
        self.head.set(head);
        self.ring.head.store(head, Ordering::Release);
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

/// A slot whose value is used up when this is dropped.
struct Used<'a, T> {
    consumer: &'a Consumer<T>,
    head: usize,
}

impl<T> Drop for Used<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.consumer.in_place.set(false);
        self.consumer.move_on(self.head);
    }
}

impl<T> Ring<T> {
    /// Asks the processor to bring a slot near that is popped soon: its line lies in the cache of the
    /// core that has written it, some hundred cycles away.
    #[inline]
    fn fetch(&self, index: usize) {
        #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
        self.slot(index).with(|slot| {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint: it reads nothing, faults at no address, and SSE is in every x86_64.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(slot.cast()) }
        });
        #[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
        let _ = index;
    }

    /// As [`Ring::fetch`], for a slot that is written soon: its line is to be this core's alone. Without,
    /// each write waits for its line, and all that the core writes meanwhile waits with it.
    #[inline]
    fn claim(&self, index: usize) {
        #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
        self.slot(index).with(|slot| {
            // SAFETY: a hint: it writes nothing and faults at no address; a processor of 64 bits that
            // does not know it passes it by. The intrinsic is a prefetch for reading where the target
            // is not said to have this one.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) slot, options(nostack, preserves_flags))
            }
        });
        #[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
        let _ = index;
    }

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
