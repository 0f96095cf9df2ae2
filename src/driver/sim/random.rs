//! The one source of chance. Small and our own, so that a seed means the same for ever, whatever
//! version of whatever crate is built.

use std::time::Duration;

/// splitmix64 (Steele, Lea, Flood 2014): any seed is a good one, 0 too.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// A number below `bound`, which is above 0. The bias of the multiplication is below 2^-32 for
    /// the small bounds of a simulation.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// One to `most`, both included.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        1 + self.below(most as u64) as usize
    }

    /// True with this probability. Certain outcomes draw nothing, so that a fault that is off
    /// leaves the others as they were.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 || probability >= 1.0 {
            return probability >= 1.0;
        }
        // 53 bits are what a double holds.
        ((self.draw() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// A time from `least` to `most`.
    pub(crate) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_nanos() as u64;
        if span == 0 { least } else { least + Duration::from_nanos(self.below(span + 1)) }
    }
}

/// Spreads a number over all bits (the finish of splitmix64).
pub(super) fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(0);
        // The first outputs of the reference implementation for seed 0.
        assert_eq!(random.draw(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.draw(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn draws_stay_in_bounds_and_reach_both_ends() {
        let mut random = Random::new(7);
        let mut seen = [0; 4];
        for _ in 0..1000 {
            seen[random.below(4) as usize] += 1;
            assert!((1..=3).contains(&random.up_to(3)));
        }
        assert!(seen.iter().all(|&count| count > 150), "{seen:?}");
        let hits = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((2_200..2_800).contains(&hits), "{hits}");
        assert!(!random.chance(0.0) && random.chance(1.0));
        let ms = Duration::from_millis;
        for _ in 0..100 {
            assert!((ms(2)..=ms(5)).contains(&random.time(ms(2), ms(5))));
        }
        assert_eq!(random.time(ms(2), ms(2)), ms(2));
    }
}
