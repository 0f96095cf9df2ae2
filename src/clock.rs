//! The time as the driver gives it, once a turn.

use std::ops::Add;
use std::time::Duration;

/// A moment: nanoseconds since an arbitrary start, never going back.
///
/// In an engine only the driver makes one, once a turn, from the kernel's clock or from a simulated
/// one ([`now`](crate::now) is that of this turn); the rest gets it as an argument and reads no
/// clock. 64 bits last for 584 years, and all arithmetic saturates, so no deadline of a user wraps
/// into the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(u64);

impl Now {
    /// The arbitrary start.
    pub const START: Now = Now(0);

    /// So many nanoseconds after the start.
    pub const fn from_nanos(ns: u64) -> Now {
        Now(ns)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// What the timer wheel's ticks are counted from.
    pub(crate) const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time from `earlier` to this moment, zero when `earlier` is in fact the later.
    pub const fn since(self, earlier: Now) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Now {
    type Output = Now;

    /// The moment `delay` later; the end of time when that is beyond it.
    fn add(self, delay: Duration) -> Now {
        Now(u64::try_from(delay.as_nanos()).map_or(u64::MAX, |ns| self.0.saturating_add(ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_add_up_and_differ() {
        let then = Now::from_nanos(500);
        let now = then + Duration::from_micros(2);
        assert_eq!(now.as_nanos(), 2_500);
        assert_eq!(now.since(then), Duration::from_micros(2));
        assert_eq!(now.since_start(), Duration::from_nanos(2_500));
        assert!(then < now && Now::START < then);
    }

    #[test]
    fn arithmetic_ends_at_the_ends_instead_of_wrapping() {
        let last = Now::from_nanos(u64::MAX);
        assert_eq!(last + Duration::from_nanos(1), last);
        assert_eq!(Now::START + Duration::MAX, last);
        assert_eq!(Now::START.since(last), Duration::ZERO);
    }
}
