//! Where received and outgoing bytes live, and the tables and timers of a core.

pub(crate) mod chain;
pub(crate) mod envelope;
pub(crate) mod frame;
pub(crate) mod pool;
pub(crate) mod queue;
mod returns;
pub(crate) mod shared;
pub(crate) mod slots;
pub(crate) mod sync;
pub(crate) mod wheel;
