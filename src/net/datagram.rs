//! Datagrams: one receive armed, one send in flight, both queues bounded.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use super::error::{ReceiveError, SendToError};
use super::resolve::Endpoint;
use crate::driver::operation::{Datagram, Descriptor, Event, Operation, SocketAddress};
use crate::driver::token::{Kind, Token};
use crate::error::{Error, Result};
use crate::memory::chain::{Chain, Payload};
use crate::memory::frame::Frame;
use crate::memory::slots::Key;
use crate::reactor::{Reactor, Resident, Unpark};

/// The longest payload of UDP over IPv4 (65,535 less the headers of IP and UDP).
const PAYLOAD_BYTES_MAX: usize = 65_507;
/// What a queued datagram counts beside its payload, so that empty ones are bounded too.
const DATAGRAM_BYTES: usize = 128;

/// A UDP socket of one core. Closes when dropped; what is queued leaves first.
///
/// Receiving is off until the first [`receive_from`](UdpSocket::receive_from). From then on up to
/// `SKYRING_RECEIVE_BYTES_MAX` wait for it; what comes beyond is dropped and counted
/// (`datagrams_dropped`), and so is a datagram longer than a block of the pool
/// (`SKYRING_POOL_BLOCK_BYTES`).
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// use skyring::net::UdpSocket;
///
/// let socket = UdpSocket::bind("0.0.0.0:8888")?;
/// loop {
///     let (datagram, from) = socket.receive_from().await?;
///     socket.send_to(datagram, from)?;
/// }
/// # }
/// ```
pub struct UdpSocket(Rc<Inner>);

struct Inner {
    reactor: Rc<Reactor>,
    socket: Descriptor,
    local: SocketAddr,
    key: OnceCell<Key>,
    life: Cell<Life>,
    /// A receive is armed.
    receiving: Cell<bool>,
    parked: Cell<bool>,
    received: RefCell<VecDeque<(Frame, SocketAddr)>>,
    received_bytes: Cell<usize>,
    failed: Cell<Option<Errno>>,
    reading: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    /// A send is in flight.
    sending: Cell<bool>,
    queue: RefCell<VecDeque<(Chain, SocketAddr)>>,
    queued_bytes: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// The engine stops: receives have ended.
    Stopping,
    /// Dropped: what is queued leaves, then it ends.
    Closing,
    Closed,
}

impl UdpSocket {
    /// Opens a socket on an IP address and a port, as `"0.0.0.0:8888"`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Listen`] when the kernel refuses, and for a name in place of an IP address.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn bind(address: impl Into<Endpoint>) -> Result<UdpSocket> {
        let reactor = Reactor::current();
        let address = SocketAddress::Inet(address.into().literal()?);
        let opened = reactor.driver(|driver| {
            let socket = driver.bind_datagram(&address)?;
            Ok((socket, driver.local_address(socket)?))
        });
        let (socket, local) =
            opened.map_err(|source| Error::Listen { address: address.to_string(), source })?;
        let inner = Rc::new(Inner {
            reactor: reactor.clone(),
            socket,
            local: local.inet().expect("bound to an internet address"),
            key: OnceCell::new(),
            life: Cell::new(Life::Open),
            receiving: Cell::new(false),
            parked: Cell::new(false),
            received: RefCell::default(),
            received_bytes: Cell::new(0),
            failed: Cell::new(None),
            reading: Cell::new(false),
            reader: RefCell::default(),
            sending: Cell::new(false),
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
        });
        inner.key.set(reactor.settle(inner.clone())).expect("set here only");
        Ok(UdpSocket(inner))
    }

    /// The address of this socket.
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Queues one datagram. Never waits. One that the kernel refuses is dropped and counted
    /// (`datagrams_unsent`), and that one leaves says nothing about its arrival.
    ///
    /// # Errors
    /// [`SendToError`]; the datagram is dropped.
    pub fn send_to<'a>(
        &self,
        payload: impl Into<Payload<'a>>,
        to: SocketAddr,
    ) -> Result<(), SendToError> {
        let inner = &self.0;
        if inner.life.get() == Life::Closed {
            return Err(SendToError::Stopping);
        }
        let payload = payload.into();
        let len = payload.len();
        if len > PAYLOAD_BYTES_MAX {
            return Err(SendToError::TooLong { len, max: PAYLOAD_BYTES_MAX });
        }
        let (queued, max) = (inner.queued_bytes.get(), inner.reactor.settings.send_queue_bytes_max);
        if queued + len + DATAGRAM_BYTES > max {
            return Err(SendToError::Full { queued, max });
        }
        let mut chain = Chain::default();
        chain.push(payload);
        inner.queued_bytes.set(queued + len + DATAGRAM_BYTES);
        inner.queue.borrow_mut().push_back((chain, to));
        inner.send_next();
        Ok(())
    }

    /// The next datagram and who sent it. Dropping the future loses none.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn receive_from(&self) -> Result<(Frame, SocketAddr), ReceiveError> {
        struct Claim<'a>(&'a Inner);
        impl Drop for Claim<'_> {
            fn drop(&mut self) {
                self.0.reading.set(false);
                drop(self.0.reader.take());
            }
        }
        if self.0.reading.replace(true) {
            return Err(ReceiveError::Busy);
        }
        let claim = Claim(&self.0);
        let received = poll_fn(|cx| claim.0.poll_receive(cx)).await;
        drop(claim);
        received
    }
}

impl Inner {
    fn key(&self) -> Key {
        *self.key.get().expect("set when it was made")
    }

