//! Sockets as a user sees them: real peers in threads, on 127.0.0.1 port 0, with a deadline.

mod adapters;
mod connecting;
mod datagrams;
mod ending;
mod reading;
mod support;
mod unix;
mod weather;
mod writing;
