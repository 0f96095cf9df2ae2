//! What the parts of a message server tell each other.
//!
//! ```text
//!   core a                                     core b
//!   client ─▶ agent ── Request ─────────────▶ session: window, the user's state
//!     ▲         ▲ │                              │
//!     └─ Local ─┘ └─ Resume ─▶ registry          │ Frame
//!               seat ◀───────────────────────────┘
//! ```

use std::fmt;

use bytes::Bytes;

use crate::login::{Code, Name, Secret};
use crate::service::{Address, Reply};

/// To the registry, which has all sessions of one server.
pub(super) enum ToRegistry {
    /// A user has logged in; this service would be his session.
    Open(Box<Opening>, Reply<Result<Name, Code>>),
    /// A connection's first frame.
    Resume(Bytes, Address<ToSeat>, Reply<Resumption>),
    /// Sessions may have waited long enough.
    Tick,
    /// How many sessions there are.
    Count(Reply<usize>),
}

pub(super) struct Opening {
    pub(super) user: String,
    pub(super) secret: Secret,
    pub(super) session: Address<ToSession>,
}

/// What becomes of a connection.
pub(super) struct Resumption {
    /// The frame to send.
    pub(super) answer: Vec<u8>,
    /// The session that it has, and its index; none is to be closed.
    pub(super) session: Option<(Address<ToSession>, u32)>,
}

/// To the service of one session.
pub(super) enum ToSession {
    /// It is a session from now on.
    Begin(Box<Name>),
    /// A connection has it.
    Attach(u32, Address<ToSeat>),
    /// A frame came on the connection of this index.
    Request(u32, Bytes),
    /// Answered when few bytes of requests wait.
    Pace(u32, Reply<()>),
    /// The user's handler is done with what it was given.
    Done(Option<(u32, Bytes)>),
    /// A frame for the client that nobody asked for.
    Push(Bytes),
    /// The session is over.
    End(Ending),
    /// The time in which it must have become a session is over.
    Unused,
}

/// To a connection's seat: what other cores tell its agent. It closes the connection when it stops.
pub(super) enum ToSeat {
    Frame(Bytes),
    /// Close, after all frames before.
    Close,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// [`Session::logout`](super::Session::logout).
    LoggedOut,
    /// It had no connection for as long as it may.
    Expired,
    /// The user has logged in again.
    Replaced,
    /// The server stops.
    Stopping,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::LoggedOut => "logged out",
            Ending::Expired => "had no connection for too long",
            Ending::Replaced => "replaced by another login",
            Ending::Stopping => "the server stops",
        })
    }
}
