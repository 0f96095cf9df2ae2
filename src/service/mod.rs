//! Services: state that lives on one core and is reached by messages alone.
//!
//! A service handles one message at a time, so its state needs no lock. Its address is 64 bits that
//! may be sent anywhere; a message to another core crosses one ring. docs/SERVICES.md teaches them
//! from the beginning.
//!
//! ```
//! use skyring::prelude::*;
//! use skyring::service::{self, Context, Reply, Service};
//!
//! struct Counter(u64);
//!
//! enum Message {
//!     Add(u64),
//!     Get(Reply<u64>),
//! }
//!
//! impl Service for Counter {
//!     type Message = Message;
//!
//!     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
//!         match message {
//!             Message::Add(n) => self.0 += n,
//!             Message::Get(reply) => reply.send(self.0),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # skyring::sim::Simulation::new(1).run(async {
//! let counter = service::spawn(Counter(0))?;
//! counter.send(Message::Add(2))?;
//! assert_eq!(counter.call(Message::Get).await?, 2);
//! # Ok::<(), skyring::Error>(())
//! # }).unwrap().unwrap();
//! ```

mod address;
pub(crate) mod belong;
mod call;
mod calls;
mod clients;
mod context;
mod ended;
mod error;
mod forward;
mod gather;
mod group;
mod guests;
mod life;
pub(crate) mod local;
pub(crate) mod mailbox;
mod members;
mod moving;
mod names;
mod notify;
mod port;
mod post;
mod reason;
mod registry;
mod remote;
mod reply;
mod signal;
mod started;
mod supervise;
mod table;
mod tell;
mod timer;
mod unique;

use std::future::ready;

pub use self::address::{Address, ParseIdError, ServiceId};
pub use self::belong::ForwardError;
pub use self::call::{CALL_TIMEOUT, Call};
pub use self::context::Context;
pub use self::ended::{Ended, ended};
pub use self::error::{CallError, SpawnError};
pub use self::gather::gather;
pub use self::group::{Group, Shared};
pub use self::life::spawn;
pub use self::local::Local;
pub use self::mailbox::Undelivered;
pub use self::names::{NameError, bind, bind_local, find, find_local};
pub use self::notify::{Notify, Wait};
pub use self::reason::{Down, Reason};
pub use self::remote::{crosses_in_place, on, spawn_balanced, spawn_on};
pub use self::reply::Reply;
pub use self::started::started;
pub use self::supervise::{AddError, Child, Restart, StartError, Supervise, Supervisor};
pub use self::tell::{kill, stop};
pub use self::timer::Timer;
pub use self::unique::unique;

use crate::client::{Client, ClientId, Disconnect, Frames};
use crate::error::Result;
use crate::net::output::Backlog;

