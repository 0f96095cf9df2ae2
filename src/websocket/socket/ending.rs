//! The order in which a WebSocket ends.
//!
//! ```text
//!   Open ──close(), drop, stop──▶ Closing: our Close is sent ──theirs comes──▶┐ server: closes
//!     │                                                                       ├ client: Leaving,
//!     └──theirs comes: answered ─────────────────────────────────────────────▶┘ until the end comes
//! ```
//! A peer that breaks the protocol is told so, and the connection closes at once.

use std::rc::Rc;

use super::{Event, Inner, State};
use crate::net::ReadError;
use crate::websocket::error::SocketError;
use crate::websocket::keepalive::Cause;
use crate::wire::websocket::{Close, OpCode, ProtocolError, is_close_code};

impl Inner {
    /// Sends a Close, if none was sent.
    pub(in crate::websocket) fn begin_close(self: &Rc<Self>, code: u16, reason: &str) {
        assert!(
            code == Close::NONE || is_close_code(code),
            "{code} may not be sent: use 1000, or 3000 to 4999"
        );
        if self.state.get() == State::Open {
            self.state.set(State::Closing);
            self.send_close(code, reason);
            self.watch_close();
        }
    }

    fn send_close(&self, code: u16, reason: &str) {
        let (payload, len) = Close::encode(code, reason);
        // A connection that broke shows in the next read.
        let _ = self.send_frame(OpCode::Close, false, payload[..len].into());
    }

    /// The peer's Close has come: the server ends the connection, the client waits for that
    /// (RFC 6455, 7.1.1).
    pub(super) fn on_close(self: &Rc<Self>, close: Close) {
        if self.state.get() == State::Open {
            self.send_close(close.code, "");
        }
        self.closed_with.replace(Some(Box::new(close)));
        if self.is_server() {
            self.end();
        } else {
            self.state.set(State::Leaving);
            self.watch_close();
        }
    }

    /// Nothing more is read or sent; what is queued leaves.
    pub(in crate::websocket) fn end(&self) {
        self.state.set(State::Ended);
        self.unwatch();
        self.stream.close_later();
    }

    /// The peer broke the protocol: it is told, and the connection ends.
    #[cold]
    pub(in crate::websocket) fn fail(&self, error: ProtocolError) -> SocketError {
        let metrics = &self.reactor.metrics;
        match error {
            ProtocolError::TooSlow => metrics.websocket_slow.add(1),
            _ => metrics.websocket_failed.add(1),
        }
        tracing::debug!(peer = ?self.stream.peer(), %error, "a WebSocket failed");
        if self.state.get() == State::Open {
            self.send_close(error.close_code(), error.sentence());
        }
        self.failed.set(Some(error));
        self.end();
        SocketError::Protocol(error)
    }

    /// The peer has ended its side of the connection.
    pub(super) fn on_stream_end(&self) {
        if self.state.get() != State::Leaving {
            self.alive.cause.set(Cause::Ended);
        }
        self.end();
    }

    #[cold]
    pub(super) fn on_stream_error(&self, error: ReadError) -> Result<Option<Event>, SocketError> {
        if matches!(error, ReadError::Busy) {
            return Err(SocketError::Busy);
        }
        let failure = self.failure();
        let was_leaving = self.state.get() == State::Leaving;
        self.end();
        match failure {
            Some(failure) => Err(failure),
            None if was_leaving => Ok(None), // a reset behind both Closes
            None => Err(SocketError::Read(error)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.unwatch();
        if self.state.get() == State::Open {
            self.send_close(1001, "");
        }
    }
}
