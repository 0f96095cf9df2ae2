//! What can go wrong with a WebSocket that is read, closed or opened.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::net::{ConnectError, ReadError};
#[cfg(feature = "tls")]
use crate::tls::TlsConnectError;
use crate::wire::websocket::{BadAnswer, ProtocolError};

/// Why nothing more comes of a WebSocket that was not closed in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketError {
    /// The peer broke the protocol or a limit, and was told so.
    Protocol(ProtocolError),
    /// The connection ended without a Close (code 1006).
    Ended,
    /// The peer was silent, and did not answer a ping within
    /// [`Limits::pong_wait`](super::Limits::pong_wait).
    Silent,
    /// The peer did not answer a Close within [`Limits::close_wait`](super::Limits::close_wait).
    NotClosed,
    /// The peer took nothing of a message that was written in pieces within
    /// [`Limits::write_time`](super::Limits::write_time).
    Lagging,
    /// Another task reads.
    Busy,
    /// The connection gives no more.
    Read(ReadError),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::Protocol(error) => error.fmt(f),
            SocketError::Ended => f.write_str("the connection ended without a Close"),
            SocketError::Silent => f.write_str("the peer did not answer a ping in time"),
            SocketError::NotClosed => f.write_str("the peer did not answer the Close in time"),
            SocketError::Lagging => f.write_str("the peer took nothing of a message in time"),
            SocketError::Busy => f.write_str("another task reads: one does at a time"),
            SocketError::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SocketError {}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Error {
        Error::Other(error.into())
    }
}

impl From<ProtocolError> for SocketError {
    fn from(error: ProtocolError) -> SocketError {
        SocketError::Protocol(error)
    }
}

impl From<SocketError> for Error {
    fn from(error: SocketError) -> Error {
        // An error must be able to leave its core, and a frame in it is not.
        match error {
            SocketError::Protocol(error) => Error::Other(error.into()),
            other => Error::Other(other.to_string().into()),
        }
    }
}

/// Why no WebSocket was opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no URL of a WebSocket, and why.
    BadUrl(String, &'static str),
    /// A header field, a subprotocol or an option cannot be sent, and why.
    BadOption(&'static str),
    /// There is no connection.
    Connect(ConnectError),
    /// There is no encrypted connection: the server, or its certificate, is not as it should be.
    #[cfg(feature = "tls")]
    Tls(TlsConnectError),
    /// The server's answer is none, or it refuses.
    Refused(BadAnswer),
    /// The server ended before its answer was whole, or its head is too long.
    Read(ReadError),
    /// No whole answer came in time.
    TimedOut(Duration),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::BadUrl(url, why) => {
                write!(f, "{url:?} is no URL of a WebSocket: {why}; write ws://host:port/path")
            }
            OpenError::BadOption(why) => f.write_str(why),
            OpenError::Connect(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            OpenError::Tls(error) => error.fmt(f),
            OpenError::Refused(answer) => answer.fmt(f),
            OpenError::Read(error) => write!(f, "the server did not answer: {error}"),
            OpenError::TimedOut(limit) => {
                write!(f, "the server did not answer within {limit:?}: is it a WebSocket's?")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        Error::Other(error.to_string().into())
    }
}
