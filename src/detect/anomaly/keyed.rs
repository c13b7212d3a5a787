//! Hashes that an attacker cannot foresee, and counting by them.

use super::keep::Kept;
use crate::model::{Addr, prefetch};
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hash};

/// A hash function with a key: a secret in `run`, a constant in `replay`.
#[derive(Clone, Debug)]
pub(super) struct Keyed(FixedState);

impl Keyed {
    pub fn new(seed: u64) -> Self {
        Keyed(FixedState::with_seed(seed))
    }

    #[inline]
    pub fn hash<T: Hash>(&self, value: &T) -> u64 {
        self.0.hash_one(value)
    }
}

/// What state is kept by.
pub(super) trait Key: Copy + Eq + Hash {
    /// Of all places, one prefix may have one in so many.
    const SHARE: usize = 8;

    /// The address whose prefix has a share of the places.
    fn addr(&self) -> Addr;

    /// The prefix: 24 bits of IPv4, 48 of IPv6.
    fn prefix(&self) -> Addr {
        network(&self.addr())
    }
}

impl Key for Addr {
    fn addr(&self) -> Addr {
        *self
    }
}

impl Key for (Addr, Addr) {
    const SHARE: usize = 2;

    fn addr(&self) -> Addr {
        self.0
    }
}

impl Key for (Addr, Addr, u16) {
    const SHARE: usize = 2;

    fn addr(&self) -> Addr {
        self.0
    }
}

/// Both ends of a connection.
impl Key for ((Addr, u16), (Addr, u16)) {
    const SHARE: usize = 2;

    fn addr(&self) -> Addr {
        self.0.0
    }
}

/// A port, as a part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Port(pub u16);

impl Key for (Addr, Port) {
    fn addr(&self) -> Addr {
        self.0
    }
}

impl Kept for Port {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Kept::get(from).map(Port)
    }
}

/// The network of an address as far as networks are looked at whole: 24 bits of IPv4, 48 of IPv6.
pub(super) fn network(addr: &Addr) -> Addr {
    let mut bytes = addr.0;
    match addr.is_v4() {
        true => bytes[15] = 0,
        false => bytes[6..].fill(0),
    }
    Addr(bytes)
}

/// How many different things there were: linear counting (Whang, Vander-Zanden and Taylor, 1990) with 64 bits a word.
/// Nearly exact up to half as many as there are bits; it ends at about five times as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Distinct<const WORDS: usize>(pub(super) [u64; WORDS]);

impl<const WORDS: usize> Default for Distinct<WORDS> {
    fn default() -> Self {
        Distinct([0; WORDS])
    }
}

impl<const WORDS: usize> Distinct<WORDS> {
    /// Calls for the place of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        prefetch(&self.0[(hash >> 32) as usize % (WORDS * 64) / 64]);
    }

    /// Adds the hash of a thing; returns whether it is new.
    #[inline]
    pub fn add(&mut self, hash: u64) -> bool {
        let bit = (hash >> 32) as usize % (WORDS * 64);
        let word = &mut self.0[bit / 64];
        let fresh = *word >> (bit % 64) & 1 == 0;
        *word |= 1 << (bit % 64);
        fresh
    }

    /// Whether a thing of this hash was added, or one with the same bit.
    #[inline]
    pub fn has(&self, hash: u64) -> bool {
        let bit = (hash >> 32) as usize % (WORDS * 64);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// How many there were, about.
    pub fn count(&self) -> u32 {
        about(WORDS, self.ones())
    }

    fn ones(&self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }
}

/// The same where it is asked for with every thing that is added: bits that are set are counted as they are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted<const WORDS: usize> {
    bits: Distinct<WORDS>,
    ones: u32,
}

impl<const WORDS: usize> Default for Counted<WORDS> {
    fn default() -> Self {
        Distinct::default().into()
    }
}

impl<const WORDS: usize> From<Distinct<WORDS>> for Counted<WORDS> {
    fn from(bits: Distinct<WORDS>) -> Self {
        let ones = bits.ones();
        Counted { bits, ones }
    }
}

impl<const WORDS: usize> Counted<WORDS> {
    /// Adds the hash of a thing; returns whether it is new.
    #[inline]
    pub fn add(&mut self, hash: u64) -> bool {
        let fresh = self.bits.add(hash);
        self.ones += u32::from(fresh);
        fresh
    }

