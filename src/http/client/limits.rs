//! What a client allows its servers, and itself.

use std::time::Duration;

use crate::wire::http::HeadLimits;

/// The limits of a [`Client`](super::Client). What goes beyond one ends with an error that names it.
///
/// ```
/// use std::time::Duration;
/// use skyring::http::{Client, ClientLimits};
///
/// let client = Client::with(ClientLimits {
///     head_time: Duration::from_secs(5),
///     body_bytes_max: 1 << 30,
///     ..ClientLimits::default()
/// });
/// # let _ = client;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Of the heads of answers: bytes and fields.
    pub head: HeadLimits,
    /// Bytes of an answer's body, however it is read; of one that came compressed they are counted
    /// as they are unpacked.
    pub body_bytes_max: u64,
    /// Connections in all, those that wait for their next request included.
    pub connections_max: usize,
    /// Of them, to one origin: scheme, host and port.
    pub connections_per_origin_max: usize,
    /// Requests that wait for one of these connections.
    pub waiting_max: usize,
    /// Redirections that a request follows; 0: the answer that redirects is the answer.
    pub redirects_max: u32,
    /// Until a connection is there: one that is free, or a new one.
    pub connect_time: Duration,
    /// From the end of the request to the end of the answer's head.
    pub head_time: Duration,
    /// Without a byte of the body while somebody reads it.
    pub body_time: Duration,
    /// In which the server takes nothing of a request's body.
    pub write_time: Duration,
    /// A request in all, from its beginning to the end of its answer's body.
    pub whole_time: Duration,
    /// A connection without a request, until it closes.
    pub idle_time: Duration,
}

impl Default for ClientLimits {
    /// Heads of 16 KiB, bodies of 16 MiB; 256 connections, 64 to one origin, 1024 requests that wait
    /// for them; 10 redirections; 10 s to connect, 30 s for a head, a body's next byte and a write,
    /// 5 minutes in all; connections are kept for 30 s.
    fn default() -> ClientLimits {
        ClientLimits {
            head: HeadLimits { head_bytes_max: 16 * 1024, ..HeadLimits::default() },
            body_bytes_max: 16 << 20,
            connections_max: 256,
            connections_per_origin_max: 64,
            waiting_max: 1024,
            redirects_max: 10,
            connect_time: Duration::from_secs(10),
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            whole_time: Duration::from_secs(300),
            idle_time: Duration::from_secs(30),
        }
    }
}
