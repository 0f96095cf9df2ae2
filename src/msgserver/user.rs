//! What a program writes for one session, and how it reaches the session's client.

use std::fmt;
use std::future::{Future, ready};

use bytes::Bytes;

use super::message::{Ending, ToSession};
use crate::error::Result;
use crate::login::{Name, PUSH_BYTES_MAX, push_frame};
use crate::service::Address;

/// The state of a user's session: one request at a time, in order, over all of its connections.
///
/// Write `async fn`; one that waits holds up its own session alone. Only `request` must be written.
///
/// ```
/// use bytes::Bytes;
/// use skyring::msgserver::{Session, User};
/// use skyring::prelude::*;
///
/// /// Counts its requests.
/// struct Counter(u32);
///
/// impl User for Counter {
///     async fn request(&mut self, request: Bytes, session: &Session) -> Result<Bytes> {
///         self.0 += 1;
///         if request.is_empty() {
///             session.logout();
///         }
///         Ok(self.0.to_string().into())
///     }
/// }
/// ```
pub trait User: 'static {
    /// A request: its reply, of at most [`REPLY_BYTES_MAX`](crate::login::REPLY_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// The client hears 500, and the session goes on. A panic ends the session.
    fn request(&mut self, request: Bytes, session: &Session)
    -> impl Future<Output = Result<Bytes>>;

    /// The session is on another connection than before. Ignored unless written.
    fn connected(&mut self, session: &Session) -> impl Future<Output = ()> {
        let _ = session;
        ready(())
    }

    /// The session is on no connection; it lives on, for a time. Ignored unless written.
    fn lost(&mut self, session: &Session) -> impl Future<Output = ()> {
        let _ = session;
        ready(())
    }

    /// The session is over; the last call. Not after a panic.
    fn ended(&mut self, why: Ending, session: &Session) -> impl Future<Output = ()> {
        let _ = (why, session);
        ready(())
    }
}

/// A session as its user's state sees it. A clone may be kept anywhere, on other cores too.
#[derive(Clone)]
pub struct Session {
    name: Name,
    service: Address<ToSession>,
}

impl Session {
    pub(super) fn new(name: Name, service: Address<ToSession>) -> Session {
        Session { name, service }
    }

    /// Whose session it is.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Tells the client something that it did not ask for, if there is a connection. Nothing is
    /// kept: what is lost with a connection stays lost.
    ///
    /// # Errors
    /// The session is over, or lags, or the payload has more than [`PUSH_BYTES_MAX`](crate::login::PUSH_BYTES_MAX) bytes.
    pub fn push(&self, payload: &[u8]) -> Result<()> {
        if payload.len() > PUSH_BYTES_MAX {
            let len = payload.len();
            return Err(format!("a push has {PUSH_BYTES_MAX} bytes at most, not {len}").into());
        }
        Ok(self.service.send(ToSession::Push(push_frame(payload)))?)
    }

    /// Ends the session after what waits before: the client hears its replies, then its connection
    /// closes.
    pub fn logout(&self) {
        if self.service.send(ToSession::End(Ending::LoggedOut)).is_err() {
            crate::service::stop(self.service); // at once, then
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.name)
    }
}
