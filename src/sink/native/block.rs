//! One block in the Native format, written column by column.
//!
//! Layout at protocol revision 0, which HTTP inserts use: number of columns and rows as varints, then for each column
//! its name, its type and its cells. Fixed-width cells are little-endian, back to back; IPv6 is 16 network-order
//! bytes; a String is its varint length and bytes; an Array is a column of cumulative u64 offsets, then the elements;
//! a LowCardinality(String) is a dictionary and keys into it.

use crate::model::{Addr, NameTable};
use bytes::Bytes;

/// A block under construction. Its memory comes from an earlier block where there was one.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Always initialised to its full length; what is written ends at `at`.
    bytes: Vec<u8>,
    at: usize,
    columns: u8,
    names: String,
    dictionary: Dictionary,
}

/// A place in a block to go back to.
pub(super) struct Mark {
    at: usize,
    names: usize,
}

impl Block {
    /// Starts a block over, in the given memory.
    pub(super) fn start(&mut self, memory: Vec<u8>, rows: usize) {
        self.bytes = memory;
        self.at = 0;
        self.columns = 0;
        self.names.clear();
        // the number of columns is known at the end; below 128 it takes this one byte
        self.claim(1);
        self.number(rows as u64);
    }

    /// Starts a column.
    pub(super) fn column(&mut self, name: &str, kind: &str) -> Mark {
        let mark = Mark {
            at: self.at,
            names: self.names.len(),
        };
        if self.columns > 0 {
            self.names.push_str(", ");
        }
        for part in ["`", name, "`"] {
            self.names.push_str(part);
        }
        self.text(name.as_bytes());
        self.text(kind.as_bytes());
        self.columns += 1;
        mark
    }

    /// Takes the column back that was started last.
    pub(super) fn retract(&mut self, mark: Mark) {
        self.at = mark.at;
        self.names.truncate(mark.names);
        self.columns -= 1;
    }

    /// Ends the block; also the names of its columns.
    pub(super) fn finish(&mut self) -> (Vec<u8>, String) {
        self.bytes[0] = self.columns;
        self.bytes.truncate(self.at);
        (std::mem::take(&mut self.bytes), self.names.clone())
    }

    /// The next `n` bytes.
    #[inline]
    pub(super) fn claim(&mut self, n: usize) -> &mut [u8] {
        let end = self.at + n;
        if self.bytes.len() < end {
            self.bytes.resize(end + end / 2, 0);
        }
        let from = std::mem::replace(&mut self.at, end);
        &mut self.bytes[from..end]
    }

    /// Fixed-width cells, exactly `rows` of them.
    #[inline]
    pub(super) fn cells<T: Cell>(&mut self, rows: usize, values: impl Iterator<Item = T>) {
        let out = self.claim(rows * T::SIZE);
        for (cell, value) in out.chunks_exact_mut(T::SIZE).zip(values) {
            value.put(cell);
        }
    }

    /// A length and that many bytes.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.claim(text.len()).copy_from_slice(text);
    }

    /// A number in groups of seven bits, least significant first.
    fn number(&mut self, mut n: u64) {
        while n > 0x7f {
            self.claim(1)[0] = n as u8 | 0x80;
            n >>= 7;
        }
        self.claim(1)[0] = n as u8;
    }

    /// The offsets of an Array column; its elements follow.
    pub(super) fn offsets(&mut self, rows: usize, lengths: impl Iterator<Item = usize>) {
        let mut end = 0u64;
        self.cells(
            rows,
            lengths.map(|n| {
                end += n as u64;
                end
            }),
        );
    }

    /// LowCardinality(String) cells from ids of a name table. Returns false, with nothing written, where every name
    /// is the empty one.
    pub(super) fn names(
        &mut self,
        table: &NameTable,
        rows: usize,
        ids: impl Iterator<Item = u32>,
    ) -> bool {
        let name = |id| table.name(id);
        self.low_cardinality(table.len(), name, rows, ids)
    }

    /// The same with a function for the names of the ids below `count`.
    pub(super) fn low_cardinality<'n>(
        &mut self,
        count: usize,
        name: impl Fn(u32) -> &'n str,
        rows: usize,
        ids: impl Iterator<Item = u32>,
    ) -> bool {
        let mut dictionary = std::mem::take(&mut self.dictionary);
        dictionary.look_up(count, ids);
        let Dictionary { ids, keys, .. } = &dictionary;
        let said = ids.iter().any(|&id| !name(id).is_empty());
        if said {
            let width = match ids.len() {
                0..=0x100 => 0u64,
                0x101..=0x1_0000 => 1,
                _ => 2,
            };
            let head = [
                KEYS_VERSION,
                width | ADDITIONAL_KEYS | UPDATE_DICTIONARY,
                ids.len() as u64,
            ];
            self.cells(3, head.into_iter());
            for &id in ids {
                self.text(name(id).as_bytes());
            }
            self.cells(1, std::iter::once(rows as u64));
            match width {
                0 => self.cells(rows, keys.iter().map(|&k| k as u8)),
                1 => self.cells(rows, keys.iter().map(|&k| k as u16)),
                _ => self.cells(rows, keys.iter().copied()),
            }
        }
        self.dictionary = dictionary;
        said
    }
}

