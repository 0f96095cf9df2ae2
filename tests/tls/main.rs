//! TLS on loopback and in the simulated kernel: against itself, against rustls on plain sockets, and
//! against clients that others wrote.
#![cfg(all(feature = "tls", feature = "http"))]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod endings;
mod moving;
mod program;
mod rates;
mod refusals;
mod streams;
mod support;
