//! skyring-load: load benchmarks for skyring and its peers.
//!
//! The generator shares no code with the library on purpose: a bug cannot hide on both sides of
//! the socket. From the bottom up:
//!
//! ```text
//! error units                    words for what went wrong; `10s`, `50k`
//! framing payload schedule       bytes and times, no socket and no clock
//! latency timeline               what was measured
//! protocol                       how a request is written, how an answer is found and checked
//! sys                            the one file with unsafe: the ring and the child's set-up
//! cpu process                    who used how much CPU; a server as a child process
//! generator                      connections driven open or closed loop, in slices
//! machine plot progress          what a report says of the machine; SVG; the live line
//! measure                        one run from its server to its verdict and report
//! echo http websocket chat calibrate compare serve   the sub-commands
//! ```

pub mod calibrate;
pub mod chat;
pub mod compare;
pub mod cpu;
pub mod echo;
pub mod error;
pub mod framing;
pub mod generator;
pub mod http;
pub mod latency;
pub mod machine;
pub mod measure;
pub mod payload;
pub mod plot;
pub mod process;
pub mod progress;
pub mod protocol;
pub mod schedule;
pub mod serve;
pub mod sys;
pub mod timeline;
pub mod units;
pub mod websocket;
