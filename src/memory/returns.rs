//! Blocks that come home: other threads give them back, their owner collects them.
//!
//! ```text
//!   other threads                                     the owner
//!   count[id] + 1; was it 0?  last ──▶ id ──▶ id ──▶  takes the whole list, and each id's count
//!   then id goes on the list
//! ```
//! A block may be out several times over, and is on the list once with a count, so a return allocates
//! nothing and always succeeds. The owner takes the list as a whole: no ABA.

use crossbeam::utils::CachePadded;

use super::sync::atomic::{AtomicU32, Ordering};

const NIL: u32 = u32::MAX;

/// What came back of a number of blocks.
pub(super) struct Returns {
    last: CachePadded<AtomicU32>,
    blocks: Box<[Block]>,
}

struct Block {
    /// Returns that the owner has not seen. Above zero the block is on the list, or its first giver
    /// is about to put it there.
    count: AtomicU32,
    /// The block that was put on the list before this one.
    next: AtomicU32,
}

impl Returns {
    pub(super) fn new(blocks: usize) -> Returns {
        let block = |_| Block { count: AtomicU32::new(0), next: AtomicU32::new(NIL) };
        Returns {
            last: CachePadded::new(AtomicU32::new(NIL)),
            blocks: (0..blocks).map(block).collect(),
        }
    }

    /// Gives one hold on a block back, from any thread. What this thread did with the block before
    /// happens before what the owner does with it after.
    pub(super) fn give_back(&self, id: u16) {
        let block = &self.blocks[usize::from(id)];
        // Acquires what `collect` released: it has read `next`, which is free to be written.
        if block.count.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            block.next.store(last, Ordering::Relaxed);
            let put = self.last.compare_exchange_weak(
                last,
                u32::from(id),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match put {
                Ok(_) => return,
                Err(newer) => last = newer,
            }
        }
    }

    /// Hands each block that came back to `home`, with the number of holds since the last time. One
    /// thread collects: the owner.
    pub(super) fn collect(&self, mut home: impl FnMut(u16, u32)) {
        if self.last.load(Ordering::Relaxed) == NIL {
            return;
        }
        let mut id = self.last.swap(NIL, Ordering::Acquire);
        while id != NIL {
            let block = &self.blocks[id as usize];
            // Read before the count falls to 0 (released): then the block may go on the list anew.
            let next = block.next.load(Ordering::Relaxed);
            home(id as u16, block.count.swap(0, Ordering::AcqRel));
            id = next;
        }
    }
}

#[cfg(all(test, loom))]
mod loom;

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(returns: &Returns) -> Vec<(u16, u32)> {
        let mut collected = Vec::new();
        returns.collect(|id, count| collected.push((id, count)));
        collected
    }

    #[test]
    fn each_block_comes_once_with_its_count() {
        let returns = Returns::new(1 << 15);
        assert_eq!(collected(&returns), []);
        for id in [7, 0, 7, 32_767, 0, 7] {
            returns.give_back(id);
        }
        assert_eq!(collected(&returns), [(32_767, 1), (0, 2), (7, 3)]);
        assert_eq!(collected(&returns), []);
        returns.give_back(7);
        assert_eq!(collected(&returns), [(7, 1)]);
    }

    #[test]
    fn threads_that_give_the_same_blocks_back_are_all_counted() {
        let returns = Returns::new(3);
        let mut sums = [0; 3];
        std::thread::scope(|scope| {
            let givers: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| (0..30_000).for_each(|n| returns.give_back(n % 3))))
                .collect();
            while !givers.iter().all(|giver| giver.is_finished()) {
                returns.collect(|id, count| sums[usize::from(id)] += count);
            }
        });
        returns.collect(|id, count| sums[usize::from(id)] += count);
        assert_eq!(sums, [30_000; 3]);
    }
}
