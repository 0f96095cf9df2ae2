//! WebSockets on loopback and in the simulated kernel, by clients and servers that others wrote.
#![cfg(feature = "websocket")]

#[path = "../common/mod.rs"]
mod common;

mod autobahn;
mod echo;
mod handlers;
mod support;
