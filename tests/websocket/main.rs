//! WebSockets on loopback and in the simulated kernel, by clients and servers that others wrote.
#![cfg(all(feature = "deflate", feature = "tls"))]

#[path = "../common/mod.rs"]
mod common;

mod autobahn;
mod clients;
mod echo;
mod ends;
mod handlers;
mod limits;
mod pieces;
mod storms;
mod support;
mod trickle;
