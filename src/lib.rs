//! skyring: a network engine for latency-critical servers on Linux.

pub mod config;
pub mod doctor;
mod driver;
