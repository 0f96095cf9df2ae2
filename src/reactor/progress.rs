//! What a core publishes of its progress: which turn it is in, and what it runs. Other threads look
//! at it whenever they like; it costs the core a few relaxed stores, and no clock.
//!
//! ```text
//!   stamp:  turn 7        waits after it        turn 8        turn 9 (it did not wait)
//!           14            15                    16            18
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use super::Reactor;
use super::kind::Kind;

/// The progress of one core. Only the core writes, but for the stalls.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Twice the turn's number; one more while the core waits after that turn.
    stamp: AtomicU64,
    kind: AtomicU16,
    id: AtomicU64,
    /// Turns that the watch has reported.
    stalls: AtomicU64,
}

/// A turn of a core, or its wait after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// Whether the core waits, or spins, or has ended.
    pub(super) fn is_waiting(self) -> bool {
        self.0 % 2 == 1
    }
}

/// Lives apart from the other cores', so that no store of one is felt by another.
pub(crate) type Shown = Arc<CachePadded<Progress>>;

impl Progress {
    /// Of a core that has not begun, which counts as waiting.
    pub(super) fn new() -> Shown {
        Arc::new(CachePadded::new(Progress {
            stamp: AtomicU64::new(1),
            kind: AtomicU16::new(Kind::REACTOR.to_u16()),
            id: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
        }))
    }

    /// The next turn begins.
    #[inline]
    pub(super) fn turns(&self) {
        let stamp = self.stamp.load(Ordering::Relaxed);
        self.stamp.store((stamp | 1) + 1, Ordering::Relaxed);
    }

    /// The core is about to wait, or has ended.
    #[inline]
    pub(super) fn waits(&self) {
        let stamp = self.stamp.load(Ordering::Relaxed);
        self.stamp.store(stamp | 1, Ordering::Relaxed);
    }

    /// What the core runs from now on.
    #[inline]
    pub(super) fn runs(&self, kind: Kind, id: u64) {
        self.kind.store(kind.to_u16(), Ordering::Relaxed);
        self.id.store(id, Ordering::Relaxed);
    }

    /// Runs `body` as `kind`, in the middle of something else.
    pub(super) fn during<R>(&self, kind: Kind, id: u64, body: impl FnOnce() -> R) -> R {
        let (outer, outer_id) = self.running();
        self.runs(kind, id);
        let result = body();
        self.runs(outer, outer_id);
        result
    }

    /// What runs now. The two may be of different moments while the core goes on.
    pub(super) fn running(&self) -> (Kind, u64) {
        let kind = Kind::from_u16(self.kind.load(Ordering::Relaxed));
        (kind, self.id.load(Ordering::Relaxed))
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::Relaxed))
    }

    /// The watch has reported a turn.
    pub(super) fn count_stall(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }
}

impl Reactor {
    /// Says what runs from now on, for the watch: its kind, and who of that kind by a number that
    /// is not 0 (a key of this core), or 0. Set around each poll of a task by the reactor itself, to
    /// what the task was spawned as.
    #[inline]
    pub(crate) fn running(&self, kind: Kind, id: u64) {
        self.progress.runs(kind, id);
    }

    /// Who it is that runs, of those of the kind that was named before.
    #[inline]
    pub(crate) fn runs_for(&self, id: u64) {
        self.progress.id.store(id, Ordering::Relaxed);
    }

    /// Whom [`Reactor::runs_for`] has named in this poll of a task; 0 when it has named nobody.
    #[inline]
    pub(crate) fn runs_now(&self) -> u64 {
        self.progress.id.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_and_each_wait_has_a_stamp_of_its_own() {
        let progress = Progress::new();
        let mut seen = vec![progress.stamp()];
        assert!(progress.stamp().is_waiting(), "it has not begun");
        for step in [true, true, false, true, false, true, true] {
            if step {
                progress.turns()
            } else {
                progress.waits()
            }
            assert_eq!(progress.stamp().is_waiting(), !step);
            assert!(!seen.contains(&progress.stamp()));
            seen.push(progress.stamp());
        }
        progress.waits();
        let waiting = progress.stamp();
        progress.waits();
        assert_eq!(progress.stamp(), waiting);
    }

    #[test]
    fn what_runs_within_something_gives_way_to_it() {
        let progress = Progress::new();
        progress.runs(Kind::TASK, 7);
        let inner = progress.during(Kind::TIMERS, 0, || progress.running());
        assert_eq!(inner, (Kind::TIMERS, 0));
        assert_eq!(progress.running(), (Kind::TASK, 7));
    }
}
