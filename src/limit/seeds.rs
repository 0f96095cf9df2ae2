//! Random numbers for tests, from a seed that a failure prints.

/// xorshift64* (Vigna, 2016).
pub(super) struct Seeds(u64);

/// So many seeds to run a test with: the same ones each time.
pub(super) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Seeds {
    pub(super) fn new(seed: u64) -> Seeds {
        Seeds(seed.max(1))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
