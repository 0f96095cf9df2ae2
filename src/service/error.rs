//! What can go wrong between services.

use std::fmt;

use super::mailbox::Undelivered;
use crate::error::Error;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// No answer came in time. The request may still be handled later.
    TimedOut,
    /// There is no such service any more, or its core has ended. The request was not handled.
    Dead,
    /// The service's mailbox is full. The request was not handled.
    Full,
    /// The way to the service's core is full. The request was not handled.
    Busy,
    /// The request was dropped without an answer: by its handler, by whoever the handler gave the
    /// reply to, or with its core.
    Dropped,
    /// A service called itself: it handles one message at a time, so the answer could not come.
    Itself,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallError::TimedOut => "the call timed out",
            CallError::Dead => "the service that was called has ended",
            CallError::Full => {
                "the mailbox of the service that was called is full \
                (SKYRING_MAILBOX_MAX)"
            }
            CallError::Busy => "the core of the service that was called lags (SKYRING_FABRIC_MAX)",
            CallError::Dropped => "the call was dropped without an answer",
            CallError::Itself => {
                "a service called itself and would wait for ever; send a message instead, or call \
                 from a forked task"
            }
        })
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        Error::Other(error.into())
    }
}

impl CallError {
    /// What a call hears whose request was not delivered.
    pub(super) fn reason<M>(undelivered: &Undelivered<M>) -> CallError {
        match undelivered {
            Undelivered::Full(_) => CallError::Full,
            Undelivered::Dead(_) => CallError::Dead,
            Undelivered::Busy(_) => CallError::Busy,
        }
    }
}

impl<M> From<Undelivered<M>> for CallError {
    /// Why; the message is dropped, and with it the handle for its answer.
    fn from(undelivered: Undelivered<M>) -> CallError {
        CallError::reason(&undelivered)
    }
}

/// A service could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The core holds 16.7 million services already.
    Full,
    /// What makes the service panicked.
    Panicked,
    /// The engine has no core of this number.
    NoCore(usize),
    /// The other core did not answer.
    Unanswered(CallError),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Full => f.write_str("the core has no room for another service"),
            SpawnError::Panicked => f.write_str("what makes the service panicked"),
            SpawnError::NoCore(core) => write!(f, "the engine has no core {core}"),
            SpawnError::Unanswered(error) => write!(f, "the other core did not answer: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {}

impl From<SpawnError> for Error {
    fn from(error: SpawnError) -> Error {
        Error::Other(error.into())
    }
}

impl<M> From<Undelivered<M>> for Error {
    /// Why, without the message.
    fn from(undelivered: Undelivered<M>) -> Error {
        Error::Other(undelivered.to_string().into())
    }
}
