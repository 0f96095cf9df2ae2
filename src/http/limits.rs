//! What a peer may ask for, and for how long.

use std::time::Duration;

use crate::wire::http::HeadLimits;

/// The limits of a server, each with what happens beyond it. A peer that passes one gets its status
/// and the connection closes.
///
/// ```
/// use skyring::http::{Limits, Router};
/// let router = Router::new().limits(Limits { body_bytes_max: 64 << 20, ..Limits::default() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of heads: 431, 414 and 501.
    pub head: HeadLimits,
    /// Bytes of a request's body: 413. Of a body that comes in chunks they are counted as it comes.
    pub body_bytes_max: u64,
    /// From a request's first byte to the end of its head: 408.
    pub head_time: Duration,
    /// Without a byte of the body while a handler waits for it: 408.
    pub body_time: Duration,
    /// From a whole head to the answer, while the handler does not wait for the peer: 503.
    pub answer_time: Duration,
    /// Without a request, of a fresh connection too: the connection closes.
    pub idle_time: Duration,
    /// In which the peer takes nothing of what waits for it: the connection is reset.
    pub write_time: Duration,
    /// Bytes a second below which a peer is too slow, on the whole: a body that a handler waits for
    /// has come, after `body_time` and a second for each so many of its bytes, or is refused with
    /// 408; an answer is taken, after `write_time` and as much, or the connection is reset. Without
    /// it a byte now and then would hold a place for ever. 0: as slow as it likes.
    pub rate_bytes_min: u32,
}

impl Limits {
    /// How long so many bytes may take.
    pub(super) fn time_of(&self, grace: Duration, bytes: u64) -> Duration {
        match self.rate_bytes_min {
            0 => Duration::MAX,
            rate => grace.saturating_add(Duration::from_secs(bytes / u64::from(rate))),
        }
    }
}

impl Default for Limits {
    /// Heads of 8 KiB, bodies of 1 MiB; 10 s for a head, 30 s for a body's next byte, an answer and
    /// a write, 60 s between requests; 500 bytes a second.
    fn default() -> Limits {
        Limits {
            head: HeadLimits::default(),
            body_bytes_max: 1 << 20,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            rate_bytes_min: 500,
        }
    }
}
