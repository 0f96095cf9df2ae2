//! The lane: drivers of tokio, files, bounds, panics, and its end.

#![cfg(feature = "lane")]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod drivers;
mod end;
