//! One WebSocket: what it is made of, and how it is read.

mod ending;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

#[cfg(feature = "deflate")]
use super::deflate::Compression;
use super::error::SocketError;
use super::input::{Input, Item};
use super::keepalive::KeepAlive;
use super::limits::Limits;
use super::masks::Masks;
use super::message::{Message, Text};
use crate::driver::operation::SocketAddress;
use crate::memory::frame::Frame;
use crate::net::Stream;
use crate::reactor::{Reactor, Waiter};
use crate::wire::websocket::{Close, OpCode, ProtocolError, Small};

/// Bytes that a turn may send before no more is read in it.
const FRESH_BYTES_MAX: usize = 256 * 1024;
/// Bytes that a peer has decompressed here, before and after, for the price of one message.
#[cfg(feature = "deflate")]
const INFLATED_BYTES: usize = 16 * 1024;

/// A WebSocket, of a server or a client. Cheap to clone: one task may read while another writes.
///
/// It belongs to its core. Pings of the peer are answered while somebody reads, its Close too. When
/// the last handle is dropped before it is closed, the peer is told 1001 and the connection closes
/// in the background.
///
/// ```
/// use skyring::prelude::*;
/// use skyring::websocket::{Message, WebSocket};
///
/// async fn echo(ws: WebSocket) -> Result<()> {
///     while let Some(message) = ws.read().await? {
///         ws.send(message)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct WebSocket(pub(super) Rc<Inner>);

/// What the peer has done.
#[derive(Debug)]
pub(super) enum Event {
    Message(Message),
    /// It was answered.
    Ping(Small),
    Pong(Small),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Our Close is sent; theirs is to come.
    Closing,
    /// Both were sent; a client waits for the server to end the connection.
    Leaving,
    Ended,
}

pub(super) struct Inner {
    pub(super) reactor: Rc<Reactor>,
    pub(super) stream: Stream,
    pub(super) limits: Limits,
    /// Of a client.
    pub(super) masks: Option<Box<RefCell<Masks>>>,
    input: RefCell<Input>,
    #[cfg(feature = "deflate")]
    pub(super) compression: Option<Box<RefCell<Compression>>>,
    pub(super) state: Cell<State>,
    pub(super) alive: KeepAlive,
    /// A message is sent piece by piece.
    pub(super) writing: Cell<bool>,
    reading: Cell<bool>,
    /// What was read since it last waited, in messages.
    spent: Cell<u32>,
    failed: Cell<Option<ProtocolError>>,
    closed_with: RefCell<Option<Box<Close>>>,
    protocol: Option<Box<str>>,
}

/// What was agreed on.
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) is_server: bool,
    pub(super) protocol: Option<Box<str>>,
    #[cfg(feature = "deflate")]
    pub(super) compression: Option<Compression>,
}

/// The right to read, until it is dropped.
struct Claim<'a>(&'a Inner);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.end_wait();
        self.0.reading.set(false);
    }
}

impl WebSocket {
    /// A WebSocket over a stream on which the handshake is done.
    pub(super) fn over(stream: Stream, terms: Terms) -> WebSocket {
        #[cfg(feature = "deflate")]
        let compresses = terms.compression.is_some();
        #[cfg(not(feature = "deflate"))]
        let compresses = false;
        let Terms { limits, is_server, protocol, .. } = terms;
        let inner = Rc::new(Inner {
            reactor: Reactor::current(),
            stream,
            limits,
            masks: (!is_server).then(Masks::new),
            input: RefCell::new(Input::new(limits.decoder(), compresses, is_server)),
            #[cfg(feature = "deflate")]
            compression: terms.compression.map(|agreed| Box::new(RefCell::new(agreed))),
            state: Cell::new(State::Open),
            alive: KeepAlive::default(),
            writing: Cell::new(false),
            reading: Cell::new(false),
            spent: Cell::new(0),
            failed: Cell::new(None),
            closed_with: RefCell::default(),
            protocol,
        });
        inner.watch();
        WebSocket(inner)
    }

