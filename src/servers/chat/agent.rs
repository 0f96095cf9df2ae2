//! The agent: a service for each client of a framed connection. All that a chat has to do with
//! connections is on this page.

use std::rc::Rc;

use bytes::Bytes;

use super::event::Event;
use super::hub::{Claim, Outlet};
use super::limits::Limits;
use super::talker::{Over, Talker};
use crate::Frames;
use crate::prelude::*;
use crate::service::Down;

/// The gate's service on a core: makes an agent for each client.
pub(super) struct Porter {
    pub(super) limits: Limits,
}

impl Service for Porter {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, cx: &Context<Self>) -> Result<()> {
        let agent = Agent { limits: self.limits, talker: None };
        if cx.spawn(agent).map_or(true, |agent| client.forward(agent).is_err()) {
            client.close();
        }
        Ok(())
    }

    async fn frames(&mut self, client: &Client, _: Frames, _: &Context<Self>) -> Result<()> {
        client.close(); // it has no agent
        Ok(())
    }
}

/// Serves one client.
struct Agent {
    limits: Limits,
    talker: Option<Talker>,
}

/// The way to a client: an object a frame. A client that is gone is none of the sender's business.
fn outlet(client: Client) -> Outlet {
    Rc::new(move |event: &Bytes| drop(client.send(event.clone())))
}

fn claim(id: ClientId) -> Claim {
    Box::new(move || id.here().map(outlet))
}

impl Agent {
    fn end_on(over: Result<(), Over>, cx: &Context<Self>) {
        if over.is_err() {
            cx.stop(); // what is queued leaves before the connection closes
        }
    }
}

impl Service for Agent {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, cx: &Context<Self>) -> Result<()> {
        let (outlet, id) = (outlet(client.clone()), client.id());
        match Talker::enter(self.limits, outlet, || claim(id), cx).await {
            Ok(talker) => self.talker = Some(talker),
            Err(Over) => cx.stop(),
        }
        Ok(())
    }

    async fn frames(&mut self, _: &Client, mut frames: Frames, cx: &Context<Self>) -> Result<()> {
        let Some(talker) = &mut self.talker else { return Ok(()) };
        while let Some(frame) = frames.next().await {
            let heard = talker.hear(&frame, cx).await;
            if heard.is_err() {
                Agent::end_on(heard, cx);
                break;
            }
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        if let Some(talker) = &mut self.talker {
            Agent::end_on(talker.down(&down), cx);
        }
        Ok(())
    }

    /// The room, the hub and the registry of names hear of this agent's end.
    async fn disconnected(
        &mut self,
        client: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> Result<()> {
        let last_word = match why {
            Disconnect::Malformed(error) => Event::error("bad_frame", error.to_string()),
            Disconnect::TooFast(retry) => Event::error("too_fast", retry.to_string()),
            Disconnect::Silent => Event::error("silent", "no command came in time"),
            _ => Bytes::new(),
        };
        if !last_word.is_empty() {
            let _ = client.send(last_word); // it may be gone
        }
        cx.stop();
        Ok(())
    }
}
