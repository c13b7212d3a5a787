//! What exporters are expected to send next, and what became of rows, kept when the bundles that said so are gone.
//!
//! A bundle's blob is a list of [`positions`](crate::model::positions); the lower half of a value counts units and wraps. Of two
//! entries with one key that of the later bundle counts, so the merged file keeps the bundle's number beside each value: bundles
//! may end in another order than they began.
//!
//! Each entry is linked to the one before it (see [`Chain`]), so the merged file also knows how many units lie in bundles that
//! it has not seen: none once all have ended, and after a crash, or where a file cannot be read, exactly those that are lost.

use crate::ledger::{Outcome, Tally};
use crate::model::positions::{entries, put};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Entries that are kept; those of the oldest bundles give way.
const ENTRIES_MAX: usize = 262_144;

/// Most bytes of the entries of the merged file and of the chain, with their keys.
pub const BYTES_MAX: usize = ENTRIES_MAX * 2 * (KEY_BYTES + 2 * size_of::<(Vec<u8>, Entry)>());

/// Bytes of a key on the heap.
const KEY_BYTES: usize = 48;

/// Version of the merged file.
const MAGIC: [u8; 8] = *b"FHPOS\0\0\x01";

/// First byte of keys whose entries are about another one, which follows: in a blob where that begins (lower half), and where
/// the first one of all began (upper half); in the merged file the units that are missing of it.
const LINK: u8 = 0xfd;

/// First byte of keys that say how often the table `ledger` tells of an outcome.
const TOLD: u8 = 0xff;

/// First byte of keys that say how many rows of bundles that are gone had an outcome (merged file only).
const ENDED: u8 = 0xfe;

/// First byte of keys with the number of a bundle that has ended and may have its file yet (merged file only).
const GONE: u8 = 0xfc;

/// Missing units beyond which a number was not counted on but set anew: as in the sequences of decode.
const MISSING_MAX: u32 = 1 << 24;

/// Entries of all bundles that ended, what became of their rows, and the next number of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Outcomes of the rows of bundles that ended, in all.
    pub(in crate::sink) ended: Tally,
    /// Bundles among them whose file may still be there.
    pub(in crate::sink) gone: BTreeSet<u64>,
    /// No bundle has this number or a higher one.
    pub next: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// The bundle that said it.
    number: u64,
    value: u64,
    /// Units before it that no bundle seen so far has; wraps.
    missing: u32,
}

impl Entry {
    /// Where it would be had nothing of what is missing been.
    fn seen(self) -> u32 {
        (self.value as u32).wrapping_sub(self.missing)
    }
}

/// Writes how often an outcome is told by the bundle that the blob belongs to and all before it.
pub fn put_told(blob: &mut Vec<u8>, outcome: Outcome, count: u64) {
    put(blob, &key(TOLD, outcome.name().as_bytes()), count).ok();
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend(rest);
    key
}

/// Links the entries of each bundle to those of the bundle before it, in the order of their numbers.
#[derive(Debug, Default)]
pub struct Chain {
    last: HashMap<Vec<u8>, Reach>,
    unlinked: u64,
}

/// How far the entries of a key reach.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    first: u32,
    last: u32,
    /// The value of the last entry of this process, if there is one.
    value: Option<u64>,
}

impl Reach {
    fn at(at: u32) -> Reach {
        Reach {
            first: at,
            last: at,
            value: None,
        }
    }

    /// The link of an entry that begins where the last one ended.
    fn link(self) -> u64 {
        u64::from(self.first) << 32 | u64::from(self.last)
    }
}

impl Chain {
    /// Goes on behind everything that was found. What is missing of that is left behind: it is told now, or never.
    pub fn behind(found: &Positions) -> Chain {
        let seen = found.entries.iter();
        Chain {
            unlinked: 0,
            last: seen
                .map(|(key, e)| (key.clone(), Reach::at(e.seen())))
                .collect(),
        }
    }

