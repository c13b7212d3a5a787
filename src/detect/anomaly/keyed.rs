//! Hashes that an attacker cannot foresee, and counting by them.

use super::keep::Kept;
use super::pages::in_large_pages;
use crate::model::{Addr, prefetch};
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hash};

/// A hash function with a key: a secret in `run`, a constant in `replay`.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    state: FixedState,
    /// Of addresses and numbers, which are hashed for every row.
    quick: [u64; 2],
}

impl Keyed {
    pub fn new(seed: u64) -> Self {
        let state = FixedState::with_seed(seed);
        Keyed {
            quick: [1u64, 2].map(|n| state.hash_one(n)),
            state,
        }
    }

    #[inline]
    pub fn hash<T: Hash>(&self, value: &T) -> u64 {
        self.state.hash_one(value)
    }

    /// The hash of an address.
    #[inline]
    pub fn addr(&self, addr: &Addr) -> u64 {
        let n = u128::from_be_bytes(addr.0);
        let [a, b] = self.quick;
        fold(fold(n as u64 ^ a, (n >> 64) as u64 ^ b), ODD)
    }

    /// The hash of a port, or of something else of a few bytes.
    #[inline]
    pub fn number(&self, n: u64) -> u64 {
        let [a, b] = self.quick;
        fold(n.wrapping_mul(ODD) ^ b, a)
    }
}

/// Of two hashes and a number beside them: as hard to foresee as they are.
#[inline]
pub(super) fn both(a: u64, b: u64, with: u64) -> u64 {
    fold(a ^ with.wrapping_mul(ODD), b.rotate_left(32) ^ ODD)
}

/// Both halves of a product (Yi, 2019: wyhash).
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

/// The fraction of the golden ratio in 64 bits (Knuth, "The Art of Computer Programming", volume 3, 6.4).
pub(super) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What state is kept by.
pub(super) trait Key: Copy + Eq {
    /// Of all places, one prefix may have one in so many.
    const SHARE: usize = 8;

    /// Its hash.
    fn hashed(&self, keyed: &Keyed) -> u64;

    /// The address whose prefix has a share of the places.
    fn addr(&self) -> Addr;

    /// The prefix: 24 bits of IPv4, 48 of IPv6.
    fn prefix(&self) -> Addr {
        network(&self.addr())
    }
}

impl Key for Addr {
    fn hashed(&self, keyed: &Keyed) -> u64 {
        keyed.addr(self)
    }

    fn addr(&self) -> Addr {
        *self
    }
}

impl Key for (Addr, Addr) {
    const SHARE: usize = 2;

    fn hashed(&self, keyed: &Keyed) -> u64 {
        both(keyed.addr(&self.0), keyed.addr(&self.1), 0)
    }

    fn addr(&self) -> Addr {
        self.0
    }
}

impl Key for (Addr, Addr, u16) {
    const SHARE: usize = 2;

    fn hashed(&self, keyed: &Keyed) -> u64 {
        both(keyed.addr(&self.0), keyed.addr(&self.1), self.2.into())
    }

    fn addr(&self) -> Addr {
        self.0
    }
}

/// Both ends of a connection.
impl Key for ((Addr, u16), (Addr, u16)) {
    const SHARE: usize = 2;

    fn hashed(&self, keyed: &Keyed) -> u64 {
        let [a, b] = [self.0, self.1].map(|(addr, _)| keyed.addr(&addr));
        both(a, b, u64::from(self.0.1) << 16 | u64::from(self.1.1))
    }

    fn addr(&self) -> Addr {
        self.0.0
    }
}

/// A port, as a part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Port(pub u16);

impl Key for (Addr, Port) {
    fn hashed(&self, keyed: &Keyed) -> u64 {
        both(keyed.addr(&self.0), 0, self.1.0.into())
    }

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

    /// Whether there were more than as many as there are bits.
    #[inline]
    pub fn is_nearly_full(&self) -> bool {
        self.ones as usize > WORDS * 40
    }

    /// The bits alone.
    pub fn bits(&self) -> &Distinct<WORDS> {
        &self.bits
    }
}

/// How many things set so many bits of so many words.
fn about(words: usize, ones: u32) -> u32 {
    // as long as hardly two of them have the same bit, less than half a one is missing
    if (ones * ones) as usize <= words * 32 {
        return ones;
    }
    let bits = (words * 64) as f64;
    let zeros = (bits - f64::from(ones)).max(0.5);
    (bits * (bits / zeros).ln()).round() as u32
}

/// How many different things there were, also where they are very many: bits for the first thousands, and for what is beyond them registers as
/// HyperLogLog has them (Flajolet and others, 2007), 64 of a byte, whose error is 13 % (one standard deviation).
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

