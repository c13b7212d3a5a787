//! The table of what rules remember beyond one flow. One for all shards; a shard comes here only when the other conditions of a rule
//! have held.

use super::super::rule::Scope;
use super::super::settings::Settings;
use super::Moment;
use super::added::{Added, ListedValue};
use super::rates::Window;
use crate::model::Addr;
use std::hash::BuildHasher;
#[expect(
    clippy::disallowed_types,
    reason = "state of hosts belongs to no shard (contracts, section 8): one short lock of one of 64 stripes, on a match only"
)]
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// A table of fixed size in stripes. Where a bucket is full, what has ended goes, else what ends first, and that is counted.
#[derive(Debug)]
pub struct Shared {
    #[expect(clippy::disallowed_types, reason = "see the import")]
    stripes: Vec<Mutex<Stripe>>,
    hasher: foldhash::quality::FixedState,
    /// A power of two.
    buckets: usize,
    /// What rules added to lists.
    added: Added,
    /// Entries that had to go before their time, since this was asked last.
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Stripe {
    /// Buckets of [`WAYS`] slots; none before the first is needed.
    slots: Vec<Option<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Key,
    /// When it may go, in seconds since 1970.
    until_s: i64,
    window: Window,
}

/// What something is remembered of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Number of a bit or of a rate.
    pub what: u64,
    pub a: Addr,
    pub b: Addr,
}

