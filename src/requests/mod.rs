//! Requests of JSON: a table of typed handlers, one answer for each request, in order.
//!
//! A client sends `{"cmd": "echo", "data": {"text": "hi"}}`, one object a frame. The handler of
//! `echo` gets the data as the type it asks for, and returns what is to be answered:
//! `{"status":"ok","echo":"hi"}`. Whatever goes wrong is answered, too:
//!
//! | what happens | the answer |
//! |---|---|
//! | a handler refuses ([`Refusal`]) | `{"status":"error","message":` what it says `}` |
//! | a handler fails by another error, or panics | `"Internal server error"`; the log says more |
//! | the command has no handler | `"Unknown command"` |
//! | the request, or its data, is malformed | what is wrong with it: [`BadRequest`] |
//!
//! The connection goes on after each of them, and ends when the framing is broken, or when an answer
//! is the last one ([`Last`], [`Refusal::last`]). A client's requests are handled one at a time, in
//! order; a handler that waits holds up this client alone.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use skyring::prelude::*;
//! use skyring::requests::{self, Last, Refusal, Requests};
//!
//! /// What the server knows of one client.
//! #[derive(Default)]
//! struct Session {
//!     name: Option<String>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Enter {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Message {
//!     message: &'static str,
//! }
//!
//! let table = Requests::<Session>::new()
//!     .on("enter", async |session, _client, data: Enter| {
//!         if data.name.is_empty() {
//!             return Err(Refusal::new("A name is not empty").into());
//!         }
//!         session.name = Some(data.name);
//!         Ok(Message { message: "Come in" })
//!     })
//!     .on("quit", async |_session, _client, _: ()| Ok(Last(Message { message: "Goodbye" })));
//!
//! let gate = Gate::framed(LengthPrefix::U16).agent(table.agents(|_client| Session::default()));
//! # let _ = gate;
//! ```
//!
//! The table is made once for all cores and looked up in place. For a request are allocated: the
//! handler's future, the bytes of the answer, and what the type of the data owns; nothing of the
//! data is copied that its type borrows ([`Requests::on_data`]).

mod agent;
mod answer;
mod parse;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use self::agent::{RequestAgent, tell};
pub use self::answer::{Answer, Last};
pub use self::parse::Data;
pub use self::refusal::{BadRequest, Refusal};

use self::answer::{error, ok};
use crate::client::Client;
use crate::error::{Error, Result, SendError};
use crate::reactor::{Reactor, guarded};

/// A longer request is refused, unless [`Requests::bytes_max`] says otherwise.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What a handler's panic, and an error that is not for the client, are answered with.
const INTERNAL: &str = "Internal server error";

/// The handlers of a server's commands. `A` is what the server knows of one client.
pub struct Requests<A> {
    handlers: HashMap<Box<str>, Box<dyn Handler<A>>>,
    bytes_max: usize,
}

/// A future of a handler.
type Handling<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Handles one command and writes the answer behind what is in `out`; whether it is the last one.
trait Handler<A>: Send + Sync {
    fn call<'a>(
        &'a self,
        agent: &'a mut A,
        client: &'a Client,
        data: Data<'a>,
        out: &'a mut Vec<u8>,
    ) -> Handling<'a, Result<bool>>;
}

/// A handler of data that it owns.
struct Typed<F, D, R>(F, PhantomData<fn(D) -> R>);

/// A handler that reads the data where they lie.
struct InPlace<F, R>(F, PhantomData<fn() -> R>);

impl<A, F, D, R> Handler<A> for Typed<F, D, R>
where
    F: AsyncFn(&mut A, &Client, D) -> Result<R> + Send + Sync,
    D: DeserializeOwned,
    R: Answer,
{
    fn call<'a>(
        &'a self,
        agent: &'a mut A,
        client: &'a Client,
        data: Data<'a>,
        out: &'a mut Vec<u8>,
    ) -> Handling<'a, Result<bool>> {
        Box::pin(async move {
            let data = data.read()?;
            ok(&(self.0)(agent, client, data).await?, out)
        })
    }
}

