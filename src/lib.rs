//! skyring: a network engine for latency-critical servers on Linux.

mod clock;
pub mod config;
pub mod doctor;
mod driver;
mod error;
mod gate;
mod guard;
pub mod limit;
mod memory;
pub mod net;
pub mod prelude;
mod reactor;
#[cfg(feature = "servers")]
pub mod servers;
pub mod service;
pub mod sim;
pub mod wire;

pub use config::Config;
pub use driver::operation::SocketAddress;
pub use error::{Error, Result, SendError};
pub use gate::{Agent, Client, ClientId, Disconnect, Gate, GateBuilder, Listen};
pub use memory::chain::Payload;
pub use memory::frame::Frame;
pub use net::output::Backlog;
pub use reactor::blocking::{Saturated, blocking};
pub use reactor::engine::{Engine, Handle, Stopper};
pub use reactor::shared::Core;
pub use reactor::{
    Elapsed, JoinError, JoinHandle, Metrics, Sleep, Within, ban, now, random, sleep, spawn,
    stopping, unban, within,
};
pub use service::{Address, Context, Local, Reply, Service, Undelivered};
pub use wire::{Framing, LengthPrefix};
