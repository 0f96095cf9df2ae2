//! One connection: a socket with its receive operation, its send queue and its end.
//!
//! ```text
//!   Open ──close()──▶ Closing: flush ─▶ FIN ─▶ discard until the peer's end, or for LINGER
//!     │                                                         │
//!     ├──abort(), kick ──▶ Ending: cancel, await the last completions ─▶ close ─▶ Closed
//!     └──leave_core() ──▶ Leaving: cancel, await the last completions ─▶ another core
//! ```
//! Closing a descriptor does not end its operations, so each path comes through `Ending`.

mod closing;
mod filter;
mod leaving;
mod receiving;
mod refusing;
mod sending;

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;

use rustix::io::Errno;

use self::closing::Flushing;
use self::filter::Filtered;
#[cfg(feature = "tls")]
pub(crate) use self::filter::{Breach, Opened, take_spare};
pub(crate) use self::filter::{Fault, Filter};
pub(crate) use self::leaving::Departure;
use super::output::{Backlog, Output};
use crate::clock::Now;
use crate::driver::operation::{Descriptor, Event, SocketAddress};
use crate::limit::quota::Permit;
use crate::memory::frame::Frame;
use crate::memory::slots::Key;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Reactor, Resident};

/// Hears what comes on a connection. Called by the reactor, never while it holds a borrow.
pub(crate) trait Receiver: Any {
    /// Bytes came; the frame is all of one receive.
    fn received(self: Rc<Self>, bytes: Frame);
    /// No more bytes will come: the peer's end of stream, or an error.
    fn ended(self: Rc<Self>, why: Result<(), Fault>);
    /// The send queue passed a mark.
    fn backlog(self: Rc<Self>, backlog: Backlog);
    /// Whether received bytes wait to be handled: then a silent peer waits for us.
    fn is_behind(&self) -> bool;
    /// The engine stops: finish and close.
    fn drain(self: Rc<Self>);
    /// The socket is gone.
    fn closed(self: Rc<Self>);
    /// After [`Connection::leave_core`]: no operation of this core is left.
    fn departed(self: Rc<Self>, departure: Departure) {
        drop(departure);
    }
    /// After [`Connection::watch_sends`]: something was sent, or the write side has ended.
    fn sent(self: Rc<Self>) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// Waiting for the last completions, to go on on another core.
    Leaving,
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
    key: Cell<Key>,
    /// Boxed: asked for once, if at all.
    peer: OnceCell<Box<SocketAddress>>,
    life: Cell<Life>,
    /// Operations whose last completion has not come.
    operations: Cell<u32>,
    /// Taken out for the length of a statement.
    receiver: Cell<Option<Rc<dyn Receiver>>>,
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
    /// Why the write side ended with output unsent, or could have.
    broken: Cell<Option<Errno>>,
    /// The receiver wants to hear of the next change of the write side.
    sends_watched: Cell<bool>,
    timer: Cell<Option<TimerKey>>,
    last_received: Cell<Now>,
    bytes_received: Cell<u64>,
    bytes_sent: Cell<u64>,
    /// What stands between its bytes and the wire, if anything does.
    filter: Cell<Option<Box<Filtered>>>,
    /// Of the bytes that wait, those that the last flush has seen.
    flushed: Cell<usize>,
    /// How the closing flush gets on, see `closing`. Boxed: it is needed at the end only.
    flushing: Cell<Option<Box<Flushing>>>,
    /// Its place among the engine's connections; given back with the socket, whoever holds on to
    /// this.
    permit: Cell<Option<Permit>>,
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
            key: Cell::new(Key::NONE),
            peer: OnceCell::new(),
            life: Cell::new(Life::Open),
            operations: Cell::new(0),
            receiver: Cell::new(None),
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
            broken: Cell::new(None),
            sends_watched: Cell::new(false),
            timer: Cell::new(None),
            last_received: Cell::new(reactor.now()),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            filter: Cell::new(None),
            flushed: Cell::new(0),
            flushing: Cell::new(None),
            permit: Cell::new(permit),
        });
        let key = reactor.settle(this.clone());
        this.key.set(key);
        this.watch_idle();
        this
    }

    /// Its number on this core; never used again for another connection.
    pub(crate) fn key(&self) -> Key {
        self.key.get()
    }

    /// Who is at the other end. Asked once, at the first call; unknown once the peer is gone.
    pub(crate) fn peer(&self) -> Option<&SocketAddress> {
        if self.peer.get().is_none() && self.life.get() != Life::Closed {
            let address = self.reactor.driver(|driver| driver.peer_address(self.socket)).ok()?;
            let _ = self.peer.set(Box::new(address));
        }
        self.peer.get().map(|peer| &**peer)
    }

    /// The address of this end.
    pub(crate) fn local(&self) -> io::Result<SocketAddress> {
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

    /// Bytes that were queued in this turn: the kernel had no chance to take them yet.
    #[inline]
    pub(crate) fn fresh(&self) -> usize {
        self.output.borrow().bytes().saturating_sub(self.flushed.get())
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.output.borrow().bytes()
    }

    /// Whether its socket is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.life.get() == Life::Closed
    }

    /// From now on `receiver` hears of this connection, which must not be closed yet. Reads stay as
    /// they are.
    pub(crate) fn attach(&self, receiver: Rc<dyn Receiver>) {
        if self.life.get() == Life::Closed {
            return receiver.closed(); // closed by whoever made the receiver; nobody else tells it
        }
        let before = self.receiver.replace(Some(receiver));
        drop(before); // outside of the borrow
    }

    pub(crate) fn receiver(&self) -> Option<Rc<dyn Receiver>> {
        let receiver = self.receiver.take();
        self.receiver.set(receiver.clone());
        receiver
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
        // If a panic cut its last completion short, nothing else would take the last step.
        self.advance();
    }

    fn look(&self) {
        self.look_for_missed();
    }
}
