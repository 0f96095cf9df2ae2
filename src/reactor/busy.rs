//! How long turns take: the share of its time that a core works.
//!
//! ```text
//!   turn 7            enter: waits       turn 8     enter: does not wait    turn 9
//!   ├── busy ──┤                         ├──────────── busy ────────────────┼── busy ─
//!   clock      clock, for this           clock                              clock
//! ```
//! A turn's own clock read ends the turn before it, unless the core waits between: then one more is
//! due. Waiting and spinning are not busy; nor is a turn that found nothing.

use std::cell::Cell;
use std::time::Duration;

use super::Reactor;
use crate::clock::Now;
use crate::driver::operation::Wait;

/// A turn that takes longer is counted as slow. It is what everybody else on the core waits: ten of
/// the wheel's ticks, more than half of a frame of a game at 60 Hz, and a thousand times what a
/// turn takes that only echoes.
const SLOW_TURN: Duration = Duration::from_millis(10);

/// What a reactor knows of its own time.
pub(super) struct Stopwatch {
    /// When the reactor was made.
    started: Now,
    /// Completions and polls before this turn; `None` once the turn's time was counted.
    before: Cell<Option<u64>>,
}

impl Stopwatch {
    pub(super) fn new(now: Now) -> Stopwatch {
        Stopwatch { started: now, before: Cell::new(None) }
    }
}

impl Reactor {
    /// The turn is over, and the next may `wait` before it begins. Returns what it is to do: not
    /// wait when an enter finds something, so that the time in there counts as busy and is.
    pub(super) fn end_turn(&self, wait: Wait) -> Wait {
        if wait == Wait::Poll || self.driver.borrow_mut().would_return() {
            return Wait::Poll;
        }
        if self.stopwatch.before.get().is_some() {
            self.count_turn(self.driver.borrow().now());
        }
        self.progress.waits();
        wait
    }

    /// A turn begins.
    pub(super) fn begin_turn(&self) {
        let now = self.driver.borrow().now();
        self.count_turn(now);
        self.now.set(now);
        self.metrics.turns.add(1);
        self.stopwatch.before.set(Some(self.done()));
        self.progress.turns();
    }

    /// Counts the time of the turn that has ended `now`, once.
    fn count_turn(&self, now: Now) {
        let Some(before) = self.stopwatch.before.take() else { return };
        if self.done() == before {
            return;
        }
        let time = now.since(self.now());
        self.metrics.busy_ns.add(time.as_nanos() as u64);
        if time > SLOW_TURN {
            self.metrics.slow_turns.add(1);
        }
    }

    fn done(&self) -> u64 {
        self.metrics.completions.value() + self.metrics.polls.value()
    }

    /// From the making of the reactor to the beginning of this turn.
    pub(super) fn up(&self) -> Duration {
        self.now().since(self.stopwatch.started)
    }
}
