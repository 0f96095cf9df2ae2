//! The write side: everything of a turn in one send, one send in flight.

use std::rc::Rc;

use rustix::io::Errno;

use super::closing::LINGER;
use super::{Connection, Life};
use crate::driver::operation::{Operation, Report, Shutdown};
use crate::error::SendError;
use crate::memory::chain::{Chain, Payload};
use crate::net::output::Backlog;
use crate::reactor::Flush;

impl Connection {
    /// Queues a payload between `head` and `tail`. It leaves at the end of this turn, in one send
    /// with everything else of the turn. Never waits.
    ///
    /// # Errors
    /// [`SendError::Full`], which ends the connection, and [`SendError::Closed`].
    #[inline]
    pub(crate) fn write(
        self: &Rc<Self>,
        head: &[u8],
        payload: Payload<'_>,
        tail: &[u8],
    ) -> Result<(), SendError> {
        self.check_writable()?;
        let queued = self.output.borrow_mut().push(head, payload, tail);
        self.queued_with(queued)
    }

    /// As `write`, behind everything of normal priority.
    pub(crate) fn write_low(self: &Rc<Self>, payload: Payload<'_>) -> Result<(), SendError> {
        self.check_writable()?;
        let queued = self.output.borrow_mut().push_low(payload);
        self.queued_with(queued)
    }

    /// As `write`, for several payloads one behind the other: all of them or none.
    pub(crate) fn write_all(self: &Rc<Self>, payloads: Vec<Payload<'_>>) -> Result<(), SendError> {
        self.check_writable()?;
        let queued = self.output.borrow_mut().push_all(payloads);
        self.queued_with(queued)
    }

    #[inline]
    fn check_writable(&self) -> Result<(), SendError> {
        if self.life.get() != Life::Open || self.finishing.get() || self.write_ended.get() {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    #[inline]
    fn queued_with(
        self: &Rc<Self>,
        queued: Result<Option<Backlog>, SendError>,
    ) -> Result<(), SendError> {
        match queued {
            Ok(backlog) => {
                self.mark_dirty();
                if let Some(backlog) = backlog {
                    self.tell_backlog(backlog);
                }
                Ok(())
            }
            Err(full) => {
                self.reactor.metrics.kicked.add(1);
                tracing::debug!(peer = ?self.peer(), %full, "kicked");
                self.abort_now();
                Err(full)
            }
        }
    }

    fn tell_backlog(&self, backlog: Backlog) {
        if let Some(receiver) = self.receiver() {
            receiver.backlog(backlog);
        }
    }

    #[inline]
    pub(super) fn mark_dirty(self: &Rc<Self>) {
        if !self.dirty.replace(true) {
            self.reactor.flush_later(self.clone());
        }
    }

    pub(super) fn on_sent(self: &Rc<Self>, result: Result<usize, Errno>, mut chain: Chain) {
        self.operations.set(self.operations.get() - 1);
        let sent = *result.as_ref().unwrap_or(&0);
        self.reactor.metrics.bytes_sent.add(sent as u64);
        self.bytes_sent.set(self.bytes_sent.get() + sent as u64);
        if self.write_ended.get() {
            return self.advance(); // the output was given up meanwhile
        }
        if sent == chain.len() {
            chain = self.keep_room(chain);
        }
        chain.advance(sent.min(chain.len())); // outside of the borrow: it drops what was sent
        let backlog = self.output.borrow_mut().sent(chain, sent);
        self.flushed.set(self.flushed.get().saturating_sub(sent));
        match result {
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::CANCELED) if self.life.get() == Life::Leaving => {}
            Err(error) => self.fail_writes(error),
        }
        if let Some(backlog) = backlog {
            self.tell_backlog(backlog);
        }
        if !self.output.borrow().is_empty() || self.finishing.get() {
            self.mark_dirty();
        }
        self.tell_sent();
        self.advance();
    }

    /// How the next send is to be reported: lazily when nothing hangs on it, so that the turn's one
    /// enter goes on to wait for something to do.
    fn report(&self) -> Report {
        let nothing_hangs_on_it = self.life.get() == Life::Open
            && !self.finishing.get()
            && !self.sends_watched.get()
            && !self.reactor.is_stopping()
            && !self.reactor.is_starved()
            && self.output.borrow().is_at_ease();
        if nothing_hangs_on_it { Report::Lazy } else { Report::Prompt }
    }

    /// The peer takes nothing any more: what waits is dropped and counted.
    pub(super) fn fail_writes(&self, why: Errno) {
        if !self.write_ended.replace(true) {
            self.broken.set(Some(why));
            let (unsent, left) = self.output.borrow_mut().clear();
            self.reactor.metrics.bytes_unsent.add(unsent as u64);
            drop(left); // outside of the borrow
            self.tell_sent();
        }
    }

    /// Has the receiver told once when something was sent or the write side has ended.
    pub(crate) fn watch_sends(&self) {
        self.sends_watched.set(true);
    }

    #[inline]
    pub(super) fn tell_sent(&self) {
        if self.sends_watched.replace(false)
            && let Some(receiver) = self.receiver()
        {
            receiver.sent();
        }
    }

    /// Why the write side ended before its time, if it did.
    pub(crate) fn broken(&self) -> Option<Errno> {
        self.broken.get()
    }

    /// Whether nothing can be sent any more: the end was sent, or the connection broke.
    pub(crate) fn writes_ended(&self) -> bool {
        self.write_ended.get()
    }

    /// Ends the write side after what is queued: the peer reads an end of stream, we read on.
    pub(crate) fn finish_writes(self: &Rc<Self>) {
        if !self.finishing.replace(true) {
            self.mark_dirty();
        }
    }
}

impl Flush for Connection {
    fn flush(self: Rc<Self>) {
        self.dirty.set(false);
        if self.life.get() == Life::Leaving {
            return self.advance(); // what waits goes along
        }
        if self.life.get() >= Life::Ending {
            return;
        }
        let report = self.report();
        let next = if self.write_ended.get() { None } else { self.next_chain() };
        self.flushed.set(self.output.borrow().bytes());
        if let Some(chain) = next {
            // Whatever a filter has left for the next send hangs on this one.
            let report = if self.output.borrow().is_taken() { report } else { Report::Prompt };
            self.operations.set(self.operations.get() + 1);
            self.reactor.submit(self.key(), Operation::Send(self.socket, chain, report));
            return;
        }
        let sent = self.output.borrow().is_empty();
        if self.finishing.get() && sent && !self.write_ended.get() {
            self.write_ended.set(true);
            // An open connection may stay: its peer wants to read the end, even after its own.
            if !self.read_ended.get() || self.life.get() == Life::Open {
                let _ = self.reactor.driver(|driver| driver.shutdown(self.socket, Shutdown::Write));
            }
            self.tell_sent();
        }
        if self.life.get() == Life::Closing && self.write_ended.get() {
            if !self.read_ended.get() {
                self.paused.set(false);
                self.arm();
                self.set_timer(LINGER);
            }
            self.advance();
        }
    }
}