    /// How many there were, about.
    pub fn count(&self) -> u32 {
        about(WORDS, self.ones)
    }

    /// The bits alone.
    pub fn bits(&self) -> &Distinct<WORDS> {
        &self.bits
    }
}

/// How many things set so many bits of so many words.
fn about(words: usize, ones: u32) -> u32 {
    let bits = (words * 64) as f64;
    let zeros = (bits - f64::from(ones)).max(0.5);
    (bits * (bits / zeros).ln()).round() as u32
}

/// How many different things there were, also where they are very many: bits for the first thousands, and for what is beyond them registers as
/// HyperLogLog has them (Flajolet and others, 2007), 64 of a byte, which are within 13 %.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    few: Distinct<8>,
    many: [u8; REGISTERS],
}

impl Default for Crowd {
    fn default() -> Self {
        Crowd {
            few: Distinct::default(),
            many: [0; REGISTERS],
        }
    }
}

impl Crowd {
    /// Calls for the place of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        self.few.call(hash);
    }

    /// Adds the hash of a thing; returns whether it is surely new.
    #[inline]
    pub fn add(&mut self, hash: u64) -> bool {
        let rank = (hash >> REGISTERS.ilog2()).trailing_zeros() as u8;
        // where there are so many that registers are asked, hardly one is below this
        if rank >= RANK_MIN {
            let register = &mut self.many[hash as usize % REGISTERS];
            *register = (*register).max(rank + 1);
        }
        self.few.add(hash)
    }

    /// Bits of all of them, which tell some hundreds apart.
    pub fn bits(&self) -> &Distinct<8> {
        &self.few
    }

    /// How many there were, about.
    pub fn count(&self) -> u32 {
        let few = self.few.count();
        match few <= FEW_MAX {
            true => few,
            false => few.max(self.estimate()),
        }
    }

    fn estimate(&self) -> u32 {
        let n = REGISTERS as f64;
        let sum: f64 = self.many.iter().map(|r| (-f64::from(*r)).exp2()).sum();
        (0.709 * n * n / sum) as u32
    }

    /// Adds what another one has.
    pub fn join(&mut self, other: &Crowd) {
        let bits = self.few.0.iter_mut().zip(other.few.0);
        bits.for_each(|(a, b)| *a |= b);
        let registers = self.many.iter_mut().zip(other.many);
        registers.for_each(|(a, b)| *a = (*a).max(b));
    }
}

const REGISTERS: usize = 64;
const RANK_MIN: u8 = 2;
/// As many as the bits count within some percent.
const FEW_MAX: u32 = 1_200;

/// What was there within a time: two generations of bits, of which the older is forgotten.
#[derive(Debug)]
pub(super) struct Recent {
    bits: [Vec<u64>; 2],
    began_ms: i64,
    keeps_ms: i64,
}

impl Recent {
    /// Remembers for `keeps_ms` to twice as long, in 2^`log2` bits a generation.
    pub fn new(log2: u32, keeps_ms: i64) -> Self {
        let words = (1usize << log2) / 64;
        Recent {
            bits: [vec![0; words], vec![0; words]],
            began_ms: i64::MIN,
            keeps_ms,
        }
    }

    /// Bytes that it takes.
    pub const fn bytes(log2: u32) -> usize {
        (1usize << log2) / 4
    }

    /// Forgets what is too old.
    pub fn pass(&mut self, now_ms: i64) {
        let age = now_ms.saturating_sub(self.began_ms);
        if (0..self.keeps_ms).contains(&age) {
            return;
        }
        self.bits.swap(0, 1);
        self.bits[0].fill(0);
        if age >= 2 * self.keeps_ms || age < 0 {
            self.bits[1].fill(0);
        }
        self.began_ms = now_ms;
    }

    pub fn add(&mut self, hash: u64) {
        for bit in self.places(hash) {
            self.bits[0][bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Calls for the places of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        for bit in self.places(hash) {
            self.bits.iter().for_each(|b| prefetch(&b[bit / 64]));
        }
    }

    pub fn has(&self, hash: u64) -> bool {
        let places = self.places(hash);
        let all = |bits: &[u64]| places.iter().all(|b| bits[b / 64] >> (b % 64) & 1 == 1);
        self.bits.iter().any(|b| all(b))
    }

    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        self.bits[0].put(out);
        self.bits[1].put(out);
    }

    /// Takes back what was written with as many bits.
    pub fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        let began_ms = Kept::get(from)?;
        let bits: [Vec<u64>; 2] = [Kept::get(from)?, Kept::get(from)?];
        let same = bits.iter().zip(&self.bits).all(|(a, b)| a.len() == b.len());
        (self.began_ms, self.bits) = same.then_some((began_ms, bits))?;
        Some(())
    }

