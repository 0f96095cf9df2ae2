//! A connection that moves to another core: its operations here end, then the socket goes.

use std::rc::Rc;

use rustix::io::Errno;

use super::filter::Parted;
use super::{Connection, Life};
use crate::clock::Now;
use crate::driver::abandon;
use crate::driver::operation::{Descriptor, SocketAddress};
use crate::limit::quota::Permit;
use crate::memory::chain::{Chain, Payload};
use crate::reactor::Reactor;

/// What is left of a connection when no operation of its core is: its socket, and where it stood.
/// The socket closes when this is dropped.
pub(crate) struct Departure {
    socket: Option<Descriptor>,
    is_simulated: bool,
    peer: Option<Box<SocketAddress>>,
    permit: Option<Permit>,
    filter: Option<Parted>,
    /// What the filter has sealed already.
    sealed: Vec<u8>,
    unsent: Vec<u8>,
    read_ended: bool,
    broken: Option<Errno>,
    bytes_received: u64,
    bytes_sent: u64,
    last_received: Now,
}

impl Connection {
    /// Frees the socket of this core; the receiver hears so by
    /// [`Receiver::departed`](super::Receiver::departed). What the kernel has received already still
    /// comes. Nothing can be written from now on.
    pub(crate) fn leave_core(self: &Rc<Self>) {
        if self.life.get() != Life::Open {
            return; // it ends, and its receiver hears that
        }
        self.life.set(Life::Leaving);
        self.paused.set(true);
        // A send that waits for room, too: its peer may never read again. What is unsent goes along.
        if self.operations.get() > 0 {
            self.reactor.cancel_all(self.socket);
        }
        // At the end of the turn: whoever says so may be in the middle of something.
        self.mark_dirty();
    }

    /// No operation is left: the socket goes to whoever asked for it.
    pub(super) fn depart(&self) {
        self.life.set(Life::Closed);
        if let Some(timer) = self.timer.take() {
            self.reactor.cancel_timer(timer);
        }
        let filter = self.take_filter();
        let rest =
            if filter.is_some() { self.output.borrow_mut().take_rest() } else { Chain::default() };
        let (mut sealed, mut unsent) = (Vec::new(), Vec::new());
        rest.slices().for_each(|piece| sealed.extend_from_slice(piece));
        let (_, left) = self.output.borrow_mut().clear();
        left.slices().for_each(|piece| unsent.extend_from_slice(piece));
        drop((rest, left)); // outside of the borrow
        let departure = Departure {
            socket: Some(self.socket),
            is_simulated: self.reactor.driver(|driver| driver.is_simulated()),
            peer: self.peer.get().cloned(),
            permit: self.permit.take(),
            filter,
            sealed,
            unsent,
            read_ended: self.read_ended.get(),
            broken: self.broken.get(),
            bytes_received: self.bytes_received.get(),
            bytes_sent: self.bytes_sent.get(),
            last_received: self.last_received.get(),
        };
        let receiver = self.receiver.take();
        self.reactor.leave(self.key());
        if let Some(receiver) = receiver {
            receiver.departed(departure);
        }
    }

    /// A connection that comes from another core, reads off; what was queued there is queued here.
    pub(crate) fn arrive(reactor: &Rc<Reactor>, mut departure: Departure) -> Rc<Connection> {
        let socket = departure.socket.take().expect("taken here only");
        let connection = Connection::new(reactor, socket, departure.permit.take());
        if let Some(peer) = departure.peer.take() {
            let _ = connection.peer.set(peer);
        }
        connection.bytes_received.set(departure.bytes_received);
        connection.bytes_sent.set(departure.bytes_sent);
        connection.last_received.set(departure.last_received);
        connection.read_ended.set(departure.read_ended);
        departure.filter.take().into_iter().for_each(|parted| connection.put_filter(parted));
        if !departure.sealed.is_empty() {
            let mut sealed = Chain::default();
            sealed.push_buffer(std::mem::take(&mut departure.sealed));
            connection.output.borrow_mut().put_rest(sealed);
            connection.mark_dirty();
        }
        if let Some(error) = departure.broken {
            connection.fail_writes(error);
        } else if !departure.unsent.is_empty() {
            let unsent = std::mem::take(&mut departure.unsent);
            // It was below the cap there, which is the same here.
            let _ = connection.write(b"", Payload::from(unsent), b"");
        }
        connection
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        match Reactor::try_current() {
            Some(reactor) => {
                reactor.metrics.closed.add(1);
                reactor.close(socket);
            }
            None => abandon(socket, self.is_simulated),
        }
    }
}
