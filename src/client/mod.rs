//! Clients: framed connections, each of which belongs to one service.
//!
//! ```text
//!   connection ─▶ session: waiting bytes ─▶ its service hears ─▶ Frames: cut in place ─▶ client.send
//!                    ▲                                              │
//!                    └── reads pause ◀── the service lags ──────────┘
//! ```
//! What a client has sent waits in its own session, not in the mailbox of its service, which is told
//! only that something waits. So a client can be handed to another service, or to another core, with
//! everything that nobody has read, in order.
//!
//! This floor knows no service: it tells a [`Hub`].

mod disconnect;
mod frames;
mod handle;
mod id;
pub(crate) mod pace;
pub(crate) mod parcel;
pub(crate) mod session;
mod unread;

use std::rc::Rc;

pub use self::disconnect::Disconnect;
pub use self::frames::Frames;
pub use self::handle::Client;
pub use self::id::ClientId;

use self::session::Session;

/// What a session belongs to: the mailbox of its service.
pub(crate) trait Hub {
    /// A number that no other hub has.
    fn number(&self) -> u64;
    /// The session belongs here from now on. `false` when the service has ended.
    fn enter(&self, session: &Rc<Session>) -> bool;
    /// It belongs here no longer.
    fn leave(&self, session: &Rc<Session>);
    /// Something waits in the session. Told once until [`Session::next`] was asked.
    fn ready(&self, session: &Rc<Session>);
    /// Spends one of the events that the service may handle in this poll.
    fn try_spend(&self) -> bool;
}