/// The names that one block uses: ids in order of appearance, a key for each row, no hashing.
#[derive(Debug, Default)]
struct Dictionary {
    /// By id: its key plus 1, 0 where the block has not seen it. All 0 between uses.
    slots: Vec<u32>,
    ids: Vec<u32>,
    keys: Vec<u32>,
}

impl Dictionary {
    fn look_up(&mut self, count: usize, ids: impl Iterator<Item = u32>) {
        let Dictionary {
            slots,
            ids: seen,
            keys,
        } = self;
        seen.clear();
        keys.clear();
        // one slot more: ids past the table share it, and have the empty name
        slots.resize(slots.len().max(count + 1), 0);
        let slots = &mut slots[..count + 1];
        keys.extend(ids.map(|id| {
            let id = id.min(count as u32);
            let slot = &mut slots[id as usize];
            if *slot == 0 {
                seen.push(id);
                *slot = seen.len() as u32;
            }
            *slot - 1
        }));
        for &id in seen.iter() {
            slots[id as usize] = 0;
        }
    }
}

/// A value of fixed width.
pub(super) trait Cell: Copy + Default {
    /// Bytes.
    const SIZE: usize;
    /// Writes exactly `SIZE` bytes.
    fn put(self, out: &mut [u8]);
    /// Whether all values are the default one, which is what the table fills in for a column that is not sent.
    fn all_default(values: &[Self]) -> bool;
}

macro_rules! cells {
    ($($t:ty),*) => {$(
        impl Cell for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline(always)]
            fn put(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_le_bytes());
            }
            fn all_default(values: &[Self]) -> bool {
                values.chunks(256).all(|c| c.iter().fold(0, |all, v| all | v) == 0)
            }
        }
    )*};
}

cells!(u8, u16, u32, u64, i64);

impl Cell for Addr {
    const SIZE: usize = 16;
    #[inline(always)]
    fn put(self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
    fn all_default(values: &[Self]) -> bool {
        let or = |all, v: &Addr| all | u128::from_ne_bytes(v.0);
        values.chunks(64).all(|c| c.iter().fold(0, or) == 0)
    }
}

/// Memory that a finished block can be written into again; `None` while somebody else still holds it.
pub(super) fn reclaim(body: Bytes) -> Option<Vec<u8>> {
    body.is_unique().then(|| Vec::from(body))
}

const KEYS_VERSION: u64 = 1;
const ADDITIONAL_KEYS: u64 = 1 << 9;
const UPDATE_DICTIONARY: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Block)) -> Vec<u8> {
        let mut b = Block::default();
        b.start(Vec::new(), 0);
        write(&mut b);
        b.finish().0.split_off(2)
    }

    #[test]
    fn counts_stand_before_the_columns() {
        let mut b = Block::default();
        b.start(vec![9; 64], 300);
        b.column("a", "UInt16");
        b.cells(2, [1u16, 0x203].into_iter());
        let mark = b.column("b", "UInt8");
        b.retract(mark);
        let (bytes, names) = b.finish();
        assert_eq!(&bytes, b"\x01\xac\x02\x01a\x06UInt16\x01\0\x03\x02");
        assert_eq!(names, "`a`");
    }

    #[test]
    fn names_become_a_dictionary_in_order_of_appearance() {
        let mut table = NameTable::new("none");
        table.push("web");
        let bytes = written(|b| {
            assert!(b.names(&table, 3, [1, 0, 1].into_iter()));
        });
        let mut want = Vec::new();
        for n in [1u64, 3 << 9, 2] {
            want.extend(n.to_le_bytes());
        }
        want.extend(b"\x03web\x04none");
        want.extend(3u64.to_le_bytes());
        want.extend([0, 1, 0]);
        assert_eq!(bytes, want);
        let unknown_ids = |b: &mut Block| assert!(!b.names(&table, 2, [7, 9].into_iter()));
        assert!(written(unknown_ids).is_empty());
    }

    #[test]
    fn wide_dictionaries_get_wide_keys() {
        let mut table = NameTable::new("");
        for i in 0..300 {
            table.push(&format!("n{i}"));
        }
        let bytes = written(|b| {
            b.names(&table, 301, 0..301);
        });
        assert_eq!(bytes[8], 1, "two bytes a key");
        assert_eq!(bytes[bytes.len() - 2..], 300u16.to_le_bytes());
    }
}
