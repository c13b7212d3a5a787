//! What exporters are expected to send next, kept when the bundles that said so are gone.
//!
//! A bundle's blob is a row of entries: length of the key (u16), key, value (u64), little-endian. What a key is only its
//! writer knows. Of two entries with one key that of the later bundle counts, so the merged file keeps the bundle's number
//! beside each value: bundles may end in another order than they began.

use std::collections::BTreeMap;

/// Entries that are kept; those of the oldest bundles give way.
const ENTRIES_MAX: usize = 262_144;

/// Version of the merged file.
const MAGIC: [u8; 8] = *b"FHPOS\0\0\x01";

/// Entries of all bundles that ended, and the next number of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    entries: BTreeMap<Vec<u8>, (u64, u64)>,
    /// No bundle has this number or a higher one.
    pub next: u64,
}

/// Writes one entry to the end of a blob.
///
/// # Errors
/// The key, when it is longer than 65,535 bytes.
pub fn put<'k>(blob: &mut Vec<u8>, key: &'k [u8], value: u64) -> Result<(), &'k [u8]> {
    let len = u16::try_from(key.len()).map_err(|_| key)?;
    blob.extend(len.to_le_bytes());
    blob.extend(key);
    blob.extend(value.to_le_bytes());
    Ok(())
}

/// Reads the entries of a blob; it ends where an entry is not whole.
pub fn entries(mut blob: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    std::iter::from_fn(move || {
        let (len, rest) = blob.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        let (value, rest) = rest.split_first_chunk::<8>()?;
        blob = rest;
        Some((key, u64::from_le_bytes(*value)))
    })
}

impl Positions {
    /// Takes in the blob of a bundle; entries of later bundles stay.
    pub fn merge(&mut self, number: u64, blob: &[u8]) {
        for (key, value) in entries(blob) {
            match self.entries.get_mut(key) {
                Some(known) if known.0 > number => {}
                Some(known) => *known = (number, value),
                None => {
                    self.entries.insert(key.to_vec(), (number, value));
                }
            }
        }
        self.next = self.next.max(number.saturating_add(1));
        if self.entries.len() > ENTRIES_MAX {
            let mut numbers: Vec<u64> = self.entries.values().map(|v| v.0).collect();
            numbers.sort_unstable();
            let least = numbers[self.entries.len() - ENTRIES_MAX];
            self.entries.retain(|_, v| v.0 >= least);
        }
    }

    /// Whether the file would say something else than that of `other`, numbers of bundles aside.
    pub fn values_differ(&self, other: &Positions) -> bool {
        self.entries != other.entries
    }

    /// Keys and values, sorted by key.
    pub fn values(&self) -> Vec<(Vec<u8>, u64)> {
        let values = self.entries.iter();
        values
            .map(|(key, (_, value))| (key.clone(), *value))
            .collect()
    }

    /// The bytes of the file `positions`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([0; 16]);
        out.extend(self.next.to_le_bytes());
        for (key, (number, value)) in &self.entries {
            out.extend((key.len() as u16).to_le_bytes());
            out.extend(key);
            out.extend(number.to_le_bytes());
            out.extend(value.to_le_bytes());
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
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let (key, tail) = tail.split_at_checked(u16::from_le_bytes(*len).into())?;
            let (number, tail) = tail.split_first_chunk::<8>()?;
            let (value, tail) = tail.split_first_chunk::<8>()?;
            let value = (u64::from_le_bytes(*number), u64::from_le_bytes(*value));
            positions.entries.insert(key.to_vec(), value);
            rest = tail;
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
        let values = p.values();
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
    fn a_damaged_file_is_no_file() {
        let mut p = Positions::default();
        p.merge(1, &blob(&[("key", 7)]));
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