    /// The blob of the next bundle with its links. A key that finds no room has none: what is missing of it is not known later.
    pub fn link(&mut self, blob: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(blob.len() * 2);
        for (k, value) in entries(blob) {
            let is_told = k.first() == Some(&TOLD);
            if is_told && !self.last.contains_key(k) {
                self.last.insert(k.to_vec(), Reach::default());
            }
            if let Some(reach) = self.last.get_mut(k) {
                put(&mut out, &key(LINK, k), reach.link()).ok();
                (reach.last, reach.value) = (value as u32, Some(value));
            } else if self.last.len() < ENTRIES_MAX {
                self.last.insert(k.to_vec(), Reach::at(value as u32));
            } else {
                self.unlinked += 1;
            }
            put(&mut out, k, value).ok();
        }
        out
    }

    /// How many entries found no room since the last call.
    pub fn take_unlinked(&mut self) -> u64 {
        std::mem::take(&mut self.unlinked)
    }

    /// The blob of a bundle that does not exist, behind the last one of a process that ends in order: it holds nothing, so later
    /// it shows whether the ones before it are there.
    pub fn end(&self) -> Vec<u8> {
        let mut out = vec![];
        for (k, reach) in &self.last {
            if let Some(value) = reach.value {
                put(&mut out, &key(LINK, k), reach.link()).ok();
                put(&mut out, k, value).ok();
            }
        }
        out
    }
}

impl Positions {
    /// Takes in the blob of a bundle, once; entries of later bundles stay. Returns how many entries gave way.
    pub fn merge(&mut self, number: u64, blob: &[u8]) -> usize {
        let mut link = None;
        for (key, value) in entries(blob) {
            match key.first() {
                Some(&LINK) => link = Some((value as u32, (value >> 32) as u32)),
                Some(&ENDED | &GONE) => {}
                _ => self.merge_entry(number, key, value, link.take()),
            }
        }
        self.next = self.next.max(number.saturating_add(1));
        let before = self.entries.len();
        if before > ENTRIES_MAX {
            let mut numbers: Vec<u64> = self.entries.values().map(|v| v.number).collect();
            numbers.sort_unstable();
            let least = numbers[self.entries.len() - ENTRIES_MAX];
            self.entries.retain(|_, v| v.number >= least);
        }
        before - self.entries.len()
    }

    /// Takes in one entry; `link` is where it begins, and where the first one of its key began.
    fn merge_entry(&mut self, number: u64, key: &[u8], value: u64, link: Option<(u32, u32)>) {
        let is_full = self.entries.len() >= ENTRIES_MAX;
        match (self.entries.get_mut(key), link) {
            (Some(known), Some((begin, _))) if known.number > number => {
                // a later bundle missed it
                let units = (value as u32).wrapping_sub(begin);
                known.missing = known.missing.wrapping_sub(units);
            }
            (Some(known), None) if known.number > number => {}
            (Some(known), link) => {
                let begin = link.map_or(known.value as u32, |l| l.0);
                let missing = begin.wrapping_sub(known.seen());
                (known.number, known.value, known.missing) = (number, value, missing);
            }
            (None, link) => {
                // nobody knows what was forgotten for want of room
                let missing = link.filter(|_| !is_full);
                let missing = missing.map_or(0, |(begin, first)| begin.wrapping_sub(first));
                let entry = Entry {
                    number,
                    value,
                    missing,
                };
                self.entries.insert(key.to_vec(), entry);
            }
        }
    }

    /// Whether the file would say something else than that of `other`.
    pub fn differ(&self, other: &Positions) -> bool {
        self.entries != other.entries || self.ended != other.ended || self.gone != other.gone
    }

