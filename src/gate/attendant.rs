//! The short way: each client gets an agent of its own, a service on the client's core.
//!
//! ```text
//!   accepted ─▶ Reception (a service a core) ─▶ spawn Attendant, hand it the client, turn reads on
//!                                                   └ Agent::frame, message, backlog, disconnected
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use super::agent::Agent;
use crate::client::{Client, ClientId, Disconnect, Frames};
use crate::error::{Error, Result};
use crate::net::output::Backlog;
use crate::reactor::Reactor;
use crate::service::{Context, Local, Service, belong};

/// Makes agents.
pub(super) trait Make<A, M>: Fn(&Client, Local<M>) -> A + Send + Sync + 'static {}

impl<A, M, F: Fn(&Client, Local<M>) -> A + Send + Sync + 'static> Make<A, M> for F {}

/// The service that a gate of agents gives its clients to, one a core.
pub(super) struct Reception<A, M, F> {
    make: Arc<F>,
    makes: PhantomData<fn(M) -> A>,
}

impl<A, M, F> Reception<A, M, F> {
    pub(super) fn new(make: Arc<F>) -> Reception<A, M, F> {
        Reception { make, makes: PhantomData }
    }
}

impl<A: Agent<M>, M: 'static, F: Make<A, M>> Service for Reception<A, M, F> {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, cx: &Context<Self>) -> Result<()> {
        let attendant = Attendant { make: self.make.clone(), serving: None, hears: PhantomData };
        let reactor = Reactor::current();
        let given = match cx.spawn(attendant) {
            Ok(agent) => belong::give(&reactor, client, agent),
            Err(error) => {
                tracing::warn!(client = %client.id(), %error, "a client gets no agent");
                false
            }
        };
        if given {
            client.open();
        } else {
            client.abandon();
        }
        Ok(())
    }

    async fn frames(&mut self, client: &Client, _: Frames, _: &Context<Self>) -> Result<()> {
        client.abandon(); // it has no agent
        Ok(())
    }
}

/// An agent as a service.
struct Attendant<A, M, F> {
    make: Arc<F>,
    serving: Option<(A, Client)>,
    hears: PhantomData<fn(M)>,
}

impl<A, M, F> Attendant<A, M, F> {
    fn serving(&mut self) -> (&mut A, &Client) {
        let (agent, client) = self.serving.as_mut().expect("its client comes before anything else");
        (agent, client)
    }
}

/// An agent that fails ends its connection, as it may; the log need not hear of each.
fn end_on_error<S: Service>(result: Result<(), Error>, client: &Client, cx: &Context<S>) {
    if let Err(error) = result {
        tracing::debug!(client = %client.id(), %error, "the agent ended the connection");
        cx.stop();
    }
}

impl<A: Agent<M>, M: 'static, F: Make<A, M>> Service for Attendant<A, M, F> {
    type Message = M;

    async fn connected(&mut self, client: &Client, cx: &Context<Self>) -> Result<()> {
        self.serving = Some(((self.make)(client, cx.local()), client.clone()));
        Ok(())
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep its arguments twice")]
    fn frames(
        &mut self,
        _: &Client,
        mut frames: Frames,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<()>> {
        async move {
            let (agent, client) = self.serving();
            // No `while let`: that would keep a place for the frame while it is handled.
            loop {
                let Some(frame) = frames.next().await else { return Ok(()) };
                if let Err(error) = agent.frame(client, frame).await {
                    end_on_error(Err(error), client, cx);
                    return Ok(());
                }
            }
        }
    }

    async fn handle(&mut self, message: M, cx: &Context<Self>) -> Result<()> {
        let (agent, client) = self.serving();
        end_on_error(agent.message(client, message).await, client, cx);
        Ok(())
    }

    async fn backlog(&mut self, _: &Client, backlog: Backlog, cx: &Context<Self>) -> Result<()> {
        let (agent, client) = self.serving();
        end_on_error(agent.backlog(client, backlog).await, client, cx);
        Ok(())
    }

    async fn disconnected(
        &mut self,
        _: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> Result<()> {
        let (agent, client) = self.serving();
        agent.disconnected(client, why).await;
        cx.stop();
        Ok(())
    }

    /// It has handed its client on.
    async fn gone(&mut self, _: ClientId, _: Disconnect, cx: &Context<Self>) -> Result<()> {
        cx.stop();
        Ok(())
    }

    fn kind() -> &'static str {
        std::any::type_name::<A>()
    }
}
