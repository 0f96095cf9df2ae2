//! One connection: a socket with its receive operation, its send queue and its end.
//!
//! ```text
//!   Open ──close()──▶ Closing: flush ─▶ FIN ─▶ discard until the peer's end, or for LINGER
//!     │                                                         │
//!     └──abort(), kick ──▶ Ending: cancel, await the last completions ─▶ close ─▶ Closed
//! ```
//! Closing a descriptor does not end its operations, so each path comes through `Ending`.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustix::io::Errno;

use super::output::{Backlog, Output};
use crate::clock::Now;
use crate::driver::operation::{Address, Descriptor, Event, Operation, Shutdown};
use crate::driver::token::{Kind, Token};
use crate::error::SendError;
use crate::limit::quota::Permit;
use crate::memory::chain::{Chain, Payload};
use crate::memory::frame::Frame;
use crate::memory::pool::Lease;
use crate::memory::slots::Key;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Expire, Flush, Reactor, Resident, Unpark};

/// How long a closed connection waits for its peer's end, so that a close with unread input does
/// not turn into a reset that destroys the last output (RFC 1122, 4.2.2.13).
const LINGER: Duration = Duration::from_secs(2);
/// A closing connection whose peer takes not a byte of the queue for this long is given up.
const FLUSH_STALL: Duration = Duration::from_secs(10);

/// Hears what comes on a connection. Called by the reactor, never while it holds a borrow.
pub(crate) trait Receiver {
    /// Bytes came; the frame is all of one receive.
    fn received(&self, bytes: Frame);
    /// No more bytes will come: the peer's end of stream, or an error.
    fn ended(&self, why: Result<(), Errno>);
    /// The send queue passed a mark.
    fn backlog(&self, backlog: Backlog);
    /// The engine stops: finish and close.
    fn drain(&self);
    /// The socket is gone.
    fn closed(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// Flushing, then waiting for the peer's end.
    Closing,
    /// Waiting for the last completions.
    Ending,
    Closed,
}

/// One connected socket.
pub(crate) struct Connection {
    pub(crate) reactor: Rc<Reactor>,
    socket: Descriptor,
    /// Its place among the reactor's residents.
    key: OnceCell<Key>,
    peer: OnceCell<Address>,
    life: Cell<Life>,
    /// Operations whose last completion has not come.
    operations: Cell<u32>,
    receiver: RefCell<Option<Rc<dyn Receiver>>>,
    receiving: Cell<bool>,
    paused: Cell<bool>,
    parked: Cell<bool>,
    read_ended: Cell<bool>,
    output: RefCell<Output>,
    /// Stands in the reactor's list of flushes.
    dirty: Cell<bool>,
    /// The write side ends when the output is sent.
    finishing: Cell<bool>,
    write_ended: Cell<bool>,
    timer: Cell<Option<TimerKey>>,
    last_received: Cell<Now>,
    bytes_received: Cell<u64>,
    bytes_sent: Cell<u64>,
    /// `bytes_sent` when the closing flush was last looked at.
    sent_mark: Cell<u64>,
    /// Its place among the engine's connections.
    _permit: Option<Permit>,
}

impl Connection {
    /// A connection over a connected socket of this core, reads off.
    pub(crate) fn new(
        reactor: &Rc<Reactor>,
        socket: Descriptor,
        permit: Option<Permit>,
    ) -> Rc<Connection> {
        let settings = &reactor.settings;
        let this = Rc::new(Connection {
            reactor: reactor.clone(),
            socket,
            key: OnceCell::new(),
            peer: OnceCell::new(),
            life: Cell::new(Life::Open),
            operations: Cell::new(0),
            receiver: RefCell::new(None),
            receiving: Cell::new(false),
            paused: Cell::new(true),
            parked: Cell::new(false),
            read_ended: Cell::new(false),
            output: RefCell::new(Output::new(
                settings.send_queue_bytes_max,
                settings.send_warn_bytes,
            )),
            dirty: Cell::new(false),
            finishing: Cell::new(false),
            write_ended: Cell::new(false),
            timer: Cell::new(None),
            last_received: Cell::new(reactor.now()),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            sent_mark: Cell::new(0),
            _permit: permit,
        });
        let key = reactor.settle(this.clone());
        this.key.set(key).expect("set here only");
        this.watch_idle();
        this
    }

    /// Its number on this core; never used again for another connection.
    pub(crate) fn key(&self) -> Key {
        *self.key.get().expect("set when it was made")
    }

    /// Who is at the other end. Asked once, at the first call; unknown once the peer is gone.
    pub(crate) fn peer(&self) -> Option<&Address> {
        if self.peer.get().is_none() && self.life.get() != Life::Closed {
            let address = self.reactor.driver(|driver| driver.peer_address(self.socket)).ok()?;
            let _ = self.peer.set(address);
        }
        self.peer.get()
    }

    /// The address of this end.
    pub(crate) fn local(&self) -> io::Result<Address> {
        if self.life.get() == Life::Closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.reactor.driver(|driver| driver.local_address(self.socket))
    }

