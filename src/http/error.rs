//! What can go wrong with a body that is read, and with a field that is written.

use std::fmt;

use crate::error::Error;
use crate::net::ReadError;
use crate::wire::http::RequestError;

/// Why a body cannot be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It is malformed, or longer than [`Limits::body_bytes_max`](super::Limits::body_bytes_max).
    Malformed(RequestError),
    /// The peer ended the connection before the body.
    Ended,
    /// Its request is answered already.
    Over,
    /// The connection gives no more.
    Read(ReadError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Malformed(error) => error.fmt(f),
            BodyError::Ended => f.write_str("the peer ended the connection before the body"),
            BodyError::Over => f.write_str("the request is answered: read its body before"),
            BodyError::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Error {
        // An error must be able to leave its core, and a frame in it is not.
        match error {
            BodyError::Malformed(error) => Error::Other(error.into()),
            // The peer's doing, and no defect of a handler's.
            BodyError::Ended | BodyError::Read(_) => Error::Other(RequestError::BodyCut.into()),
            other => Error::Other(other.to_string().into()),
        }
    }
}

/// A header field that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadField {
    /// Its name is no token.
    Name(String),
    /// Its value has a control character: a line end would begin another field.
    Value(String),
    /// The engine writes this field itself.
    Reserved(String),
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadField::Name(name) => write!(f, "{name:?} is no name of a header field"),
            BadField::Value(name) => {
                write!(f, "the value of the header field {name} has a control character: encode it")
            }
            BadField::Reserved(name) => {
                write!(f, "the header field {name} is written by the engine: leave it out")
            }
        }
    }
}

impl std::error::Error for BadField {}

impl From<BadField> for Error {
    fn from(error: BadField) -> Error {
        Error::Other(error.into())
    }
}
