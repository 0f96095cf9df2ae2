//! The handshake that a filter begins with: spoken before anybody hears of the connection.
//!
//! ```text
//!   accepted, or connected ─▶ reads on ─▶ Handshake::advance ─▶ reads off, filter set ─▶ handed on
//!                                │            └─▶ its answers, as they are
//!                                └ refused, cut, or late: an alert if there is one, closed, counted
//! ```
//! What was received behind the handshake goes along, opened: it is its owner's.
#![cfg_attr(not(feature = "tls"), allow(dead_code, reason = "TLS is the only filter there is"))]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::connection::{Connection, Fault, Filter, Receiver};
use super::output::Backlog;
use super::stream::TcpStream;
use crate::driver::operation::SocketAddress;
use crate::limit::{Prefixes, RetryAfter};
use crate::memory::frame::Frame;
use crate::memory::wheel::TimerKey;
use crate::reactor::{Alarm, Expire, Reactor};

/// One side of a handshake. Knows no socket.
pub(crate) trait Handshake {
    /// Goes on with what was received, nothing to begin with; appends to `reply` what is to be sent,
    /// after an error too.
    ///
    /// # Errors
    /// Why there is no handshake with this peer.
    fn advance(&mut self, received: &[u8], reply: &mut Vec<u8>) -> Result<Step, Refused>;
}

/// Why a handshake was refused, in words for people.
pub(crate) type Refused = Box<dyn Error + Send + Sync>;

/// How far a handshake is.
pub(crate) enum Step {
    /// The peer has the word.
    More,
    /// From now on the bytes pass this filter; `rest` was received behind the handshake.
    Done { filter: Box<dyn Filter>, rest: Vec<u8>, is_resumed: bool },
}

/// Begins handshakes, on whatever core a connection arrives.
pub(crate) trait Greet: Send + Sync {
    fn begin(&self) -> Result<Box<dyn Handshake>, Refused>;
}

/// Why a connection is not encrypted.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refused),
    /// The peer ended the connection.
    Ended,
    Broken(io::Error),
    Late(Duration),
    /// Its address has begun too many.
    TooFast(RetryAfter),
    Stopping,
    /// It was closed on this side.
    Closed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(why) => why.fmt(f),
            Failure::Ended => f.write_str("the peer ended the connection within the handshake"),
            Failure::Broken(error) => {
                write!(f, "the connection broke within the handshake: {error}")
            }
            Failure::TooFast(retry) => write!(f, "too many handshakes from its address: {retry}"),
            Failure::Late(limit) => write!(f, "the handshake was not done within {limit:?}"),
            Failure::Stopping => f.write_str("the engine stops"),
            Failure::Closed => f.write_str("the connection was closed within the handshake"),
        }
    }
}

/// How long a handshake may take where `SKYRING_HANDSHAKE` is off.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// How long a peer that has connected may take for its handshake.
pub(crate) fn handshake_limit() -> Duration {
    match Reactor::current().settings.handshake {
        off if off.is_zero() => HANDSHAKE_WAIT,
        limit => limit,
    }
}

/// Takes one of the handshakes that an address may begin (`SKYRING_TLS_RATE_PER_IP`), before anything is
/// calculated for it.
///
/// # Errors
/// [`Failure::TooFast`], or [`Failure::Ended`] for a peer that is gone: its address is not told any more,
/// though all that a handshake begins with may have come. Both are counted.
pub(crate) fn admit(peer: Option<&SocketAddress>) -> Result<(), Failure> {
    let reactor = Reactor::current();
    let rates = &reactor.shared.handshakes;
    if rates.is_unlimited() {
        return Ok(());
    }
    let Some(peer) = peer else {
        reactor.metrics.tls_failed.add(1);
        return Err(Failure::Ended);
    };
    let Some(peer) = peer.inet() else { return Ok(()) };
    let network = Prefixes::of(&reactor.settings).network(peer.ip());
    rates.take(&network, reactor.now(), 1).map_err(|retry| {
        reactor.metrics.tls_too_fast.add(1);
        Failure::TooFast(retry)
    })
}

/// What is done at the end of a handshake: attaches who hears of the connection from now on.
type Done = Box<dyn FnOnce(Rc<Connection>, Result<Frame, Failure>)>;

/// A connection whose handshake is not done.
struct Greeting {
    connection: Rc<Connection>,
    handshake: RefCell<Box<dyn Handshake>>,
    limit: Duration,
    timer: Cell<Option<TimerKey>>,
    /// Taken when it is over.
    done: Cell<Option<Done>>,
}