impl Shared {
    /// An empty table of `state_entries_max` entries, and one of `list_entries_max` values; `seed` keeps others from knowing what falls into one bucket.
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let buckets = settings.state_entries_max / (STRIPES * WAYS);
        let mut stripes = vec![];
        stripes.resize_with(STRIPES, Default::default);
        Self {
            stripes,
            hasher: foldhash::quality::FixedState::with_seed(seed),
            buckets: buckets.max(1).next_power_of_two(),
            added: Added::new(settings, seed),
            evicted: AtomicU64::new(0),
        }
    }

    /// Entries that had to go before their time, since anybody asked last.
    #[inline]
    pub fn take_evicted(&self) -> u64 {
        match self.evicted.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.evicted.swap(0, Ordering::Relaxed),
        }
    }

    /// Bytes that it takes at most.
    pub fn memory_max(settings: &Settings) -> usize {
        let entries = settings.state_entries_max.max(STRIPES * WAYS);
        // a power of two
        entries
            .saturating_mul(2 * size_of::<Option<Slot>>())
            .saturating_add(Added::memory_max(settings))
    }

    /// Bytes that it takes when all of it is used.
    pub fn bytes_max(&self) -> usize {
        STRIPES * self.buckets * WAYS * size_of::<Option<Slot>>()
    }

    pub(super) fn is_set(&self, bit: u32, scope: Scope, at: &Moment) -> bool {
        let now = at.now_s();
        keys(bit, scope, at).any(|key| self.change(key, now, |slot| slot.is_some()))
    }

    pub(super) fn set(&self, bit: u32, scope: Scope, at: &Moment, seconds: u32) {
        let until = until(at, seconds);
        for key in keys(bit, scope, at) {
            self.change(key, at.now_s(), |slot| {
                *slot = Some((until, Window::default()))
            });
        }
    }

    pub(super) fn unset(&self, bit: u32, scope: Scope, at: &Moment) {
        for key in keys(bit, scope, at) {
            self.change(key, at.now_s(), |slot| *slot = None);
        }
    }

    pub(super) fn toggle(&self, bit: u32, scope: Scope, at: &Moment, seconds: u32) {
        let until = until(at, seconds);
        for key in keys(bit, scope, at) {
            self.change(key, at.now_s(), |slot| {
                *slot = match slot {
                    Some(_) => None,
                    None => Some((until, Window::default())),
                }
            });
        }
    }

    /// Whether rules added a value to a list.
    pub(in super::super) fn is_listed(&self, value: ListedValue) -> bool {
        self.added.has(value)
    }

    /// Adds a value to a list; false where it was there.
    pub(in super::super) fn list(&self, value: ListedValue) -> bool {
        let (is_new, evicts) = self.added.add(value);
        if evicts {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }

    /// Takes a value out of a list; false where it was not there.
    pub(in super::super) fn unlist(&self, value: ListedValue) -> bool {
        self.added.remove(value)
    }

    /// Shows what is remembered of a key at this second, if anything, and keeps what is made of it: until when, and what.
    pub(super) fn change<R>(
        &self,
        key: Key,
        now_s: i64,
        make: impl FnOnce(&mut Option<(i64, Window)>) -> R,
    ) -> R {
        let hash = self.hasher.hash_one(key) as usize;
        let stripe = &self.stripes[hash % STRIPES];
        let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (hash / STRIPES) % self.buckets * WAYS;
        let is = |s: &Option<Slot>| s.as_ref().is_some_and(|s| s.key == key);
        let bucket = stripe.slots.get(first..first + WAYS).unwrap_or_default();
        let found = bucket.iter().position(is);
        let held = found.and_then(|at| bucket[at]);
        let mut kept = held
            .filter(|s| s.until_s >= now_s)
            .map(|s| (s.until_s, s.window));
        let result = make(&mut kept);
        let slot = kept.map(|(until_s, window)| Slot {
            key,
            until_s,
            window,
        });
        match (found, slot) {
            (Some(at), slot) => stripe.slots[first + at] = slot,
            (None, Some(slot)) if stripe.insert(first, self.buckets, slot, now_s) => {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            (None, _) => {}
        }
        result
    }
}

impl Stripe {
    /// Whether another entry had to go before its time.
    fn insert(&mut self, first: usize, buckets: usize, slot: Slot, now_s: i64) -> bool {
        if self.slots.is_empty() {
            self.slots = vec![None; buckets * WAYS];
        }
        let bucket = &mut self.slots[first..first + WAYS];
        let ends = |s: &Option<Slot>| s.map_or(i64::MIN, |s| s.until_s);
        let Some(place) = bucket.iter_mut().min_by_key(|s| ends(s)) else {
            return false;
        };
        let evicts = ends(place) >= now_s;
        *place = Some(slot);
        evicts
    }
}

/// A bit lives to the end of its last second; one that was set for 0 seconds has no end.
fn until(at: &Moment, seconds: u32) -> i64 {
    match seconds {
        0 => i64::MAX,
        _ => at.now_s() + i64::from(seconds),
    }
}

/// What a bit is of; `track ip_src` and a host's own bits are the same ones.
fn keys(bit: u32, scope: Scope, at: &Moment) -> impl Iterator<Item = Key> {
    let what = u64::from(bit);
    let host = |a| Key {
        what,
        a,
        b: Addr::UNSPECIFIED,
    };
    let (a, b) = at.pair();
    let (first, second) = match scope {
        Scope::Source => (host(at.src), None),
        Scope::Destination => (host(at.dst), None),
        // a bit of the flow never comes here
        Scope::Pair | Scope::Flow => (
            Key {
                what: what | PAIR,
                a,
                b,
            },
            None,
        ),
    };
    [Some(first), second].into_iter().flatten()
}

const STRIPES: usize = 64;
const WAYS: usize = 8;
/// Tells the bits of pairs from those of hosts.
const PAIR: u64 = 1 << 32;
/// Tells rates from bits.
pub(super) const RATE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;

    #[test]
    fn a_full_table_lets_go_what_ends_first_and_counts_it() {
        let small = Settings {
            state_entries_max: 1,
            ..Settings::default()
        };
        let shared = Shared::new(&small, 7);
        let room = STRIPES * WAYS;
        let bit = |n: usize, until: u32| shared.set(n as u32, Scope::Source, &at(0.0, 1, 2), until);
        (0..room * 4).for_each(|n| bit(n, 100 + n as u32));
        let asked = |n: usize| shared.is_set(n as u32, Scope::Source, &at(1.0, 1, 2));
        let held = (0..room * 4).filter(|n| asked(*n)).count();
        assert!(held <= room && held > room / 2, "{held}");
        assert_eq!(shared.take_evicted() as usize, room * 4 - held);
        // those with the latest end are the ones that stay
        assert!((room * 4 - 16..room * 4).all(asked));
        assert!(shared.bytes_max() >= room * size_of::<Slot>());
    }

    #[test]
    fn what_has_ended_makes_room_uncounted() {
        let small = Settings {
            state_entries_max: 1,
            ..Settings::default()
        };
        let shared = Shared::new(&small, 7);
        for second in 0..10_000 {
            shared.set(second, Scope::Pair, &at(f64::from(second) * 10.0, 1, 2), 5);
        }
        assert_eq!(shared.take_evicted(), 0);
    }
}
