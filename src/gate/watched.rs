//! The standard gate: leaves its clients to a watchdog, which may be on another core, and does what
//! that says.

use std::rc::Rc;

use bytes::Bytes;

use super::server::{GateContext, GateServer};
use crate::client::{Client, ClientId, Disconnect, Frames};
use crate::driver::operation::SocketAddress;
use crate::error::Result;
use crate::net::output::Backlog;
use crate::service::{Address, Service, ServiceId};

/// What a watchdog hears of its gates.
#[derive(Debug)]
#[non_exhaustive]
pub enum GateEvent {
    /// A client was accepted. It is parked: nothing is read of it before [`GateCommand::Accept`] or
    /// [`GateCommand::Forward`].
    Connect {
        /// The client.
        client: ClientId,
        /// Where it connects from; none if it was gone before the gate asked.
        peer: Option<SocketAddress>,
        /// Where commands about it go.
        gate: Address<GateCommand>,
    },
    /// A frame of a client that was accepted and has no agent. A copy of its own up to 1 KiB.
    Message(ClientId, Bytes),
    /// A client that has no agent reads too slowly, or has caught up.
    Warning(ClientId, Backlog),
    /// A client is gone, in order; one that was forwarded, too.
    Disconnect(ClientId),
    /// A client is gone, and not in order.
    Error(ClientId, Disconnect),
}

/// What a gate does for its watchdog, with its own clients and with those that it has forwarded.
/// What is said of a client that is gone does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateCommand {
    /// Reads what the client sends; its frames go to the watchdog.
    Accept(ClientId),
    /// Gives the client to a service, with what it has sent already.
    Forward {
        /// The client.
        client: ClientId,
        /// Who has it from now on.
        agent: ServiceId,
    },
    /// Gives all clients that come from now on to one service, at once.
    Broker(ServiceId),
    /// Closes the connection after what is queued has left.
    Close(ClientId),
    /// Closes the connection at once.
    Kick(ClientId),
    /// Accepts no more clients on the gate's core.
    CloseGate,
}

/// Finds the watchdog of a core's gate when that opens.
pub(super) trait FindWatchdog<M>: 'static {
    fn find<G: GateServer>(
        &self,
        gate: &GateContext<'_, G>,
    ) -> impl Future<Output = Result<Address<M>>>;
}

/// The standard gate on one core.
pub(super) struct Watched<M, F> {
    find: F,
    watchdog: Option<Address<M>>,
    broker: Option<ServiceId>,
}

impl<M: From<GateEvent> + Send + 'static, F: FindWatchdog<M>> Watched<M, F> {
    pub(super) fn new(find: F) -> Watched<M, F> {
        Watched { find, watchdog: None, broker: None }
    }

    fn watchdog(&self) -> Address<M> {
        self.watchdog.expect("found when the gate opened")
    }

    /// Tells the watchdog what it must know, however full its mailbox is: each client has a
    /// beginning and an end. Whether it lives, as far as is known here.
    fn insist(&self, event: GateEvent) -> bool {
        self.watchdog().insist(M::from(event))
    }
}

impl<M: From<GateEvent> + Send + 'static, F: FindWatchdog<M>> GateServer for Watched<M, F> {
    type Command = GateCommand;

    async fn open(&mut self, gate: &GateContext<'_, Self>) -> Result<()> {
        let watchdog = self.find.find(gate).await?;
        gate.link(watchdog); // without it the gate is of no use, and is started again
        self.watchdog = Some(watchdog);
        Ok(())
    }

    async fn connect(&mut self, client: &Client, gate: &GateContext<'_, Self>) -> Result<()> {
        if let Some(broker) = self.broker
            && client.forward(broker).is_ok()
        {
            return Ok(());
        }
        let (peer, gate) = (client.peer().cloned(), gate.address());
        if !self.insist(GateEvent::Connect { client: client.id(), peer, gate }) {
            tracing::warn!(client = %client.id(), "closed: the gate's watchdog has ended");
            client.abandon();
        }
        Ok(())
    }

    async fn message(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            let event = GateEvent::Message(client.id(), frame.into_bytes());
            if let Err(error) = self.watchdog().send(M::from(event)) {
                tracing::warn!(client = %client.id(), %error, "the watchdog takes no message");
                client.close();
                break;
            }
        }
        Ok(())
    }

    async fn disconnect(&mut self, client: ClientId, _: &GateContext<'_, Self>) -> Result<()> {
        self.insist(GateEvent::Disconnect(client));
        Ok(())
    }

    async fn error(
        &mut self,
        client: ClientId,
        why: Disconnect,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        self.insist(GateEvent::Error(client, why));
        Ok(())
    }

    async fn warning(
        &mut self,
        client: &Client,
        backlog: Backlog,
        _: &GateContext<'_, Self>,
    ) -> Result<()> {
        // The next one says as much: this one may be lost.
        let _ = self.watchdog().send(M::from(GateEvent::Warning(client.id(), backlog)));
        Ok(())
    }

    async fn command(&mut self, command: GateCommand, gate: &GateContext<'_, Self>) -> Result<()> {
        match command {
            GateCommand::Accept(client) => client.open(),
            GateCommand::Forward { client, agent } => client.forward(agent),
            GateCommand::Broker(service) => self.broker = Some(service),
            GateCommand::Close(client) => client.close(),
            GateCommand::Kick(client) => client.kick(),
            GateCommand::CloseGate => gate.close(),
        }
        Ok(())
    }
}

/// A watchdog of the core's own, made beside its gate.
pub(super) struct Beside<W>(pub(super) Rc<dyn Fn() -> W>);

impl<W: Service<Message: From<GateEvent>>> FindWatchdog<W::Message> for Beside<W> {
    async fn find<G: GateServer>(&self, gate: &GateContext<'_, G>) -> Result<Address<W::Message>> {
        Ok(gate.spawn((self.0)())?)
    }
}

/// A watchdog that somebody finds.
pub(super) struct Found<F>(pub(super) F);

impl<M, F, R> FindWatchdog<M> for Found<F>
where
    F: Fn() -> R + 'static,
    R: Future<Output = Result<Address<M>>>,
    M: 'static,
{
    async fn find<G: GateServer>(&self, _: &GateContext<'_, G>) -> Result<Address<M>> {
        (self.0)().await
    }
}
