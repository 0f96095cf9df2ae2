//! The one seam to the kernel.

pub(crate) mod errno;
pub(crate) mod probe;
pub(crate) mod unavailable;
