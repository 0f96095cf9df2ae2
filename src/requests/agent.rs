//! The agent that serves a client by a table of requests.

use std::sync::Arc;

use serde::Serialize;

use super::Requests;
use super::answer::{error, ok};
use crate::client::{Client, Disconnect};
use crate::error::Result;
use crate::gate::Agent;
use crate::memory::frame::Frame;

/// Serves one client by a table of handlers; [`Requests::agents`] makes them.
///
/// A client whose connection is ended for what it did (a broken framing, too many frames, nothing
/// sent) is told so in a last error object.
///
/// An agent that hears its colleagues, too, holds the table and calls it as this one does:
///
/// ```
/// use std::sync::Arc;
///
/// use skyring::prelude::*;
/// use skyring::requests::{self, Requests};
///
/// struct Member {
///     requests: Arc<Requests<State>>,
///     state: State,
/// }
///
/// #[derive(Default)]
/// struct State {
///     heard: u32,
/// }
///
/// impl Agent<u32> for Member {
///     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
///         self.requests.answer(&mut self.state, client, &frame).await
///     }
///
///     async fn message(&mut self, client: &Client, news: u32) -> Result<()> {
///         self.state.heard += 1;
///         requests::tell(client, &std::collections::BTreeMap::from([("news", news)]))
///     }
/// }
/// ```
#[derive(Debug)]
pub struct RequestAgent<A> {
    requests: Arc<Requests<A>>,
    state: A,
}

impl<A> RequestAgent<A> {
    pub(super) fn new(requests: Arc<Requests<A>>, state: A) -> RequestAgent<A> {
        RequestAgent { requests, state }
    }
}

impl<A: 'static> Agent for RequestAgent<A> {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        self.requests.answer(&mut self.state, client, &frame).await
    }

    async fn disconnected(&mut self, client: &Client, why: Disconnect) {
        let message = match why {
            Disconnect::Malformed(broken) => format!("Bad frame: {broken}"),
            Disconnect::TooFast(retry) => format!("Too many requests: {retry}"),
            Disconnect::Silent => "No request in time".to_owned(),
            _ => return,
        };
        let mut out = Vec::new();
        error(&message, &mut out);
        // It may be gone already.
        let _ = client.send(out);
    }
}

/// Sends `{"status":"ok", ...}` with the fields of `news`, unasked: a greeting, say.
///
/// # Errors
/// As [`Client::send`]; and when `news` is neither a struct nor a map nor `()`.
pub fn tell(client: &Client, news: &impl Serialize) -> Result<()> {
    let mut out = Vec::new();
    ok(news, &mut out)?;
    client.send(out)
}