    /// Turns Nagle's algorithm off or on.
    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        if self.life.get() == Life::Closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.reactor.driver(|driver| driver.set_nodelay(self.socket, on))
    }

    /// Whether it neither closes nor is closed.
    pub(crate) fn is_open(&self) -> bool {
        self.life.get() == Life::Open
    }

    /// Bytes received and sent so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_received.get(), self.bytes_sent.get())
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.output.borrow().bytes()
    }

    /// From now on `receiver` hears of this connection. Reads stay as they are.
    pub(crate) fn attach(&self, receiver: Rc<dyn Receiver>) {
        let before = self.receiver.replace(Some(receiver));
        drop(before); // outside of the borrow
    }

    fn receiver(&self) -> Option<Rc<dyn Receiver>> {
        self.receiver.borrow().clone()
    }

    // ---- receiving

    /// Turns reads on. What has come meanwhile follows.
    pub(crate) fn resume(&self) {
        self.paused.set(false);
        self.arm();
    }

    /// Turns reads off. What the kernel has taken already still comes.
    pub(crate) fn pause(&self) {
        if self.paused.replace(true) || self.life.get() != Life::Open {
            return;
        }
        self.reactor.metrics.paused.add(1);
        if self.receiving.get() {
            self.reactor.cancel(Token { kind: Kind::Receive, key: self.key() });
        }
    }

    /// Whether reads are off.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    fn arm(&self) {
        let alive = matches!(self.life.get(), Life::Open | Life::Closing);
        let off = self.receiving.get() || self.paused.get() || self.parked.get();
        if alive && !off && !self.read_ended.get() {
            self.receiving.set(true);
            self.operations.set(self.operations.get() + 1);
            self.reactor.submit(self.key(), Operation::Receive(self.socket));
        }
    }

    fn on_received(self: &Rc<Self>, result: Result<Option<Lease>, Errno>, more: bool) {
        if !more {
            self.receiving.set(false);
            self.operations.set(self.operations.get() - 1);
        }
        match result {
            Ok(Some(lease)) => self.on_bytes(lease),
            Ok(None) => self.on_read_end(Ok(())),
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
            Err(error) => self.on_read_end(Err(error)),
        }
        if !more {
            self.arm();
        }
        self.advance();
    }

    fn on_bytes(&self, lease: Lease) {
        let metrics = &self.reactor.metrics;
        let len = u64::from(lease.len());
        metrics.bytes_received.add(len);
        self.bytes_received.set(self.bytes_received.get() + len);
        self.last_received.set(self.reactor.now());
        if self.life.get() != Life::Open {
            return; // discarded: nobody reads any more
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

    fn on_read_end(&self, why: Result<(), Errno>) {
        if self.read_ended.replace(true) {
            return;
        }
        if why.is_err() {
            self.fail_writes();
        }
        if self.life.get() == Life::Open
            && let Some(receiver) = self.receiver()
        {
            receiver.ended(why);
        }
    }

    // ---- sending

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

    fn check_writable(&self) -> Result<(), SendError> {
        if self.life.get() != Life::Open || self.finishing.get() || self.write_ended.get() {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    fn queued_with(
        self: &Rc<Self>,
        queued: Result<Option<Backlog>, SendError>,
    ) -> Result<(), SendError> {
        match queued {
            Ok(backlog) => {
                self.mark_dirty();
                if let (Some(backlog), Some(receiver)) = (backlog, self.receiver()) {
                    receiver.backlog(backlog);
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

    #[inline]
    fn mark_dirty(self: &Rc<Self>) {
        if !self.dirty.replace(true) {
            self.reactor.flush_later(self.clone());
        }
    }

    fn on_sent(self: &Rc<Self>, result: Result<usize, Errno>, chain: Chain) {
        self.operations.set(self.operations.get() - 1);
        let sent = *result.as_ref().unwrap_or(&0);
        self.reactor.metrics.bytes_sent.add(sent as u64);
        self.bytes_sent.set(self.bytes_sent.get() + sent as u64);
        if self.write_ended.get() {
            return self.advance(); // the output was given up meanwhile
        }
        let backlog = self.output.borrow_mut().sent(chain, sent);
        match result {
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.fail_writes(),
        }
        if let (Some(backlog), Some(receiver)) = (backlog, self.receiver()) {
            receiver.backlog(backlog);
        }
        if !self.output.borrow().is_empty() || self.finishing.get() {
            self.mark_dirty();
        }
        self.advance();
    }

    /// The peer takes nothing any more: what waits is dropped and counted.
    fn fail_writes(&self) {
        if !self.write_ended.replace(true) {
            let unsent = self.output.borrow_mut().clear();
            self.reactor.metrics.bytes_unsent.add(unsent as u64);
        }
    }

    /// Ends the write side after what is queued: the peer reads an end of stream, we read on.
    pub(crate) fn finish_writes(self: &Rc<Self>) {
        if !self.finishing.replace(true) {
            self.mark_dirty();
        }
    }

    // ---- the end

    /// Sends what is queued, then closes. Input is discarded from now on.
    pub(crate) fn close(self: &Rc<Self>) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Closing);
            self.finishing.set(true);
            self.mark_dirty();
            if !self.output.borrow().is_empty() {
                self.watch_flush();
            }
        }
    }

    fn watch_flush(self: &Rc<Self>) {
        self.sent_mark.set(self.bytes_sent.get());
        self.set_timer(FLUSH_STALL);
    }

    /// Closes at once; what is queued is dropped, and the peer sees a reset.
    pub(crate) fn abort_now(&self) {
        if self.life.get() < Life::Ending {
            self.fail_writes();
            let _ = self.reactor.driver(|driver| driver.set_abortive(self.socket));
            self.end();
        }
    }

    /// Looks whether the next step of the close is due.
    fn advance(&self) {
        match self.life.get() {
            Life::Closing if self.write_ended.get() && self.read_ended.get() => self.end(),
            Life::Ending if self.operations.get() == 0 => self.finish(),
            _ => {}
        }
    }

    fn end(&self) {
        self.life.set(Life::Ending);
        if self.operations.get() > 0 {
            // A send that waits for room ends by this, too.
            let _ = self.reactor.driver(|driver| driver.shutdown(self.socket, Shutdown::Both));
            self.reactor.cancel_all(self.socket);
        }
        self.advance();
    }

    /// No operation is left: the socket goes.
    fn finish(&self) {
        self.life.set(Life::Closed);
        if let Some(timer) = self.timer.take() {
            self.reactor.cancel_timer(timer);
        }
        self.reactor.metrics.closed.add(1);
        self.reactor.close(self.socket);
        let receiver = self.receiver.take();
        self.reactor.leave(self.key());
        if let Some(receiver) = receiver {
            receiver.closed();
        }
    }

    fn watch_idle(self: &Rc<Self>) {
        let idle = self.reactor.settings.idle;
        if !idle.is_zero() {
            let left = (self.last_received.get() + idle).since(self.reactor.now());
            self.set_timer(left);
        }
    }

    fn set_timer(self: &Rc<Self>, delay: Duration) {
        let this: Weak<Self> = Rc::downgrade(self);
        let timer = self.reactor.set_timer(delay, Alarm::Hook(this));
        if let Some(before) = self.timer.replace(Some(timer)) {
            self.reactor.cancel_timer(before);
        }
    }
}

impl Flush for Connection {
    fn flush(self: Rc<Self>) {
        self.dirty.set(false);
        if self.life.get() >= Life::Ending {
            return;
        }
        let next = if self.write_ended.get() { None } else { self.output.borrow_mut().next() };
        if let Some(chain) = next {
            self.operations.set(self.operations.get() + 1);
            self.reactor.submit(self.key(), Operation::Send(self.socket, chain));
            return;
        }
        let sent = self.output.borrow().is_empty();
        if self.finishing.get() && sent && !self.write_ended.get() {
            self.write_ended.set(true);
            if !self.read_ended.get() {
                let _ = self.reactor.driver(|driver| driver.shutdown(self.socket, Shutdown::Write));
            }
        }
        if self.life.get() == Life::Closing && self.write_ended.get() {
            if !self.read_ended.get() {
                self.paused.set(false);
                self.arm();
                self.sent_mark.set(self.bytes_sent.get());
                self.set_timer(LINGER);
            }
            self.advance();
        }
    }
}

impl Resident for Connection {
    fn complete(self: Rc<Self>, event: Event, more: bool) {
        match event {
            Event::Received(result) => self.on_received(result, more),
            Event::Sent(result, chain) => self.on_sent(result, chain),
            other => unreachable!("a connection receives and sends: {other:?}"),
        }
    }

    /// Its owner decides how it ends; see the gate.
    fn drain(self: Rc<Self>) {
        if let Some(receiver) = self.receiver() {
            receiver.drain();
        }
    }

    fn abort(self: Rc<Self>) {
        self.abort_now();
    }
}

impl Unpark for Connection {
    fn unpark(self: Rc<Self>) {
        self.parked.set(false);
        self.arm();
    }
}

impl Expire for Connection {
    fn expire(self: Rc<Self>) {
        self.timer.set(None);
        match self.life.get() {
            Life::Closing if self.bytes_sent.get() > self.sent_mark.get() => self.watch_flush(),
            // The peer takes nothing, or its end did not come in time.
            Life::Closing => {
                self.fail_writes();
                self.end();
            }
            Life::Open => {
                let idle = self.reactor.settings.idle;
                let silent = self.reactor.now().since(self.last_received.get());
                if silent >= idle {
                    self.reactor.metrics.idled.add(1);
                    self.on_read_end(Err(Errno::TIMEDOUT));
                    self.abort_now();
                } else {
                    self.watch_idle();
                }
            }
            Life::Ending | Life::Closed => {}
        }
    }
}
