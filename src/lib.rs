//! skyring: a network engine for latency-critical servers on Linux.

// The reactor that uses the clock and the tables is yet to come.
#[allow(dead_code)]
mod clock;
#[allow(dead_code)]
mod memory;
pub mod wire;
