//! The client as its agent sees it.

use std::fmt;
use std::rc::Rc;

use crate::driver::operation::SocketAddress;
use crate::error::Result;
use crate::memory::chain::Payload;
use crate::memory::slots::Key;
use crate::net::connection::Connection;
use crate::wire::{Envelope, Framing};

/// One connected client. A cheap clone, bound to its core; [`Client::id`] may leave it.
#[derive(Clone)]
pub struct Client {
    connection: Rc<Connection>,
    framing: Framing,
}

/// Names a client among all of an engine, never again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId {
    core: u32,
    key: Key,
}

impl ClientId {
    pub(super) fn key(self) -> Key {
        self.key
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.core, self.key.to_u64())
    }
}

impl Client {
    pub(super) fn new(connection: Rc<Connection>, framing: Framing) -> Client {
        Client { connection, framing }
    }

    /// Queues one frame for the client, framed as its gate frames. Takes a received
    /// [`Frame`](crate::Frame) (sent from where it lies), `Bytes` or a `Vec` (shared), or borrowed
    /// bytes and text (copied). Everything of a turn leaves in one send at its end. Never waits.
    ///
    /// # Errors
    /// [`SendError`](crate::SendError): the client reads too slowly and its queue is at the cap
    /// (its connection is closed), the connection is closed, or the payload is no frame of this
    /// framing.
    #[inline]
    pub fn send<'a>(&self, payload: impl Into<Payload<'a>>) -> Result<()> {
        let payload = payload.into();
        let mut envelope = Envelope::EMPTY;
        self.framing.encode_in(&mut envelope, payload.as_ref())?;
        Ok(self.connection.write(envelope.head(), payload, envelope.tail())?)
    }

    /// Closes the connection after what is queued has left; the agent hears
    /// [`Disconnect::Closed`](super::Disconnect::Closed) when it is gone.
    pub fn close(&self) {
        self.connection.close();
    }

    /// Closes the connection at once and drops what is queued; the client sees a reset.
    pub fn kick(&self) {
        self.connection.abort_now();
    }

    /// The client's name, which may be kept anywhere.
    pub fn id(&self) -> ClientId {
        ClientId { core: self.connection.reactor.index as u32, key: self.connection.key() }
    }

    /// Where the client connects from; `None` if it was gone before anybody asked.
    pub fn peer(&self) -> Option<&SocketAddress> {
        self.connection.peer()
    }

    /// Whether frames can still be sent.
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.connection.queued()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id())
    }
}
