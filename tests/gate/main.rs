//! The gate, the long way: its handlers, clients that are handed on, and watchdogs.

mod forward;
mod handlers;
mod moving;
mod support;
mod watchdog;
