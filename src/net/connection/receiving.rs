//! The read side: one multishot receive, paused when the reader lags, parked when the pool is empty.

use std::rc::{Rc, Weak};

use rustix::io::Errno;

use super::{Connection, Fault, Life};
use crate::driver::operation::Operation;
use crate::driver::token::{Kind, Token};
use crate::memory::frame::Frame;
use crate::memory::pool::Lease;
use crate::reactor::{LOOK_EVERY, Unpark};

impl Connection {
    /// Turns reads on. What has come meanwhile follows.
    pub(crate) fn resume(&self) {
        if self.paused.replace(false) {
            self.last_received.set(self.reactor.now()); // its silence was ours
        }
        self.arm();
    }

    /// All that has come was handled: from now on the peer's silence is its own.
    #[inline]
    pub(crate) fn mark_handled(&self) {
        self.last_received.set(self.reactor.now());
    }

    /// Turns reads off since the reader lags. What the kernel has taken already still comes.
    pub(crate) fn pause(&self) {
        if !self.paused.get() && self.life.get() == Life::Open {
            self.reactor.metrics.paused.add(1);
        }
        self.park();
    }

    /// Turns reads off, whoever is to read on. What the kernel has taken already still comes.
    pub(crate) fn park(&self) {
        let was_off = self.paused.replace(true) || self.life.get() != Life::Open;
        if !was_off && self.receiving.get() {
            self.reactor.cancel(Token { kind: Kind::Receive, key: self.key() });
        }
    }

    /// Whether reads are off.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    pub(super) fn arm(&self) {
        let alive = matches!(self.life.get(), Life::Open | Life::Closing);
        let off = self.receiving.get() || self.paused.get() || self.parked.get();
        if alive && !off && !self.read_ended.get() {
            self.receiving.set(true);
            self.operations.set(self.operations.get() + 1);
            self.reactor.submit(self.key(), Operation::Receive(self.socket));
        }
    }

    /// Makes the receive anew when it is silent although there is something: see `reactor/look.rs`.
    /// The cancel loses nothing, and its completion arms the next one.
    pub(super) fn look_for_missed(&self) {
        let reactor = &self.reactor;
        let is_silent = reactor.now().since(self.last_received.get()) >= LOOK_EVERY;
        if !is_silent || !self.receiving.get() || self.paused.get() {
            return;
        }
        if reactor.driver(|driver| driver.is_readable(self.socket)).unwrap_or(false) {
            reactor.metrics.receives_renewed.add(1);
            reactor.cancel(Token { kind: Kind::Receive, key: self.key() });
        }
    }

    pub(super) fn on_received(self: &Rc<Self>, result: Result<Option<Lease>, Errno>, more: bool) {
        if !more {
            self.receiving.set(false);
            self.operations.set(self.operations.get() - 1);
        }
        match result {
            Ok(Some(lease)) => self.on_bytes(lease),
            Ok(None) => self.on_read_end(self.judge_end()),
            Err(Errno::NOBUFS) => {
                if self.life.get() < Life::Ending {
                    self.parked.set(true);
                    let this: Weak<Self> = Rc::downgrade(self);
                    self.reactor.park(this);
                }
            }
            // The reads were paused, or the connection ends.
            Err(Errno::CANCELED) => {}
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => self.on_read_end(Err(error.into())),
        }
        if !more {
            self.arm();
        }
        self.advance();
    }

    fn on_bytes(self: &Rc<Self>, lease: Lease) {
        let metrics = &self.reactor.metrics;
        let len = u64::from(lease.len());
        metrics.bytes_received.add(len);
        self.bytes_received.set(self.bytes_received.get() + len);
        self.last_received.set(self.reactor.now());
        if self.life.get() > Life::Leaving {
            return; // discarded: nobody reads any more
        }
        if self.is_filtered() {
            return self.open_received(lease);
        }
        let Some(receiver) = self.receiver() else { return };
        let lease = if self.reactor.pool.is_over_quota() {
            metrics.quota_copies.add(1);
            Lease::heap(lease.bytes().to_vec())
        } else {
            lease
        };
        receiver.received(Frame::whole(lease));
    }

    pub(super) fn on_read_end(&self, why: Result<(), Fault>) {
        if self.read_ended.replace(true) {
            return;
        }
        let why = match (why, self.broken()) {
            // A send has met the error, which the kernel tells but once; the receive after it
            // finds an end that the peer never sent. EPIPE is a reset after the peer's true end.
            (Ok(()), Some(error)) if error != Errno::PIPE => Err(error.into()),
            (why, _) => why,
        };
        if let Err(Fault::Kernel(error)) = why {
            self.fail_writes(error);
        }
        if self.life.get() <= Life::Leaving
            && let Some(receiver) = self.receiver()
        {
            receiver.ended(why);
        }
    }
}

impl Unpark for Connection {
    fn unpark(self: Rc<Self>) {
        self.parked.set(false);
        self.arm();
    }
}
