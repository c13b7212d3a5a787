//! Plain counters.

use super::Outcome;

/// One counter for each [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; Outcome::COUNT]);

impl Default for Tally {
    fn default() -> Self {
        Tally([0; Outcome::COUNT])
    }
}

impl Tally {
    /// Adds `n`.
    #[inline(always)]
    pub fn add(&mut self, o: Outcome, n: u64) {
        self.0[o as usize] += n;
    }

    /// Adds 1.
    #[inline(always)]
    pub fn one(&mut self, o: Outcome) {
        self.add(o, 1);
    }

    /// The count.
    #[inline(always)]
    pub fn count(&self, o: Outcome) -> u64 {
        self.0[o as usize]
    }

    /// Adds every counter of another tally.
    pub fn merge(&mut self, other: &Tally) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a += b;
        }
    }

    /// What was added since `earlier`, a former state of the same tally.
    pub fn since(&self, earlier: &Tally) -> Tally {
        let mut delta = self.clone();
        for (a, b) in delta.0.iter_mut().zip(&earlier.0) {
            *a = a.saturating_sub(*b);
        }
        delta
    }

    /// Whether no counter is less than in `earlier`.
    pub fn covers(&self, earlier: &Tally) -> bool {
        self.0.iter().zip(&earlier.0).all(|(a, b)| a >= b)
    }

    /// The counters that are not zero, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL
            .iter()
            .map(|&o| (o, self.count(o)))
            .filter(|(_, n)| *n > 0)
    }

    /// Whether all counters are zero.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|n| *n == 0)
    }
}
