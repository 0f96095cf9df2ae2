//! The gate: listens, and gives each client to a service on the core where its connection arrived.
//!
//! ```text
//!   listener ─▶ Entrance: a place for the client ─▶ the gate's service on this core: connected
//!                                                      ├ Reception: an agent for each   the short way
//!                                                      ├ a GateServer's seven handlers   the long way
//!                                                      └ any service that hears clients
//! ```

mod agent;
mod attendant;
mod entrance;
pub(crate) mod listen;
mod server;
mod watched;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

pub use self::agent::Agent;
pub use self::listen::Listen;
pub use self::server::{GateContext, GateServer, Serving};
pub use self::watched::{GateCommand, GateEvent};

use self::attendant::Reception;
use self::entrance::{Entrance, Start};
use self::listen::Door;
use self::watched::Watched;
use crate::client::Client;
use crate::error::Error;
use crate::limit::quota::Places;
use crate::reactor::Reactor;
use crate::reactor::engine::Engine;
use crate::reactor::shared::Core;
use crate::service::{self, Address, Local, Service};
use crate::wire::Framing;

/// A gate that serves nobody yet: how its clients' bytes are framed, and how many there may be.
#[derive(Clone, Copy, Debug)]
#[must_use = "a gate does nothing before it is told who serves: `agent`, `server` or `service`"]
pub struct GateBuilder {
    framing: Framing,
    clients_max: u32,
}

/// How a listener's clients are served.
#[derive(Clone)]
#[must_use = "a gate does nothing until an engine has it"]
pub struct Gate {
    builder: GateBuilder,
    start: Start,
}

impl Gate {
    /// A gate whose clients send and receive frames.
    ///
    /// ```
    /// use skyring::{Gate, LengthPrefix};
    /// let gate = Gate::framed(LengthPrefix::U16);
    /// ```
    pub fn framed(framing: impl Into<Framing>) -> GateBuilder {
        GateBuilder { framing: framing.into(), clients_max: u32::MAX }
    }

    /// A gate for lines of text, each ended by LF or CR LF.
    pub fn line() -> GateBuilder {
        Gate::framed(Framing::Line)
    }

    /// A gate for bytes as they come; a frame is what one receive brought.
    pub fn raw() -> GateBuilder {
        Gate::framed(Framing::Raw)
    }
}

impl GateBuilder {
    /// Clients that there may be at once over all cores, those that were forwarded included. One
    /// more is refused, and counted (`refused_by_gate`). Without this only `SKYRING_CONNECTIONS_MAX`
    /// bounds them.
    ///
    /// # Panics
    /// When it is zero, or above `u32::MAX`.
    pub fn clients_max(mut self, clients_max: usize) -> GateBuilder {
        assert!(clients_max > 0, "a gate has room for one client at least");
        self.clients_max = u32::try_from(clients_max).expect("at most u32::MAX clients");
        self
    }

    /// Gives each client an agent of its own, made by `make` on the client's core.
    pub fn agent<A, F>(self, make: F) -> Gate
    where
        A: Agent,
        F: Fn(&Client) -> A + Send + Sync + 'static,
    {
        self.agent_with(move |client, _| make(client))
    }

    /// As [`GateBuilder::agent`], for agents that hear their colleagues too: `make` gets the door
    /// by which messages reach the new agent, to hand on as it likes. An agent is a service:
    /// [`Local::address`] is its address, for other cores.
    pub fn agent_with<A, M, F>(self, make: F) -> Gate
    where
        A: Agent<M>,
        M: 'static,
        F: Fn(&Client, Local<M>) -> A + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        self.service(move |_core| Reception::new(make.clone()))
    }

    /// Serves by the handlers of a [`GateServer`], made by `make` on each core.
    ///
    /// One that fails (a handler errs or panics) loses the clients that it has not forwarded, whose
    /// connections are closed; it is made anew a second later. One that stops itself in order closes
    /// the gate on its core.
    pub fn server<G, F>(self, make: F) -> Gate
    where
        G: GateServer,
        F: Fn(&Core) -> G + Send + Sync + 'static,
    {
        let start: Start = Arc::new(move |entrance, core| {
            Ok(service::spawn(Serving::new(make(core), entrance.clone()))?.id())
        });
        Gate { builder: self, start }
    }

    /// Gives the clients to a service, made by `make` on each core: any [`Service`] that hears
    /// clients by [`connected`](Service::connected) and [`frames`](Service::frames). A client is
    /// parked until [`Client::open`], or until it is forwarded. What fails is started again as by
    /// [`GateBuilder::server`].
    pub fn service<S, F>(self, make: F) -> Gate
    where
        S: Service,
        F: Fn(&Core) -> S + Send + Sync + 'static,
    {
        let start: Start = Arc::new(move |_, core| Ok(service::spawn(make(core))?.id()));
        Gate { builder: self, start }
    }

    /// Leaves the clients to a watchdog, which gives them agents: Skynet's standard gate. The
    /// watchdog is a service on any core; it hears [`GateEvent`]s, and sends [`GateCommand`]s to the
    /// gate that told it of a client.
    pub fn watchdog<M: From<GateEvent> + Send + 'static>(self, watchdog: Address<M>) -> Gate {
        self.server(move |_core| Watched::new(watchdog))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("framing", &self.builder.framing).finish_non_exhaustive()
    }
}

impl Engine {
    /// Listens on `listen` on each core and serves what comes by `gate`.
    ///
    /// Takes `"0.0.0.0:8888"`, `"[::1]:0"`, `"localhost:8888"`, `"unix:/run/chat.sock"`, or a
    /// socket that listens already (inherited from a supervisor, say).
    pub fn gate(self, listen: impl Into<Listen>, gate: Gate) -> Engine {
        let door = Door::new(listen.into());
        let places = Places::new(gate.builder.clients_max);
        self.setup(move |core| {
            let entrance = Entrance::new(gate.builder.framing, places.clone());
            let admit = entrance.clone();
            let on_accept = Rc::new(move |connection| admit.admit(&connection));
            entrance.listen(door.open(&Reactor::current(), core, on_accept)?);
            entrance.staff(&gate.start, core).map_err(Error::from)
        })
    }
}
