//! What can go wrong in a login and in a resume.

use std::fmt;

use super::code::Code;
use crate::error::Error;

/// Why a login, or a resume, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginError {
    /// The peer's message is not one of the protocol, or not one of this moment.
    Malformed,
    /// The client speaks another protocol, or another version of this one.
    Version,
    /// The peer's key shares the same secret with everybody (RFC 7748 section 6.1).
    WeakKey,
    /// The peer does not prove that it knows the secret, or a message was altered on its way.
    Proof,
    /// The server has no identity, or none that this client pins: it may be somebody in the middle.
    UnknownServer,
    /// The token has more than [`TOKEN_BYTES_MAX`](super::TOKEN_BYTES_MAX) bytes.
    TokenTooLong(usize),
    /// The other side refuses, for this reason.
    Refused(Code),
}

impl LoginError {
    /// What a server answers the client that caused it.
    pub fn code(self) -> Code {
        match self {
            LoginError::Refused(code) => code,
            _ => Code::BadRequest,
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::Malformed => f.write_str("a message is not of the login protocol"),
            LoginError::Version => f.write_str("the client speaks another version of the protocol"),
            LoginError::WeakKey => f.write_str("the peer's key is weak, on purpose"),
            LoginError::Proof => {
                f.write_str("the proof is wrong: another secret, or a message that was altered")
            }
            LoginError::UnknownServer => {
                f.write_str("the server does not prove an identity that is pinned; do not trust it")
            }
            LoginError::TokenTooLong(len) => write!(
                f,
                "a token has {} bytes at most, this one has {len}",
                super::exchange::TOKEN_BYTES_MAX
            ),
            LoginError::Refused(code) => write!(f, "refused: {code}"),
        }
    }
}

impl std::error::Error for LoginError {}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Error {
        Error::Other(error.into())
    }
}
