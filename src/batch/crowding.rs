//! How much larger bundles have to be because the store cannot merge as fast as it gets parts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A factor on the age at which bundles are sealed, shared by all sealers and the sink. Time is a count of the sink's beats.
///
/// Only the age grows: a bundle that its rows seal is large already, and memory is bounded by rows.
#[derive(Debug, Default)]
pub struct Crowding {
    doublings: AtomicU32,
    changed: AtomicU64,
}

impl Crowding {
    /// By what the age is multiplied: 1, 2, 4 or 8.
    pub fn factor(&self) -> u32 {
        1 << self.doublings.load(Relaxed).min(DOUBLINGS_MAX)
    }

    /// The store has too many parts: doubles the factor, unless that was done lately. True if it did.
    pub fn grow(&self, beat: u64) -> bool {
        let (now, doublings) = (self.changed.load(Relaxed), self.doublings.load(Relaxed));
        let lately = doublings > 0 && beat.saturating_sub(now) < GROW_BEATS;
        if lately {
            return false;
        }
        self.changed.store(beat, Relaxed);
        self.doublings
            .store((doublings + 1).min(DOUBLINGS_MAX), Relaxed);
        doublings < DOUBLINGS_MAX
    }

    /// Halves the factor when nothing was heard of too many parts for long.
    pub fn ease(&self, beat: u64) {
        let (changed, doublings) = (self.changed.load(Relaxed), self.doublings.load(Relaxed));
        if doublings > 0 && beat.saturating_sub(changed) >= EASE_BEATS {
            self.changed.store(beat, Relaxed);
            self.doublings.store(doublings - 1, Relaxed);
        }
    }
}

/// Eight seconds of rows at most with the age that everybody runs with: the ledger seals every ten anyway.
const DOUBLINGS_MAX: u32 = 3;

/// Beats (five a second) before the factor is doubled again: what was sealed before has to be through.
const GROW_BEATS: u64 = 150;

/// Beats without a complaint before it is halved.
const EASE_BEATS: u64 = 1_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound_and_decays() {
        let c = Crowding::default();
        assert_eq!(c.factor(), 1);
        assert!(c.grow(3) && !c.grow(4) && !c.grow(152));
        assert_eq!(c.factor(), 2);
        assert!(c.grow(153) && c.grow(303));
        assert_eq!(c.factor(), 8);
        // it is heard of, and stays
        assert!(!c.grow(1_000));
        c.ease(1_803);
        assert_eq!(c.factor(), 8);
        c.ease(2_500);
        assert_eq!(c.factor(), 4);
        c.ease(2_501);
        assert_eq!(c.factor(), 4);
        c.ease(4_000);
        c.ease(5_500);
        c.ease(9_000);
        assert_eq!(c.factor(), 1);
    }
}
