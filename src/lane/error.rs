//! What may come of a call instead of its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

/// Why a call of the lane has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneError {
    /// As many calls are under way as may be (`SKYRING_LANE_CALLS_MAX`).
    Full(u32),
    /// No answer came in this time. The call itself goes on, and what it answers is dropped.
    Timeout(Duration),
    /// The call panicked, with this message.
    Panicked(String),
    /// The lane takes no calls: the engine has stopped.
    Stopped,
    /// The lane cannot run on this machine; with the reason and what to do.
    Unavailable(Arc<str>),
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaneError::Full(max) => write!(
                f,
                "{max} calls of the lane are under way: wait for some, or raise \
                 SKYRING_LANE_CALLS_MAX"
            ),
            LaneError::Timeout(after) => {
                write!(f, "the lane has not answered within {after:?}; the call goes on")
            }
            LaneError::Panicked(message) => write!(f, "a call of the lane panicked: {message}"),
            LaneError::Stopped => f.write_str("the lane takes no calls: the engine has stopped"),
            LaneError::Unavailable(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for LaneError {}

impl From<LaneError> for Error {
    fn from(error: LaneError) -> Error {
        Error::Other(error.into())
    }
}
