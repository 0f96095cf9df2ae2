//! What a chat allows.

use crate::limit::Limit;

/// The most that [`Limits::text_bytes_max`] may be: such a text fits a frame of 64 KiB however much
/// JSON has to escape.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The bounds of a chat. How many clients there may be at all, and what waits for one that does not
/// read, are the engine's: `SKYRING_CONNECTIONS_MAX`, `SKYRING_SEND_QUEUE_BYTES_MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands of one client: 10 a second, 30 at once. What is beyond is refused.
    pub commands: Limit,
    /// Bytes of what is said at once: 4096, at most [`TEXT_BYTES_MAX`].
    pub text_bytes_max: usize,
    /// Rooms at the same time: 1000.
    pub rooms_max: usize,
    /// Members of one room: 1000.
    pub members_max: usize,
    /// Messages that a room keeps for who comes later: 50.
    pub history_max: usize,
    /// Bytes of these messages, as they are sent: 64 KiB.
    pub history_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            commands: Limit::per_second(10, 30),
            text_bytes_max: 4096,
            rooms_max: 1000,
            members_max: 1000,
            history_max: 50,
            history_bytes_max: 64 * 1024,
        }
    }
}

impl Limits {
    /// # Panics
    /// When a text may be longer than [`TEXT_BYTES_MAX`], or there is room for nobody.
    pub(super) fn check(&self) {
        assert!(
            self.text_bytes_max <= TEXT_BYTES_MAX,
            "a text is of {TEXT_BYTES_MAX} bytes at most"
        );
        assert!(self.rooms_max > 0 && self.members_max > 0, "a chat has room for somebody");
    }
}
