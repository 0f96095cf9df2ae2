//! Why a service has ended, and the news of it.

use std::fmt;
use std::sync::Arc;

use super::address::ServiceId;

/// Why a service has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// In order: it stopped itself, was asked to, or its engine stops.
    Stopped,
    /// A handler returned an error, with its text.
    Failed(Arc<str>),
    /// A handler or a forked task panicked, with the panic's message.
    Panicked(Arc<str>),
    /// [`kill`](super::kill), in the middle of whatever it did.
    Killed,
    /// A service that it was linked to ended out of order.
    Linked(ServiceId),
    /// There was no such service when the watch began: it had ended before.
    Gone,
}

impl Reason {
    /// Whether it ended in order: links break quietly, and supervisors need not restart it.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Reason::Stopped)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Stopped => f.write_str("stopped"),
            Reason::Failed(error) => write!(f, "failed: {error}"),
            Reason::Panicked(message) => write!(f, "panicked: {message}"),
            Reason::Killed => f.write_str("killed"),
            Reason::Linked(other) => write!(f, "ended with {other}, which it was linked to"),
            Reason::Gone => f.write_str("gone before anybody watched"),
        }
    }
}

/// A service that was watched has ended. See [`Context::watch`](super::Context::watch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// Which one.
    pub service: ServiceId,
    /// What it is called in the log: the name of its type. Empty for one that was [`Reason::Gone`].
    pub name: &'static str,
    /// Why.
    pub reason: Reason,
}
