//! A bucket of tokens: what one client, or one key, may still do now.
//!
//! ```text
//!   a cost ──►  debt  ──► drains by `count` tokens each `period`, down to nothing
//!                │
//!              burst    what would pass it is refused, and told when it would fit
//! ```
//! The debt is counted in parts of a token so fine that each nanosecond drains a whole number of
//! them: a token is `period` parts (in nanoseconds), and a nanosecond drains `count`. So nothing is
//! rounded and nothing drifts, however often a bucket is asked and however odd the rate.

use std::fmt;
use std::time::Duration;

use crate::clock::Now;
use crate::config::Settings;

/// How much a bucket lets through.
///
/// ```
/// use skyring::limit::Limit;
/// use std::time::Duration;
///
/// let chat = Limit::per_second(20, 60); // 20 a second, 60 at once
/// let logins = Limit::new(5, Duration::from_secs(60), 3); // 5 a minute, 3 at once
/// assert!(!chat.is_unlimited() && !logins.is_unlimited());
/// assert!(Limit::per_second(0, 0).is_unlimited());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Parts that a nanosecond drains; none is no limit.
    count: u32,
    /// Parts of a token.
    period: u64,
    /// Parts that the debt may reach.
    capacity: u64,
}

impl Limit {
    /// Lets everything through.
    pub const UNLIMITED: Limit = Limit { count: 0, period: 1, capacity: 0 };

    /// `count` tokens each `period`, and `burst` at once. A `count` of 0 is no limit, a `burst` of 0
    /// as many as `count`.
    ///
    /// # Panics
    /// When the period is zero, or a whole burst of single tokens would last longer than 584 years.
    pub const fn new(count: u32, period: Duration, burst: u32) -> Limit {
        if count == 0 {
            return Limit::UNLIMITED;
        }
        let burst = if burst == 0 { count } else { burst };
        let parts = period.as_nanos();
        assert!(parts > 0, "a rate has a period");
        let capacity = parts.saturating_mul(burst as u128);
        assert!(capacity <= u64::MAX as u128, "the period times the burst is at most 584 years");
        Limit { count, period: parts as u64, capacity: capacity as u64 }
    }

    /// `rate` tokens a second, and `burst` at once, zeros as for [`Limit::new`].
    pub const fn per_second(rate: u32, burst: u32) -> Limit {
        Limit::new(rate, Duration::from_secs(1), burst)
    }

    /// What `SKYRING_RATE` and `SKYRING_BURST` allow one connection.
    pub const fn per_connection(settings: &Settings) -> Limit {
        Limit::per_second(settings.rate, settings.burst)
    }

    /// What `SKYRING_RATE_PER_IP` and `SKYRING_BURST_PER_IP` allow one address.
    pub const fn per_ip(settings: &Settings) -> Limit {
        Limit::per_second(settings.rate_per_ip, settings.burst_per_ip)
    }

    /// Whether everything is let through.
    pub const fn is_unlimited(&self) -> bool {
        self.count == 0
    }
}

/// The state of one bucket, 16 bytes; the [`Limit`] is held by whoever has many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Parts of tokens that were taken and have not come back by `at`.
    debt: u64,
    at: Now,
}

impl Bucket {
    /// A bucket that has everything yet to give.
    pub const FULL: Bucket = Bucket { debt: 0, at: Now::START };

    /// Takes `cost` tokens. A clock that goes back (that of another core may lag by a turn) gives
    /// nothing and takes nothing.
    ///
    /// # Errors
    /// There are not so many now; the bucket stays as it was.
    #[inline]
    pub fn take(&mut self, limit: &Limit, now: Now, cost: u32) -> Result<(), RetryAfter> {
        if limit.is_unlimited() {
            return Ok(());
        }
        let cost = u64::from(cost).checked_mul(limit.period);
        let Some(room) = cost.and_then(|cost| limit.capacity.checked_sub(cost)) else {
            return Err(RetryAfter(None));
        };
        let debt = self.debt_at(limit, now);
        if debt > room {
            let wait = Duration::from_nanos((debt - room).div_ceil(u64::from(limit.count)));
            return Err(RetryAfter(Some(self.at.since(now).saturating_add(wait))));
        }
        *self = Bucket { debt: debt + (limit.capacity - room), at: now.max(self.at) };
        Ok(())
    }

    /// Whether all has come back: such a bucket is as good as a new one.
    #[inline]
    pub fn is_full(&self, limit: &Limit, now: Now) -> bool {
        self.debt_at(limit, now) == 0
    }

    /// What is still missing, in parts.
    #[inline]
    pub(super) fn debt_at(&self, limit: &Limit, now: Now) -> u64 {
        let gone = now.as_nanos().saturating_sub(self.at.as_nanos());
        // An overflow is more than any debt.
        self.debt.saturating_sub(gone.saturating_mul(u64::from(limit.count)))
    }
}

/// A bucket with its limit, for what lives in one place: a connection, a service. No lock.
///
/// ```
/// use skyring::limit::{Limit, Now, Rate};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), skyring::limit::RetryAfter> {
/// let start = Now::from_nanos(0);
/// let mut rate = Rate::new(Limit::per_second(10, 2));
/// rate.take(start, 1)?;
/// rate.take(start, 1)?;
/// let refused = rate.take(start, 1).unwrap_err();
/// assert_eq!(refused.duration(), Some(Duration::from_millis(100)));
/// rate.take(start + Duration::from_millis(100), 1)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    limit: Limit,
    bucket: Bucket,
}

impl Rate {
    /// A full bucket of this limit.
    pub const fn new(limit: Limit) -> Rate {
        Rate { limit, bucket: Bucket::FULL }
    }

    /// Takes `cost` tokens.
    ///
    /// # Errors
    /// There are not so many now; nothing is taken.
    #[inline]
    pub fn take(&mut self, now: Now, cost: u32) -> Result<(), RetryAfter> {
        self.bucket.take(&self.limit, now, cost)
    }
}

/// A rate is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(Option<Duration>);

impl RetryAfter {
    /// After how long the same would be allowed, if nothing else is taken until then; `None` when
    /// it costs more than a whole burst, and so will never be.
    pub fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "the rate is used up for {after:?}"),
            None => f.write_str("it costs more than the rate's burst"),
        }
    }
}

impl std::error::Error for RetryAfter {}

#[cfg(test)]
mod tests;