    /// The next message. `None` once the WebSocket was closed in order, by either side: see
    /// [`closed_with`](WebSocket::closed_with).
    ///
    /// Pings are answered meanwhile. When the engine stops, the peer is told 1001. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`SocketError`]: the peer broke the protocol, was silent, or ended without a Close; another
    /// task reads.
    pub async fn read(&self) -> Result<Option<Message>, SocketError> {
        let _claim = self.0.claim()?;
        poll_fn(|cx| {
            loop {
                match self.0.poll_event(cx) {
                    Poll::Ready(Ok(Some(Event::Message(message)))) => {
                        return Poll::Ready(Ok(Some(message)));
                    }
                    Poll::Ready(Ok(Some(Event::Ping(_) | Event::Pong(_)))) => {}
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(None)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Closes: what is queued leaves, then a Close with `code` and `reason`; waits until the peer
    /// has answered it and the connection ends. Messages that come meanwhile are dropped, unless
    /// another task reads them. A [`Handler`](super::Handler) reads by itself:
    /// [`begin_close`](WebSocket::begin_close) is for it.
    ///
    /// The close itself goes on when the future is dropped, as far as it goes without a reader. A
    /// reason over 123 bytes is cut.
    ///
    /// # Errors
    /// [`SocketError`]: the peer did not answer in order.
    ///
    /// # Panics
    /// When the code may not be sent: 1000 says that all is done, 3000 to 4999 are free. What
    /// [`closed_with`](WebSocket::closed_with) says may be passed on, [`Close::NONE`] as none.
    pub async fn close(&self, code: u16, reason: &str) -> Result<(), SocketError> {
        let inner = &self.0;
        inner.begin_close(code, reason);
        loop {
            match self.read().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(SocketError::Busy) => {
                    // Whoever reads sees it through.
                    let _ = poll_fn(|cx| inner.stream.poll_closed(cx)).await;
                    return inner.failure().map_or(Ok(()), Err);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins to close, as [`close`](WebSocket::close) does, and waits for nothing: whoever reads
    /// sees it through. Nothing happens when either side has closed.
    ///
    /// # Panics
    /// As [`close`](WebSocket::close).
    pub fn begin_close(&self, code: u16, reason: &str) {
        self.0.begin_close(code, reason);
    }

    /// The code and the reason that the peer has closed with, once it has.
    pub fn closed_with(&self) -> Option<Close> {
        self.0.closed_with.borrow().as_deref().cloned()
    }

    /// Whether neither side has closed.
    pub fn is_open(&self) -> bool {
        self.0.state.get() == State::Open && self.0.stream.is_open()
    }

    /// The subprotocol that was agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol.as_deref()
    }

    /// The stream below: for its peer, its traffic, its queue and how that keeps up. What is read
    /// or written there directly breaks the WebSocket.
    pub fn stream(&self) -> &Stream {
        &self.0.stream
    }

    /// Who is at the other end; `None` if it was gone before anybody asked.
    pub fn peer(&self) -> Option<&SocketAddress> {
        self.0.stream.peer()
    }
}

impl Inner {
    pub(super) fn is_server(&self) -> bool {
        self.masks.is_none()
    }

    fn claim(&self) -> Result<Claim<'_>, SocketError> {
        if self.reading.replace(true) {
            return Err(SocketError::Busy);
        }
        Ok(Claim(self))
    }

    /// The next thing that the peer does; `None` when the WebSocket has ended in order.
    #[inline]
    pub(super) fn poll_event(
        self: &Rc<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Event>, SocketError>> {
        loop {
            if let Some(ended) = self.look_at_end() {
                return Poll::Ready(ended);
            }
            if !self.may_go_on(cx) {
                return Poll::Pending;
            }
            let joined = || self.reactor.metrics.frames_joined.add(1);
            let next = match self.state.get() {
                State::Leaving => Ok(self.input.borrow_mut().discard()), // nothing counts behind a Close
                _ => self.input.borrow_mut().next(joined),
            };
            match next {
                Ok(Some(item)) => match self.take(item) {
                    Ok(Some(event)) => return Poll::Ready(Ok(Some(event))),
                    Ok(None) => continue,
                    Err(error) => return Poll::Ready(Err(self.fail(error))),
                },
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            match self.stream.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    self.end_wait();
                    self.input.borrow_mut().put(piece);
                }
                Poll::Ready(Ok(None)) => self.on_stream_end(),
                Poll::Ready(Err(error)) => return Poll::Ready(self.on_stream_error(error)),
                Poll::Pending => {
                    self.spent.set(0);
                    self.wait_for_rest(self.begun());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Bytes that have come of the message that has begun and is not whole.
    #[inline]
    pub(super) fn begun(&self) -> Option<usize> {
        self.input.borrow().begun()
    }

    /// Whether its task may read on. If not, it is polled again in the next turn: others of the core
    /// have theirs first, and the kernel takes what was sent, before that counts against a peer that
    /// reads.
    #[inline]
    fn may_go_on(&self, cx: &Context<'_>) -> bool {
        let settings = &self.reactor.settings;
        let spent = self.spent.get();
        let fresh_max = FRESH_BYTES_MAX.min(settings.send_queue_bytes_max / 2);
        if spent < settings.task_budget && self.stream.fresh() < fresh_max {
            self.spent.set(spent + 1);
            return true;
        }
        self.spent.set(0);
        match self.reactor.waiter(cx.waker()) {
            Waiter::Task(task) => self.reactor.schedule_after_flush(task),
            Waiter::Other(waker) => waker.wake(),
        }
        false
    }

    /// Whether there is nothing to read any more, and why. Tells the peer when the engine stops.
    #[inline]
    fn look_at_end(self: &Rc<Self>) -> Option<Result<Option<Event>, SocketError>> {
        match self.state.get() {
            State::Open if self.reactor.is_stopping() => {
                self.begin_close(1001, "the server stops");
                None
            }
            State::Open | State::Closing => None,
            State::Leaving => None,
            State::Ended => Some(self.failure().map_or(Ok(None), Err)),
        }
    }

    /// Why it has not ended in order, if it has not.
    fn failure(&self) -> Option<SocketError> {
        match self.failed.get() {
            Some(error) => Some(SocketError::Protocol(error)),
            None => self.alive.failure(),
        }
    }

    fn take(self: &Rc<Self>, item: Item) -> Result<Option<Event>, ProtocolError> {
        match item {
            Item::Message { opcode, compressed, payload } => {
                let payload = if compressed { self.inflate(opcode, &payload)? } else { payload };
                self.reactor.metrics.websocket_messages.add(1);
                self.alive.patience.renew();
                Ok(Some(Event::Message(message(opcode, payload))))
            }
            Item::Ping(payload) => {
                if self.state.get() == State::Open {
                    // A connection that broke shows in the next read.
                    let _ = self.send_frame(OpCode::Pong, false, payload[..].into());
                }
                Ok(Some(Event::Ping(payload)))
            }
            Item::Pong(payload) => Ok(Some(Event::Pong(payload))),
            Item::Close(close) => {
                self.on_close(close);
                Ok(None)
            }
        }
    }

    /// The message itself.
    #[cfg(feature = "deflate")]
    fn inflate(&self, opcode: OpCode, payload: &[u8]) -> Result<Frame, ProtocolError> {
        let compression = self.compression.as_ref().expect("else the decoder refuses the bit");
        let bytes_max = self.limits.message_bytes_max;
        let message = compression.borrow_mut().inflate(payload, bytes_max)?;
        let work = (payload.len() + message.len()) / INFLATED_BYTES;
        self.spent.set(self.spent.get().saturating_add(work as u32));
        if opcode == OpCode::Text && simdutf8::basic::from_utf8(&message).is_err() {
            return Err(ProtocolError::BadUtf8);
        }
        Ok(message.into())
    }

    #[cfg(not(feature = "deflate"))]
    fn inflate(&self, _: OpCode, _: &[u8]) -> Result<Frame, ProtocolError> {
        Err(ProtocolError::ReservedBits) // it was not agreed on
    }
}

fn message(opcode: OpCode, payload: Frame) -> Message {
    match opcode {
        OpCode::Text => Message::Text(Text::checked(payload)),
        _ => Message::Binary(payload),
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("state", &self.0.state.get())
            .field("protocol", &self.protocol())
            .field("stream", &self.0.stream)
            .finish_non_exhaustive()
    }
}
