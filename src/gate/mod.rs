//! The gate: listens, cuts what comes into frames, and gives each client an agent on the core where
//! its connection arrived.
//!
//! ```text
//!   connection ─▶ session: framing ─▶ mailbox ─▶ agent ─▶ client.send ─▶ send queue
//!                    ▲                   │
//!                    └── reads pause ◀───┘  when the agent lags
//! ```

mod agent;
mod client;

mod listen;
mod pace;
mod session;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

pub use self::agent::{Agent, Disconnect};
pub use self::client::{Client, ClientId};
pub use self::listen::Listen;

use self::listen::Door;
use crate::net::connection::Connection;
use crate::reactor::Reactor;
use crate::reactor::engine::Engine;
use crate::service::local::Local;
use crate::wire::Framing;

/// Makes the agent of a connection and starts it.
type Start = Arc<dyn Fn(Rc<Connection>) + Send + Sync>;

/// A gate without agents yet: how its clients' bytes are framed.
#[derive(Clone, Copy, Debug)]
#[must_use = "a gate without agents does nothing: call `agent`"]
pub struct GateBuilder {
    framing: Framing,
}

/// How a listener's clients are served.
#[derive(Clone)]
#[must_use = "a gate does nothing until an engine has it"]
pub struct Gate {
    framing: Framing,
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
        GateBuilder { framing: framing.into() }
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
    /// Gives each client an agent of its own, made by `make` on the client's core.
    pub fn agent<A, F>(self, make: F) -> Gate
    where
        A: Agent,
        F: Fn(&Client) -> A + Send + Sync + 'static,
    {
        self.agent_with(move |client, _| make(client))
    }

    /// As [`GateBuilder::agent`], for agents that hear their colleagues too: `make` gets the door
    /// by which messages reach the new agent, to hand on as it likes.
    pub fn agent_with<A, M, F>(self, make: F) -> Gate
    where
        A: Agent<M>,
        M: 'static,
        F: Fn(&Client, Local<M>) -> A + Send + Sync + 'static,
    {
        let framing = self.framing;
        let start = move |connection| session::start(connection, framing, &make);
        Gate { framing, start: Arc::new(start) }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl Engine {
    /// Listens on `listen` on each core and serves what comes by `gate`.
    ///
    /// Takes `"0.0.0.0:8888"`, `"[::1]:0"`, `"localhost:8888"`, `"unix:/run/chat.sock"`, or a
    /// socket that listens already (inherited from a supervisor, say).
    pub fn gate(self, listen: impl Into<Listen>, gate: Gate) -> Engine {
        let door = Door::new(listen.into());
        self.setup(move |core| {
            let start = gate.start.clone();
            door.open(&Reactor::current(), core, Rc::new(move |connection| start(connection)))
        })
    }
}
