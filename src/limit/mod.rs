//! Limits of an engine: how often, how many, and who may not at all.
//!
//! Nothing here opens a socket or reads a clock: it takes bytes, addresses and the time. What one
//! connection may do lives with the connection ([`Rate`]), without a lock; what counts over all
//! cores is touched at accept, at close and at a check by key ([`Rates`], [`Bans`]), never for each
//! frame.

mod bans;
mod bucket;
mod prefixes;
pub(crate) mod quota;
mod ranges;
mod rates;
pub(crate) mod refusal;
#[cfg(test)]
mod seeds;

pub use self::bans::{Ban, Bans, BansFull, Networks};
pub use self::bucket::{Bucket, Limit, Rate, RetryAfter};
pub use self::prefixes::Prefixes;
pub use self::rates::Rates;
pub use self::refusal::{DOOR_BYTES_MAX, Refusal};
pub use crate::clock::Now;
pub use crate::network::{Network, NetworkError};
