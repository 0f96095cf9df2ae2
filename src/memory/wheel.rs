//! Timers of one core: a hierarchical timer wheel in ticks of one millisecond.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7; the
//! wheels of the Linux kernel before 4.8 and of tokio are of the same family.
//!
//! ```text
//!   a deadline in 6-bit digits:   d10 ... d3 d2 d1 d0
//!   level 0: 64 slots of 1 tick     deadlines that differ from `elapsed` in d0 only
//!   level 1: 64 slots of 64         ... in d1, and not above
//!   level 2: 64 slots of 4096       ... in d2, and not above
//! ```
//! When `elapsed` reaches the start of a slot above level 0, the slot's timers move to lower
//! levels; so each timer moves at most once a level, and most are cancelled before they move. All
//! timers of a level lie behind the next digit of the level below, so the first slot in use of the
//! lowest level in use comes next: two searches for the lowest bit.
//!
//! Six levels span two years. There are eleven, as many as 64 bits have digits, so that no deadline
//! lies beyond the top and none needs special care; the five more cost 2.5 KiB a core, untouched.
//!
//! A slot is a doubly linked list by index through one slab: insert and cancel are O(1), and
//! nothing is allocated once the slab has grown to the most timers at a time. The bound on their
//! number is the owners': each timer belongs to an entry of a bounded table.

use std::num::NonZeroU64;
use std::time::Duration;

use slab::Slab;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
const NIL: u32 = u32::MAX;

/// The last tick that has begun at `now`, a time since the clock's start.
pub(crate) fn tick_at(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The first tick that begins no earlier than `delay` after `now`: rounded up, so never early.
pub(crate) fn tick_after(now: Duration, delay: Duration) -> u64 {
    let at = now.saturating_add(delay);
    // In 64 bits: a division of 128 costs as much as a message.
    let part = u64::from(at.subsec_nanos().div_ceil(1_000_000));
    at.as_secs().saturating_mul(1000).saturating_add(part)
}

/// Names one timer. After it fired or was cancelled the key misses, for good: the sequence counts
/// the wheel's timers and does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    index: u32,
    sequence: NonZeroU64,
}