    /// Keys and values of the writers of blobs, sorted by key; `without_missing`: as if what is missing had not been.
    pub fn values(&self, without_missing: bool) -> Vec<(Vec<u8>, u64)> {
        let value = |e: &Entry| match without_missing && e.missing <= MISSING_MAX {
            true => e.value & !u64::from(u32::MAX) | u64::from(e.seen()),
            false => e.value,
        };
        let ours = self.ours();
        ours.map(|(key, e)| (key.clone(), value(e))).collect()
    }

    /// Keys of which units are missing, and how many; [`u64::MAX`]: nobody can know.
    pub fn missing(&self) -> Vec<(Vec<u8>, u64)> {
        let units = |e: &Entry| match e.missing {
            n if n <= MISSING_MAX => u64::from(n),
            _ => u64::MAX,
        };
        let missing = self.ours().filter(|(_, e)| e.missing != 0);
        missing.map(|(key, e)| (key.clone(), units(e))).collect()
    }

    fn ours(&self) -> impl Iterator<Item = (&Vec<u8>, &Entry)> {
        let all = self.entries.iter();
        all.filter(|(key, e)| key.first() != Some(&TOLD) && e.value != u64::MAX)
    }

    /// What the table `ledger` tells of the ends of rows.
    pub fn told(&self) -> Tally {
        let mut tally = Tally::default();
        for &o in Outcome::ALL {
            if let Some(e) = self.entries.get(&key(TOLD, o.name().as_bytes())) {
                tally.add(o, e.value.saturating_sub(e.missing.into()));
            }
        }
        tally
    }

