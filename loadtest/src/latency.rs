//! Histograms of times, and the rule which of their percentiles may be told.

use hdrhistogram::Histogram;

/// The percentiles of every table, with their names in JSON.
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)];

/// A percentile is told only when at least this many samples lie beyond it.
pub const SAMPLES_BEYOND_MIN: u64 = 10;

/// The longest time that is told apart from longer ones: 60 s.
const LONGEST_NS: u64 = 60_000_000_000;

/// Times in nanoseconds, 1 ns to 60 s at three digits: 216 KiB, about 9 ns a record. Merged,
/// never averaged.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

impl Latency {
    /// An empty histogram.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3);
        Self { histogram: histogram.expect("the bounds are constants that fit") }
    }

    /// Adds a time; longer ones than 60 s count as 60 s.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
    }

    /// Adds all times of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The longest time, if there is one.
    pub fn max(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.max())
    }

    /// The mean, if there is one.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.histogram.mean())
    }

    /// The time below which the share `quantile` lies; none if fewer than
    /// [`SAMPLES_BEYOND_MIN`] samples lie beyond it, since it would then be chance.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        may_tell(self.count(), quantile).then(|| self.histogram.value_at_quantile(quantile))
    }

    /// Points of the percentile curve: (share below, time), as dense in nines as the samples
    /// allow.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        const POINTS_A_NINE: u32 = 20;
        let mut points = Vec::new();
        for step in 0..=6 * POINTS_A_NINE {
            let beyond = 10_f64.powf(-f64::from(step) / f64::from(POINTS_A_NINE));
            match self.quantile(1.0 - beyond) {
                Some(ns) => points.push((1.0 - beyond, ns)),
                None => break,
            }
        }
        points
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether enough of `count` samples lie beyond a quantile to tell it.
fn may_tell(count: u64, quantile: f64) -> bool {
    // The small term keeps 1.0 - 0.99 from hiding the tenth of exactly 1,000 samples.
    (count as f64).mul_add(1.0 - quantile, 1e-6) >= SAMPLES_BEYOND_MIN as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_told_only_with_ten_samples_beyond_it() {
        for (quantile, enough) in [(0.5, 20), (0.9, 100), (0.99, 1000), (0.9999, 100_000)] {
            assert!(may_tell(enough, quantile), "{quantile} of {enough}");
            assert!(!may_tell(enough - 1, quantile), "{quantile} of {}", enough - 1);
        }
        let mut latency = Latency::new();
        (1..=999).for_each(|ns| latency.record(ns));
        assert_eq!(latency.quantile(0.99), None);
        latency.record(1000);
        assert_eq!(latency.quantile(0.99), Some(990));
        assert_eq!(latency.max(), Some(1000));
    }

    #[test]
    fn an_empty_histogram_tells_nothing() {
        let latency = Latency::new();
        assert_eq!(latency.quantile(0.5), None);
        assert_eq!(latency.max(), None);
        assert_eq!(latency.mean(), None);
        assert!(latency.curve().is_empty());
    }

    #[test]
    fn merged_histograms_are_as_if_recorded_in_one() {
        let (mut left, mut right) = (Latency::new(), Latency::new());
        (0..500).for_each(|_| left.record(1_000));
        (0..500).for_each(|_| right.record(1_000_000));
        left.merge(&right);
        assert_eq!(left.count(), 1000);
        let p90 = left.quantile(0.9).expect("1000 samples suffice");
        assert!(p90.abs_diff(1_000_000) < 1_000, "{p90}");
    }

    #[test]
    fn times_beyond_a_minute_are_kept_as_a_minute() {
        let mut latency = Latency::new();
        latency.record(u64::MAX);
        latency.record(0);
        assert_eq!(latency.count(), 2);
        assert!(latency.max() >= Some(LONGEST_NS));
    }
}
