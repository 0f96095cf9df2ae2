//! skyring: a network engine for latency-critical servers on Linux.

// The reactor that uses the clock is yet to come.
#[allow(dead_code)]
mod clock;
pub mod wire;
