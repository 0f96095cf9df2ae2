//! Limits of the engine, counted over all cores.

pub(crate) mod quota;
