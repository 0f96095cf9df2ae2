//! The long way: a gate of one's own, by the seven handlers that Skynet's `gateserver` has.

use std::fmt;
use std::future::ready;
use std::ops::Deref;
use std::rc::Rc;

use super::entrance::Entrance;
use crate::client::{Client, ClientId, Disconnect, Frames};
use crate::driver::operation::SocketAddress;
use crate::error::Result;
use crate::net::output::Backlog;
use crate::service::{Context, Down, Service};

/// Serves a gate by seven handlers, those of Skynet's `gateserver`. It is a service, one on each
/// core, which has the clients that this core accepts until it forwards them.
///
/// ```text
///   open ─▶ connect ─▶ message, warning ... ─▶ disconnect, or error
///                └ the client is parked: nothing is read of it before Client::open or forward
/// ```
/// A client that was forwarded sends its frames to its new service directly; the gate hears only of
/// its end. Whoever wants more of a service (to watch others, say) writes a
/// [`Service`] and gives it to [`GateBuilder::service`](super::GateBuilder::service).
///
/// ```
/// use skyring::prelude::*;
///
/// struct Greeter;
///
/// impl GateServer for Greeter {
///     type Command = ();
///
///     async fn connect(&mut self, client: &Client, _: &GateContext<'_, Self>) -> Result<()> {
///         client.open();
///         client.send("welcome")
///     }
///
///     async fn message(
///         &mut self,
///         client: &Client,
///         mut frames: Frames,
///         _: &GateContext<'_, Self>,
///     ) -> Result<()> {
///         while let Some(frame) = frames.next().await {
///             client.send(frame)?;
///         }
///         Ok(())
///     }
/// }
///
/// let gate = Gate::framed(LengthPrefix::U16).server(|_core| Greeter);
/// ```
pub trait GateServer: Sized + 'static {
    /// What other services send the gate; those that come from other cores must be `Send`.
    type Command: 'static;

    /// This core listens. The first call.
    ///
    /// # Errors
    /// An error ends the gate on this core: see [`GateBuilder::server`](super::GateBuilder::server).
    fn open(&mut self, gate: &GateContext<'_, Self>) -> impl Future<Output = Result<()>> {
        let _ = gate;
        ready(Ok(()))
    }

    /// A client was accepted. Its reads are off until [`Client::open`], or until it is forwarded.
    ///
    /// # Errors
    /// An error ends the gate on this core, and with it the connections of its clients.
    fn connect(
        &mut self,
        client: &Client,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>>;

    /// A client that the gate has sent something: all whole frames that had come by now. The gate
    /// serves nobody else on this core until this returns.
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn message(
        &mut self,
        client: &Client,
        frames: Frames,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>>;

    /// A client is gone, in order: one of the gate's, or one that it has forwarded.
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn disconnect(
        &mut self,
        client: ClientId,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, gate);
        ready(Ok(()))
    }

    /// A client is gone, and not in order: its connection broke, it broke the framing, it was too
    /// fast or too slow. It comes in place of [`disconnect`](GateServer::disconnect).
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn error(
        &mut self,
        client: ClientId,
        why: Disconnect,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, why, gate);
        ready(Ok(()))
    }

    /// A client of the gate reads too slowly, or has caught up.
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn warning(
        &mut self,
        client: &Client,
        backlog: Backlog,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (client, backlog, gate);
        ready(Ok(()))
    }

    /// A service that the gate watches has ended.
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn down(
        &mut self,
        down: Down,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (down, gate);
        ready(Ok(()))
    }

    /// Another service has sent a command.
    ///
    /// # Errors
    /// As [`connect`](GateServer::connect).
    fn command(
        &mut self,
        command: Self::Command,
        gate: &GateContext<'_, Self>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (command, gate);
        ready(Ok(()))
    }
}

/// What a gate's handlers can do besides: where it listens, and, by [`Deref`], all that a service
/// can do. `address()` is where its commands go.
pub struct GateContext<'a, G: GateServer> {
    cx: &'a Context<Serving<G>>,
    entrance: &'a Entrance,
}

impl<G: GateServer> GateContext<'_, G> {
    /// Where this core listens for the gate.
    pub fn listening(&self) -> Vec<SocketAddress> {
        self.entrance.addresses()
    }

    /// Accepts no more clients on this core. Those that are there stay.
    pub fn close(&self) {
        self.entrance.close();
    }

    /// Clients of this gate on all cores, forwarded ones among them.
    pub fn clients(&self) -> usize {
        self.entrance.clients()
    }
}

impl<G: GateServer> Deref for GateContext<'_, G> {
    type Target = Context<Serving<G>>;

    fn deref(&self) -> &Context<Serving<G>> {
        self.cx
    }
}

impl<G: GateServer> fmt::Debug for GateContext<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GateContext({:?})", self.cx)
    }
}

/// A [`GateServer`] as a service.
pub struct Serving<G> {
    gate: G,
    entrance: Rc<Entrance>,
}

impl<G: GateServer> Serving<G> {
    pub(super) fn new(gate: G, entrance: Rc<Entrance>) -> Serving<G> {
        Serving { gate, entrance }
    }

    /// The gate, and what its handlers are lent.
    fn lend<'a>(&'a mut self, cx: &'a Context<Self>) -> (&'a mut G, GateContext<'a, G>) {
        (&mut self.gate, GateContext { cx, entrance: &self.entrance })
    }

    async fn ended(&mut self, id: ClientId, why: Disconnect, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        match why.is_orderly() {
            true => gate.disconnect(id, &context).await,
            false => gate.error(id, why, &context).await,
        }
    }
}

impl<G> fmt::Debug for Serving<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

impl<G: GateServer> Service for Serving<G> {
    type Message = G::Command;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.open(&context).await
    }

    async fn handle(&mut self, command: G::Command, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.command(command, &context).await
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.down(down, &context).await
    }

    async fn connected(&mut self, client: &Client, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.connect(client, &context).await
    }

    async fn frames(&mut self, client: &Client, frames: Frames, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.message(client, frames, &context).await
    }

    async fn backlog(&mut self, client: &Client, how: Backlog, cx: &Context<Self>) -> Result<()> {
        let (gate, context) = self.lend(cx);
        gate.warning(client, how, &context).await
    }

    async fn disconnected(
        &mut self,
        client: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> Result<()> {
        self.ended(client.id(), why, cx).await
    }

    async fn gone(&mut self, client: ClientId, why: Disconnect, cx: &Context<Self>) -> Result<()> {
        self.ended(client, why, cx).await
    }

    fn kind() -> &'static str {
        std::any::type_name::<G>()
    }
}
