//! What a server usually needs: `use skyring::prelude::*;`.

pub use crate::{
    Agent, Backlog, Client, ClientId, Config, Disconnect, Engine, Error, Frame, Framing, Gate,
    Handle, LengthPrefix, Local, Result, Within, sleep, spawn, stopping, within,
};
