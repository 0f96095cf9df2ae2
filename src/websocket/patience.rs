//! How long a message may take that a peer has begun.
//!
//! ```text
//!   begun, and a reader waits for the rest ──▶ since ──a piece comes, nobody waits──▶ waited, in all
//!                                                └── waited > message_time + bytes / rate: 1008
//! ```
//! Only a wait counts, so a reader that is busy makes no peer late. A message that comes whole costs a
//! store.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Now;

/// No moment.
pub(super) const NEVER: Now = Now::from_nanos(u64::MAX);

/// What has been waited for the message that has begun.
pub(super) struct Patience {
    since: Cell<Now>,
    /// Before that.
    waited: Cell<Duration>,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { since: Cell::new(NEVER), waited: Cell::new(Duration::ZERO) }
    }
}

impl Patience {
    /// The next message has all the time.
    #[inline]
    pub(super) fn renew(&self) {
        self.waited.set(Duration::ZERO);
    }

    /// A reader waits for the rest, if it did not before.
    pub(super) fn begin(&self, now: Now) {
        if self.since.get() == NEVER {
            self.since.set(now);
        }
    }

    /// Some of it has come, or nobody waits any more.
    #[inline]
    pub(super) fn end(&self, now: impl FnOnce() -> Now) {
        let since = self.since.replace(NEVER);
        if since != NEVER {
            self.waited.set(self.waited.get() + now().since(since));
        }
    }

    /// When all of `time` will have been waited; never, while nobody waits.
    pub(super) fn due(&self, time: Duration) -> Now {
        match self.since.get() {
            NEVER => NEVER,
            since => since + time.saturating_sub(self.waited.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_one_message_add_up_and_the_next_has_its_own() {
        let at = |seconds| Now::START + Duration::from_secs(seconds);
        let (patience, time) = (Patience::default(), Duration::from_secs(30));
        assert_eq!(patience.due(time), NEVER);
        patience.begin(at(10));
        patience.begin(at(20)); // a wake for nothing
        assert_eq!(patience.due(time), at(40));
        patience.end(|| at(25));
        patience.end(|| at(99));
        assert_eq!(patience.due(time), NEVER, "the reader is busy");
        patience.begin(at(100));
        assert_eq!(patience.due(time), at(115));
        patience.end(|| at(110));
        patience.renew();
        patience.begin(at(200));
        assert_eq!(patience.due(time), at(230));
        assert_eq!(patience.due(Duration::MAX), NEVER);
    }
}
