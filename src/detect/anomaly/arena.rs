//! State of a fixed size: sets of eight places, of which the least suspicious gives way.

use super::keep::Kept;
use super::keyed::{Key, Keyed};
use super::pages::in_large_pages;
use crate::model::prefetch;

/// What an arena holds of a key.
pub(super) trait Held: Default {
    /// How much would be lost with it: an attacker who sends much must not push out what has more.
    fn suspicion(&self) -> u32;
    /// When it was seen last, ms; of two that are as suspicious the older gives way.
    fn last_ms(&self) -> i64;
    /// So little that it is no loss.
    fn is_light(&self) -> bool {
        self.suspicion() <= 1
    }
    /// Makes it what nothing is known of.
    fn forget(&mut self) {
        *self = Self::default();
    }
    /// Calls for what is needed first of it.
    fn call(&self) {
        prefetch(self);
    }
    /// Calls for what says how much would be lost with it.
    fn call_weight(&self) {
        self.call();
    }
}

/// A table of at most so many keys. Nothing grows past it: memory is reserved when it is made, and touched as it fills.
#[derive(Debug)]
pub(super) struct Arena<K, V> {
    index: Vec<Set>,
    slots: Vec<(K, V)>,
    /// Entries by prefix, so that none has more than its share.
    shares: Vec<u32>,
    share_max: u32,
    evicted: u64,
    refused: u64,
}

/// Eight ways, which lie within one cache line: of each the place in `slots` and 1 (0 where there is none) and, above it, a part of
/// the hash of its key, so that others need not be looked at.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Set([u32; WAYS]);

const WAYS: usize = 8;
/// Bits of a way that are a place; the tables of detectors have 2^22 at most.
const PLACE_BITS: u32 = 24;
const PLACE: u32 = (1 << PLACE_BITS) - 1;
/// Prefixes that are counted apart.
const SHARES: usize = 4096;

impl<K: Key, V: Held> Arena<K, V> {
    /// Room for `capacity` keys, rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let capacity = rounded(capacity);
        let mut index = in_large_pages(capacity / WAYS);
        index.resize(capacity / WAYS, Set::default());
        Arena {
            index,
            slots: in_large_pages(capacity),
            shares: vec![0; SHARES],
            share_max: (capacity / K::SHARE) as u32,
            evicted: 0,
            refused: 0,
        }
    }

    /// Most bytes that an arena of `capacity` keys takes.
    pub fn bytes(capacity: usize) -> usize {
        rounded(capacity) * (size_of::<(K, V)>() + 4) + SHARES * 4
    }

    /// Keys that are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Most keys that are held.
    pub fn capacity(&self) -> usize {
        self.index.len() * WAYS
    }

    /// Entries that gave way, and keys that found no room.
    pub fn lost(&self) -> (u64, u64) {
        (self.evicted, self.refused)
    }

    /// What is held of a key.
    pub fn find(&mut self, keyed: &Keyed, key: &K) -> Option<&mut V> {
        self.find_at(keyed.hash(key), key)
    }

    /// What is held of a key whose hash is known.
    #[inline]
    pub fn find_at(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        let slot = self.slot_of(hash, key)?;
        Some(&mut self.slots[slot].1)
    }

    /// What is held of a key, made where there is nothing yet; `None` where its prefix has its share.
    pub fn entry(&mut self, keyed: &Keyed, key: &K) -> Option<&mut V> {
        self.entry_at(keyed, keyed.hash(key), key)
    }

    /// The same of a key whose hash is known.
    #[inline]
    pub fn entry_at(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<&mut V> {
        let slot = self.place(keyed, hash, key)?;
        Some(&mut self.slots[slot].1)
    }

    /// The number of the place of a key, which stays as long as it is held; made where there is none yet.
    #[inline]
    pub fn place(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<usize> {
        match self.slot_of(hash, key) {
            Some(slot) => Some(slot),
            None => self.make(keyed, hash, key),
        }
    }

    /// What is held at a place.
    #[inline]
    pub fn at(&mut self, place: usize) -> Option<(&K, &mut V)> {
        self.slots.get_mut(place).map(|(k, v)| (&*k, v))
    }

    /// Calls for the ways of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        prefetch(&self.index[self.set(hash)]);
    }

    /// Calls for what is held of a hash, whose ways were called for before; it where there is something.
    #[inline]
    pub fn call_held(&self, hash: u64) -> Option<&V> {
        let ways = &self.index[self.set(hash)];
        let way = ways.0[ways.first(tag_of(hash))?];
        let (key, value) = self.slots.get((way & PLACE) as usize - 1)?;
        prefetch(key);
        value.call();
        Some(value)
    }

    /// The same; where nothing is held, for what may have to give way.
    #[inline]
    pub fn call_room(&self, hash: u64) -> Option<&V> {
        let held = self.call_held(hash);
        let ways = &self.index[self.set(hash)].0;
        if held.is_some() || ways[WAYS - 1] == 0 {
            return held;
        }
        for &way in ways {
            if let Some((_, value)) = self.slots.get((way & PLACE) as usize - 1) {
                value.call_weight();
            }
        }
        None
    }

    /// Every entry, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.slots.iter_mut().map(|(k, v)| (&*k, v))
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.index.fill(Set::default());
        self.slots.clear();
        self.shares.fill(0);
    }

    /// Writes every entry that would be a loss.
    pub fn put(&self, out: &mut Vec<u8>)
    where
        K: Kept,
        V: Kept,
    {
        let held = || self.slots.iter().filter(|(_, v)| !v.is_light());
        (held().count() as u64).put(out);
        for (key, value) in held() {
            key.put(out);
            value.put(out);
        }
    }

    /// Takes back what was written, as far as there is room for it.
    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()>
    where
        K: Kept,
        V: Kept,
    {
        for _ in 0..u64::get(from)? {
            let (key, value) = (K::get(from)?, V::get(from)?);
            if let Some(place) = self.entry(keyed, &key) {
                *place = value;
            }
        }
        (self.evicted, self.refused) = (0, 0);
        Some(())
    }

    #[inline]
    fn set(&self, hash: u64) -> usize {
        hash as usize & (self.index.len() - 1)
    }

    #[inline]
    fn slot_of(&self, hash: u64, key: &K) -> Option<usize> {
        let set = &self.index[self.set(hash)];
        let mut likely = set.likely(tag_of(hash));
        while likely != 0 {
            let way = set.0[likely.trailing_zeros() as usize];
            let slot = (way & PLACE) as usize - 1;
            if self.slots[slot].0 == *key {
                return Some(slot);
            }
            likely &= likely - 1;
        }
        None
    }

    /// A place for a key that has none.
    #[inline(never)]
    fn make(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<usize> {
        let set = self.set(hash);
        let share = share_of(keyed, key);
        let is_rich = self.shares[share] >= self.share_max;
        let free = self.index[set].0.iter().position(|&way| way == 0);
        let slot = match free.filter(|_| !is_rich) {
            Some(at) => {
                self.slots.push((*key, V::default()));
                self.index[set].0[at] = tag_of(hash) | self.slots.len() as u32;
                self.slots.len() - 1
            }
            None => self.evict(keyed, hash, is_rich.then_some(share), key)?,
        };
        self.shares[share] += 1;
        Some(slot)
    }

    /// Makes room in a set, among those of one prefix where it has its share already.
    #[cold]
    fn evict(&mut self, keyed: &Keyed, hash: u64, of: Option<usize>, key: &K) -> Option<usize> {
        let (set, slots) = (self.set(hash), &self.slots);
        let ways = self.index[set].0.iter().enumerate();
        let held = ways.filter(|(_, way)| **way != 0);
        let victim = held
            .map(|(at, way)| (at, (way & PLACE) as usize - 1))
            .filter(|(_, s)| of.is_none_or(|share| share_of(keyed, &slots[*s].0) == share))
            .min_by_key(|(_, s)| (slots[*s].1.suspicion(), slots[*s].1.last_ms(), *s));
        let Some((at, slot)) = victim else {
            self.refused += 1;
            return None;
        };
        self.evicted += u64::from(!self.slots[slot].1.is_light());
        let before = share_of(keyed, &self.slots[slot].0);
        self.shares[before] = self.shares[before].saturating_sub(1);
        let (held, value) = &mut self.slots[slot];
        *held = *key;
        value.forget();
        self.index[set].0[at] = tag_of(hash) | (slot + 1) as u32;
        Some(slot)
    }
}

