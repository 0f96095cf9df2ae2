//! A login server: finds out who a client is and begins its session, Skynet's `loginserver`.
//!
//! The protocol is that of [`login`](crate::login): keys are exchanged, the client proves that it
//! has them, and gives its credentials sealed. Who may enter is the program's to say: [`Accounts`].
//!
//! ```
//! use skyring::login::{Code, Name, Secret, Token};
//! use skyring::loginserver::{Account, Accounts, LoginServer};
//! use skyring::msgserver::MsgServer;
//! # use skyring::msgserver::{Session, User};
//! use skyring::prelude::*;
//! # struct Player;
//! # impl User for Player {
//! #     async fn request(&mut self, request: bytes::Bytes, _: &Session) -> Result<bytes::Bytes> {
//! #         Ok(request)
//! #     }
//! # }
//!
//! struct Guests(MsgServer<Player>);
//!
//! impl Accounts for Guests {
//!     async fn auth(&self, token: &Token, _client: &Client) -> Result<Account, Code> {
//!         let user = str::from_utf8(token.as_bytes()).map_err(|_| Code::Unauthorized)?;
//!         Ok(Account { user: format!("guest-{user}"), server: "games".into() })
//!     }
//!
//!     async fn login(&self, account: &Account, secret: &Secret) -> Result<Name, Code> {
//!         self.0.open(&account.user, secret).await
//!     }
//! }
//!
//! let games = MsgServer::new("games", |_session| Player);
//! let engine = Engine::new(Config::new())
//!     .gate("127.0.0.1:0", LoginServer::new(Guests(games.clone())).gate())
//!     .gate("127.0.0.1:0", games.gate());
//! ```
//! A client has [`LOGIN_TIME`] for all of its login, and [`HALF_OPEN_MAX`] clients may be at it at a
//! time, over all cores; both can be set. One too many hears 503 before any key is computed. How
//! often an address may try is `SKYRING_RATE_PER_IP`'s to bound.

mod agent;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::agent::Login;
use crate::client::Client;
use crate::gate::Gate;
use crate::login::{Code, Identity, Name, Secret, Token};
use crate::wire::LengthPrefix;

/// How long a login may take from its first frame on, unless it is set otherwise.
pub const LOGIN_TIME: Duration = Duration::from_secs(10);

/// Logins that have begun and not ended, over all cores, unless it is set otherwise.
pub const HALF_OPEN_MAX: usize = 1024;

/// A user, and the message server that he goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who it is.
    pub user: String,
    /// The message server.
    pub server: String,
}

/// Who may log in, and where to. Shared by all cores.
pub trait Accounts: Send + Sync + 'static {
    /// Finds out whom the credentials belong to (Skynet's `auth_handler`). A hash that takes long
    /// belongs in [`blocking`](fn@crate::blocking).
    ///
    /// # Errors
    /// What the client hears: [`Code::Unauthorized`], as a rule.
    fn auth(&self, token: &Token, client: &Client) -> impl Future<Output = Result<Account, Code>>;

    /// Begins the session (Skynet's `login_handler`):
    /// [`MsgServer::open`](crate::msgserver::MsgServer::open), or a call to wherever sessions are.
    ///
    /// # Errors
    /// What the client hears: [`Code::Forbidden`], [`Code::NotAcceptable`], [`Code::Busy`].
    fn login(&self, account: &Account, secret: &Secret)
    -> impl Future<Output = Result<Name, Code>>;
}

/// A login server: its accounts, its identity and its limits.
pub struct LoginServer<A> {
    accounts: Arc<A>,
    identity: Option<Arc<Identity>>,
    time: Duration,
    half_open_max: usize,
}

impl<A: Accounts> LoginServer<A> {
    /// A login server without an identity.
    pub fn new(accounts: A) -> LoginServer<A> {
        let accounts = Arc::new(accounts);
        LoginServer { accounts, identity: None, time: LOGIN_TIME, half_open_max: HALF_OPEN_MAX }
    }

    /// Gives it an identity, so that clients that pin it notice anybody in the middle.
    pub fn identity(mut self, identity: Identity) -> LoginServer<A> {
        self.identity = Some(Arc::new(identity));
        self
    }

    /// How long a login may take from its first frame on; [`LOGIN_TIME`] unless set.
    pub fn time(mut self, time: Duration) -> LoginServer<A> {
        self.time = time;
        self
    }

    /// Logins that may have begun and not ended, over all cores; [`HALF_OPEN_MAX`] unless set.
    pub fn half_open_max(mut self, logins: usize) -> LoginServer<A> {
        self.half_open_max = logins;
        self
    }

    /// The gate whose clients log in.
    pub fn gate(self) -> Gate {
        let places = Places { taken: AtomicUsize::new(0), max: self.half_open_max };
        let (server, places) = (Arc::new(self), Arc::new(places));
        Gate::framed(LengthPrefix::U16)
            .agent_with(move |_client, door| Login::new(server.clone(), places.clone(), door))
    }
}

impl<A> fmt::Debug for LoginServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("LoginServer");
        debug.field("identity", &self.identity).field("time", &self.time);
        debug.field("half_open_max", &self.half_open_max).finish_non_exhaustive()
    }
}

/// Places for logins that have begun.
struct Places {
    taken: AtomicUsize,
    max: usize,
}

/// One of them; given back when dropped.
struct Place(Arc<Places>);

impl Place {
    fn take(places: &Arc<Places>) -> Option<Place> {
        let free = |taken: usize| (taken < places.max).then_some(taken + 1);
        let taken = places.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        taken.ok().map(|_| Place(places.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
