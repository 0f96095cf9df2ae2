//! What can go wrong for the engine as a whole, and for one send.

use std::fmt;
use std::io;

use crate::config::ConfigError;
use crate::wire::{FrameError, UnknownFraming};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the engine, or an agent, cannot go on. Each message says what to do where there is something
/// to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A knob has a bad value, or does not exist.
    Config(Box<ConfigError>),
    /// io_uring is forbidden, missing or too old on this machine.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// A listener could not be opened.
    Listen {
        /// What was asked for.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something else that the engine needs.
    Kernel {
        /// What the engine was about to do.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A reactor ended by a panic or an error of its ring: a defect of the engine.
    Reactor {
        /// Its place among the reactors, from 0.
        core: usize,
        /// What it said.
        message: String,
    },
    /// Something could not be queued for a client.
    Send(SendError),
    /// An error of the program that uses the engine.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(error) => error.fmt(f),
            Error::Unavailable(error) | Error::Other(error) => error.fmt(f),
            Error::Listen { address, source } => {
                write!(f, "cannot listen on {address}: {}", listen_cause(source))
            }
            Error::Kernel { action, source } => write!(f, "cannot {action}: {source}"),
            Error::Reactor { core, message } => write!(f, "reactor {core} failed: {message}"),
            Error::Send(error) => error.fmt(f),
        }
    }
}

fn listen_cause(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there; stop it, or choose another port \
             (port 0 takes a free one)"
                .into()
        }
        io::ErrorKind::PermissionDenied => "permission denied; ports below 1024 need \
             CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
            .into(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".into(),
        _ => source.to_string(),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Config(error) => Some(&**error),
            Error::Unavailable(error) | Error::Other(error) => Some(&**error),
            Error::Listen { source, .. } | Error::Kernel { source, .. } => Some(source),
            Error::Send(error) => Some(error),
            Error::Reactor { .. } => None,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Error {
        Error::Config(error.into())
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        Error::Send(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Other(error.into())
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Error {
        Error::Send(SendError::Frame(error))
    }
}

impl From<UnknownFraming> for Error {
    fn from(error: UnknownFraming) -> Error {
        Error::Other(error.into())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Error {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Other(error)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Error {
        Error::Other(message.into())
    }
}

impl From<String> for Error {
    fn from(message: String) -> Error {
        Error::Other(message.into())
    }
}

/// Why bytes were not queued for a peer. They are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The peer reads too slowly: what is queued for it would pass `SKYRING_SEND_QUEUE_BYTES_MAX`.
    /// Its connection is closed.
    Full {
        /// Bytes that were queued already.
        queued: usize,
        /// The cap.
        max: usize,
    },
    /// The connection is closed, or its write side was.
    Closed,
    /// A message of a WebSocket is being sent piece by piece, and another one cannot go between: send
    /// it when that is finished.
    Busy,
    /// The payload is no frame of this gate's framing.
    Frame(FrameError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full { queued, max } => write!(
                f,
                "the peer reads too slowly: {queued} bytes wait already, at most {max} may; \
                 raise SKYRING_SEND_QUEUE_BYTES_MAX for larger bursts"
            ),
            SendError::Closed => f.write_str("the connection is closed"),
            SendError::Busy => f.write_str("a message is sent piece by piece: wait for its end"),
            SendError::Frame(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<FrameError> for SendError {
    fn from(error: FrameError) -> SendError {
        SendError::Frame(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small_enough_for_the_hot_path() {
        assert!(size_of::<Result<(), SendError>>() <= 40);
        assert!(size_of::<Result<()>>() <= 64);
    }

    #[test]
    fn a_taken_port_says_what_to_do() {
        let source = io::Error::from(io::ErrorKind::AddrInUse);
        let text = Error::Listen { address: "127.0.0.1:80".into(), source }.to_string();
        assert!(text.contains("127.0.0.1:80") && text.contains("another port"), "{text}");
    }
}
