//! How rate and latency went over time, in a fixed number of buckets that are allocated
//! beforehand; so that a stall shows as a place, not only as a percentile.

use std::time::Duration;

/// Steps between two powers of two: a bucket's percentile is right within 6 %.
const STEPS: usize = 16;

/// Counters for times up to 2^36 ns, which is 68 s.
const COUNTERS: usize = 34 * STEPS;

/// How many buckets a run is cut into, at most.
const BUCKETS_MAX: u64 = 200;

/// The narrowest bucket.
const WIDTH_NS_MIN: u64 = 10_000_000;

/// Buckets by intended time.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    width_ns: u64,
    buckets: Vec<Bucket>,
}

/// What happened to the requests that were due in one span of time.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Requests due.
    pub due: u64,
    /// Requests of these that were answered, whenever.
    pub answered: u64,
    /// Answers that came in this span, to whatever request.
    pub came: u64,
    /// The longest response time.
    pub max_ns: u64,
    counters: Box<[u32; COUNTERS]>,
}

impl Timeline {
    /// Buckets for a run of `duration`.
    pub fn new(duration: Duration) -> Self {
        let total = duration.as_nanos() as u64;
        let width_ns = total.div_ceil(BUCKETS_MAX).max(WIDTH_NS_MIN);
        let count = total.div_ceil(width_ns).max(1) as usize;
        Self { width_ns, buckets: (0..count).map(|_| Bucket::new()).collect() }
    }

    /// How long a bucket is.
    pub fn width(&self) -> Duration {
        Duration::from_nanos(self.width_ns)
    }

    /// The buckets in order.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Counts a request that is due `at_ns` after the start.
    #[inline]
    pub fn due(&mut self, at_ns: u64) {
        self.bucket(at_ns).due += 1;
    }

    /// Counts the answer to a request that was due `at_ns` after the start.
    #[inline]
    pub fn answered(&mut self, at_ns: u64, response_ns: u64) {
        let bucket = self.bucket(at_ns);
        bucket.answered += 1;
        bucket.max_ns = bucket.max_ns.max(response_ns);
        bucket.counters[counter(response_ns)] += 1;
    }

    /// Counts an answer that came `at_ns` after the start.
    #[inline]
    pub fn came(&mut self, at_ns: u64) {
        self.bucket(at_ns).came += 1;
    }

    #[inline]
    fn bucket(&mut self, at_ns: u64) -> &mut Bucket {
        let last = self.buckets.len() - 1;
        &mut self.buckets[((at_ns / self.width_ns) as usize).min(last)]
    }
}

impl Bucket {
    fn new() -> Self {
        Self { due: 0, answered: 0, came: 0, max_ns: 0, counters: Box::new([0; COUNTERS]) }
    }

    /// The response time below which the share `quantile` of this bucket lies.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let mut left = ((self.answered as f64 * quantile).ceil() as u64).max(1);
        for (index, &count) in self.counters.iter().enumerate() {
            if u64::from(count) >= left {
                return Some(upper_edge(index).min(self.max_ns));
            }
            left -= u64::from(count);
        }
        None
    }
}

fn counter(ns: u64) -> usize {
    let ns = ns.max(STEPS as u64);
    let octave = ns.ilog2() as usize - STEPS.ilog2() as usize;
    let step = (ns >> octave) as usize - STEPS;
    (octave * STEPS + step).min(COUNTERS - 1)
}

fn upper_edge(counter: usize) -> u64 {
    let (octave, step) = (counter / STEPS, counter % STEPS);
    ((STEPS + step + 1) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_counter_that_holds_it() {
        for ns in (0..36).flat_map(|power| [1_u64 << power, (1 << power) + 1, (1 << power) * 3 / 2])
        {
            let edge = upper_edge(counter(ns));
            assert!(edge >= ns, "{ns} in a counter up to {edge}");
            assert!(edge <= ns.max(16) + ns.max(16) / 16 + 1, "{ns} in a counter up to {edge}");
        }
        assert_eq!(counter(u64::MAX), COUNTERS - 1);
    }

    #[test]
    fn a_stall_shows_in_its_bucket_only() {
        let mut timeline = Timeline::new(Duration::from_secs(1));
        for at_ms in 0..1000_u64 {
            let response = if (500..510).contains(&at_ms) { 5_000_000 } else { 20_000 };
            timeline.due(at_ms * 1_000_000);
            timeline.answered(at_ms * 1_000_000, response);
        }
        let buckets = timeline.buckets();
        assert_eq!(buckets.len(), 100);
        assert!(buckets.iter().all(|bucket| bucket.due == 10 && bucket.answered == 10));
        let stalled: Vec<usize> = (0..100).filter(|&i| buckets[i].max_ns > 1_000_000).collect();
        assert_eq!(stalled, [50]);
        assert_eq!(buckets[50].quantile(0.5), Some(5_000_000));
        assert!(buckets[0].quantile(0.5).is_some_and(|ns| (19_000..=20_000).contains(&ns)));
    }

    #[test]
    fn times_beyond_the_end_fall_into_the_last_bucket() {
        let mut timeline = Timeline::new(Duration::ZERO);
        timeline.due(u64::MAX);
        assert_eq!(timeline.buckets()[0].due, 1);
        assert_eq!(timeline.buckets()[0].quantile(0.5), None);
    }
}
