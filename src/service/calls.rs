//! Calls that were sent from this core and wait for their answer.
//!
//! ```text
//!   caller: Call ──begin──▶ Waiting ──answer──▶ Over ──take──▶ gone
//!                              │ alarm: TimedOut  ▲
//!                              └──────────────────┘      dropped Call: gone at any time
//! ```
//! An answer names its place and a sequence that is never given twice, so that one which comes late
//! misses.
//!
//! Most calls are answered long before their time. So an alarm belongs to the place, not to the
//! call: it stays when the call is over, and when it sounds it is set anew if a later call waits
//! there by then. Only a call that must end sooner than the alarm of its place moves it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::error::CallError;
use crate::clock::Now;
use crate::memory::envelope::Erased;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Reactor, Waiter, guarded};

/// Bits of a sequence in the 64 of a promise: engine and core take 16.
pub(super) const SEQUENCE_BITS: u32 = 48;

/// What a call has come to.
type Outcome = Result<Erased, CallError>;

/// The calls of one core.
#[derive(Default)]
pub(super) struct Calls(RefCell<Places>);

struct Places {
    places: Vec<Place>,
    /// Places without a call.
    vacant: Vec<u32>,
    sequence: u64,
}

struct Place {
    /// Of the call that is here, or of the last one.
    sequence: u64,
    deadline: Now,
    alarm: Option<Armed>,
    state: State,
}

/// An alarm of a place, and when it sounds.
struct Armed {
    at: Now,
    timer: TimerKey,
}

enum State {
    Vacant,
    Waiting(Waiter),
    Over(Outcome),
}

/// Sequences of the cores of a process begin this far from each other, so that a reply of an engine
/// that is gone answers no call of a later one of its number.
const SEQUENCES_APART: u64 = 1 << 32;

static CORES: AtomicU64 = AtomicU64::new(0);

impl Default for Places {
    fn default() -> Places {
        let before = CORES.fetch_add(1, Ordering::Relaxed);
        let sequence = before.wrapping_mul(SEQUENCES_APART) % ((1 << SEQUENCE_BITS) - 1);
        Places { places: Vec::new(), vacant: Vec::new(), sequence }
    }
}

/// Names one call of this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallKey {
    pub(super) place: u32,
    pub(super) sequence: u64,
}

impl Places {
    #[inline]
    fn at(&mut self, key: CallKey) -> Option<&mut Place> {
        self.places.get_mut(key.place as usize).filter(|at| at.sequence == key.sequence)
    }

    fn enter(&mut self, deadline: Now, waiter: Waiter) -> CallKey {
        self.sequence = self.sequence % ((1 << SEQUENCE_BITS) - 1) + 1;
        let (sequence, state) = (self.sequence, State::Waiting(waiter));
        let place = self.vacant.pop().unwrap_or_else(|| {
            let place = u32::try_from(self.places.len()).expect("calls are fewer than bytes");
            self.places.push(Place { sequence, deadline, alarm: None, state: State::Vacant });
            place
        });
        let at = &mut self.places[place as usize];
        (at.sequence, at.deadline, at.state) = (sequence, deadline, state);
        CallKey { place, sequence }
    }

    /// Ends a call.
    fn leave(&mut self, key: CallKey) -> Option<State> {
        let state = std::mem::replace(&mut self.at(key)?.state, State::Vacant);
        if !matches!(state, State::Vacant) {
            self.vacant.push(key.place);
        }
        Some(state)
    }

    /// Sees to it that the alarm of a place does not sound later than its call ends.
    #[inline]
    fn arm(&mut self, reactor: &Reactor, place: u32) {
        let at = &mut self.places[place as usize];
        if at.alarm.as_ref().is_some_and(|alarm| alarm.at <= at.deadline) {
            return;
        }
        if let Some(late) = at.alarm.take() {
            reactor.cancel_timer(late.timer);
        }
        let delay = at.deadline.since(reactor.now());
        let timer = reactor.set_timer(delay, Alarm::Extension(place));
        at.alarm = Some(Armed { at: at.deadline, timer });
    }
}

impl Calls {
    /// Enters a call that waits at most `timeout`.
    pub(super) fn begin(&self, reactor: &Reactor, waker: &Waker, timeout: Duration) -> CallKey {
        let waiter = reactor.waiter(waker);
        let mut places = self.0.borrow_mut();
        let key = places.enter(reactor.now() + timeout, waiter);
        places.arm(reactor, key.place);
        key
    }

    /// The outcome of a call, which is over then; else `waker` is woken when there is one.
    pub(super) fn poll(&self, reactor: &Reactor, key: CallKey, waker: &Waker) -> Option<Outcome> {
        let mut places = self.0.borrow_mut();
        let at = places.at(key).expect("a call is over when it was taken");
        if let State::Waiting(waiter) = &at.state {
            if waiter.will_wake(reactor, waker) {
                return None;
            }
            drop(places);
            let waiter = State::Waiting(reactor.waiter(waker));
            let before =
                self.0.borrow_mut().at(key).map(|at| std::mem::replace(&mut at.state, waiter));
            drop(before); // outside of the borrow
            return None;
        }
        match places.leave(key) {
            Some(State::Over(outcome)) => Some(outcome),
            _ => unreachable!("a call is over when it was taken"),
        }
    }

    /// Forgets a call; its answer will be late.
    pub(super) fn forget(&self, reactor: &Reactor, key: CallKey) {
        let over = self.0.borrow_mut().leave(key);
        guarded(&reactor.metrics, "an answer panicked while it was dropped", || drop(over));
    }

    /// Whether somebody still waits for this answer.
    pub(super) fn is_wanted(&self, key: CallKey) -> bool {
        let mut places = self.0.borrow_mut();
        places.at(key).is_some_and(|at| matches!(at.state, State::Waiting(_)))
    }

    /// An outcome has come.
    ///
    /// # Errors
    /// The outcome, when nobody waits for it any more.
    #[inline]
    pub(super) fn answer(
        &self,
        reactor: &Reactor,
        key: CallKey,
        outcome: Outcome,
    ) -> Result<(), Outcome> {
        let mut places = self.0.borrow_mut();
        let at = places.at(key).filter(|at| matches!(at.state, State::Waiting(_)));
        let Some(at) = at else { return Err(outcome) };
        let State::Waiting(waiter) = std::mem::replace(&mut at.state, State::Over(outcome)) else {
            unreachable!("looked at above")
        };
        drop(places);
        waiter.wake(reactor); // it may be a waker of the user's
        Ok(())
    }

    /// The alarm of a place sounds.
    pub(super) fn expire(&self, reactor: &Reactor, place: u32) {
        let mut places = self.0.borrow_mut();
        let at = &mut places.places[place as usize];
        at.alarm = None;
        if !matches!(at.state, State::Waiting(_)) {
            return;
        }
        if at.deadline > reactor.now() {
            return places.arm(reactor, place); // it was set for an earlier call
        }
        let key = CallKey { place, sequence: at.sequence };
        drop(places);
        let told = self.answer(reactor, key, Err(CallError::TimedOut));
        debug_assert!(told.is_ok(), "somebody waits");
    }

    /// Calls that wait, or whose outcome was not taken yet.
    pub(super) fn len(&self) -> usize {
        let calls = self.0.borrow();
        calls.places.len() - calls.vacant.len()
    }
}
