//! What values have to end with: most rules are about one name, of a server or a host. Each end of a value is looked up by its hash, in one pass from
//! the last byte on, which is sooner done than a search, and takes nothing to compile.

use super::patterns::Marks;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Ends of values, in any case of ASCII letters, and the rules that ask for them.
#[derive(Debug, Default)]
pub(super) struct Ends {
    list: Vec<End>,
    by_hash: HashMap<u64, Vec<u32>, FixedState>,
    /// Which hashes there may be: a bit each, more than there are ends.
    filter: Vec<u64>,
    /// Which lengths there are, a bit each.
    lengths: [u64; LENGTHS],
    longest: usize,
}

#[derive(Debug)]
struct End {
    bytes: Vec<u8>,
    rules: Vec<u32>,
}

impl Ends {
    /// Whether bytes are short enough to be one.
    pub fn fit(bytes: &[u8]) -> bool {
        (1..64 * LENGTHS).contains(&bytes.len())
    }

    /// Of bytes that [`Ends::fit`], each once.
    pub fn new(ends: impl Iterator<Item = (Vec<u8>, Vec<u32>)>) -> Self {
        let list: Vec<End> = ends.map(|(bytes, rules)| End { bytes, rules }).collect();
        if list.is_empty() {
            return Ends::default();
        }
        let mut made = Ends {
            filter: vec![0; (list.len() * 16 / 64 + 1).next_power_of_two()],
            ..Ends::default()
        };
        for (n, end) in list.iter().enumerate() {
            let hash = end.bytes.iter().rev().fold(SEED, |h, b| step(h, *b));
            let (word, bit) = made.place(hash);
            made.filter[word] |= 1 << bit;
            made.lengths[end.bytes.len() / 64] |= 1 << (end.bytes.len() % 64);
            made.longest = made.longest.max(end.bytes.len());
            made.by_hash.entry(hash).or_default().push(n as u32);
        }
        made.list = list;
        made
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Marks the rules whose bytes a value ends with.
    #[inline]
    pub fn mark(&self, value: &[u8], marks: &mut Marks) {
        let mut hash = SEED;
        for (n, byte) in value.iter().rev().take(self.longest).enumerate() {
            hash = step(hash, *byte);
            let length = n + 1;
            if self.lengths[length / 64] >> (length % 64) & 1 == 0 {
                continue;
            }
            let (word, bit) = self.place(hash);
            if self.filter[word] >> bit & 1 == 1 {
                self.found(hash, &value[value.len() - length..], marks);
            }
        }
    }

    #[cold]
    fn found(&self, hash: u64, end: &[u8], marks: &mut Marks) {
        let places = self.by_hash.get(&hash).into_iter().flatten();
        let ends = places.map(|n| &self.list[*n as usize]);
        for same in ends.filter(|e| e.bytes.eq_ignore_ascii_case(end)) {
            same.rules.iter().for_each(|rule| marks.mark(*rule));
        }
    }

    /// The bit of a hash.
    #[inline]
    fn place(&self, hash: u64) -> (usize, u32) {
        let hash = hash >> 32;
        let word = (hash >> 6) as usize & (self.filter.len() - 1);
        (word, (hash & 63) as u32)
    }
}

/// One byte more, whatever its case.
#[inline]
fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte.to_ascii_lowercase()))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(23)
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;
/// Words of bits: ends of less than 256 bytes.
const LENGTHS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(ends: &[&[u8]], value: &[u8]) -> Vec<u32> {
        let ends = ends.iter().enumerate();
        let ends = Ends::new(ends.map(|(n, e)| (e.to_vec(), vec![n as u32])));
        let mut marks = Marks::new(300, std::iter::empty());
        marks.clear();
        ends.mark(value, &mut marks);
        marks.sorted().to_vec()
    }

    #[test]
    fn ends_are_found_in_any_case_and_nothing_else_is() {
        let ends: &[&[u8]] = &[b".example.com", b"example.com", b"com", b"m", b"x.org"];
        assert_eq!(marked(ends, b"www.EXAMPLE.com"), [0, 1, 2, 3]);
        assert_eq!(marked(ends, b"example.com"), [1, 2, 3]);
        assert_eq!(marked(ends, b"example.com."), [0u32; 0]);
        assert_eq!(marked(ends, b""), [0u32; 0]);
        assert_eq!(marked(&[], b"x"), [0u32; 0]);
        let long = [b'a'; 255];
        assert!(Ends::fit(&long) && !Ends::fit(&[b'a'; 256]) && !Ends::fit(b""));
        assert_eq!(marked(&[&long], &[b'A'; 400]), [0]);
        assert_eq!(marked(&[&long], &[b'a'; 254]), [0u32; 0]);
    }

    proptest! {
        #[test]
        fn they_are_what_a_comparison_finds(
            ends in proptest::collection::btree_set(proptest::collection::vec(b'a'..b'd', 1..6), 1..40),
            value in proptest::collection::vec(b'A'..b'D', 0..12),
        ) {
            let ends: Vec<&[u8]> = ends.iter().map(Vec::as_slice).collect();
            let lower = value.to_ascii_lowercase();
            let want: Vec<u32> = (0..ends.len() as u32).filter(|n| lower.ends_with(ends[*n as usize])).collect();
            prop_assert_eq!(marked(&ends, &value), want);
        }
    }
}
