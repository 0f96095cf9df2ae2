//! What can go wrong on a socket: one enum for each operation.

use std::time::Duration;
use std::{error, fmt, io};

use crate::driver::errno;
use crate::driver::operation::SocketAddress;
use crate::error::Error;
use crate::memory::frame::Frame;
use crate::wire::FrameError;

/// Why a read of a stream has no result. Unless it says so, nothing that was received is lost.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer ended the stream in the middle of what was asked for.
    Ended {
        /// What came before the end; it counts as read.
        leftover: Frame,
    },
    /// More bytes came than were allowed before the separator or the end. They stay unread.
    TooLong {
        /// How many were allowed.
        max: usize,
    },
    /// Another task reads this stream now.
    Busy,
    /// The connection broke. What came before it broke can still be read.
    Failed(io::Error),
    /// The stream was closed or shut down on this side, or given up because the peer reads too
    /// slowly.
    Closed,
    /// The engine stops: nothing more is read. What waits to be sent still leaves.
    Stopping,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Ended { leftover } => {
                write!(f, "the peer ended the stream after {} bytes of it", leftover.len())
            }
            ReadError::TooLong { max } => {
                write!(f, "more than the {max} bytes that this read allows")
            }
            ReadError::Busy => f.write_str(
                "another task reads this stream; read in one task, and hand out what it reads",
            ),
            ReadError::Failed(error) => write!(f, "the connection broke: {}", cause(error)),
            ReadError::Closed => f.write_str("the stream is closed"),
            ReadError::Stopping => f.write_str("the engine stops"),
        }
    }
}

/// Why a read of a stream in frames has no frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadFrameError {
    /// The peer ended the stream in the middle of a frame.
    Ended {
        /// What came of the frame, with its encoding; it counts as read.
        leftover: Frame,
    },
    /// What the peer sent is no frame, or too long a one. Nothing behind it can be read.
    Malformed(FrameError),
    /// The stream gives no more, or another task reads it. Nothing that was received is lost.
    Read(ReadError),
}

impl fmt::Display for ReadFrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFrameError::Ended { leftover } => {
                write!(f, "the peer ended the stream after {} bytes of a frame", leftover.len())
            }
            ReadFrameError::Malformed(error) => write!(f, "the peer broke the framing: {error}"),
            ReadFrameError::Read(error) => error.fmt(f),
        }
    }
}

impl From<FrameError> for ReadFrameError {
    fn from(error: FrameError) -> ReadFrameError {
        ReadFrameError::Malformed(error)
    }
}

impl From<ReadError> for ReadFrameError {
    fn from(error: ReadError) -> ReadFrameError {
        ReadFrameError::Read(error)
    }
}

/// Why queued output did not leave.
#[derive(Debug)]
#[non_exhaustive]
pub enum FlushError {
    /// The connection broke; what was still queued is dropped.
    Failed(io::Error),
    /// The stream was shut down on this side with output still queued, or the engine stopped.
    Closed,
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushError::Failed(error) => {
                write!(f, "the connection broke before everything was sent: {}", cause(error))
            }
            FlushError::Closed => f.write_str("the stream was closed before everything was sent"),
        }
    }
}

/// Why a listener gives no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The listener is closed: the engine stops.
    Closed,
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the listener is closed: the engine stops")
    }
}

/// One address that a connect has tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried {
    /// The address.
    pub address: SocketAddress,
    /// Why there is no connection.
    pub error: io::Error,
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// What was given is no address.
    Malformed(String),
    /// The name has no address.
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address took the connection.
    Failed {
        /// What was asked for.
        target: String,
        /// Every address that was tried, in turn.
        tried: Vec<Tried>,
    },
    /// It took longer than `SKYRING_CONNECT_TIMEOUT`.
    TimedOut {
        /// What was asked for.
        target: String,
        /// The timeout.
        limit: Duration,
        /// Every address that was tried, in turn; none while the name was still being resolved.
        tried: Vec<Tried>,
    },
    /// The engine stops.
    Stopping,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Malformed(text) => write!(
                f,
                "{text:?} is no address to connect to: write host:port, as example.org:80 or \
                 [::1]:80"
            ),
            ConnectError::Unresolved { host, source } => {
                write!(f, "cannot resolve {host:?}: {source}")
            }
            ConnectError::Failed { target, tried } => {
                write!(f, "cannot connect to {target}")?;
                list(f, tried)
            }
            ConnectError::TimedOut { target, limit, tried } => {
                write!(f, "no connection to {target} within {limit:?} (SKYRING_CONNECT_TIMEOUT)")?;
                list(f, tried)
            }
            ConnectError::Stopping => f.write_str("the engine stops"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, tried: &[Tried]) -> fmt::Result {
    for (index, Tried { address, error }) in tried.iter().enumerate() {
        let between = if index == 0 { ": " } else { "; " };
        write!(f, "{between}{address}: {}", cause(error))?;
    }
    Ok(())
}

