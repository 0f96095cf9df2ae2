//! Ratios of groups of slices: their median, and how far off it may be.

use crate::schedule::Random;

/// Resamples of a bootstrap; its interval moves by less than a percent of its width beyond.
const RESAMPLES: usize = 2_000;

/// A median with the interval that holds it in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    /// The middle of the ratios of all groups.
    pub(super) median: f64,
    /// The lower end of the interval.
    pub(super) low: f64,
    /// Its upper end.
    pub(super) high: f64,
}

impl Ratio {
    /// The median of some ratios, and its percentile bootstrap: the ratios are drawn anew, with
    /// replacement, and the median of each draw is a value that another run might have had
    /// (Efron 1979). None without any ratio.
    pub(super) fn of(ratios: &[f64], seed: u64) -> Option<Self> {
        if ratios.is_empty() {
            return None;
        }
        let mut random = Random::new(seed);
        let mut drawn = vec![0.0; ratios.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                drawn.fill_with(|| ratios[random.below(ratios.len())]);
                median(&mut drawn)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize];
        Some(Self { median: median(&mut ratios.to_vec()), low: at(0.025), high: at(0.975) })
    }

    /// Whether the interval excludes that there is no difference.
    pub(super) fn excludes_one(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// Whether the two intervals have nothing in common.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        self.low > other.high || self.high < other.low
    }
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "no values have no middle");
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { values[half - 1].midpoint(values[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws around `centre`, uniform within `spread` to both sides.
    fn around(centre: f64, spread: f64, count: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        (0..count).map(|_| centre + spread * (2.0 * random.fraction() - 1.0)).collect()
    }

    #[test]
    fn the_middle_of_odd_and_even_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut [7.0]), 7.0);
    }

    #[test]
    fn equal_ratios_leave_no_doubt_and_none_leave_nothing() {
        let ratio = Ratio::of(&[0.8; 20], 1).expect("there are ratios");
        assert_eq!(ratio, Ratio { median: 0.8, low: 0.8, high: 0.8 });
        assert!(ratio.excludes_one());
        assert_eq!(Ratio::of(&[], 1), None);
    }

    #[test]
    fn the_interval_depends_on_the_seed_alone() {
        let ratios = around(0.9, 0.1, 40, 3);
        assert_eq!(Ratio::of(&ratios, 5), Ratio::of(&ratios, 5));
        let ratio = Ratio::of(&ratios, 5).expect("there are ratios");
        assert!(ratio.low < ratio.median && ratio.median < ratio.high, "{ratio:?}");
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let held = (0..200).filter(|&seed| {
            let ratio = Ratio::of(&around(1.0, 0.2, 40, seed), seed).expect("there are ratios");
            ratio.low <= 1.0 && 1.0 <= ratio.high
        });
        let held = held.count();
        assert!((178..=199).contains(&held), "{held} of 200, 190 expected");
    }

    #[test]
    fn one_wild_group_moves_the_median_little() {
        let mut ratios = around(0.8, 0.02, 41, 9);
        ratios[0] = 50.0;
        let ratio = Ratio::of(&ratios, 9).expect("there are ratios");
        assert!((0.78..0.82).contains(&ratio.median) && ratio.high < 0.83, "{ratio:?}");
    }

    #[test]
    fn intervals_that_touch_are_not_apart() {
        let ratio = |low, high| Ratio { median: (low + high) / 2.0, low, high };
        assert!(ratio(0.8, 0.9).is_apart_from(&ratio(0.95, 1.05)));
        assert!(!ratio(0.8, 0.95).is_apart_from(&ratio(0.95, 1.05)));
        assert!(!ratio(0.9, 1.01).excludes_one());
    }
}
