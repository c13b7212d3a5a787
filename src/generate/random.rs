//! Chance from a seed: the same on every machine and in every version.

/// A 64-bit generator (SplitMix64: a counter through a mixing function).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Equal seeds give equal sequences.
    pub fn new(seed: u64) -> Self {
        Random(mix(seed))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Whether a chance of `percent` in a hundred came true.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A rank below `n` whose frequency falls as its power `-exponent` (Zipf, by inversion of the continuous law);
    /// the exponent must not be 1.
    pub fn zipf(&mut self, n: u64, exponent: f64) -> u64 {
        let e = 1.0 - exponent;
        let x = ((n as f64 + 1.0).powf(e) - 1.0)
            .mul_add(self.unit(), 1.0)
            .powf(1.0 / e);
        (x as u64).clamp(1, n) - 1
    }
}

/// Spreads a number over 64 bits, one to one.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_fall_as_they_should_and_stay_in_range() {
        let mut r = Random::new(1);
        let mut hits = [0u32; 1000];
        (0..100_000).for_each(|_| hits[r.zipf(1000, 1.1) as usize] += 1);
        assert!(hits[0] > 3 * hits[9] && hits[9] > 3 * hits[99]);
        assert!((0..1000).all(|_| (3..=5).contains(&r.between(3, 5))));
    }
}
