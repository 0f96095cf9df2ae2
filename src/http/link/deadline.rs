//! How long a connection may wait: one deadline, and one timer that looks at it.
//!
//! ```text
//!   allow(time) ──▶ at: a store ◀── looked at when the timer is due, as it was armed
//!                                     ├── not yet: armed anew for what is left
//!                                     ├── a push that goes on: looked at again soon
//!                                     └── passed: expired, and the task is woken
//! ```
//! So a request costs stores, and no timer.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::Link;
use crate::clock::Now;
use crate::http::push::Push;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Expire};

/// No moment: nothing is due.
const NEVER: Now = Now::from_nanos(u64::MAX);
/// How often within the time of a write it is looked whether the peer still takes something.
const LOOKS: u32 = 10;

/// What a connection waits for, and how long it may.
pub(super) struct Deadline {
    at: Cell<Now>,
    /// When the timer is due.
    armed: Cell<Now>,
    timer: Cell<Option<TimerKey>>,
    /// It has passed, and nobody has looked.
    expired: Cell<bool>,
    /// How long a handler may work before it answers; `None`: as long as it likes.
    work: Cell<Option<Duration>>,
    /// A handler waits for the body.
    waits_for_body: Cell<bool>,
    /// Since when, and for how long it did before.
    waits_since: Cell<Now>,
    waited: Cell<Duration>,
    /// Somebody waits for the peer to take what was written. Boxed: few have to.
    pushing: Cell<Option<Box<Push>>>,
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline {
            at: Cell::new(Now::START),
            armed: Cell::new(NEVER),
            timer: Cell::new(None),
            expired: Cell::new(false),
            work: Cell::new(None),
            waits_for_body: Cell::new(false),
            waits_since: Cell::new(Now::START),
            waited: Cell::new(Duration::ZERO),
            pushing: Cell::new(None),
        }
    }
}

impl Deadline {
    /// A request begins: nobody has waited for anything of it.
    #[inline]
    pub(super) fn begin(&self) {
        self.waits_for_body.set(false);
        self.waited.set(Duration::ZERO);
        self.expired.set(false);
    }

    /// Nobody waits for the body any more. Whether somebody did.
    pub(super) fn drop_body_wait(&self) -> bool {
        self.waits_for_body.replace(false)
    }
}

impl Link {
    /// From now on the connection may wait for so long.
    #[inline]
    pub(in crate::http) fn allow(self: &Rc<Self>, time: Duration) {
        let deadline = self.reactor.now() + time;
        self.deadline.at.set(deadline);
        self.deadline.expired.set(false);
        self.deadline.pushing.set(None);
        if deadline < self.deadline.armed.get() {
            self.arm(deadline);
        }
    }

    /// From now on a handler works, for so long at most.
    pub(in crate::http) fn allow_work(self: &Rc<Self>, time: Option<Duration>) {
        self.deadline.work.set(time);
        self.work_on();
    }

    /// The handler goes on after a wait for the peer.
    pub(super) fn work_on(self: &Rc<Self>) {
        match self.deadline.work.get() {
            Some(time) => self.allow(time),
            None => {
                self.deadline.at.set(NEVER);
                self.deadline.expired.set(false);
                self.deadline.pushing.set(None);
            }
        }
    }

    /// From now on somebody waits for the peer to take what was written.
    pub(in crate::http) fn allow_push(self: &Rc<Self>) {
        self.allow(self.limits.write_time / LOOKS);
        let push = Push::new(self.reactor.now(), self.stream.send_progress());
        self.deadline.pushing.set(Some(Box::new(push)));
    }

    /// A handler waits for the body from now on, if it did not before.
    pub(super) fn begin_body_wait(self: &Rc<Self>) {
        if !self.deadline.waits_for_body.replace(true) {
            self.deadline.waits_since.set(self.reactor.now());
            self.allow(self.body_patience());
        }
    }

    /// Nobody waits for the body of this exchange now.
    pub(in crate::http) fn end_body_wait(self: &Rc<Self>, exchange: u32) {
        if self.is_of(exchange) && self.deadline.drop_body_wait() {
            let waited = self.reactor.now().since(self.deadline.waits_since.get());
            self.deadline.waited.set(self.deadline.waited.get() + waited);
            self.work_on();
        }
    }

    /// Whether a handler waits for the body.
    pub(in crate::http) fn waits_for_body(&self) -> bool {
        self.deadline.waits_for_body.get()
    }

    /// How long the body may be waited for now: for its next piece, and for all of it so far.
    fn body_patience(&self) -> Duration {
        let body_time = self.limits.body_time;
        let in_all = self.limits.time_of(body_time, self.body_bytes());
        body_time.min(in_all.saturating_sub(self.deadline.waited.get()))
    }

    /// Whether the deadline has passed since somebody asked.
    #[inline]
    pub(in crate::http) fn take_expired(&self) -> bool {
        self.deadline.expired.replace(false)
    }

    fn arm(self: &Rc<Self>, deadline: Now) {
        let this: Weak<Self> = Rc::downgrade(self);
        let left = deadline.since(self.reactor.now());
        self.deadline.armed.set(deadline);
        let timer = self.reactor.set_timer(left, Alarm::Hook(this));
        if let Some(before) = self.deadline.timer.replace(Some(timer)) {
            self.reactor.cancel_timer(before);
        }
    }
}

impl Expire for Link {
    fn expire(self: Rc<Self>) {
        let due = &self.deadline;
        due.timer.set(None);
        due.armed.set(NEVER);
        let deadline = due.at.get();
        if self.reactor.now() < deadline {
            if deadline < NEVER {
                self.arm(deadline);
            }
            return;
        }
        if let Some(mut push) = due.pushing.take()
            && push.goes_on(self.reactor.now(), self.stream.send_progress(), &self.limits)
        {
            self.allow(self.limits.write_time / LOOKS);
            return due.pushing.set(Some(push));
        }
        due.expired.set(true);
        self.wake();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(timer) = self.deadline.timer.take() {
            self.reactor.cancel_timer(timer);
        }
    }
}
