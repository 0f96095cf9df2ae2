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

use bytes::Bytes;

pub use self::agent::Agent;
pub use self::listen::Listen;
pub use self::server::{GateContext, GateServer, Serving};
pub use self::watched::{GateCommand, GateEvent};

use self::attendant::Reception;
use self::entrance::{Entrance, Start};
use self::listen::Door;
use self::watched::{Beside, Found, Watched};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::limit::quota::Places;
use crate::limit::refusal::Words;
use crate::limit::{Network, Networks, Refusal};
use crate::net::handshake::Greet;
use crate::net::porter::Porter;
use crate::reactor::Reactor;
use crate::reactor::engine::Engine;
use crate::reactor::shared::Core;
use crate::service::{self, Address, Local, Service};
use crate::wire::Framing;

/// A gate that serves nobody yet: how its clients' bytes are framed, and how many there may be.
#[derive(Clone)]
#[must_use = "a gate does nothing before it is told who serves: `agent`, `server` or `service`"]
pub struct GateBuilder {
    framing: Framing,
    clients_max: u32,
    /// Other than those of the knob.
    proxies: Option<Arc<Networks>>,
    say: Option<Arc<dyn Fn(Refusal) -> Bytes + Send + Sync>>,
    /// Speaks the handshake of TLS.
    greet: Option<Arc<dyn Greet>>,
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
        let framing = framing.into();
        GateBuilder { framing, clients_max: u32::MAX, proxies: None, say: None, greet: None }
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

    /// The proxies whose connections begin with a PROXY header, version 1 or 2, in place of those of
    /// `SKYRING_PROXIES`; none, and no header is read.
    ///
    /// The header is read before the gate's service hears of the client, whose address is from then
    /// on the one that it says: for bans, limits and [`Client::peer`]. A proxy that speaks for itself
    /// (`LOCAL`, `UNKNOWN`) keeps its own. A connection of a proxy without a header, or with none in
    /// `SKYRING_HANDSHAKE` (5 s if that is off), is closed and counted (`proxy_errors`). From anybody
    /// else a header is what any bytes are: the client's.
    ///
    /// ```
    /// use skyring::{Gate, LengthPrefix};
    ///
    /// let balancers = ["10.0.0.0/8".parse()?, "fd00::/8".parse()?];
    /// let gate = Gate::framed(LengthPrefix::U16).proxies(balancers);
    /// # Ok::<(), skyring::limit::NetworkError>(())
    /// ```
    pub fn proxies(mut self, proxies: impl IntoIterator<Item = Network>) -> GateBuilder {
        self.proxies = Some(Arc::new(proxies.into_iter().collect()));
        self
    }

    /// What is said to a connection that is refused, and to a client that is sent away: the payload
    /// of one last frame, behind what is queued; empty is nothing. Without this nobody is told
    /// anything.
    ///
    /// At the door ([`Refusal::is_at_door`]) it is said if the socket takes it at once, and the
    /// connection is closed in order; `say` was asked when the gate was made, so that a flood costs no
    /// call of it. A client hears it behind what its service has sent last, unless `say` panics then.
    ///
    /// ```
    /// use skyring::Gate;
    ///
    /// let gate = Gate::line().on_refusal(|refusal| format!("ERROR {refusal}"));
    /// ```
    ///
    /// # Panics
    /// When what is said at the door is no frame of the gate's framing, or longer than
    /// [`DOOR_BYTES_MAX`](crate::limit::DOOR_BYTES_MAX) with its encoding.
    pub fn on_refusal<P: Into<Bytes>>(
        mut self,
        say: impl Fn(Refusal) -> P + Send + Sync + 'static,
    ) -> GateBuilder {
        self.say = Some(Arc::new(move |refusal| say(refusal).into()));
        drop(self.words()); // looks at what is said at the door
        self
    }

    /// Encrypts by TLS: whoever connects speaks the handshake first, within `SKYRING_HANDSHAKE` (10 s
    /// if that is off), and the gate's service hears of those that have. Others are closed and counted
    /// (`tls_failed`). What is said at the door ([`on_refusal`](GateBuilder::on_refusal)) comes before
    /// a handshake, so a gate with TLS says it to clients only.
    ///
    /// ```no_run
    /// use skyring::prelude::*;
    /// use skyring::tls;
    ///
    /// # fn example() -> Result<()> {
    /// let tls = tls::Server::from_pem_files("cert.pem", "key.pem")?;
    /// let gate = Gate::framed(LengthPrefix::U16).tls(&tls);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, server: &crate::tls::Server) -> GateBuilder {
        self.greet = Some(server.greet());
        self
    }

    fn words(&self) -> Option<Words> {
        let say = self.say.clone()?;
        Some(Words::new(self.framing, Box::new(move |refusal| say(refusal))))
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

    /// Leaves the clients to a watchdog, which gives them agents: Skynet's standard gate. Each core
    /// has a watchdog of its own, made by `make` beside the gate; it hears [`GateEvent`]s, and sends
    /// [`GateCommand`]s to the gate that told it of a client. The two end together, and are started
    /// again as by [`GateBuilder::server`].
    pub fn watchdog<W, F>(self, make: F) -> Gate
    where
        W: Service<Message: From<GateEvent> + Send>,
        F: Fn(&Core) -> W + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        self.server(move |core| {
            let (make, core) = (make.clone(), *core);
            Watched::new(Beside(Rc::new(move || make(&core))))
        })
    }

    /// As [`GateBuilder::watchdog`], with a watchdog that `find` finds when the gate opens on a
    /// core: one for all cores, say.
    ///
    /// ```no_run
    /// # use skyring::prelude::*;
    /// # use skyring::GateEvent;
    /// # #[derive(Default)]
    /// # struct Watchdog;
    /// # struct Message(GateEvent);
    /// # impl From<GateEvent> for Message { fn from(event: GateEvent) -> Self { Message(event) } }
    /// # impl Service for Watchdog {
    /// #     type Message = Message;
    /// #     async fn handle(&mut self, _: Message, _: &Context<Self>) -> Result<()> { Ok(()) }
    /// # }
    /// let gate = Gate::framed(LengthPrefix::U16).watchdog_with(|_core| async {
    ///     Ok(service::unique("watchdog", Watchdog::default).await?)
    /// });
    /// ```
    pub fn watchdog_with<M, F, R>(self, find: F) -> Gate
    where
        M: From<GateEvent> + Send + 'static,
        F: Fn(Core) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Address<M>>> + 'static,
    {
        let find = Arc::new(find);
        self.server(move |core| {
            let (find, core) = (find.clone(), *core);
            Watched::new(Found(move || find(core)))
        })
    }
}

impl fmt::Debug for GateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("GateBuilder");
        shown.field("framing", &self.framing).field("clients_max", &self.clients_max);
        shown.field("proxies", &self.proxies).finish_non_exhaustive()
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
        let places = Places::new(gate.builder.clients_max, gate.builder.words());
        self.setup(move |core| {
            let reactor = Reactor::current();
            let entrance = Entrance::new(gate.builder.framing, places.clone());
            let admit = entrance.clone();
            let of_knob = || Arc::new(reactor.settings.proxies.iter().copied().collect());
            let proxies = gate.builder.proxies.clone().unwrap_or_else(of_knob);
            let hand_on = move |connection, rest| admit.admit(&connection, rest);
            let porter = Porter::new(places.clone(), proxies, gate.builder.greet.clone(), hand_on);
            entrance.listen(door.open(&reactor, core, porter)?);
            entrance.staff(&gate.start, core).map_err(Error::from)
        })
    }
}