/// Speaks the handshake on a connection, and calls `done` within `limit`. `first` was received
/// already. Reads are off then; what the peer has sent behind is with the frame.
pub(super) fn speak(
    connection: Rc<Connection>,
    handshake: Box<dyn Handshake>,
    first: Vec<u8>,
    limit: Duration,
    done: impl FnOnce(Rc<Connection>, Result<Frame, Failure>) + 'static,
) {
    let reactor = connection.reactor.clone();
    let greeting = Rc::new(Greeting {
        connection: connection.clone(),
        handshake: RefCell::new(handshake),
        limit,
        timer: Cell::new(None),
        done: Cell::new(Some(Box::new(done))),
    });
    let late: Weak<Greeting> = Rc::downgrade(&greeting);
    greeting.timer.set(Some(reactor.set_timer(limit, Alarm::Hook(late))));
    connection.attach(greeting.clone());
    greeting.advance(&first);
    if !greeting.is_over() {
        connection.resume();
    }
}

impl Greeting {
    fn is_over(&self) -> bool {
        let done = self.done.take();
        let is_over = done.is_none();
        self.done.set(done);
        is_over
    }

    fn advance(&self, received: &[u8]) {
        let mut reply = Vec::new();
        let step = self.handshake.borrow_mut().advance(received, &mut reply);
        let has_reply = !reply.is_empty();
        if has_reply && self.connection.write(b"", reply.into(), b"").is_err() {
            return self.fail(Failure::Closed, false);
        }
        match step {
            Ok(Step::More) => {}
            Ok(Step::Done { filter, rest, is_resumed }) => self.succeed(filter, rest, is_resumed),
            Err(why) => self.fail(Failure::Refused(why), has_reply),
        }
    }

    fn succeed(&self, filter: Box<dyn Filter>, rest: Vec<u8>, is_resumed: bool) {
        let Some(done) = self.end() else { return };
        let connection = &self.connection;
        let metrics = &connection.reactor.metrics;
        metrics.tls_handshakes.add(1);
        metrics.tls_resumed.add(u64::from(is_resumed));
        connection.park();
        let (rest, outcome) = connection.set_filter(filter, rest);
        done(connection.clone(), Ok(Frame::from(rest)));
        connection.settle_opened(outcome);
    }

    /// Closes, after the last word if there is one.
    fn fail(&self, why: Failure, has_reply: bool) {
        let Some(done) = self.end() else { return };
        if has_reply {
            self.connection.close();
        } else {
            self.connection.abort_now();
        }
        if !matches!(why, Failure::Stopping | Failure::Closed) {
            self.connection.reactor.metrics.tls_failed.add(1);
        }
        done(self.connection.clone(), Err(why));
    }

    fn end(&self) -> Option<Done> {
        if let Some(timer) = self.timer.take() {
            self.connection.reactor.cancel_timer(timer);
        }
        self.done.take()
    }
}

impl Receiver for Greeting {
    fn received(self: Rc<Self>, bytes: Frame) {
        if !self.is_over() {
            self.advance(&bytes);
        }
    }

    fn ended(self: Rc<Self>, why: Result<(), Fault>) {
        self.fail(
            why.map_or_else(|fault| Failure::Broken(fault.into()), |()| Failure::Ended),
            false,
        );
    }

    fn backlog(self: Rc<Self>, _: Backlog) {}

    fn is_behind(&self) -> bool {
        false
    }

    fn drain(self: Rc<Self>) {
        self.fail(Failure::Stopping, false);
    }

    fn closed(self: Rc<Self>) {
        self.fail(Failure::Closed, false);
    }
}

impl Expire for Greeting {
    fn expire(self: Rc<Self>) {
        self.timer.set(None);
        self.fail(Failure::Late(self.limit), false);
    }
}

/// Speaks the handshake on a stream, whose unread bytes are the first of it. Dropping the future
/// resets the connection.
pub(crate) async fn encrypt(
    stream: TcpStream,
    handshake: Box<dyn Handshake>,
    limit: Duration,
) -> Result<TcpStream, Failure> {
    struct Guard(Option<Rc<Connection>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|connection| connection.abort_now());
        }
    }
    #[derive(Default)]
    struct Answer {
        /// The stream is made with the answer: it is who hears of the connection from then on.
        stream: Cell<Option<Result<TcpStream, Failure>>>,
        waker: Cell<Option<Waker>>,
    }
    let (connection, accepted, unread) = stream.dissolve();
    let mut guard = Guard(Some(connection.clone()));
    let answer = Rc::new(Answer::default());
    let told = answer.clone();
    speak(connection, handshake, unread, limit, move |connection, result| {
        let stream = result.map(|rest| TcpStream::encrypted(connection, accepted, rest));
        told.stream.set(Some(stream));
        told.waker.take().into_iter().for_each(Waker::wake);
    });
    let stream = poll_fn(|cx| match answer.stream.take() {
        Some(stream) => Poll::Ready(stream),
        None => {
            answer.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        }
    })
    .await;
    guard.0 = None;
    stream
}
