//! skyring: a network engine for latency-critical servers on Linux.

mod memory;

pub use memory::chain::Payload;
pub use memory::frame::Frame;