fn rounded(capacity: usize) -> usize {
    capacity.max(64).next_power_of_two()
}

impl Set {
    /// A bit for each way that has a tag.
    #[inline]
    fn likely(&self, tag: u32) -> u32 {
        let bit = |(n, way): (usize, &u32)| u32::from(way & !PLACE == tag) << n;
        self.0.iter().enumerate().map(bit).sum()
    }

    /// The first way that has a tag.
    #[inline]
    fn first(&self, tag: u32) -> Option<usize> {
        let likely = self.likely(tag);
        (likely != 0).then_some(likely.trailing_zeros() as usize)
    }
}

/// The part of a hash that a way has, above its place; never 0, so that a way without a place has none.
#[inline]
fn tag_of(hash: u64) -> u32 {
    let tag = (hash >> 32) as u32 & !PLACE;
    if tag == 0 { 1 << PLACE_BITS } else { tag }
}

fn share_of<K: Key>(keyed: &Keyed, key: &K) -> usize {
    keyed.hash(&key.prefix()) as usize & (SHARES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    #[derive(Debug, Default)]
    struct Seen(u32, i64);

    impl Held for Seen {
        fn suspicion(&self) -> u32 {
            self.0
        }
        fn last_ms(&self) -> i64 {
            self.1
        }
    }

    fn addr(n: u32) -> Addr {
        Addr::from_v4(n.to_be_bytes())
    }

    #[test]
    fn a_flood_does_not_push_out_what_is_suspicious() {
        let keyed = Keyed::new(1);
        let mut arena = Arena::<Addr, Seen>::new(1024);
        *arena.entry(&keyed, &addr(7)).expect("room") = Seen(5, 0);
        for n in 0..100_000u32 {
            if let Some(seen) = arena.entry(&keyed, &addr(n.wrapping_mul(2_654_435_761))) {
                *seen = Seen(2, i64::from(n));
            }
        }
        assert!(arena.len() <= 1024);
        assert_eq!(arena.find(&keyed, &addr(7)).map(|s| s.0), Some(5));
        assert!(arena.lost().0 > 90_000);
    }

    #[test]
    fn no_prefix_has_more_than_its_share() {
        let keyed = Keyed::new(1);
        let mut arena = Arena::<Addr, Seen>::new(512);
        for n in 0..256 {
            if let Some(seen) = arena.entry(&keyed, &addr(0x0a00_0000 + n)) {
                seen.0 = 1;
            }
        }
        assert!(arena.len() <= 64);
        assert!(arena.lost().1 > 0);
        let others = (32..64).filter(|n| arena.entry(&keyed, &addr(n << 24 | 1)).is_some());
        assert_eq!(others.count(), 32);
    }
}
