//! What a client is called.

use std::fmt;

use crate::memory::slots::Key;

/// Names a client among all that were ever accepted in this process. It stays the same when the
/// client is handed to another service or core, may be kept anywhere, and is never given to another
/// client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Of the connection on the core that accepted it.
    key: u64,
    engine: u8,
    core: u8,
}

impl ClientId {
    pub(crate) fn new(engine: u8, core: usize, key: Key) -> ClientId {
        let core = u8::try_from(core).expect("an engine has 256 cores at most");
        ClientId { key: key.to_u64(), engine, core }
    }

    /// The core that accepted it; it may be on another one by now.
    pub fn core(self) -> usize {
        usize::from(self.core)
    }

    pub(crate) fn engine(self) -> u8 {
        self.engine
    }

    pub(crate) fn key(self) -> Key {
        Key::from_u64(self.key)
    }
}

/// The core that accepted it, and its number there.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.core, self.key)
    }
}