    fn places(&self, hash: u64) -> [usize; 2] {
        // a power of two
        let mask = self.bits[0].len() * 64 - 1;
        [hash as usize & mask, (hash >> 32) as usize & mask]
    }
}

/// Different things of this span of time and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lately<const WORDS: usize> {
    began_ms: i64,
    now: Distinct<WORDS>,
    before: Distinct<WORDS>,
}

impl<const WORDS: usize> Lately<WORDS> {
    fn pass(&mut self, now_ms: i64, span_ms: i64) {
        let age = now_ms.saturating_sub(self.began_ms);
        if (0..span_ms).contains(&age) {
            return;
        }
        let before = match age < 2 * span_ms && age >= 0 {
            true => self.now,
            false => Distinct::default(),
        };
        *self = Lately {
            began_ms: now_ms,
            now: Distinct::default(),
            before,
        };
    }

    /// Adds a hash; spans are so long.
    pub fn add(&mut self, hash: u64, now_ms: i64, span_ms: i64) {
        self.pass(now_ms, span_ms);
        self.now.add(hash);
    }

    /// How many there were in both.
    pub fn count(&mut self, now_ms: i64, span_ms: i64) -> u32 {
        self.pass(now_ms, span_ms);
        let both = |n: usize| self.now.0[n] | self.before.0[n];
        Distinct::<WORDS>(std::array::from_fn(both)).count()
    }
}

impl<const WORDS: usize> Kept for Lately<WORDS> {
    fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        self.now.put(out);
        self.before.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Lately {
            began_ms: Kept::get(from)?,
            now: Kept::get(from)?,
            before: Kept::get(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_well_and_many_about() {
        let keyed = Keyed::new(3);
        for n in [0u32, 1, 10, 15, 100, 400, 1000] {
            let (mut d, mut counted) = (Distinct::<8>::default(), Counted::<8>::default());
            (0..n).for_each(|i| {
                let fresh = d.add(keyed.hash(&i));
                assert_eq!(counted.add(keyed.hash(&i)), fresh);
                assert!(!d.add(keyed.hash(&i)) && !counted.add(keyed.hash(&i)));
            });
            assert_eq!((counted, counted.count()), (d.into(), d.count()));
            let off = f64::from(d.count().abs_diff(n));
            assert!(off <= (0.12 * f64::from(n)).max(1.0), "{n}: {}", d.count());
        }
    }

    #[test]
    fn a_crowd_is_counted_to_millions() {
        let keyed = Keyed::new(3);
        for n in [0u32, 1, 20, 300, 1_000, 5_000, 40_000, 2_000_000] {
            let (mut half, mut all) = (Crowd::default(), Crowd::default());
            (0..n).for_each(|i| {
                let crowd = if i % 2 == 0 { &mut half } else { &mut all };
                crowd.add(keyed.hash(&i));
            });
            all.join(&half);
            let off = f64::from(all.count().abs_diff(n));
            assert!(off <= (0.3 * f64::from(n)).max(1.0), "{n}: {}", all.count());
        }
    }

    #[test]
    fn what_is_recent_is_known_for_a_while() {
        let keyed = Keyed::new(3);
        let mut r = Recent::new(16, 1000);
        r.pass(0);
        r.add(keyed.hash(&1));
        r.pass(1500);
        assert!(r.has(keyed.hash(&1)) && !r.has(keyed.hash(&2)));
        r.pass(2600);
        assert!(!r.has(keyed.hash(&1)));
    }

    #[test]
    fn what_was_there_two_spans_ago_is_forgotten() {
        let keyed = Keyed::new(3);
        let mut l = Lately::<2>::default();
        (0..9).for_each(|n| l.add(keyed.hash(&n), 1_000, 100));
        l.add(keyed.hash(&77), 1_110, 100);
        assert_eq!(l.count(1_120, 100), 10);
        assert_eq!(l.count(1_220, 100), 1);
        assert_eq!(l.count(1_500, 100), 0);
    }
}
