//! The echo server the long way, as Skynet's examples have it: a gate, a watchdog that makes an
//! agent for each client and has the gate forward it, and agents that are services.

use skyring::prelude::*;
use skyring::{GateCommand, GateEvent};

/// The engine, not yet started.
pub(super) fn engine(config: Config, listen: &str, framing: Framing) -> Engine {
    Engine::new(config).gate(listen, Gate::framed(framing).watchdog(|_core| Watchdog))
}

struct Watchdog;

struct Message(GateEvent);

impl From<GateEvent> for Message {
    fn from(event: GateEvent) -> Message {
        Message(event)
    }
}

impl Service for Watchdog {
    type Message = Message;

    async fn handle(&mut self, Message(event): Message, cx: &Context<Self>) -> Result<()> {
        if let GateEvent::Connect { client, gate, .. } = event {
            let agent = cx.spawn(Agent)?.id();
            gate.send(GateCommand::Forward { client, agent })?;
        }
        Ok(())
    }
}

struct Agent;

impl Service for Agent {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            client.send(frame)?;
        }
        Ok(())
    }

    async fn disconnected(&mut self, _: &Client, _: Disconnect, cx: &Context<Self>) -> Result<()> {
        cx.stop();
        Ok(())
    }
}
