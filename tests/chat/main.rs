//! The chat server `skyring chat`: what each command answers, rooms over cores, bad weather by seed,
//! and stock clients.
#![cfg(feature = "servers")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod crowds;
mod names;
mod program;
mod rooms;
mod support;
mod weather;