    fn poll_receive(&self, cx: &Context<'_>) -> Poll<Result<(Frame, SocketAddr), ReceiveError>> {
        if let Some(next) = self.received.borrow_mut().pop_front() {
            self.received_bytes.set(self.received_bytes.get() - next.0.len() - DATAGRAM_BYTES);
            return Poll::Ready(Ok(next));
        }
        if let Some(error) = self.failed.get() {
            return Poll::Ready(Err(ReceiveError::Failed(error.into())));
        }
        if self.life.get() != Life::Open {
            return Poll::Ready(Err(ReceiveError::Stopping));
        }
        self.reader.replace(Some(cx.waker().clone()));
        self.arm();
        Poll::Pending
    }

    fn arm(&self) {
        let off = self.receiving.get() || self.parked.get() || self.failed.get().is_some();
        if !off && self.life.get() == Life::Open {
            self.receiving.set(true);
            self.reactor.submit(self.key(), Operation::ReceiveFrom(self.socket));
        }
    }

    fn stop_receiving(&self) {
        if self.receiving.get() {
            self.reactor.cancel(Token { kind: Kind::ReceiveFrom, key: self.key() });
        }
    }

    fn on_datagram(self: &Rc<Self>, result: Result<Datagram, Errno>) {
        match result {
            Ok(datagram) => self.on_payload(datagram),
            Err(Errno::NOBUFS) => {
                self.parked.set(true);
                let this: Weak<Self> = Rc::downgrade(self);
                self.reactor.park(this);
            }
            Err(Errno::CANCELED | Errno::INTR | Errno::AGAIN) => {}
            // Not from an internet address, or cut off in the header: nobody can answer it.
            Err(Errno::AFNOSUPPORT | Errno::BADMSG) => {
                self.reactor.metrics.datagrams_dropped.add(1);
            }
            // What an earlier datagram met on its way (ip(7)); the socket goes on.
            Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {}
            Err(error) => {
                self.failed.set(Some(error));
                self.wake_reader();
            }
        }
    }

    fn on_payload(&self, datagram: Datagram) {
        let metrics = &self.reactor.metrics;
        let Datagram { from, mut payload, truncated } = datagram;
        metrics.bytes_received.add(payload.len() as u64);
        let bytes = self.received_bytes.get() + payload.len() + DATAGRAM_BYTES;
        // A first datagram is taken whatever its length, as a receive of a stream is.
        let full = bytes > self.reactor.settings.receive_bytes_max && self.received_bytes.get() > 0;
        if truncated || full || self.life.get() != Life::Open {
            return metrics.datagrams_dropped.add(1);
        }
        if self.reactor.pool.is_over_quota() {
            metrics.quota_copies.add(1);
            payload = Frame::from(payload.to_vec());
        }
        self.received_bytes.set(bytes);
        self.received.borrow_mut().push_back((payload, from));
        self.wake_reader();
    }

    fn wake_reader(&self) {
        let reader = self.reader.take();
        reader.into_iter().for_each(Waker::wake);
    }

    fn send_next(&self) {
        if self.sending.get() || self.life.get() == Life::Closed {
            return;
        }
        let next = self.queue.borrow_mut().pop_front();
        if let Some((chain, to)) = next {
            self.sending.set(true);
            self.reactor.submit(self.key(), Operation::SendTo(self.socket, chain, to));
        }
    }

    fn on_sent(&self, result: Result<usize, Errno>, chain: Chain) {
        self.sending.set(false);
        self.queued_bytes.set(self.queued_bytes.get() - chain.len() - DATAGRAM_BYTES);
        match result {
            Ok(sent) => self.reactor.metrics.bytes_sent.add(sent as u64),
            Err(error) => {
                self.reactor.metrics.datagrams_unsent.add(1);
                tracing::debug!(local = %self.local, %error, "a datagram was not sent");
            }
        }
        self.send_next();
    }

    /// Closes a dropped socket when no operation is left.
    fn advance(&self) {
        let busy = self.sending.get() || self.receiving.get();
        if self.life.get() == Life::Closing && !busy {
            self.life.set(Life::Closed);
            self.reactor.close(self.socket);
            self.reactor.leave(self.key());
        }
    }
}

impl Resident for Inner {
    fn complete(self: Rc<Self>, event: Event, more: bool) {
        match event {
            Event::Datagram(result) => {
                self.receiving.set(more);
                self.on_datagram(result);
                if !more {
                    self.arm();
                }
            }
            Event::Sent(result, chain) => self.on_sent(result, chain),
            other => unreachable!("a datagram socket receives and sends: {other:?}"),
        }
        self.advance();
    }

    fn drain(self: Rc<Self>) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Stopping);
            self.stop_receiving();
            self.wake_reader();
        }
    }

    fn abort(self: Rc<Self>) {
        if self.life.get() == Life::Closed {
            return;
        }
        self.life.set(Life::Closing);
        let left = self.queue.take();
        self.reactor.metrics.datagrams_unsent.add(left.len() as u64);
        drop((left, self.received.take())); // outside of the borrows
        self.wake_reader();
        self.reactor.cancel_all(self.socket);
        self.advance();
    }
}

impl Unpark for Inner {
    fn unpark(self: Rc<Self>) {
        self.parked.set(false);
        self.arm();
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let inner = &self.0;
        if inner.life.get() < Life::Closing {
            inner.life.set(Life::Closing);
            drop(inner.received.take()); // outside of the borrow
            inner.stop_receiving();
            inner.advance();
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({})", self.0.local)
    }
}
