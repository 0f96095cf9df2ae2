//! Calls that were sent from this core and wait for their answer.
//!
//! ```text
//!   caller: Call ──begin──▶ Waiting ──answer──▶ Answered ──take──▶ gone
//!                              │ timer: TimedOut    ▲
//!                              └────────────────────┘      dropped Call: gone at any time
//! ```
//! An answer names its place and a sequence that is never given twice, so that one which comes late
//! misses.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use super::error::CallError;
use crate::memory::envelope::Erased;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Reactor, guarded};

/// Bits of a sequence in the 64 of a promise: engine and core take 16.
pub(super) const SEQUENCE_BITS: u32 = 48;

/// What a call has come to.
type Outcome = Result<Erased, CallError>;

/// The calls of one core.
#[derive(Default)]
pub(super) struct Calls {
    waiting: RefCell<Slab<Waiting>>,
    sequence: Cell<u64>,
}

struct Waiting {
    sequence: u64,
    waker: Waker,
    timer: TimerKey,
    outcome: Option<Outcome>,
}

/// Names one call of this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallKey {
    pub(super) place: u32,
    pub(super) sequence: u64,
}

impl Calls {
    /// Enters a call that waits at most `timeout`.
    pub(super) fn begin(&self, reactor: &Reactor, waker: Waker, timeout: Duration) -> CallKey {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence & ((1 << SEQUENCE_BITS) - 1));
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.vacant_key() as u32;
        let timer = reactor.set_timer(timeout, Alarm::Extension { place, sequence });
        waiting.insert(Waiting { sequence, waker, timer, outcome: None });
        CallKey { place, sequence }
    }

    /// The outcome of a call, which is over then; else `waker` is woken when there is one.
    pub(super) fn poll(&self, reactor: &Reactor, key: CallKey, waker: &Waker) -> Option<Outcome> {
        let mut waiting = self.waiting.borrow_mut();
        let entry = waiting.get_mut(key.place as usize).filter(|at| at.sequence == key.sequence);
        let entry = entry.expect("a call is over when it was taken");
        if entry.outcome.is_none() {
            let before = (!entry.waker.will_wake(waker))
                .then(|| std::mem::replace(&mut entry.waker, waker.clone()));
            drop(waiting);
            drop(before); // outside of the borrow
            return None;
        }
        let over = waiting.remove(key.place as usize);
        drop(waiting);
        reactor.cancel_timer(over.timer);
        over.outcome
    }

    /// Forgets a call; its answer will be late.
    pub(super) fn forget(&self, reactor: &Reactor, key: CallKey) {
        let mut waiting = self.waiting.borrow_mut();
        let place = key.place as usize;
        if waiting.get(place).is_none_or(|entry| entry.sequence != key.sequence) {
            return;
        }
        let over = waiting.remove(place);
        drop(waiting);
        reactor.cancel_timer(over.timer);
        guarded(&reactor.metrics, "an answer panicked while it was dropped", || drop(over));
    }

    /// Whether somebody still waits for this answer.
    pub(super) fn is_wanted(&self, key: CallKey) -> bool {
        let waiting = self.waiting.borrow();
        let entry = waiting.get(key.place as usize);
        entry.is_some_and(|entry| entry.sequence == key.sequence && entry.outcome.is_none())
    }

    /// An outcome has come.
    ///
    /// # Errors
    /// The outcome, when nobody waits for it any more.
    #[inline]
    pub(super) fn answer(&self, key: CallKey, outcome: Outcome) -> Result<(), Outcome> {
        let mut waiting = self.waiting.borrow_mut();
        let entry = waiting.get_mut(key.place as usize);
        let entry = entry.filter(|at| at.sequence == key.sequence && at.outcome.is_none());
        let Some(entry) = entry else { return Err(outcome) };
        entry.outcome = Some(outcome);
        let waker = entry.waker.clone();
        drop(waiting);
        waker.wake(); // it may be a waker of the user's
        Ok(())
    }

    /// The time of a call is over.
    pub(super) fn expire(&self, place: u32, sequence: u64) {
        // The loser of the race with an answer is nobody's loss.
        let _ = self.answer(CallKey { place, sequence }, Err(CallError::TimedOut));
    }

    /// Calls that wait, or whose outcome was not taken yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }
}
