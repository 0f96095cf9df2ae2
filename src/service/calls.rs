//! Calls that were sent from this core and wait for their answer.
//!
//! ```text
//!   caller: Call ──begin──▶ Waiting ──answer──▶ Answered ──poll──▶ Vacant
//!                              │                                    ▲
//!                              └─ fail, alarm ──▶ Failed ──poll─────┘   dropped Call: at any time
//! ```
//! The value of an answer is written into its place, and read from there by who called.
//!
//! An answer names its place and a sequence that is never given twice, so that one which comes late
//! misses.
//!
//! Most calls are answered long before their time. So an alarm belongs to the place, not to the
//! call: it stays when the call is over, and when it sounds it is set anew if a later call waits
//! there by then. Only a call that must end sooner than the alarm of its place moves it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::error::CallError;
use crate::clock::Now;
use crate::memory::envelope::Shelf;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Reactor, Waiter, guarded};

/// Bits of a sequence in the 64 of a promise: engine and core take 16.
pub(super) const SEQUENCE_BITS: u32 = 48;

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
    /// Holds a value exactly while the call is answered.
    value: Shelf,
}

/// An alarm of a place, and when it sounds.
struct Armed {
    at: Now,
    timer: TimerKey,
}

enum State {
    Vacant,
    Waiting(Waiter),
    Answered,
    Failed(CallError),
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

    /// The call of `key`, if it still waits.
    #[inline]
    fn waiting(&mut self, key: CallKey) -> Option<&mut Place> {
        self.at(key).filter(|at| matches!(at.state, State::Waiting(_)))
    }

    #[inline]
    fn enter(&mut self, deadline: Now, waiter: Waiter) -> CallKey {
        const SEQUENCE_LAST: u64 = (1 << SEQUENCE_BITS) - 1;
        self.sequence = if self.sequence < SEQUENCE_LAST { self.sequence + 1 } else { 1 };
        let sequence = self.sequence;
        let place = self.vacant.pop().unwrap_or_else(|| self.add());
        let at = &mut self.places[place as usize];
        (at.sequence, at.deadline, at.state) = (sequence, deadline, State::Waiting(waiter));
        CallKey { place, sequence }
    }

    #[cold]
    fn add(&mut self) -> u32 {
        let place = u32::try_from(self.places.len()).expect("calls are fewer than bytes");
        let (state, value) = (State::Vacant, Shelf::EMPTY);
        self.places.push(Place { sequence: 0, deadline: Now::START, alarm: None, state, value });
        place
    }

    /// Ends a call. Returns what is left of it, to be dropped outside of the borrow.
    fn leave(&mut self, key: CallKey) -> Option<(State, Shelf)> {
        let at = self.at(key)?;
        let state = std::mem::replace(&mut at.state, State::Vacant);
        let value = std::mem::take(&mut at.value);
        if !matches!(state, State::Vacant) {
            self.vacant.push(key.place);
        }
        Some((state, value))
    }

    /// Sees to it that the alarm of a place does not sound later than its call ends.
    #[inline]
    fn arm(&mut self, reactor: &Reactor, place: u32) {
        let at = &self.places[place as usize];
        if at.alarm.as_ref().is_none_or(|alarm| alarm.at > at.deadline) {
            self.set_alarm(reactor, place);
        }
    }

    #[cold]
    fn set_alarm(&mut self, reactor: &Reactor, place: u32) {
        let at = &mut self.places[place as usize];
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
    #[inline]
    pub(super) fn begin(&self, reactor: &Reactor, waker: &Waker, timeout: Duration) -> CallKey {
        let waiter = reactor.waiter(waker);
        let mut places = self.0.borrow_mut();
        let key = places.enter(reactor.now() + timeout, waiter);
        places.arm(reactor, key.place);
        key
    }

    /// The outcome of a call, which is over then; else `waker` is woken when there is one.
    ///
    /// # Panics
    /// When the answer is no `T`.
    #[inline]
    pub(super) fn poll<T: 'static>(
        &self,
        reactor: &Reactor,
        key: CallKey,
        waker: &Waker,
    ) -> Poll<Result<T, CallError>> {
        let mut places = self.0.borrow_mut();
        let at = places.at(key).expect("a call is over when it was taken");
        let outcome = match at.state {
            State::Answered => Ok(at.value.take().expect("a reply of this type was given")),
            State::Failed(error) => Err(error),
            State::Waiting(_) => {
                drop(places);
                self.wait_by(reactor, key, waker);
                return Poll::Pending;
            }
            State::Vacant => unreachable!("a call is over when it was taken"),
        };
        at.state = State::Vacant;
        places.vacant.push(key.place);
        Poll::Ready(outcome)
    }

    /// Sees to it that a call that waits wakes `waker`.
    fn wait_by(&self, reactor: &Reactor, key: CallKey, waker: &Waker) {
        let knows = |at: &mut Place| match &at.state {
            State::Waiting(waiter) => waiter.will_wake(reactor, waker),
            _ => true,
        };
        if self.0.borrow_mut().at(key).is_none_or(knows) {
            return;
        }
        let waiter = State::Waiting(reactor.waiter(waker));
        let before = self.0.borrow_mut().at(key).map(|at| std::mem::replace(&mut at.state, waiter));
        drop(before); // outside of the borrow
    }

    /// Forgets a call; its answer will be late.
    pub(super) fn forget(&self, reactor: &Reactor, key: CallKey) {
        let over = self.0.borrow_mut().leave(key);
        guarded(&reactor.metrics, "an answer panicked while it was dropped", || drop(over));
    }

    /// Whether somebody still waits for this answer.
    pub(super) fn is_wanted(&self, key: CallKey) -> bool {
        self.0.borrow_mut().waiting(key).is_some()
    }

    /// An answer has come.
    ///
    /// # Errors
    /// The answer, when nobody waits for it any more.
    #[inline]
    pub(super) fn answer<T: 'static>(
        &self,
        reactor: &Reactor,
        key: CallKey,
        value: T,
    ) -> Result<(), T> {
        let mut places = self.0.borrow_mut();
        let Some(at) = places.waiting(key) else { return Err(value) };
        at.value.put(value);
        let waited = std::mem::replace(&mut at.state, State::Answered);
        drop(places);
        wake(reactor, waited);
        Ok(())
    }

    /// There will be no answer. Nothing happens when nobody waits for it any more.
    #[cold]
    pub(super) fn fail(&self, reactor: &Reactor, key: CallKey, why: CallError) {
        let mut places = self.0.borrow_mut();
        let Some(at) = places.waiting(key) else { return };
        let waited = std::mem::replace(&mut at.state, State::Failed(why));
        drop(places);
        wake(reactor, waited);
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
        self.fail(reactor, key, CallError::TimedOut);
    }

    /// Calls that wait, or whose outcome was not taken yet.
    pub(super) fn len(&self) -> usize {
        let calls = self.0.borrow();
        calls.places.len() - calls.vacant.len()
    }
}

/// Wakes who waited. It may be by a waker of the user's, so no borrow is held.
#[inline]
fn wake(reactor: &Reactor, waited: State) {
    if let State::Waiting(waiter) = waited {
        waiter.wake(reactor);
    }
}
