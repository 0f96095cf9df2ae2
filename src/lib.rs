//! skyring: a network engine for latency-critical servers on Linux.
//!
//! One reactor thread a core, on io_uring. Each core accepts its own connections and keeps them; a
//! client has an **agent** on that core, and what several clients share lives in **services**, which
//! are reached by messages. The programming model is
//! [Skynet](https://github.com/cloudwu/skynet)'s.
//!
//! An echo server: a gate cuts what comes into frames, and makes an [`Agent`] for each client.
//!
//! ```no_run
//! use skyring::prelude::*;
//!
//! struct Echo;
//!
//! impl Agent for Echo {
//!     async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
//!         client.send(frame) // never suspends; everything of a turn leaves in one send
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     Engine::new(Config::from_env()?)
//!         .gate("0.0.0.0:8888", Gate::framed(LengthPrefix::U16).agent(|_client| Echo))
//!         .run() // until SIGINT or SIGTERM: drains, then returns
//! }
//! ```
//!
//! A service: state of its own, one message at a time, called from anywhere. It runs here in the
//! simulated kernel; in a server it is spawned in a set-up hook, by an agent, or by another service.
//!
//! ```
//! use skyring::prelude::*;
//! use skyring::sim::Simulation;
//!
//! struct Counter(u64);
//!
//! enum Message {
//!     Add(u64),
//!     Get(Reply<u64>),
//! }
//!
//! impl Service for Counter {
//!     type Message = Message;
//!
//!     async fn handle(&mut self, message: Message, _: &Context<Self>) -> Result<()> {
//!         match message {
//!             Message::Add(n) => self.0 += n,
//!             Message::Get(reply) => reply.send(self.0),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     Simulation::new(1).run(async {
//!         let counter = service::spawn(Counter(0))?;
//!         counter.send(Message::Add(2))?;
//!         assert_eq!(counter.call(Message::Get).await?, 2);
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! # Where things are
//!
//! | for | see |
//! |---|---|
//! | starting and stopping, on which cores, hooks at the start | [`Engine`], [`Handle`], [`Stopper`] |
//! | a client for each connection, framed | [`Gate`], [`Agent`], [`Client`], [`Frame`] |
//! | gates the long way, clients of any service | [`GateServer`], [`GateEvent`], [`GateCommand`], [`Frames`], [`ClientId`], and docs/GATE.md |
//! | messages, calls, names, groups, supervision | [`service`] |
//! | typed requests of JSON | [`requests`] |
//! | HTTP servers and clients | [`http`] |
//! | WebSocket, servers and clients | [`websocket`] |
//! | TLS for gates, HTTP and streams | [`tls`] |
//! | hyper on these streams: HTTP/2, gRPC | [`compat`] |
//! | sockets in any task: TCP, Unix, datagrams | [`net`] |
//! | login, and sessions that outlive connections | [`loginserver`], [`msgserver`], [`login`] |
//! | framing by hand, and framings of your own | [`wire`], [`wire::Codec`], [`net::Framed`], and docs/CODECS.md |
//! | JSON messages | [`json`] |
//! | files, and drivers written for tokio | [`lane`] |
//! | tasks and time | [`spawn`], [`sleep`], [`unix_time`], [`within`](fn@within), [`stopping`]; [`blocking`](fn@blocking) for what blocks |
//! | who may do how much: connections, rates, bans, proxies | [`limit`], [`GateBuilder`], and docs/LIMITS.md |
//! | knobs, from the program or the environment | [`config`], and docs/TUNING.md |
//! | what the engine has to say: refusals, failures, stalls | events of `tracing`, for the program's own subscriber |
//! | what a core does | [`Metrics`], by [`Handle::metrics_by_core`] |
//! | a server in bad weather, by seed | [`sim`] |
//! | whether this machine can run it | [`doctor`] |
//!
//! docs/SERVICES.md teaches services from the beginning, docs/GATE.md gates, watchdogs and agents,
//! docs/LOGIN.md login and resume. docs/SKYNET.md maps Skynet's words, docs/TUTORIAL.md has its
//! tutorial's listings, and docs/ARCHITECTURE.md says how all of it works and why.
//!
//! Other threads start and stop the engine, read its metrics, send to services
//! ([`Address::send`]) and answer them ([`Reply::send`]). Everything else runs on a core: in a hook
//! of [`Engine::setup`], a task, an agent or a service. What needs a reactor and finds none panics,
//! and says so.

mod client;
mod clock;
#[cfg(feature = "compat")]
pub mod compat;
pub mod config;
pub mod doctor;
mod driver;
mod error;
mod gate;
mod guard;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "lane")]
pub mod lane;
pub mod limit;
#[cfg(feature = "login")]
pub mod login;
#[cfg(feature = "login")]
pub mod loginserver;
mod memory;
#[cfg(feature = "login")]
pub mod msgserver;
pub mod net;
mod network;
pub mod prelude;
mod reactor;
#[cfg(feature = "json")]
pub mod requests;
#[cfg(feature = "servers")]
pub mod servers;
pub mod service;
pub mod sim;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "websocket")]
pub mod websocket;
pub mod wire;

pub use client::{Client, ClientId, Disconnect, Frames};
pub use config::Config;
pub use driver::operation::SocketAddress;
pub use error::{Error, Result, SendError};
pub use gate::{
    Agent, Gate, GateBuilder, GateCommand, GateContext, GateEvent, GateServer, Listen, Serving,
};
pub use memory::chain::Payload;
pub use memory::frame::Frame;
pub use net::output::Backlog;
pub use reactor::blocking::{Saturated, blocking};
pub use reactor::engine::{Engine, Handle, Stopper};
pub use reactor::fabric::FabricQueue;
pub use reactor::shared::Core;
pub use reactor::{
    Elapsed, JoinError, JoinHandle, Metrics, Sleep, Within, ban, core_metrics, now, random,
    random_bytes, sleep, spawn, stopping, unban, unix_time, within,
};
pub use service::{Address, Context, Local, Reply, Service, Undelivered};
pub use wire::{Framing, LengthPrefix};

// The examples of the pages are compiled, and run, as those of the code are.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/SERVICES.md")]
    struct Services;
    #[doc = include_str!("../docs/CODECS.md")]
    struct Codecs;
    #[doc = include_str!("../docs/GATE.md")]
    struct Gates;
    #[doc = include_str!("../docs/LIMITS.md")]
    struct Limits;
    #[cfg(feature = "login")]
    #[doc = include_str!("../docs/LOGIN.md")]
    struct Login;
    #[doc = include_str!("../docs/SKYNET.md")]
    struct Skynet;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/TUTORIAL.md")]
    struct Tutorial;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/REQUESTS.md")]
    struct Requests;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/CHAT.md")]
    struct Chat;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/HTTP.md")]
    struct Http;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/WEBSOCKET.md")]
    struct WebSocket;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/LANE.md")]
    struct Lane;
    #[cfg(feature = "compat")]
    #[doc = include_str!("../docs/HTTP2.md")]
    struct Http2;
    #[cfg(feature = "servers")]
    #[doc = include_str!("../docs/TLS.md")]
    struct Tls;
}
