//! Values that rules add to lists (`dataset:set`). One table for all shards, apart from bits and rates, so that neither takes the other's room.

use super::super::settings::Settings;
use std::hash::BuildHasher;
#[expect(
    clippy::disallowed_types,
    reason = "what rules add belongs to no shard: one short lock of one of 64 stripes, where a rule adds to the list that is asked"
)]
use std::sync::Mutex;
use std::sync::PoisonError;

/// What stands for a value: a number of its list, and numbers of the value ([`super::super::dataset::Dataset::key`]).
pub(in super::super) type ListedValue = (u64, [u64; 4]);

/// A table of fixed size in stripes. Where a bucket is full, the value that was added first goes, and that is counted.
#[derive(Debug)]
pub(super) struct Added {
    #[expect(clippy::disallowed_types, reason = "see the import")]
    stripes: Vec<Mutex<Stripe>>,
    hasher: foldhash::quality::FixedState,
    /// A power of two.
    buckets: usize,
}

/// Buckets of [`WAYS`] places, the oldest value of each first; none before the first is needed.
type Stripe = Vec<Option<ListedValue>>;

impl Added {
    /// An empty table of `list_entries_max` values.
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let mut stripes = vec![];
        stripes.resize_with(STRIPES, Default::default);
        Added {
            stripes,
            hasher: foldhash::quality::FixedState::with_seed(seed),
            buckets: buckets(settings),
        }
    }

    /// Bytes that it takes at most.
    pub fn memory_max(settings: &Settings) -> usize {
        let places = buckets(settings).saturating_mul(STRIPES * WAYS);
        places.saturating_mul(size_of::<Option<ListedValue>>())
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let held = self.stripes.iter().map(|s| {
            let stripe = s.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.capacity()
        });
        held.sum::<usize>() * size_of::<Option<ListedValue>>()
    }

    /// Whether a value was added.
    pub fn has(&self, value: ListedValue) -> bool {
        self.bucket(value, |bucket| bucket.contains(&Some(value)))
            .unwrap_or(false)
    }

    /// Adds a value: whether it was not there, and whether another one had to go for it.
    pub fn add(&self, value: ListedValue) -> (bool, bool) {
        let add = |bucket: &mut [Option<ListedValue>]| {
            if bucket.contains(&Some(value)) {
                return (false, false);
            }
            if let Some(free) = bucket.iter_mut().find(|p| p.is_none()) {
                *free = Some(value);
                return (true, false);
            }
            bucket.rotate_left(1);
            bucket[WAYS - 1] = Some(value);
            (true, true)
        };
        let (hash, stripe) = self.stripe(value);
        let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if stripe.is_empty() {
            *stripe = vec![None; self.buckets * WAYS];
        }
        let first = self.first(hash);
        stripe
            .get_mut(first..first + WAYS)
            .map_or((false, false), add)
    }

    /// Takes a value out; false where it was not there.
    pub fn remove(&self, value: ListedValue) -> bool {
        let remove = |bucket: &mut [Option<ListedValue>]| {
            let Some(at) = bucket.iter().position(|p| *p == Some(value)) else {
                return false;
            };
            bucket[at] = None;
            // places that are taken stay together, in order
            bucket[at..].rotate_left(1);
            true
        };
        self.bucket(value, remove).unwrap_or(false)
    }

    #[expect(clippy::disallowed_types, reason = "see the import")]
    fn stripe(&self, value: ListedValue) -> (usize, &Mutex<Stripe>) {
        let hash = self.hasher.hash_one(value) as usize;
        (hash, &self.stripes[hash % STRIPES])
    }

    fn first(&self, hash: usize) -> usize {
        (hash / STRIPES) % self.buckets * WAYS
    }

    /// The bucket of a value; none before anything was added to its stripe.
    fn bucket<R>(
        &self,
        value: ListedValue,
        look: impl FnOnce(&mut [Option<ListedValue>]) -> R,
    ) -> Option<R> {
        let (hash, stripe) = self.stripe(value);
        let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.first(hash);
        stripe.get_mut(first..first + WAYS).map(look)
    }
}

/// Buckets of a stripe: a power of two.
fn buckets(settings: &Settings) -> usize {
    let each = settings.list_entries_max / (STRIPES * WAYS);
    // a larger one is no number of this machine
    each.clamp(1, usize::MAX / (STRIPES * WAYS * 128))
        .next_power_of_two()
}

const STRIPES: usize = 64;
const WAYS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(n: u64) -> ListedValue {
        (1, [n, 0, 0, 0])
    }

    #[test]
    fn values_are_added_once_and_taken_out() {
        let added = Added::new(&Settings::default(), 0);
        assert!(!added.has(value(1)) && !added.remove(value(1)));
        assert_eq!(added.memory(), 0);
        assert_eq!(added.add(value(1)), (true, false));
        assert_eq!(added.add(value(1)), (false, false));
        assert!(added.has(value(1)) && !added.has((2, [1, 0, 0, 0])));
        assert!(added.remove(value(1)) && !added.has(value(1)));
        assert_eq!(added.add(value(1)), (true, false));
    }

    #[test]
    fn what_was_added_first_goes_where_there_is_no_room() {
        let settings = Settings {
            list_entries_max: 1,
            ..Settings::default()
        };
        let added = Added::new(&settings, 0);
        let room = (STRIPES * WAYS) as u64;
        let gone = (0..3 * room).filter(|n| added.add(value(*n)).1).count() as u64;
        let held: Vec<u64> = (0..3 * room).filter(|n| added.has(value(*n))).collect();
        assert_eq!(gone + held.len() as u64, 3 * room);
        assert!(held.len() as u64 <= room && held.contains(&(3 * room - 1)));
        // of each bucket the latest are held
        assert!(
            held.iter().sum::<u64>() > room * held.len() as u64,
            "{held:?}"
        );
        assert_eq!(added.memory(), Added::memory_max(&settings));
    }

    #[test]
    fn places_stay_in_order_when_one_is_taken_out() {
        let settings = Settings {
            list_entries_max: 1,
            ..Settings::default()
        };
        let added = Added::new(&settings, 0);
        let stripe = |n: u64| added.stripe(value(n)).0 % STRIPES;
        let same: Vec<u64> = (0..100_000).filter(|n| stripe(*n) == 0).take(9).collect();
        same[..8]
            .iter()
            .for_each(|n| assert_eq!(added.add(value(*n)), (true, false)));
        assert!(added.remove(value(same[0])));
        assert_eq!(added.add(value(same[0])), (true, false));
        // the second one is the oldest now
        assert_eq!(added.add(value(same[8])), (true, true));
        assert!(!added.has(value(same[1])) && added.has(value(same[0])));
    }
}
