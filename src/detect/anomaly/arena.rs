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
    /// Of each place its key, and what is held of it.
    keys: Vec<K>,
    values: Vec<V>,
    /// Entries by prefix, so that none has more than its share, and the prefix of each place.
    shares: Vec<u32>,
    share_of: Vec<u16>,
    share_max: u32,
    door: Door,
    evicted: u64,
    refused: u64,
}

/// Keys that came lately where there was no room, a bit each: who comes once pushes nothing out (Einziger, Friedman and Manes, 2017: TinyLFU).
#[derive(Debug, Default)]
struct Door {
    bits: Vec<u64>,
    /// Since they were forgotten.
    came: usize,
    /// Keys that had no place, for they came once.
    turned_away: u64,
}

impl Door {
    /// Whether a key came lately; from now on it did.
    fn again(&mut self, hash: u64) -> bool {
        let (at, bit) = self.place(hash);
        let again = self.bits[at] & bit != 0;
        self.came += usize::from(!again);
        // an eighth of the bits
        if self.came * 8 > self.bits.len() * 64 {
            self.bits.fill(0);
            self.came = 0;
        }
        self.bits[at] |= bit;
        again
    }

    #[inline]
    fn has(&self, hash: u64) -> bool {
        let (at, bit) = self.place(hash);
        self.bits[at] & bit != 0
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let at = (hash >> 16) as usize & (self.bits.len() * 64 - 1);
        (at / 64, 1 << (at % 64))
    }
}

/// Eight ways, which lie within one cache line: of each its place and 1 (0 where there is none) and, above it, a part of
/// the hash of its key, so that others need not be looked at.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Set([u32; WAYS]);

