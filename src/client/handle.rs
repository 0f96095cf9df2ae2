//! The client as its service sees it.

use std::fmt;
use std::rc::Rc;

use super::id::ClientId;
use super::session::Session;
use crate::driver::operation::SocketAddress;
use crate::error;
use crate::limit::{Refusal, RetryAfter};
use crate::memory::chain::Payload;
use crate::wire::Envelope;

/// One connected client. A cheap clone, bound to its core; [`Client::id`] may leave it.
#[derive(Clone)]
pub struct Client(Rc<Session>);

impl Client {
    pub(crate) fn new(session: Rc<Session>) -> Client {
        Client(session)
    }

    pub(crate) fn session(&self) -> &Rc<Session> {
        &self.0
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
    pub fn send<'a>(&self, payload: impl Into<Payload<'a>>) -> error::Result<()> {
        let payload = payload.into();
        let mut envelope = Envelope::EMPTY;
        self.0.framing().encode_in(&mut envelope, payload.as_ref())?;
        Ok(self.0.connection.write(envelope.head(), payload, envelope.tail())?)
    }

    /// Charges the client for a request that costs more than others: takes `cost` tokens of what
    /// `SKYRING_RATE` and `SKYRING_BURST` allow it, and of what `SKYRING_RATE_PER_IP` and
    /// `SKYRING_BURST_PER_IP` allow its address over all cores. Each frame has cost one already.
    ///
    /// ```
    /// use skyring::prelude::*;
    ///
    /// struct Library;
    /// impl Agent for Library {
    ///     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
    ///         if frame.starts_with(b"SEARCH ")
    ///             && let Err(retry) = client.charge(9)
    ///         {
    ///             return client.send(format!("rate limit exceeded: {retry}"));
    ///         }
    ///         client.send(frame)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// There are not so many now: nothing is taken, it is counted (`charges_refused`), and what
    /// becomes of the request is the caller's to say. Never where no rate is set.
    pub fn charge(&self, cost: u32) -> Result<(), RetryAfter> {
        let taken = self.0.take_pace(cost);
        if taken.is_err() {
            self.0.connection.reactor.metrics.charges_refused.add(1);
        }
        taken
    }

    /// Sends the client away: nobody serves it.
    pub(crate) fn abandon(&self) {
        self.0.send_away(Refusal::Abandoned);
        self.close();
    }

    /// Turns reads on: an accepted client is parked until somebody says so, and what it sends
    /// meanwhile waits in the kernel. Forwarding it does so, too.
    pub fn open(&self) {
        self.0.open();
    }

    /// Closes the connection after what is queued has left; the service hears
    /// [`Disconnect::Closed`](super::Disconnect::Closed) when it is gone, and no frame any more.
    pub fn close(&self) {
        self.0.connection.close();
    }

    /// Closes the connection at once and drops what is queued; the client sees a reset.
    pub fn kick(&self) {
        self.0.connection.abort_now();
    }

    /// The client's name, which may be kept anywhere.
    pub fn id(&self) -> ClientId {
        self.0.id
    }

    /// Where the client connects from; `None` if it was gone before anybody asked.
    pub fn peer(&self) -> Option<&SocketAddress> {
        self.0.connection.peer()
    }

    /// Whether frames can still be sent.
    pub fn is_open(&self) -> bool {
        self.0.connection.is_open()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.0.connection.queued()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id())
    }
}