/// State that lives on one core and handles one message at a time.
///
/// Write `async fn`: a handler may wait, and the next message waits behind it. An error and a panic
/// end the service, with the reason told to whoever watches it; they end nothing else but what is
/// linked to it.
///
/// ```text
///   spawn ─▶ started ─▶ handle, down, handle ... ─▶ stopped ─▶ dropped; on_undelivered for the rest
///                                                      └ not after an error, a panic in a handler, a kill
/// ```
/// Only `handle` must be written:
///
/// ```
/// use skyring::prelude::*;
/// use skyring::service::Reason;
///
/// struct Room {
///     name: String,
///     guests: Vec<String>,
/// }
///
/// enum Message {
///     Enter(String, Reply<usize>),
///     Close,
/// }
///
/// impl Service for Room {
///     type Message = Message;
///
///     async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
///         Ok(service::bind(&self.name, cx.address()).await?) // else it ends
///     }
///
///     async fn handle(&mut self, message: Message, cx: &Context<Self>) -> Result<()> {
///         match message {
///             Message::Enter(guest, reply) => {
///                 self.guests.push(guest);
///                 reply.send(self.guests.len());
///             }
///             Message::Close => cx.stop(),
///         }
///         Ok(())
///     }
///
///     async fn stopped(&mut self, why: &Reason, _: &Context<Self>) {
///         println!("{} closes with {} guests: {why}", self.name, self.guests.len());
///     }
/// }
/// # skyring::sim::Simulation::new(1).run(async {
/// let room = service::spawn(Room { name: "chess".into(), guests: Vec::new() })?;
/// assert_eq!(room.call(|reply| Message::Enter("ann".into(), reply)).await?, 1);
/// room.send(Message::Close)?;
/// # service::ended(room)?.await;
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
pub trait Service: Sized + 'static {
    /// What it is sent. Those that come from other cores must be `Send`.
    type Message: 'static;

    /// Handles a message.
    ///
    /// # Errors
    /// An error ends the service.
    fn handle(
        &mut self,
        message: Self::Message,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>>;

    /// The first call, before any message.
    ///
    /// # Errors
    /// An error ends the service.
    fn started(&mut self, cx: &Context<Self>) -> impl Future<Output = Result<()>> {
        let _ = cx;
        ready(Ok(()))
    }

    /// A service that this one watches has ended. Ignored unless written.
    ///
    /// # Errors
    /// An error ends the service.
    fn down(&mut self, down: Down, cx: &Context<Self>) -> impl Future<Output = Result<()>> {
        let _ = (down, cx);
        ready(Ok(()))
    }

    /// A client is this service's from now on: its gate has accepted it, or another service has
    /// forwarded it. One that a gate has just accepted is parked until [`Client::open`]. Ignored
    /// unless written.
    ///
    /// # Errors
    /// An error ends the service.
    fn connected(
        &mut self,
        client: &Client,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, cx);
        ready(Ok(()))
    }

    /// A client of this service has sent something: all whole frames that had come by now.
    ///
    /// A service that does not write this hears no clients: one that is forwarded to it is closed
    /// when it sends something, and the log says so.
    ///
    /// # Errors
    /// An error ends the service, and with it the connections of all its clients.
    fn frames(
        &mut self,
        client: &Client,
        frames: Frames,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        drop(frames);
        clients::close_unheard(client, cx.port().name());
        ready(Ok(()))
    }

    /// A client of this service reads too slowly, or has caught up. Ignored unless written; at the
    /// cap the connection is closed whatever this does. A service that was busy meanwhile hears the
    /// latest only.
    ///
    /// # Errors
    /// An error ends the service.
    fn backlog(
        &mut self,
        client: &Client,
        backlog: Backlog,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, backlog, cx);
        ready(Ok(()))
    }

    /// No more frames will come from a client of this service, which loses it after this call. What
    /// is sent now still leaves if the client reads.
    ///
    /// # Errors
    /// An error ends the service.
    fn disconnected(
        &mut self,
        client: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, why, cx);
        ready(Ok(()))
    }

    /// A client that this service was the first to have, and that it has forwarded, is gone.
    /// Ignored unless written.
    ///
    /// # Errors
    /// An error ends the service.
    fn gone(
        &mut self,
        client: ClientId,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, why, cx);
        ready(Ok(()))
    }

    /// The last call, when it ends in order: it was asked to, stops itself, one that it was linked
    /// to has failed, a task that it forked has panicked, or the engine stops. Messages that wait
    /// are not handled any more. After an error or a panic of a handler, and after
    /// [`kill`](fn@kill), it is not called; the state is dropped in any case.
    fn stopped(&mut self, why: &Reason, cx: &Context<Self>) -> impl Future<Output = ()> {
        let _ = (why, cx);
        ready(())
    }

    /// A message that will not be handled: it waited when the service ended
    /// ([`Undelivered::Dead`]), or came from another core and found the mailbox full
    /// ([`Undelivered::Full`]). Dropped unless written; a [`Reply`] in it then tells its caller.
    /// The service's state has no part in it.
    fn on_undelivered(undelivered: Undelivered<Self::Message>) {
        drop(undelivered);
    }

    /// Whether it waits for something of its own beside messages and clients.
    #[doc(hidden)]
    const OWNS: bool = false;

    /// Whether something of its own is there to be handled; if not, the task is woken when it is.
    #[doc(hidden)]
    fn poll_own(&mut self, task: &mut std::task::Context<'_>) -> bool {
        let _ = task;
        false
    }

    /// Handles what [`Service::poll_own`] has found.
    #[doc(hidden)]
    fn own(&mut self, cx: &Context<Self>) -> impl Future<Output = Result<()>> {
        let _ = cx;
        ready(Ok(()))
    }

    /// What the log calls it.
    #[doc(hidden)]
    fn kind() -> &'static str {
        std::any::type_name::<Self>()
    }
}
