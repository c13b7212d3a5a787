//! From hashes to places in the arena: open addressing with linear probing, at most half full.

use super::prefetch;

/// Where things of a hash are in an arena. Cells of 64 bits: the upper half of the hash, and the place plus one; 0 is empty. A removal moves later cells of the
/// run back, so there are no tombstones and the time of a search never grows with age. It grows with what is in it: few
/// conversations lie in few pages, which the processor finds at once.
#[derive(Debug)]
pub struct Index {
    cells: Vec<u64>,
    mask: usize,
    count: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An empty index.
    pub fn new() -> Self {
        Index {
            cells: vec![0; CELLS_MIN],
            mask: CELLS_MIN - 1,
            count: 0,
        }
    }

    /// Most bytes that an index for so many places takes: while it grows, with the half that it grows from.
    pub const fn bytes(places: usize) -> usize {
        let cells = (2 * places).next_power_of_two();
        let cells = if cells > CELLS_MIN { cells } else { CELLS_MIN };
        (cells + cells / 2) * size_of::<u64>()
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

    /// All places with this hash.
    pub fn all(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let tag = hash >> 32;
        let cells = (0..self.cells.len())
            .map(move |n| self.cells[(tag as usize).wrapping_add(n) & self.mask]);
        let run = cells.take_while(|cell| *cell != 0);
        run.filter(move |cell| cell >> 32 == tag).map(place)
    }

    /// Calls for the cell where a search for this hash begins.
    #[inline]
    pub fn call(&self, hash: u64) {
        prefetch(&self.cells[(hash >> 32) as usize & self.mask]);
    }

    /// The place that has this hash, most likely: keys are not compared.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds a place that is not there yet.
    pub fn insert(&mut self, hash: u64, place: u32) {
        self.count += 1;
        if 2 * self.count > self.cells.len() {
            self.grow();
        }
        self.put(cell(hash, place));
    }

    fn grow(&mut self) {
        let size = 2 * self.cells.len();
        let old = std::mem::replace(&mut self.cells, vec![0; size]);
        self.mask = size - 1;
        for cell in old.into_iter().filter(|c| *c != 0) {
            self.put(cell);
        }
    }

    fn put(&mut self, cell: u64) {
        let mut at = (cell >> 32) as usize & self.mask;
        while self.cells[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.cells[at] = cell;
    }

    /// How many places are in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes a place out that was added with this hash; it may be there with another one, too. Returns whether it was there.
    pub fn remove(&mut self, hash: u64, gone: u32) -> bool {
        let mut hole = (hash >> 32) as usize & self.mask;
        let gone = cell(hash, gone);
        loop {
            match self.cells[hole] {
                0 => return false,
                cell if cell == gone => break,
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
        self.count -= 1;
        true
    }
}

fn cell(hash: u64, place: u32) -> u64 {
    hash >> 32 << 32 | u64::from(place + 1)
}

fn place(cell: u64) -> u32 {
    (cell as u32).wrapping_sub(1)
}

/// Cells of an empty index.
const CELLS_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_place_with_two_hashes_keeps_the_one_that_stays() {
        let hashes = [5u64 << 32, 6 << 32];
        for gone in 0..2 {
            let mut index = Index::new();
            hashes.iter().for_each(|h| index.insert(*h, 9));
            index.remove(hashes[gone], 9);
            assert_eq!(index.find(hashes[1 - gone], |_| true), Some(9));
            assert_eq!((index.find(hashes[gone], |_| true), index.len()), (None, 1));
            index.remove(hashes[gone], 9);
            assert_eq!(index.len(), 1, "it was gone before");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u32..400, any::<bool>()), 0..2000)) {
            let mut index = Index::new();
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
            for n in 0..400 {
                prop_assert_eq!(index.all(hash(n)).any(|p| p == n), model.contains_key(&n));
                prop_assert_eq!(index.find(hash(n), |p| p == n), model.get(&n).copied());
            }
        }
    }
}
