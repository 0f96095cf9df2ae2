//! Whether a peer is there, and why it was given up.

use std::cell::Cell;

use super::error::SocketError;
use super::patience::{NEVER, Patience};
use crate::clock::Now;
use crate::memory::wheel::TimerKey;

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cause {
    #[default]
    None,
    Ended,
    Silent,
    NotClosed,
    Lagging,
}

/// Whether the peer is there, and goes on.
pub(super) struct KeepAlive {
    pub(super) timer: Cell<Option<TimerKey>>,
    /// When the timer is due.
    pub(super) armed: Cell<Now>,
    /// When it is looked at next whether the peer lives.
    pub(super) look: Cell<Now>,
    /// Bytes that had come when it was last looked at.
    pub(super) seen: Cell<u64>,
    /// A ping was sent since then.
    pub(super) pinged: Cell<bool>,
    pub(super) cause: Cell<Cause>,
    pub(super) patience: Patience,
}

impl Default for KeepAlive {
    fn default() -> KeepAlive {
        KeepAlive {
            timer: Cell::default(),
            armed: Cell::new(NEVER),
            look: Cell::new(NEVER),
            seen: Cell::default(),
            pinged: Cell::default(),
            cause: Cell::default(),
            patience: Patience::default(),
        }
    }
}

impl KeepAlive {
    /// Why the connection was given up, if it was.
    pub(super) fn failure(&self) -> Option<SocketError> {
        match self.cause.get() {
            Cause::None => None,
            Cause::Ended => Some(SocketError::Ended),
            Cause::Silent => Some(SocketError::Silent),
            Cause::NotClosed => Some(SocketError::NotClosed),
            Cause::Lagging => Some(SocketError::Lagging),
        }
    }
}
