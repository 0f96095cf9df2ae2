//! A wait for a peer to take what was written: as long as it takes something, and on the whole not too
//! slowly.

use crate::clock::Now;

use super::limits::Limits;

/// What moves while a peer takes something: bytes that the kernel has taken of ours, and those of them
/// that the peer has not taken of the kernel's.
type Progress = (u64, u32);

/// One such wait, looked at now and then.
pub(super) struct Push {
    began: Now,
    /// What the peer had taken then.
    taken: u64,
    mark: Progress,
    /// When it last moved.
    moved: Now,
}

fn taken((sent, unsent): Progress) -> u64 {
    sent.saturating_sub(u64::from(unsent))
}

impl Push {
    pub(super) fn new(now: Now, progress: Progress) -> Push {
        Push { began: now, taken: taken(progress), mark: progress, moved: now }
    }

    /// Whether the peer may have more time.
    pub(super) fn goes_on(&mut self, now: Now, progress: Progress, limits: &Limits) -> bool {
        if progress != self.mark {
            self.mark = progress;
            self.moved = now;
        }
        let bytes = taken(progress).saturating_sub(self.taken);
        let in_all = limits.time_of(limits.write_time, bytes);
        now.since(self.moved) < limits.write_time && now.since(self.began) < in_all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_peer_is_waited_for_as_long_as_it_goes_on_and_not_below_the_rate() {
        let limits = Limits { write_time: Duration::from_secs(30), ..Limits::default() };
        let at = |seconds| Now::START + Duration::from_secs(seconds);
        let mut still = Push::new(at(0), (1000, 1000));
        assert!(still.goes_on(at(29), (1000, 1000), &limits));
        assert!(!still.goes_on(at(30), (1000, 1000), &limits));
        // 500 bytes a second: each second of them buys one.
        let mut slow = Push::new(at(0), (100_000, 100_000));
        assert!((1..100).all(|now| slow.goes_on(
            at(now),
            (100_000, 100_000 - now as u32 * 500),
            &limits
        )));
        let mut dripping = Push::new(at(0), (100_000, 100_000));
        assert!((1..30).all(|now| dripping.goes_on(
            at(now),
            (100_000, 100_000 - now as u32),
            &limits
        )));
        assert!(!dripping.goes_on(at(30), (100_000, 99_970), &limits));
        let patient = Limits { rate_bytes_min: 0, ..limits };
        let mut dripping = Push::new(at(0), (100_000, 100_000));
        assert!((1..900).all(|now| dripping.goes_on(
            at(now),
            (100_000, 100_000 - now as u32),
            &patient
        )));
    }
}
