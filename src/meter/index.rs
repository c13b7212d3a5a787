//! From hashes to places in the arena: open addressing with linear probing, at most half full.

/// Cells of 64 bits: the upper half of the hash, and the place plus one; 0 is empty. A removal moves later cells of the
/// run back, so there are no tombstones and the time of a search never grows with age.
#[derive(Debug)]
pub(super) struct Index {
    cells: Vec<u64>,
    mask: usize,
}

impl Index {
    /// An index for at most `places` places. Its pages are touched as they are used.
    pub fn new(places: usize) -> Self {
        let size = (2 * places).next_power_of_two();
        Index {
            cells: vec![0; size],
            mask: size - 1,
        }
    }

    /// Bytes that an index for so many places takes.
    pub const fn bytes(places: usize) -> usize {
        (2 * places).next_power_of_two() * size_of::<u64>()
    }

    /// The place with this hash that `is` the one.
    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = hash >> 32;
        let mut at = tag as usize & self.mask;
        loop {
            let cell = self.cells[at];
            if cell == 0 {
                return None;
            }
            if cell >> 32 == tag && is(place(cell)) {
                return Some(place(cell));
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds a place that is not there yet.
    pub fn insert(&mut self, hash: u64, place: u32) {
        let mut at = (hash >> 32) as usize & self.mask;
        while self.cells[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.cells[at] = hash >> 32 << 32 | u64::from(place + 1);
    }

    /// Takes a place out.
    pub fn remove(&mut self, hash: u64, gone: u32) {
        let mut hole = (hash >> 32) as usize & self.mask;
        loop {
            match self.cells[hole] {
                0 => return,
                cell if place(cell) == gone => break,
                _ => hole = (hole + 1) & self.mask,
            }
        }
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            let home = (cell >> 32) as usize & self.mask;
            // a cell may move back as far as its home
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = 0;
    }
}

fn place(cell: u64) -> u32 {
    (cell as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u32..40, any::<bool>()), 0..400)) {
            let mut index = Index::new(40);
            let mut model = BTreeMap::new();
            // hashes that crowd around the end of the table
            let hash = |n: u32| (u64::from(n / 5) + 60) << 32 | u64::from(n);
            for (n, put) in steps {
                let known = index.find(hash(n), |p| p == n);
                prop_assert_eq!(known, model.get(&n).copied());
                if put && known.is_none() {
                    index.insert(hash(n), n);
                    model.insert(n, n);
                } else if !put && known.is_some() {
                    index.remove(hash(n), n);
                    model.remove(&n);
                }
            }
            for n in 0..40 {
                prop_assert_eq!(index.find(hash(n), |p| p == n), model.get(&n).copied());
            }
        }
    }
}