/// Timers that each hold a `T`. The owner gives the time, in ticks; it never goes back.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// All ticks before this one have been served.
    elapsed: u64,
    nodes: Slab<Node<T>>,
    sequence: u64,
    /// Bit l: level l has timers.
    levels_in_use: u16,
    levels: Box<[Level; LEVELS]>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Bit s: slot s has timers.
    in_use: u64,
    slots: [List; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Node<T> {
    sequence: u64,
    /// Never below `elapsed`: a deadline in the past is taken for now. With it `elapsed` says which
    /// slot the node is in.
    deadline: u64,
    previous: u32,
    next: u32,
    value: T,
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at tick `now`.
    pub(crate) fn new(now: u64) -> Wheel<T> {
        let empty = Level { in_use: 0, slots: [List { first: NIL, last: NIL }; SLOTS] };
        Wheel {
            elapsed: now,
            nodes: Slab::new(),
            sequence: 0,
            levels_in_use: 0,
            levels: Box::new([empty; LEVELS]),
        }
    }

    /// Arms a timer for tick `deadline`; one in the past fires at the next `pop_expired`. O(1).
    ///
    /// # Panics
    /// With 4 billion timers at a time.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        self.sequence += 1;
        let (sequence, deadline) = (self.sequence, deadline.max(self.elapsed));
        let node = Node { sequence, deadline, previous: NIL, next: NIL, value };
        let index = u32::try_from(self.nodes.insert(node)).expect("timers are bounded");
        assert_ne!(index, NIL, "timers are bounded");
        self.link(index);
        let sequence = NonZeroU64::new(sequence).expect("counted from 1, and it does not wrap");
        TimerKey { index, sequence }
    }

    /// Takes a timer out before it fires; `None` when it has fired or was cancelled. O(1).
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let node = self.nodes.get(key.index as usize)?;
        if node.sequence != key.sequence.get() {
            return None;
        }
        Some(self.take(key.index))
    }

    /// The tick to call `pop_expired` at: never after the first timer's, and exactly that when it
    /// is in the current round of 64 ticks. An earlier one is when far timers move to lower levels,
    /// at most ten times on a timer's way. `None` without timers.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.first_slot().map(|slot| slot.start)
    }

    /// Takes out one timer that is due at `now`; `None` when there is no more.
    ///
    /// One at a time, so that no borrow is held while its owner acts on it. Timers fire in the
    /// order of their ticks, those of one tick in the order of insertion. A timer that is inserted
    /// for `now` or before between two calls fires as well, so the caller bounds its loop. Call it
    /// to the end once a turn: that also moves the wheel on to `now`.
    pub(crate) fn pop_expired(&mut self, now: u64) -> Option<T> {
        let now = now.max(self.elapsed);
        while let Some(slot) = self.first_slot().filter(|slot| slot.start <= now) {
            self.elapsed = slot.start;
            if slot.level == 0 {
                return Some(self.take(self.levels[0].slots[slot.index].first));
            }
            self.cascade(slot);
        }
        self.elapsed = now;
        None
    }

    /// Timers that are armed.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The slot whose start comes first.
    fn first_slot(&self) -> Option<Slot> {
        if self.levels_in_use == 0 {
            return None;
        }
        let level = self.levels_in_use.trailing_zeros();
        let index = self.levels[level as usize].in_use.trailing_zeros();
        let shift = level * DIGIT_BITS;
        // The digits above the level's are those of `elapsed`, those below are 0.
        let above = self.elapsed.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
        let start = (above << DIGIT_BITS | u64::from(index)) << shift;
        Some(Slot { level: level as usize, index: index as usize, start })
    }

    /// Empties a slot whose start has come into the levels below, in order.
    fn cascade(&mut self, slot: Slot) {
        let list = &mut self.levels[slot.level].slots[slot.index];
        let mut index = list.first;
        *list = List { first: NIL, last: NIL };
        self.clear_in_use(slot.level, slot.index);
        while index != NIL {
            let next = self.nodes[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// The level and the slot of a deadline: the highest digit in which it differs from `elapsed`.
    /// This stays true while `elapsed` moves on, until it reaches the slot.
    fn place(&self, deadline: u64) -> (usize, usize) {
        let differing = (deadline ^ self.elapsed) | 1;
        let level = differing.ilog2() / DIGIT_BITS;
        let digit = deadline >> (level * DIGIT_BITS);
        (level as usize, digit as usize % SLOTS)
    }

    /// Puts a node at the end of its slot's list.
    fn link(&mut self, index: u32) {
        let (level, slot) = self.place(self.nodes[index as usize].deadline);
        self.levels_in_use |= 1 << level;
        self.levels[level].in_use |= 1 << slot;
        let list = &mut self.levels[level].slots[slot];
        let previous = std::mem::replace(&mut list.last, index);
        match previous {
            NIL => list.first = index,
            _ => self.nodes[previous as usize].next = index,
        }
        let node = &mut self.nodes[index as usize];
        (node.previous, node.next) = (previous, NIL);
    }

    /// Takes a node out of its slot's list and out of the slab.
    fn take(&mut self, index: u32) -> T {
        let node = self.nodes.remove(index as usize);
        let (level, slot) = self.place(node.deadline);
        let list = &mut self.levels[level].slots[slot];
        match node.previous {
            NIL => list.first = node.next,
            previous => self.nodes[previous as usize].next = node.next,
        }
        match node.next {
            NIL => list.last = node.previous,
            next => self.nodes[next as usize].previous = node.previous,
        }
        if list.first == NIL {
            self.clear_in_use(level, slot);
        }
        node.value
    }

    fn clear_in_use(&mut self, level: usize, slot: usize) {
        self.levels[level].in_use &= !(1 << slot);
        if self.levels[level].in_use == 0 {
            self.levels_in_use &= !(1 << level);
        }
    }
}

/// A slot in use, and the first tick of its span.
#[derive(Clone, Copy)]
struct Slot {
    level: usize,
    index: usize,
    start: u64,
}

#[cfg(test)]
mod tests;
