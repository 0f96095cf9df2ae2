//! One timer a socket: pings a silent peer, and gives up one that does not answer.
//!
//! Whatever comes is a sign of life; the bytes that were received are looked at once an interval, so
//! that a message costs nothing. While what has come waits here unread, a silence is ours.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::keepalive::Cause;
use super::socket::{Inner, State};
use crate::reactor::{Alarm, Expire};
use crate::wire::websocket::OpCode;

impl Inner {
    /// Looks after a peer that may be silent.
    pub(super) fn watch(self: &Rc<Self>) {
        let interval = self.limits.ping_interval;
        self.alive.seen.set(self.stream.traffic().received);
        if !interval.is_zero() {
            self.arm(interval);
        }
    }

    /// Looks after a peer that is to end.
    pub(super) fn watch_close(self: &Rc<Self>) {
        self.arm(self.limits.close_wait);
    }

    pub(super) fn unwatch(&self) {
        if let Some(timer) = self.alive.timer.take() {
            self.reactor.cancel_timer(timer);
        }
    }

    fn arm(self: &Rc<Self>, delay: Duration) {
        self.unwatch();
        let this: Weak<Self> = Rc::downgrade(self);
        self.alive.timer.set(Some(self.reactor.set_timer(delay, Alarm::Hook(this))));
    }

    /// Pings a peer that was silent for an interval; gives it up when that had no answer.
    fn look_for_life(self: &Rc<Self>) {
        let received = self.stream.traffic().received;
        let lives = self.alive.seen.replace(received) != received || self.stream.is_paused();
        if lives {
            self.alive.pinged.set(false);
            return self.arm(self.limits.ping_interval);
        }
        if self.alive.pinged.replace(true) {
            return self.give_up(Cause::Silent);
        }
        let _ = self.send_frame(OpCode::Ping, false, b"".into());
        self.arm(self.limits.pong_wait);
    }

    fn give_up(&self, cause: Cause) {
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
        match self.state.get() {
            State::Open => self.look_for_life(),
            State::Closing => self.give_up(Cause::NotClosed),
            // Both have said all they had to; the connection ends from this side, too.
            State::Leaving => self.end(),
            State::Ended => {}
        }
    }
}
