//! HTTP clients, in the simulated kernel and on loopback: against skyring's server, against servers that
//! others wrote, and against scripts that say what no server should.
#![cfg(feature = "http")]

#[path = "../common/mod.rs"]
mod common;

mod malformed;
mod pool;
mod redirects;
mod requests;
mod secure;
mod servers;
mod support;
mod time;
mod weather;
