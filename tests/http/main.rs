//! HTTP servers on loopback and in the simulated kernel, by raw sockets and by clients that others
//! wrote.
#![cfg(feature = "http")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/events.rs"]
mod events;

mod access;
mod bodies;
mod clients;
mod files;
mod gunicorn;
mod limits;
mod paces;
mod requests;
mod smuggling;
mod stop;
mod storms;
mod support;
mod weather;
