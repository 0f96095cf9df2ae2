//! The PROXY header of a connection that a trusted proxy has brought: read before anybody hears of
//! the connection.
//!
//! ```text
//!   accepted ─▶ reads on ─▶ header whole ─▶ reads off ─▶ ban? quota? place? ─▶ handed on
//!                  └ no header, or none in time: closed and counted
//! ```
//! What was received behind the header goes along: it is the client's.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::connection::{Connection, Fault, Receiver};
use super::output::Backlog;
use super::porter::Porter;
use crate::driver::operation::SocketAddress;
use crate::memory::frame::Frame;
use crate::reactor::{Alarm, Expire};
use crate::wire::proxy::{self, HEADER_BYTES_MAX, Origin, ProxyError, Step};

/// How long a header may take where `SKYRING_HANDSHAKE` is off: a proxy sends it at once.
const HEADER_WAIT: Duration = Duration::from_secs(5);

/// A connection whose header is not whole.
struct Preamble {
    connection: Rc<Connection>,
    porter: Rc<Porter>,
    /// The header so far, if it comes in parts; at most `HEADER_BYTES_MAX`.
    head: RefCell<Vec<u8>>,
    is_over: Cell<bool>,
}

/// Reads the header of a fresh connection, then hands it on.
pub(super) fn read(connection: Rc<Connection>, porter: Rc<Porter>) {
    let reactor = connection.reactor.clone();
    let preamble = Rc::new(Preamble {
        connection: connection.clone(),
        porter,
        head: RefCell::default(),
        is_over: Cell::new(false),
    });
    let late: Weak<Preamble> = Rc::downgrade(&preamble);
    let handshake = reactor.settings.handshake;
    let wait = if handshake.is_zero() { HEADER_WAIT } else { handshake };
    reactor.set_timer(wait, Alarm::Hook(late));
    connection.attach(preamble);
    connection.resume();
}

impl Preamble {
    /// Takes what came: whose the connection is, and how many of these bytes that took.
    fn take(&self, bytes: &[u8]) -> Result<Option<(Origin, usize)>, ProxyError> {
        let mut head = self.head.borrow_mut();
        let before = head.len();
        let step = if before == 0 {
            proxy::decode(bytes)?
        } else {
            head.extend_from_slice(&bytes[..bytes.len().min(HEADER_BYTES_MAX - before)]);
            proxy::decode(&head)?
        };
        match step {
            Step::Header(header) => Ok(Some((header.origin, header.encoded - before))),
            Step::Partial { .. } => {
                if before == 0 {
                    head.extend_from_slice(bytes);
                }
                Ok(None)
            }
        }
    }

    /// Hands the connection on; `rest` is the client's.
    fn pass(&self, origin: Origin, rest: Frame) {
        self.is_over.set(true);
        let connection = &self.connection;
        connection.reactor.metrics.proxied.add(1);
        connection.park();
        // All others keep the proxy's own address: it says nothing better.
        if let Origin::Stream { source, .. } = origin {
            connection.set_peer(SocketAddress::Inet(source));
        }
        match self.porter.check(connection) {
            Ok(()) => self.porter.hand_on(connection.clone(), Some(rest)),
            Err(refusal) => self.porter.turn_away(connection, refusal),
        }
    }

    /// Closes at once: nobody knows whose connection it is, so nobody is told anything.
    fn give_up(&self, why: &dyn Display) {
        self.is_over.set(true);
        let metrics = &self.connection.reactor.metrics;
        metrics.proxy_errors.add(1);
        let so_far = metrics.proxy_errors.value();
        if so_far.is_power_of_two() {
            let proxy = self.connection.peer();
            tracing::warn!(?proxy, %why, so_far, "connection of a proxy refused");
        }
        self.connection.abort_now();
    }
}

impl Receiver for Preamble {
    fn received(self: Rc<Self>, bytes: Frame) {
        if self.is_over.get() {
            return;
        }
        match self.take(&bytes) {
            Ok(None) => {}
            Ok(Some((origin, used))) => self.pass(origin, bytes.slice(used..)),
            Err(error) => self.give_up(&error),
        }
    }

    /// Without a word: a proxy that looked whether somebody listens.
    fn ended(self: Rc<Self>, why: Result<(), Fault>) {
        if self.is_over.replace(true) {
            return;
        }
        match why {
            Ok(()) if self.head.borrow().is_empty() => self.connection.close(),
            Ok(()) => self.give_up(&"it ended within its PROXY header"),
            Err(_) => self.connection.abort_now(),
        }
    }

    fn backlog(self: Rc<Self>, _: Backlog) {}

    fn is_behind(&self) -> bool {
        false
    }

    fn drain(self: Rc<Self>) {
        self.is_over.set(true);
        self.connection.close();
    }

    fn closed(self: Rc<Self>) {}
}

impl Expire for Preamble {
    fn expire(self: Rc<Self>) {
        if !self.is_over.get() {
            self.give_up(&"no PROXY header came in time");
        }
    }
}