    /// The bytes of the file `positions`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([0; 16]);
        out.extend(self.next.to_le_bytes());
        let mut put = |key: &[u8], number: u64, value: u64| {
            out.extend((key.len() as u16).to_le_bytes());
            out.extend(key);
            out.extend(number.to_le_bytes());
            out.extend(value.to_le_bytes());
        };
        for (k, e) in &self.entries {
            if e.missing != 0 {
                put(&key(LINK, k), e.number, e.missing.into());
            }
            put(k, e.number, e.value);
        }
        for (outcome, count) in self.ended.iter() {
            put(&key(ENDED, outcome.name().as_bytes()), 0, count);
        }
        for number in &self.gone {
            put(&[GONE], *number, 1);
        }
        let sum = super::format::checksum(&out[24..]);
        out[8..24].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the file; `None` where it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Positions> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (sum, rest) = rest.split_first_chunk::<16>()?;
        if super::format::checksum(rest) != u128::from_le_bytes(*sum) {
            return None;
        }
        let (next, mut rest) = rest.split_first_chunk::<8>()?;
        let mut positions = Positions {
            next: u64::from_le_bytes(*next),
            ..Positions::default()
        };
        let mut missing = 0;
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let (key, tail) = tail.split_at_checked(u16::from_le_bytes(*len).into())?;
            let (number, tail) = tail.split_first_chunk::<8>()?;
            let (value, tail) = tail.split_first_chunk::<8>()?;
            let (number, value) = (u64::from_le_bytes(*number), u64::from_le_bytes(*value));
            rest = tail;
            match key.split_first() {
                Some((&LINK, _)) => missing = value as u32,
                Some((&GONE, _)) => {
                    positions.gone.insert(number);
                }
                Some((&ENDED, name)) => {
                    let outcome = std::str::from_utf8(name).ok().and_then(Outcome::named);
                    if let Some(outcome) = outcome {
                        positions.ended.add(outcome, value);
                    }
                }
                _ => {
                    let entry = Entry {
                        number,
                        value,
                        missing: std::mem::take(&mut missing),
                    };
                    positions.entries.insert(key.to_vec(), entry);
                }
            }
        }
        rest.is_empty().then_some(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(entries: &[(&str, u64)]) -> Vec<u8> {
        let mut out = vec![];
        for (key, value) in entries {
            put(&mut out, key.as_bytes(), *value).expect("a short key");
        }
        out
    }

    #[test]
    fn the_later_bundle_counts_whichever_ends_first() {
        let mut p = Positions::default();
        p.merge(5, &blob(&[("a", 50), ("b", 51)]));
        p.merge(3, &blob(&[("a", 30), ("c", 31)]));
        let values = p.values(false);
        let expected = [("a", 50), ("b", 51), ("c", 31)];
        assert_eq!(
            values,
            expected.map(|(k, v)| (k.as_bytes().to_vec(), v)).to_vec()
        );
        assert_eq!(p.next, 6);
        let back = Positions::decode(&p.encode()).expect("sound");
        assert_eq!(back, p);
    }

    #[test]
    fn a_chain_shows_what_lies_in_bundles_that_nobody_has() {
        let mut chain = Chain::default();
        let bundles: Vec<Vec<u8>> = [10, 25, 40, 70, 71]
            .map(|to| match to {
                // the first one says where it begins
                10 => chain.link(&blob(&[("a", 3), ("a", 10)])),
                _ => chain.link(&blob(&[("a", to)])),
            })
            .to_vec();
        let merge = |numbers: &[u64]| {
            let mut p = Positions::default();
            for &n in numbers {
                p.merge(n, &bundles[n as usize]);
            }
            assert_eq!(Positions::decode(&p.encode()).as_ref(), Some(&p));
            p.missing().first().map_or(0, |m| m.1)
        };
        // every order, every bundle missing
        assert_eq!(merge(&[0, 1, 2, 3, 4]), 0);
        assert_eq!(merge(&[4, 2, 0, 3, 1]), 0);
        assert_eq!(merge(&[0, 1, 3, 4]), 15);
        assert_eq!(merge(&[4, 0, 2]), 15 + 30);
        assert_eq!(merge(&[1, 2, 3, 4]), 7, "the first one");
        assert_eq!(
            merge(&[0, 1]),
            0,
            "what is behind the last one is not known here"
        );
        // a later process goes on, and leaves behind what is missing
        let mut p = Positions::default();
        for n in [0, 3] {
            p.merge(n, &bundles[n as usize]);
        }
        let at = |p: &Positions, without| p.values(without)[0].1;
        assert_eq!(
            (p.missing()[0].1, at(&p, false), at(&p, true)),
            (30, 70, 40)
        );
        let mut chain = Chain::behind(&p);
        let (told, news) = (
            chain.link(&blob(&[("a", 40)])),
            chain.link(&blob(&[("a", 90)])),
        );
        let mut later = p.clone();
        later.merge(5, &told);
        assert!(later.missing().is_empty());
        later.merge(6, &news);
        assert!(later.missing().is_empty());
        p.merge(6, &news);
        assert_eq!(p.missing(), [], "nothing lay in the other one");
    }

    #[test]
    fn what_is_told_in_a_bundle_that_is_lost_is_not_told() {
        let (mut chain, mut p) = (Chain::default(), Positions::default());
        let mut told = |n| {
            let mut out = vec![];
            put_told(&mut out, Outcome::RowsShed, n);
            chain.link(&out)
        };
        let (first, lost, last) = (told(5), told(12), told(20));
        p.merge(0, &first);
        p.merge(2, &last);
        assert_eq!(p.told().count(Outcome::RowsShed), 20 - 7);
        p.merge(1, &lost);
        assert_eq!(p.told().count(Outcome::RowsShed), 20);
        assert!(p.values(false).is_empty(), "it is nobody's position");
    }

    #[test]
    fn a_damaged_file_is_no_file() {
        let mut p = Positions::default();
        p.merge(1, &blob(&[("key", 7)]));
        p.ended.add(Outcome::RowsShed, 9);
        p.gone.insert(3);
        let bytes = p.encode();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Positions::decode(&bad), None, "byte {at}");
            assert_eq!(Positions::decode(&bytes[..at]), None, "cut at {at}");
        }
        // a blob that is cut keeps its whole entries
        assert_eq!(entries(&blob(&[("a", 1), ("b", 2)])[..20]).count(), 1);
    }
}
