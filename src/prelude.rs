//! What a server usually needs: `use skyring::prelude::*;`.
//!
//! Of services it holds what their handlers name, and the module [`service`] itself, so that
//! `service::spawn` (a service) and `spawn` (a task) can be told apart where they are called.

pub use crate::service::{self, Address, Context, Reply, Service};
pub use crate::{
    Agent, Backlog, Client, ClientId, Config, Disconnect, Engine, Error, Frame, Frames, Framing,
    Gate, GateContext, GateServer, Handle, LengthPrefix, Local, Result, Within, sleep, spawn,
    stopping, within,
};
