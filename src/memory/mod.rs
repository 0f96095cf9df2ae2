//! What a core keeps in memory: tables and timers.

pub(crate) mod slots;
pub(crate) mod wheel;
