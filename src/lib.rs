//! skyring: a network engine for latency-critical servers on Linux.
#![allow(dead_code)]

mod clock;
mod driver;
mod memory;
pub mod wire;

pub use memory::chain::Payload;
pub use memory::frame::Frame;
