//! When requests are due: Poisson arrivals by seed, each on a connection drawn by the same seed.
//! No clock here; times are nanoseconds since the schedule's start.

/// A small generator of pseudo-random numbers (xoshiro256++, <https://prng.di.unimi.it>): fast,
/// and the same on every machine for the same seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A sequence that depends on nothing but `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        let state = std::array::from_fn(|_| {
            mix = mix.wrapping_add(0x9e37_79b9_7f4a_7c15);
            splitmix(mix)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let t = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= t;
        *s3 = s3.rotate_left(45);
        result
    }

    /// A number below `bound`, by multiplication; the bias is below 2^-32 for the bounds here.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A fraction in (0, 1].
    pub fn fraction(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Spreads the bits of `value` (the finalizer of SplitMix64).
#[inline]
pub fn splitmix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Poisson arrivals: gaps are drawn from an exponential distribution, so that arrivals cluster as
/// independent users do. The schedule never looks at the server, which is what makes the loop
/// open.
#[derive(Clone, Debug)]
pub struct Poisson {
    random: Random,
    gap_ns: f64,
    due_ns: f64,
}

impl Poisson {
    /// A schedule of `per_second` arrivals that begins at `start_ns`.
    pub fn new(per_second: f64, seed: u64, start_ns: u64) -> Self {
        assert!(per_second > 0.0, "a schedule without arrivals has no next one");
        let mut schedule =
            Self { random: Random::new(seed), gap_ns: 1e9 / per_second, due_ns: start_ns as f64 };
        schedule.advance();
        schedule
    }

    /// When the next request is due.
    #[inline]
    pub fn due_ns(&self) -> u64 {
        self.due_ns as u64
    }

    /// Takes the next arrival; returns which of `among` connections it falls on.
    #[inline]
    pub fn take(&mut self, among: usize) -> usize {
        let connection = self.random.below(among);
        self.advance();
        connection
    }

    fn advance(&mut self) {
        self.due_ns -= self.random.fraction().ln() * self.gap_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(seed: u64, count: usize) -> Vec<(u64, usize)> {
        let mut schedule = Poisson::new(10_000.0, seed, 5_000);
        (0..count).map(|_| (schedule.due_ns(), schedule.take(64))).collect()
    }

    #[test]
    fn a_seed_gives_the_same_arrivals_and_another_seed_others() {
        assert_eq!(arrivals(1, 1000), arrivals(1, 1000));
        assert_ne!(arrivals(1, 1000), arrivals(2, 1000));
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        let times: Vec<f64> = arrivals(7, 100_001).iter().map(|&(at, _)| at as f64).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "deviation {}", variance.sqrt());
        assert!(gaps.iter().all(|&gap| gap >= 0.0), "time runs forward");
    }

    #[test]
    fn every_connection_gets_its_share() {
        let mut counts = [0_u32; 64];
        for (_, connection) in arrivals(3, 64_000) {
            counts[connection] += 1;
        }
        assert!(counts.iter().all(|&count| (800..1200).contains(&count)), "{counts:?}");
    }
}