impl<A, F, R> Handler<A> for InPlace<F, R>
where
    F: AsyncFn(&mut A, &Client, Data<'_>) -> Result<R> + Send + Sync,
    R: Answer,
{
    fn call<'a>(
        &'a self,
        agent: &'a mut A,
        client: &'a Client,
        data: Data<'a>,
        out: &'a mut Vec<u8>,
    ) -> Handling<'a, Result<bool>> {
        Box::pin(async move { ok(&(self.0)(agent, client, data).await?, out) })
    }
}

impl<A: 'static> Requests<A> {
    /// A table without commands.
    #[must_use]
    pub fn new() -> Requests<A> {
        Requests { handlers: HashMap::new(), bytes_max: REQUEST_BYTES_MAX }
    }

    /// Handles `cmd` by `handler`, which gets the state of the client, the client, and the data.
    ///
    /// `D` is any type that serde can read: `()` for a command without data, an `Option` where they
    /// may be left out, `serde::de::IgnoredAny` where they do not matter. Missing data are `null`.
    /// What the handler returns is a struct or a map, whose fields are answered beside
    /// `"status":"ok"`; or `()`, which has none; or [`Last`] of either.
    ///
    /// A [`Refusal`] is for the client. Every other error, and a panic, is logged, and answered
    /// `"Internal server error"`. Nothing is undone then: a handler that panics leaves the state as
    /// it was at that moment, and the next request finds it so.
    ///
    /// # Panics
    /// When `cmd` has a handler already.
    #[must_use]
    pub fn on<D, R, F>(self, cmd: &str, handler: F) -> Requests<A>
    where
        D: DeserializeOwned + 'static,
        R: Answer + 'static,
        F: AsyncFn(&mut A, &Client, D) -> Result<R> + Send + Sync + 'static,
    {
        self.insert(cmd, Box::new(Typed(handler, PhantomData)))
    }

    /// As [`Requests::on`], for a handler that reads the data itself, in place: what its type
    /// borrows stays where the kernel put it.
    ///
    /// ```
    /// use std::borrow::Cow;
    ///
    /// use serde::{Deserialize, Serialize};
    /// use skyring::requests::{Data, Requests};
    ///
    /// #[derive(Deserialize)]
    /// struct Text<'a> {
    ///     #[serde(borrow)]
    ///     text: Cow<'a, str>, // borrowed unless it has escapes
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Length {
    ///     length: usize,
    /// }
    ///
    /// let table = Requests::<()>::new().on_data("length", async |_, _client, data: Data<'_>| {
    ///     let data: Text<'_> = data.read()?;
    ///     Ok(Length { length: data.text.len() })
    /// });
    /// # let _ = table;
    /// ```
    ///
    /// # Panics
    /// When `cmd` has a handler already.
    #[must_use]
    pub fn on_data<R, F>(self, cmd: &str, handler: F) -> Requests<A>
    where
        R: Answer + 'static,
        F: AsyncFn(&mut A, &Client, Data<'_>) -> Result<R> + Send + Sync + 'static,
    {
        self.insert(cmd, Box::new(InPlace(handler, PhantomData)))
    }

    fn insert(mut self, cmd: &str, handler: Box<dyn Handler<A>>) -> Requests<A> {
        let before = self.handlers.insert(cmd.into(), handler);
        assert!(before.is_none(), "the command {cmd:?} has two handlers");
        self
    }

    /// Refuses requests of more than so many bytes, [`REQUEST_BYTES_MAX`] unless said. Above
    /// `SKYRING_FRAME_BYTES_MAX`, and above what the framing can carry, it means nothing: the gate
    /// ends the connection there.
    #[must_use]
    pub fn bytes_max(self, bytes_max: usize) -> Requests<A> {
        Requests { bytes_max, ..self }
    }

    /// For [`GateBuilder::agent`](crate::GateBuilder::agent): each client gets a state, made by
    /// `make` on its core, and is served by this table. `make` may greet the client: [`tell`].
    pub fn agents<F>(self, make: F) -> impl Fn(&Client) -> RequestAgent<A> + Send + Sync + 'static
    where
        F: Fn(&Client) -> A + Send + Sync + 'static,
    {
        let requests = Arc::new(self);
        move |client| RequestAgent::new(requests.clone(), make(client))
    }

    /// Handles one request and sends its answer: for an [`Agent`](crate::Agent) of one's own, that
    /// hears messages of colleagues, say. See [`RequestAgent`] for how it is called.
    ///
    /// # Errors
    /// The answer cannot be sent: the client is gone, or reads too slowly. The agent returns this.
    pub async fn answer(&self, agent: &mut A, client: &Client, request: &[u8]) -> Result<()> {
        if !client.is_open() {
            return Err(SendError::Closed.into()); // what it asked for behind its end is not done
        }
        let mut out = Vec::new();
        let is_last = match self.handle(agent, client, request, &mut out).await {
            Ok(is_last) => is_last,
            Err(failure) => refuse(&failure, client, &mut out),
        };
        send(client, out)?;
        if is_last {
            client.close();
        }
        Ok(())
    }

    async fn handle(
        &self,
        agent: &mut A,
        client: &Client,
        request: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let (len, max) = (request.len(), self.bytes_max);
        if len > max {
            return Err(BadRequest::TooLong { len, max }.into());
        }
        let request = parse::parse(request)?;
        let Some(handler) = self.handlers.get(&*request.cmd) else {
            return Err(BadRequest::UnknownCommand.into());
        };
        let handled = caught(handler.call(agent, client, request.data, out)).await;
        let failure = match handled {
            Some(Ok(is_last)) => return Ok(is_last),
            Some(Err(failure)) if failure_for_client(&failure).is_some() => return Err(failure),
            // It wrote to this client, say, who has gone: nobody's mistake.
            Some(Err(failure @ Error::Send(_))) if !client.is_open() => return Err(failure),
            Some(Err(failure)) => failure,
            None => "it panicked".into(),
        };
        tracing::error!(cmd = &*request.cmd, client = %client.id(), error = %failure, "a request failed");
        Err(failure)
    }
}

/// What of a failure is for the client.
fn failure_for_client(failure: &Error) -> Option<&Refusal> {
    match failure {
        Error::Other(error) => error.downcast_ref(),
        _ => None,
    }
}

/// Writes the answer of a failure in the place of whatever is in `out`; whether it is the last one.
#[cold]
fn refuse(failure: &Error, client: &Client, out: &mut Vec<u8>) -> bool {
    out.clear();
    let Some(refusal) = failure_for_client(failure) else {
        error(INTERNAL, out);
        return false;
    };
    tracing::debug!(client = %client.id(), "a request was refused");
    error(refusal.message(), out);
    refusal.is_last()
}

/// Sends an answer. One that is no frame of this framing, because it is too long, is the server's
/// mistake and not the client's.
fn send(client: &Client, answer: Vec<u8>) -> Result<()> {
    match client.send(answer) {
        Err(Error::Send(SendError::Frame(failure))) => {
            tracing::error!(client = %client.id(), error = %failure, "an answer cannot be framed");
            let mut out = Vec::new();
            error(INTERNAL, &mut out);
            client.send(out)
        }
        sent => sent,
    }
}

/// Waits for what a user wrote; `None` when it panicked.
async fn caught<T>(mut handling: Handling<'_, T>) -> Option<T> {
    const WHAT: &str = "the handler of a request panicked";
    let reactor = Reactor::current();
    let metrics = &reactor.metrics;
    let handled = poll_fn(|cx| {
        let polled = guarded(metrics, WHAT, || handling.as_mut().poll(cx));
        polled.map_or(std::task::Poll::Ready(None), |polled| polled.map(Some))
    })
    .await;
    guarded(metrics, WHAT, || drop(handling)).and(handled)
}

impl<A: 'static> Default for Requests<A> {
    fn default() -> Requests<A> {
        Requests::new()
    }
}

impl<A> fmt::Debug for Requests<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.handlers.keys().map(|name| &**name).collect();
        names.sort_unstable();
        f.debug_struct("Requests").field("commands", &names).finish_non_exhaustive()
    }
}
