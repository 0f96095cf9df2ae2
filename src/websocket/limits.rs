//! What a peer may send, and how long it may be silent.

use std::time::Duration;

use crate::wire::websocket::DecoderLimits;

/// The limits of a WebSocket, each with what happens beyond it.
///
/// ```
/// use skyring::websocket::{Limits, Options};
/// let options = Options::new().limits(Limits { message_bytes_max: 16 << 20, ..Limits::default() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, after decompression too: closed with 1009.
    pub message_bytes_max: usize,
    /// Frames of a message: closed with 1009.
    pub fragments_max: u32,
    /// How long a message may take that was begun, beside a second for each `rate_bytes_min` of it:
    /// closed with 1008. Only the time counts in which somebody reads.
    pub message_time: Duration,
    /// Bytes of a begun message a second, on the whole; without it a byte now and then would hold one
    /// for ever. 0: as slow as it likes.
    pub rate_bytes_min: u32,
    /// A peer that sends nothing for so long is pinged; zero: never.
    pub ping_interval: Duration,
    /// One that sends nothing for so long after a ping is gone: the connection is reset.
    pub pong_wait: Duration,
    /// In which the peer takes nothing of a message that is written in pieces: the connection is
    /// reset.
    pub write_time: Duration,
    /// A peer that does not answer a Close for so long: the connection is reset.
    pub close_wait: Duration,
}

impl Limits {
    /// How long a message may take of which so many bytes have come.
    pub(super) fn time_of(&self, bytes: usize) -> Duration {
        match self.rate_bytes_min {
            0 => Duration::MAX,
            rate => {
                let of_bytes = Duration::from_secs(bytes as u64 / u64::from(rate));
                self.message_time.saturating_add(of_bytes)
            }
        }
    }

    pub(super) fn decoder(&self) -> DecoderLimits {
        DecoderLimits {
            message_bytes_max: self.message_bytes_max,
            fragments_max: self.fragments_max,
        }
    }
}

impl Default for Limits {
    /// Messages of 1 MiB in 128 Ki frames, begun ones within 30 s and not below 500 bytes a second; a
    /// ping after 30 s, 30 s for its answer, as many for a peer that takes nothing, 5 s for a Close.
    fn default() -> Limits {
        let DecoderLimits { message_bytes_max, fragments_max } = DecoderLimits::default();
        Limits {
            message_bytes_max,
            fragments_max,
            message_time: Duration::from_secs(30),
            rate_bytes_min: 500,
            ping_interval: Duration::from_secs(30),
            pong_wait: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            close_wait: Duration::from_secs(5),
        }
    }
}
