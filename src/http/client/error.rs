//! What can go wrong with a request.

use std::time::Duration;
use std::{fmt, io};

use crate::error::Error;
use crate::http::error::BadField;
use crate::net::{ConnectError, ReadError};
#[cfg(feature = "tls")]
use crate::tls::TlsConnectError;
use crate::wire::http::{AnswerError, UrlError};

/// Why a request has no answer, or its answer no body.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// What was given is no URL.
    Url(UrlError),
    /// The method cannot be sent: it is no token, or CONNECT, for which a client of HTTP has no use.
    Method(String),
    /// A header field cannot be sent.
    Field(BadField),
    /// A value has no form in JSON, in a form or in a query.
    Encode(String),
    /// The URL is `https`, and this program is built without TLS.
    NoTls,
    /// There is no connection.
    Connect(ConnectError),
    /// There is no connection that can be trusted.
    #[cfg(feature = "tls")]
    Tls(TlsConnectError),
    /// As many requests as may wait for a connection do.
    Busy {
        /// How many do: [`ClientLimits::waiting_max`](super::ClientLimits::waiting_max).
        waiting: usize,
    },
    /// It took too long.
    TimedOut {
        /// What was waited for.
        wait: Wait,
        /// How long it might take.
        limit: Duration,
    },
    /// What the server sent is no answer, or one that could be read in two ways.
    Malformed(AnswerError),
    /// The body is longer than [`ClientLimits::body_bytes_max`](super::ClientLimits::body_bytes_max).
    BodyTooLong {
        /// The limit.
        max: u64,
    },
    /// The server ended the connection before a whole head had come.
    Ended,
    /// The server ended the connection before the end of the body.
    BodyEnded,
    /// The connection broke.
    Broken(io::Error),
    /// What writes the request's body has failed, with this.
    Writer(Error),
    /// The answer redirects, and cannot be followed.
    Redirect(RedirectError),
    /// The body came compressed, and cannot be unpacked.
    Packed,
    /// The body was to be text, and is no UTF-8.
    NotUtf8,
    /// The body was to be JSON of a certain shape; this is what is wrong, and where.
    NotJson(String),
    /// The body has been given up after an error.
    Over,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// A connection: `connect_time`.
    Connection,
    /// The head of the answer: `head_time`.
    Head,
    /// The next piece of the body: `body_time`.
    Body,
    /// The server to take more of the request's body: `write_time`.
    Write,
    /// Everything together: `whole_time`.
    Whole,
}

/// Why a redirection cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// There were more than [`ClientLimits::redirects_max`](super::ClientLimits::redirects_max).
    TooMany {
        /// The limit.
        max: u32,
    },
    /// Its `Location` is no URL.
    Location(UrlError),
    /// It leads from `https` to `http`, where everybody on the way can read.
    Insecure,
    /// The body would have to be sent again, and was a stream.
    BodyIsGone,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Url(error) => error.fmt(f),
            ClientError::Method(method) => write!(f, "{method:?} is no method to ask with"),
            ClientError::Field(error) => error.fmt(f),
            ClientError::Encode(what) => f.write_str(what),
            ClientError::NoTls => {
                f.write_str("the URL is https, and this program is built without the feature `tls`")
            }
            ClientError::Connect(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            ClientError::Tls(error) => error.fmt(f),
            ClientError::Busy { waiting } => write!(
                f,
                "{waiting} requests wait for a connection already: ask less at once, or raise \
                 connections_max or waiting_max"
            ),
            ClientError::TimedOut { wait, limit } => wait.say(f, *limit),
            ClientError::Malformed(error) => write!(f, "the server broke the protocol: {error}"),
            ClientError::BodyTooLong { max } => write!(
                f,
                "the body of the answer is over {max} bytes: raise body_bytes_max to take it"
            ),
            ClientError::Ended => {
                f.write_str("the server ended the connection without a whole answer")
            }
            ClientError::BodyEnded => {
                f.write_str("the server ended the connection before the end of the body")
            }
            ClientError::Broken(error) => write!(f, "the connection broke: {error}"),
            ClientError::Writer(error) => write!(f, "the body could not be written: {error}"),
            ClientError::Redirect(error) => error.fmt(f),
            ClientError::Packed => f.write_str("the body is no gzip, though its head says so"),
            ClientError::NotUtf8 => {
                f.write_str("the body is no UTF-8: read it by `bytes` and decode it yourself")
            }
            ClientError::NotJson(what) => f.write_str(what),
            ClientError::Over => f.write_str("the body has been given up after an error"),
        }
    }
}

impl Wait {
    fn say(self, f: &mut fmt::Formatter<'_>, limit: Duration) -> fmt::Result {
        match self {
            Wait::Connection => write!(f, "no connection within {limit:?} (connect_time)"),
            Wait::Head => write!(f, "no answer within {limit:?} (head_time)"),
            Wait::Body => write!(f, "nothing of the body within {limit:?} (body_time)"),
            Wait::Write => write!(f, "the server took no body for {limit:?} (write_time)"),
            Wait::Whole => {
                write!(f, "request and answer were not over within {limit:?} (whole_time)")
            }
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedirectError::TooMany { max } => write!(
                f,
                "redirected more than {max} times: the server leads in a circle, or redirects_max \
                 is too low"
            ),
            RedirectError::Location(error) => write!(f, "redirected to no URL: {error}"),
            RedirectError::Insecure => f.write_str(
                "redirected from https to http: ask the http URL yourself if you mean that",
            ),
            RedirectError::BodyIsGone => f.write_str(
                "redirected with a body that was a stream and is gone: send bytes, or ask the new \
                 place yourself (redirects_max 0 gives the answer)",
            ),
        }
    }
}

impl std::error::Error for RedirectError {}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Url(error) => Some(error),
            ClientError::Field(error) => Some(error),
            ClientError::Connect(error) => Some(error),
            #[cfg(feature = "tls")]
            ClientError::Tls(error) => Some(error),
            ClientError::Malformed(error) => Some(error),
            ClientError::Broken(error) => Some(error),
            ClientError::Writer(error) => Some(error),
            ClientError::Redirect(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Error {
        Error::Other(error.into())
    }
}

impl From<UrlError> for ClientError {
    fn from(error: UrlError) -> ClientError {
        ClientError::Url(error)
    }
}

impl From<BadField> for ClientError {
    fn from(error: BadField) -> ClientError {
        ClientError::Field(error)
    }
}

impl From<AnswerError> for ClientError {
    fn from(error: AnswerError) -> ClientError {
        ClientError::Malformed(error)
    }
}

impl From<RedirectError> for ClientError {
    fn from(error: RedirectError) -> ClientError {
        ClientError::Redirect(error)
    }
}

#[cfg(feature = "tls")]
impl From<TlsConnectError> for ClientError {
    fn from(error: TlsConnectError) -> ClientError {
        match error {
            TlsConnectError::Connect(error) => ClientError::Connect(error),
            error => ClientError::Tls(error),
        }
    }
}

impl From<ReadError> for ClientError {
    fn from(error: ReadError) -> ClientError {
        ClientError::Broken(error.into())
    }
}
