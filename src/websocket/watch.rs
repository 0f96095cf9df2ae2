//! One timer a socket: pings a silent peer, gives up one that does not answer, and closes on one that
//! does not end its message.
//!
//! Whatever comes is a sign of life; the bytes that were received are looked at once an interval, so
//! that a message costs nothing. While what has come waits here unread, a silence is ours.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::keepalive::Cause;
use super::patience::NEVER;
use super::socket::{Inner, State};
use crate::clock::Now;
use crate::reactor::{Alarm, Expire};
use crate::wire::websocket::{OpCode, ProtocolError};

impl Inner {
    /// Looks after a peer that may be silent.
    pub(super) fn watch(self: &Rc<Self>) {
        self.alive.seen.set(self.stream.traffic().received);
        if !self.limits.ping_interval.is_zero() {
            self.look_again(self.limits.ping_interval);
            self.arm_by(self.alive.look.get());
        }
    }

    /// Looks after a peer that is to end.
    pub(super) fn watch_close(self: &Rc<Self>) {
        self.arm(self.reactor.now() + self.limits.close_wait);
    }

    pub(super) fn unwatch(&self) {
        self.alive.armed.set(NEVER);
        if let Some(timer) = self.alive.timer.take() {
            self.reactor.cancel_timer(timer);
        }
    }

    /// A reader has found no more. If a message has begun, its time runs.
    #[inline]
    pub(super) fn wait_for_rest(self: &Rc<Self>, begun: Option<usize>) {
        match begun {
            None => self.alive.patience.renew(),
            Some(bytes) => self.run_patience(bytes),
        }
    }

    fn run_patience(self: &Rc<Self>, bytes: usize) {
        if self.state.get() == State::Open {
            self.alive.patience.begin(self.reactor.now());
            self.arm_by(self.alive.patience.due(self.limits.time_of(bytes)));
        }
    }

    /// Some has come, or nobody waits for it now.
    #[inline]
    pub(super) fn end_wait(&self) {
        self.alive.patience.end(|| self.reactor.now());
    }

    /// Has the timer look at `due`, if it would not before.
    fn arm_by(self: &Rc<Self>, due: Now) {
        if due < self.alive.armed.get() {
            self.arm(due);
        }
    }

    fn arm(self: &Rc<Self>, due: Now) {
        self.unwatch();
        let this: Weak<Self> = Rc::downgrade(self);
        let delay = due.since(self.reactor.now());
        self.alive.timer.set(Some(self.reactor.set_timer(delay, Alarm::Hook(this))));
        self.alive.armed.set(due);
    }

    /// Looks for life after this time.
    fn look_again(&self, delay: Duration) {
        self.alive.look.set(self.reactor.now() + delay);
    }

    /// Looks at what is due of an open one, and when it is to look again.
    fn look(self: &Rc<Self>) {
        let now = self.reactor.now();
        let bytes = self.begun().unwrap_or_default();
        if now >= self.alive.patience.due(self.limits.time_of(bytes)) {
            if self.stream.unread() == 0 {
                // Whoever reads is told so by the end.
                let _ = self.fail(ProtocolError::TooSlow);
                return;
            }
            self.end_wait(); // what has come is not read: the reader begins another
        }
        if now >= self.alive.look.get() && !self.look_for_life() {
            return;
        }
        self.arm_by(self.alive.look.get());
        self.arm_by(self.alive.patience.due(self.limits.time_of(bytes)));
    }

    /// Pings a peer that was silent for an interval; gives it up when that had no answer: then it is
    /// not there.
    fn look_for_life(self: &Rc<Self>) -> bool {
        let received = self.stream.traffic().received;
        let lives = self.alive.seen.replace(received) != received || self.stream.is_paused();
        if lives {
            self.alive.pinged.set(false);
            self.look_again(self.limits.ping_interval);
        } else if self.alive.pinged.replace(true) {
            self.give_up(Cause::Silent);
            return false;
        } else {
            let _ = self.send_frame(OpCode::Ping, false, b"".into());
            self.look_again(self.limits.pong_wait);
        }
        true
    }

    pub(super) fn give_up(&self, cause: Cause) {
        self.alive.cause.set(cause);
        self.state.set(State::Ended);
        self.reactor.metrics.websocket_silent.add(1);
        tracing::debug!(peer = ?self.stream.peer(), ?cause, "a WebSocket was given up");
        self.stream.shutdown();
    }
}

impl Expire for Inner {
    fn expire(self: Rc<Self>) {
        self.alive.timer.set(None);
        self.alive.armed.set(NEVER);
        match self.state.get() {
            State::Open => self.look(),
            State::Closing => self.give_up(Cause::NotClosed),
            // Both have said all they had to; the connection ends from this side, too.
            State::Leaving => self.end(),
            State::Ended => {}
        }
    }
}