const WAYS: usize = 8;
/// Bits of the door for each place: four times as many keys as there are places come before all are forgotten.
const DOOR_BITS: usize = 32;
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
            keys: in_large_pages(capacity),
            values: in_large_pages(capacity),
            shares: vec![0; SHARES],
            share_of: Vec::with_capacity(capacity),
            share_max: (capacity / K::SHARE) as u32,
            door: Door::default(),
            evicted: 0,
            refused: 0,
        }
    }

    /// The same, for keys of which most come once.
    pub fn with_door(capacity: usize) -> Self {
        let mut arena = Arena::new(capacity);
        arena.door.bits = vec![0; rounded(capacity) * DOOR_BITS / 64];
        arena
    }

    /// Most bytes that an arena of `capacity` keys takes.
    pub fn bytes(capacity: usize) -> usize {
        let each = size_of::<K>() + size_of::<V>() + 4 + 2 + DOOR_BITS / 8;
        rounded(capacity) * each + SHARES * 4
    }

    /// Keys that are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Most keys that are held.
    pub fn capacity(&self) -> usize {
        self.index.len() * WAYS
    }

    /// Entries that gave way, and keys that found no room.
    pub fn lost(&self) -> (u64, u64) {
        (self.evicted, self.refused)
    }

    /// How often a key had no place, for it had not come lately.
    pub fn turned_away(&self) -> u64 {
        self.door.turned_away
    }

    /// What is held of a key.
    pub fn find(&mut self, keyed: &Keyed, key: &K) -> Option<&mut V> {
        self.find_at(key.hashed(keyed), key)
    }

    /// What is held of a key whose hash is known.
    #[inline]
    pub fn find_at(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        let slot = self.slot_of(hash, key)?;
        Some(&mut self.values[slot])
    }

    /// What is held of a key, made where there is nothing yet; `None` where its prefix has its share.
    pub fn entry(&mut self, keyed: &Keyed, key: &K) -> Option<&mut V> {
        self.entry_at(keyed, key.hashed(keyed), key)
    }

    /// The same of a key whose hash is known.
    #[inline]
    pub fn entry_at(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<&mut V> {
        let slot = self.place(keyed, hash, key)?;
        Some(&mut self.values[slot])
    }

    /// The same; where something would have to give way, a key that did not come lately has none.
    #[inline]
    pub fn entry_again_at(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<&mut V> {
        let slot = self.place_again(keyed, hash, key)?;
        Some(&mut self.values[slot])
    }

    /// The number of the place of a key, which stays as long as it is held; made where there is none yet.
    #[inline]
    pub fn place(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<usize> {
        match self.slot_of(hash, key) {
            Some(slot) => Some(slot),
            None => self.make(keyed, hash, key),
        }
    }

    /// The same; where something would have to give way, a key that did not come lately has none.
    #[inline]
    pub fn place_again(&mut self, keyed: &Keyed, hash: u64, key: &K) -> Option<usize> {
        if let Some(slot) = self.slot_of(hash, key) {
            return Some(slot);
        }
        if self.is_full(hash) && !self.door.again(hash) {
            self.door.turned_away += 1;
            return None;
        }
        self.make(keyed, hash, key)
    }

    /// What is held at a place.
    #[inline]
    pub fn at(&mut self, place: usize) -> Option<(&K, &mut V)> {
        self.keys.get(place).zip(self.values.get_mut(place))
    }

    /// Calls for the ways of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        prefetch(&self.index[self.set(hash)]);
    }

    /// The same, and whether its key came lately.
    #[inline]
    pub fn call_again(&self, hash: u64) {
        self.call(hash);
        prefetch(&self.door.bits[self.door.place(hash).0]);
    }

    /// Calls for what is held of a hash, whose ways were called for before.
    #[inline]
    pub fn call_held(&self, hash: u64) {
        if let Some(value) = self.call_place(hash) {
            value.call();
        }
    }

    /// Calls for whose the place of a hash is alone; what is held there, likely.
    #[inline]
    pub fn call_place(&self, hash: u64) -> Option<&V> {
        let ways = &self.index[self.set(hash)];
        let place = (ways.0[ways.first(tag_of(hash))?] & PLACE) as usize - 1;
        prefetch(self.keys.get(place)?);
        self.values.get(place)
    }

    /// The same; where nothing is held of a key that came lately, for what may have to give way to it.
    #[inline]
    pub fn call_held_again(&self, hash: u64) {
        match self.call_place(hash) {
            Some(value) => value.call(),
            None => self.call_room_again(hash),
        }
    }

    /// Calls for what may have to give way to a key that came lately, and has no place.
    #[inline]
    pub fn call_room_again(&self, hash: u64) {
        if self.is_full(hash) && self.door.has(hash) {
            self.call_ways(hash);
        }
    }

    fn call_ways(&self, hash: u64) {
        for &way in &self.index[self.set(hash)].0 {
            if let Some(value) = self.values.get((way & PLACE) as usize - 1) {
                value.call_weight();
            }
        }
    }

    /// Whether something has to give way for a hash that has no place. Ways are taken in order.
    #[inline]
    fn is_full(&self, hash: u64) -> bool {
        self.index[self.set(hash)].0[WAYS - 1] != 0
    }

    /// Every entry, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.keys.iter().zip(&mut self.values)
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.index.fill(Set::default());
        self.door.bits.fill(0);
        self.door.came = 0;
        self.keys.clear();
        self.values.clear();
        self.share_of.clear();
        self.shares.fill(0);
    }

    /// Writes every entry that would be a loss.
    pub fn put(&self, out: &mut Vec<u8>)
    where
        K: Kept,
        V: Kept,
    {
        let held = || {
            self.keys
                .iter()
                .zip(&self.values)
                .filter(|(_, v)| !v.is_light())
        };
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
            if self.keys[slot] == *key {
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
        let share = keyed.addr(&key.prefix()) as usize & (SHARES - 1);
        let is_rich = self.shares[share] >= self.share_max;
        let free = self.index[set].0.iter().position(|&way| way == 0);
        let slot = match free.filter(|_| !is_rich) {
            Some(at) => {
                self.keys.push(*key);
                self.values.push(V::default());
                self.share_of.push(share as u16);
                self.index[set].0[at] = tag_of(hash) | self.keys.len() as u32;
                self.keys.len() - 1
            }
            None => self.evict(hash, key, (share, is_rich))?,
        };
        self.shares[share] += 1;
        Some(slot)
    }

    /// Makes room in a set, among those of one prefix where it has its share already.
    #[cold]
    fn evict(&mut self, hash: u64, key: &K, (share, is_rich): (usize, bool)) -> Option<usize> {
        let set = self.set(hash);
        let ways = self.index[set].0.iter().enumerate();
        let held = ways.filter(|(_, way)| **way != 0);
        let victim = held
            .map(|(at, way)| (at, (way & PLACE) as usize - 1))
            .filter(|(_, s)| !is_rich || usize::from(self.share_of[*s]) == share)
            .min_by_key(|(_, s)| (self.values[*s].suspicion(), self.values[*s].last_ms(), *s));
        let Some((at, slot)) = victim else {
            self.refused += 1;
            return None;
        };
        let value = &mut self.values[slot];
        self.evicted += u64::from(!value.is_light());
        value.forget();
        self.keys[slot] = *key;
        let before = usize::from(std::mem::replace(&mut self.share_of[slot], share as u16));
        self.shares[before] = self.shares[before].saturating_sub(1);
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
    fn who_comes_once_pushes_nothing_out() {
        let keyed = Keyed::new(1);
        let mut arena = Arena::<Addr, Seen>::with_door(1024);
        let mut again = |n: u32| {
            let addr = addr(n.wrapping_mul(2_654_435_761));
            let is_held = arena.entry_again_at(&keyed, addr.hashed(&keyed), &addr);
            is_held.map(|seen| seen.0 += 1).is_some()
        };
        // as long as there is room, everybody has a place
        assert!((0..64).all(&mut again));
        let held = (64..20_000).filter(|n| again(*n)).count();
        assert!((900..4_000).contains(&held), "{held}");
        // who comes again soon has one as well
        let twice = (20_000..20_400).filter(|n| !again(*n) && again(*n));
        assert!(twice.count() > 300);
        // and nobody is remembered for ever
        again(30_000);
        (40_000..48_000).for_each(|n| _ = again(n));
        assert!(!again(30_000));
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