/// Why no datagram was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Another task receives from this socket now.
    Busy,
    /// The kernel gives no more datagrams on this socket.
    Failed(io::Error),
    /// The engine stops.
    Stopping,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Busy => f.write_str(
                "another task receives from this socket; receive in one task, and hand out what \
                 it receives",
            ),
            ReceiveError::Failed(error) => write!(f, "the socket broke: {}", cause(error)),
            ReceiveError::Stopping => f.write_str("the engine stops"),
        }
    }
}

/// Why a datagram was not queued. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendToError {
    /// What waits to be sent would pass `SKYRING_SEND_QUEUE_BYTES_MAX`.
    Full {
        /// Bytes that were queued already.
        queued: usize,
        /// The cap.
        max: usize,
    },
    /// Longer than a datagram can be.
    TooLong {
        /// Its length.
        len: usize,
        /// The longest payload.
        max: usize,
    },
    /// The engine stops.
    Stopping,
}

impl fmt::Display for SendToError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendToError::Full { queued, max } => write!(
                f,
                "{queued} bytes of datagrams wait already, at most {max} may; send less, or raise \
                 SKYRING_SEND_QUEUE_BYTES_MAX"
            ),
            SendToError::TooLong { len, max } => {
                write!(f, "a datagram of {len} bytes, at most {max} fit; cut it")
            }
            SendToError::Stopping => f.write_str("the engine stops"),
        }
    }
}

/// What an error of the kernel means here, with its name: `nobody listens there (ECONNREFUSED)`.
fn cause(error: &io::Error) -> String {
    match errno::name(error) {
        "?" => error.to_string(),
        name => format!("{} ({name})", errno::explain(error)),
    }
}

/// An error by this name, and the way into the crate's own error, which may leave the core.
macro_rules! errors {
    ($($name:ident => $($source:pat => $inner:expr),*;)+) => {$(
        impl error::Error for $name {
            fn source(&self) -> Option<&(dyn error::Error + 'static)> {
                match self {
                    $($source => Some($inner),)*
                    #[allow(unreachable_patterns, reason = "some have no source at all")]
                    _ => None,
                }
            }
        }
    )+};
}

errors! {
    ReadError => ReadError::Failed(error) => error;
    ReadFrameError => ReadFrameError::Malformed(error) => error, ReadFrameError::Read(error) => error;
    FlushError => FlushError::Failed(error) => error;
    AcceptError =>;
    ConnectError => ConnectError::Unresolved { source, .. } => source;
    ReceiveError => ReceiveError::Failed(error) => error;
    SendToError =>;
}

/// A frame is bound to its core, so the error leaves as its text, as an [`io::Error`] of the same
/// kind.
impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        io::Error::from(error).into()
    }
}

impl From<ReadFrameError> for Error {
    fn from(error: ReadFrameError) -> Error {
        io::Error::from(error).into()
    }
}

impl From<ReadFrameError> for io::Error {
    fn from(error: ReadFrameError) -> io::Error {
        let kind = match error {
            ReadFrameError::Read(error) => return error.into(),
            ReadFrameError::Ended { .. } => io::ErrorKind::UnexpectedEof,
            ReadFrameError::Malformed(_) => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error.to_string())
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        let kind = match &error {
            ReadError::Ended { .. } => io::ErrorKind::UnexpectedEof,
            ReadError::TooLong { .. } => io::ErrorKind::InvalidData,
            ReadError::Busy => io::ErrorKind::ResourceBusy,
            ReadError::Failed(error) => error.kind(),
            ReadError::Closed | ReadError::Stopping => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, error.to_string())
    }
}

impl From<FlushError> for io::Error {
    fn from(error: FlushError) -> io::Error {
        match error {
            FlushError::Failed(error) => error,
            FlushError::Closed => io::Error::new(io::ErrorKind::NotConnected, error),
        }
    }
}

macro_rules! leaves {
    ($($name:ident),+) => {$(
        impl From<$name> for Error {
            fn from(error: $name) -> Error {
                Error::Other(error.into())
            }
        }
    )+};
}

leaves!(FlushError, AcceptError, ConnectError, ReceiveError, SendToError);
