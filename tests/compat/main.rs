//! hyper's servers and clients on skyring's streams: HTTP/2 and HTTP/1.1, against each other, curl and
//! h2load, on loopback and in the simulated kernel.
#![cfg(feature = "compat")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod hyper_to_hyper;
mod support;
