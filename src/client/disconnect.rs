//! Why a client is gone.

use std::fmt;
use std::io;

use crate::limit::{Refusal, RetryAfter};
use crate::wire::FrameError;

/// Why no more frames come from a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Disconnect {
    /// The client ended its side, in order.
    Ended,
    /// The connection broke.
    Failed(io::Error),
    /// The client broke the framing.
    Malformed(FrameError),
    /// The client sent faster than `SKYRING_RATE`, or its address than `SKYRING_RATE_PER_IP`.
    TooFast(RetryAfter),
    /// No frame was whole within `SKYRING_HANDSHAKE`.
    Silent,
    /// The connection was closed from this side: [`Client::close`](super::Client::close), a kick, or
    /// a full send queue.
    Closed,
    /// The service that it belonged to has ended, or the one that it was forwarded to.
    Abandoned,
    /// The engine stops.
    Stopping,
}

impl Disconnect {
    /// Whether the client is gone in order: nothing broke, and it did nothing wrong.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Disconnect::Ended | Disconnect::Closed | Disconnect::Stopping)
    }

    /// Why the client is sent away, if it is the engine that does so.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Disconnect::Malformed(error) => Some(Refusal::Malformed(*error)),
            Disconnect::TooFast(retry) => Some(Refusal::TooFast(*retry)),
            Disconnect::Silent => Some(Refusal::Silent),
            Disconnect::Abandoned => Some(Refusal::Abandoned),
            Disconnect::Stopping => Some(Refusal::Stopping),
            Disconnect::Ended | Disconnect::Failed(_) | Disconnect::Closed => None,
        }
    }

    /// The same, for a second listener.
    pub(crate) fn copy(&self) -> Disconnect {
        match self {
            Disconnect::Ended => Disconnect::Ended,
            Disconnect::Failed(error) => Disconnect::Failed(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => error.kind().into(),
            }),
            Disconnect::Malformed(error) => Disconnect::Malformed(*error),
            Disconnect::TooFast(retry) => Disconnect::TooFast(*retry),
            Disconnect::Silent => Disconnect::Silent,
            Disconnect::Closed => Disconnect::Closed,
            Disconnect::Abandoned => Disconnect::Abandoned,
            Disconnect::Stopping => Disconnect::Stopping,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnect::Ended => f.write_str("the client ended the connection"),
            Disconnect::Failed(error) => write!(f, "the connection broke: {error}"),
            Disconnect::Malformed(error) => write!(f, "the client broke the framing: {error}"),
            Disconnect::TooFast(retry) => write!(f, "the client sent too fast: {retry}"),
            Disconnect::Silent => f.write_str("no frame came within SKYRING_HANDSHAKE"),
            Disconnect::Closed => f.write_str("the connection was closed from this side"),
            Disconnect::Abandoned => f.write_str("the service that the client belonged to ended"),
            Disconnect::Stopping => f.write_str("the engine stops"),
        }
    }
}