/// What was there within a time: two generations of bits, of which the older is forgotten. All that is asked of a hash lies within one
/// cache line (Putze, Sanders and Singler, 2007: blocked Bloom filters).
#[derive(Debug)]
pub(super) struct Recent {
    blocks: Vec<Block>,
    began_ms: i64,
    keeps_ms: i64,
}

/// Bits of now, and of before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Block([[u64; BLOCK_WORDS]; 2]);

const BLOCK_WORDS: usize = 4;

impl Recent {
    /// Remembers for `keeps_ms` to twice as long, in 2^`log2` bits a generation.
    pub fn new(log2: u32, keeps_ms: i64) -> Self {
        let blocks = (1usize << log2) / (BLOCK_WORDS * 64);
        let mut all = in_large_pages(blocks);
        all.resize(blocks, Block::default());
        Recent {
            blocks: all,
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
        if !(0..self.keeps_ms).contains(&age) {
            let is_over = age >= 2 * self.keeps_ms || age < 0;
            self.turn(now_ms, is_over);
        }
    }

    #[cold]
    fn turn(&mut self, now_ms: i64, is_over: bool) {
        for block in &mut self.blocks {
            let before = if is_over {
                [0; BLOCK_WORDS]
            } else {
                block.0[0]
            };
            block.0 = [[0; BLOCK_WORDS], before];
        }
        self.began_ms = now_ms;
    }

    #[inline]
    pub fn add(&mut self, hash: u64) {
        let at = self.place(hash);
        let block = &mut self.blocks[at];
        for (word, bit) in bits(hash) {
            block.0[0][word] |= bit;
        }
    }

    /// Calls for the place of a hash.
    #[inline]
    pub fn call(&self, hash: u64) {
        prefetch(&self.blocks[self.place(hash)]);
    }

    #[inline]
    pub fn has(&self, hash: u64) -> bool {
        let (block, marks) = (&self.blocks[self.place(hash)], bits(hash));
        let in_all = |words: &[u64; BLOCK_WORDS]| marks.iter().all(|(w, bit)| words[*w] & bit != 0);
        block.0.iter().any(in_all)
    }

    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        (self.blocks.len() as u64).put(out);
        let words = self.blocks.iter().flat_map(|b| b.0.iter().flatten());
        words.for_each(|w| w.put(out));
    }

    /// Takes back what was written with as many bits.
    pub fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        let began_ms = Kept::get(from)?;
        if u64::get(from)? != self.blocks.len() as u64 {
            return None;
        }
        let blocks: Option<Vec<Block>> = (self.blocks.iter())
            .map(|_| Kept::get(from).map(Block))
            .collect();
        (self.began_ms, self.blocks) = (began_ms, blocks?);
        Some(())
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        // a power of two
        hash as usize & (self.blocks.len() - 1)
    }
}

/// Words within a block, and the bit of each, that a hash has.
#[inline]
fn bits(hash: u64) -> [(usize, u64); 2] {
    let bit = |at: u64| ((at >> 6) as usize % BLOCK_WORDS, 1 << (at % 64));
    [bit(hash >> 56), bit(hash >> 48 & 0xff)]
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
    fn neighbours_are_told_apart_as_well_as_others() {
        // of 400 things in 2,048 bits, 363 are set on average, give or take 4
        let ones = |hashes: &dyn Fn(u64) -> u64| {
            let mut bits = Distinct::<32>::default();
            (0..400).for_each(|n| _ = bits.add(hashes(n)));
            bits.ones()
        };
        let mut all = [0; 6];
        for seed in 0..200 {
            let keyed = Keyed::new(seed);
            let v4 = |n: u64| keyed.addr(&Addr::from_v4((0x0a01_0000 + n as u32).to_be_bytes()));
            let v6 = |n: u64| {
                let mut bytes = [0x20; 16];
                bytes[8..].copy_from_slice(&n.to_be_bytes());
                keyed.addr(&Addr(bytes))
            };
            let nets = |n: u64| keyed.addr(&Addr::from_v4(((n as u32) << 8).to_be_bytes()));
            let ports = |n: u64| keyed.number(6 << 16 | n);
            let (one, port) = (v4(7), ports(443));
            all[0] += ones(&v4);
            all[1] += ones(&v6);
            all[2] += ones(&nets);
            all[3] += ones(&ports);
            all[4] += ones(&|n| both(v4(n), port, 0));
            all[5] += ones(&|n| both(one, ports(n), 0));
        }
        for sum in all {
            assert!((360 * 200..=367 * 200).contains(&sum), "{all:?}");
        }
    }

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
