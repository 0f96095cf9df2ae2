//! A message server: sessions that outlive their connections, Skynet's `msgserver`.
//!
//! A user who has logged in ([`loginserver`](crate::loginserver)) has a session here: a state of the
//! program's own ([`User`]) that handles requests one at a time, on whichever connection they come.
//! A connection may be lost at any moment; the client comes back on another, to whatever core it
//! arrives at, and each request is handled once and answered once. The protocol is that of
//! [`login`](crate::login), a client is a [`Requester`](crate::login::Requester) around a socket;
//! docs/LOGIN.md has all of it in one program.
//!
//! ```
//! use bytes::Bytes;
//! use skyring::msgserver::{MsgServer, Session, User};
//! use skyring::prelude::*;
//!
//! struct Counter(u32);
//!
//! impl User for Counter {
//!     async fn request(&mut self, _request: Bytes, _session: &Session) -> Result<Bytes> {
//!         self.0 += 1;
//!         Ok(self.0.to_string().into())
//!     }
//! }
//!
//! let games = MsgServer::new("games", |_session| Counter(0));
//! let engine = Engine::new(Config::new()).gate("127.0.0.1:0", games.gate());
//! ```
//! A session is a service on one core, the agent of a connection one on another; the **registry**,
//! one service for a server in an engine, knows all sessions. Whoever takes a session over is decided
//! there, one connection after the other. A connection that is lost is known by watches, which no
//! full mailbox holds up.

mod agent;
mod message;
mod registry;
mod seat;
mod session;
mod user;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::message::Ending;
pub use self::user::{Session, User};

use self::agent::Connection;
use self::message::{Opening, ToRegistry, ToSession};
use self::registry::Registry;
use self::session::SessionService;
use crate::gate::Gate;
use crate::login::{Code, Limits, Logins, Name, NameError, REPLIES_BYTES_MAX, Secret, Sessions};
use crate::service::{self, Address, CallError};
use crate::wire::LengthPrefix;

/// How long the state of a user may take for one request, unless it is set otherwise.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);

const _: () = assert!(service::crosses_in_place::<ToSession>());

/// A message server: its name, its limits, and what makes the state of a user. A cheap clone, to be
/// given to a gate and to whoever logs users in.
pub struct MsgServer<U: User> {
    inner: Arc<Inner<U>>,
}

struct Inner<U> {
    server: String,
    limits: Limits,
    replies_bytes_max: usize,
    request_time: Duration,
    make: Make<U>,
}

/// Makes the state of a user.
type Make<U> = Arc<dyn Fn(&Session) -> U + Send + Sync>;

impl<U: User> MsgServer<U> {
    /// A server of this name, the part after the `@`. `make` makes the state of a user when his
    /// session begins, on the core where it is to live.
    ///
    /// # Panics
    /// When the name is none: see [`NameError`]; 245 bytes at most.
    pub fn new(server: &str, make: impl Fn(&Session) -> U + Send + Sync + 'static) -> MsgServer<U> {
        if let Err(error) = check(server) {
            panic!("{server:?} is no server: {error}");
        }
        let inner = Inner {
            server: server.to_owned(),
            limits: Limits::default(),
            replies_bytes_max: REPLIES_BYTES_MAX,
            request_time: REQUEST_TIME,
            make: Arc::new(make),
        };
        MsgServer { inner: Arc::new(inner) }
    }

    fn set(self, change: impl FnOnce(&mut Inner<U>)) -> MsgServer<U> {
        let old = &self.inner;
        let mut inner = Inner {
            server: old.server.clone(),
            limits: old.limits,
            replies_bytes_max: old.replies_bytes_max,
            request_time: old.request_time,
            make: old.make.clone(),
        };
        change(&mut inner);
        MsgServer { inner: Arc::new(inner) }
    }

    /// How long a session without a connection lives;
    /// [`SESSION_KEEP`](crate::login::SESSION_KEEP) unless set.
    pub fn keep(self, keep: Duration) -> MsgServer<U> {
        self.set(|inner| inner.limits.keep = keep)
    }

    /// Sessions at a time, over all cores; [`SESSIONS_MAX`](crate::login::SESSIONS_MAX) unless set.
    pub fn sessions_max(self, sessions_max: usize) -> MsgServer<U> {
        self.set(|inner| inner.limits.sessions_max = sessions_max)
    }

