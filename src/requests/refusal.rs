//! What a client hears instead of an answer.

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// An error that is meant for the client: its message is answered. Handlers return it as any other
/// error, `Err(Refusal::new("The room is full").into())`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    message: Cow<'static, str>,
    is_last: bool,
}

impl Refusal {
    /// A refusal for this reason, which the client reads.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { message: message.into(), is_last: false }
    }

    /// The connection closes behind this answer, when all of it has left.
    #[must_use]
    pub fn last(self) -> Refusal {
        Refusal { is_last: true, ..self }
    }

    /// What the client reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the connection closes behind it.
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Other(refusal.into())
    }
}

/// What is wrong with a request. Its text is the message that the client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    /// It has too many bytes.
    TooLong {
        /// How many it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// It is not JSON, or something stands behind the object.
    NotJson(String),
    /// It is JSON, but no object with one `cmd`, a string.
    Malformed(String),
    /// No handler has that name.
    UnknownCommand,
    /// The command needs data, and there are none.
    NoData,
    /// The data are not what the command needs.
    BadData(String),
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRequest::TooLong { len, max } => {
                write!(f, "Request too long: {len} bytes, at most {max}")
            }
            BadRequest::NotJson(why) => write!(f, "Request is not JSON: {why}"),
            BadRequest::Malformed(why) => write!(f, "Bad request: {why}"),
            BadRequest::UnknownCommand => f.write_str("Unknown command"),
            BadRequest::NoData => f.write_str("Command needs data"),
            BadRequest::BadData(why) => write!(f, "Bad data: {why}"),
        }
    }
}

impl std::error::Error for BadRequest {}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Refusal {
        match bad {
            BadRequest::UnknownCommand => Refusal::new("Unknown command"),
            bad => Refusal::new(bad.to_string()),
        }
    }
}

impl From<BadRequest> for Error {
    fn from(bad: BadRequest) -> Error {
        Refusal::from(bad).into()
    }
}
