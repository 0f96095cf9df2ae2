//! Sockets: listeners, streams and datagrams, usable in any task of a core.

pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod output;