    /// What becomes of a second login of a user; [`Logins::Replace`] unless set.
    pub fn logins(self, logins: Logins) -> MsgServer<U> {
        self.set(|inner| inner.limits.logins = logins)
    }

    /// Bytes of replies that are kept for a session; [`REPLIES_BYTES_MAX`] unless set.
    pub fn replies_bytes_max(self, bytes: usize) -> MsgServer<U> {
        self.set(|inner| inner.replies_bytes_max = bytes)
    }

    /// How long the state of a user may take for one request; [`REQUEST_TIME`] unless set. After
    /// it the request is dropped where it waits, and its client hears 500.
    pub fn request_time(self, time: Duration) -> MsgServer<U> {
        self.set(|inner| inner.request_time = time)
    }

    /// The gate whose clients are users with a session here.
    pub fn gate(&self) -> Gate {
        let server = self.clone();
        Gate::framed(LengthPrefix::U16)
            .agent_with(move |_client, door| Connection::new(server.clone(), door))
    }

    /// Begins a session for a user who has logged in: its name, for the client. The session lives
    /// without a connection for a time, and until then the client must come.
    ///
    /// # Errors
    /// [`Code::NotAcceptable`] by [`Logins::Refuse`], [`Code::Busy`] when there is no room,
    /// [`Code::Forbidden`] for a user whose name cannot be.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn open(&self, user: &str, secret: &Secret) -> Result<Name, Code> {
        let registry = self.registry().await.map_err(|_| Code::Busy)?;
        let inner = self.inner.clone();
        let session = service::spawn_balanced(move || SessionService::new(inner, registry)).await;
        let newborn = Newborn(Some(session.map_err(|_| Code::Busy)?));
        let session = newborn.0.expect("just put in");
        let opening = Opening { user: user.to_owned(), secret: secret.clone(), session };
        let opened = registry.call(|reply| ToRegistry::Open(Box::new(opening), reply)).await;
        let name = opened.unwrap_or(Err(Code::Busy))?;
        newborn.keep();
        Ok(name)
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// The registry does not answer.
    ///
    /// # Panics
    /// When polled outside of a reactor.
    pub async fn sessions(&self) -> Result<usize, CallError> {
        let registry = self.registry().await.map_err(|_| CallError::Dead)?;
        registry.call(ToRegistry::Count).await
    }

    async fn registry(&self) -> Result<Address<ToRegistry>, service::NameError> {
        let name = registry_name(&self.inner.server);
        if let Some(registry) = service::find(&name) {
            return Ok(registry);
        }
        let Inner { server, limits, .. } = &*self.inner;
        let table = Sessions::new(server, *limits).expect("checked when the server was made");
        service::unique(&name, move || Registry::new(table)).await
    }

    fn request_time_max(&self) -> Duration {
        self.inner.request_time
    }
}

fn check(server: &str) -> Result<(), NameError> {
    // The registry has it in its own name, which has as many bytes at most.
    Name::new(&registry_name(server), server, 0).map(|_| ())
}

/// The name by which all cores find the registry.
fn registry_name(server: &str) -> String {
    format!("msgserver:{server}")
}

/// A service that is no session yet; it ends if it does not become one, also when whoever asked is
/// gone meanwhile.
struct Newborn(Option<Address<ToSession>>);

impl Newborn {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        self.0.into_iter().for_each(service::kill);
    }
}

impl<U: User> Clone for MsgServer<U> {
    fn clone(&self) -> MsgServer<U> {
        MsgServer { inner: self.inner.clone() }
    }
}

impl<U: User> fmt::Debug for MsgServer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { server, limits, .. } = &*self.inner;
        f.debug_struct("MsgServer")
            .field("server", server)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_the_longest_name_that_its_registry_can_have() {
        assert_eq!(check(&"x".repeat(245)), Ok(()));
        assert_eq!(check(&"x".repeat(246)), Err(NameError::Length(256)));
        assert_eq!(check(""), Err(NameError::Length(0)));
        assert_eq!(check("a\tb"), Err(NameError::Control));
    }
}
