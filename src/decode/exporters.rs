//! The exporters of a decoder: few bytes to find one, and all of it side by side.

use super::exporter::Exporter;
use crate::ledger::Book;
use crate::model::{Addr, prefetch};
use hashbrown::HashMap;

/// Exporters by address. The map holds places alone, so that it stays in the cache where thousands of exporters do not.
#[derive(Debug, Default)]
pub(super) struct Exporters {
    places: HashMap<Addr, u32, foldhash::quality::RandomState>,
    all: Vec<Exporter>,
    /// The exporter that was called for last, whose tally is still to be fetched.
    called: Option<u32>,
}

impl Exporters {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, addr: &Addr) -> Option<&Exporter> {
        self.place(addr).and_then(|at| self.all.get(at))
    }

    pub fn get_mut(&mut self, addr: &Addr) -> Option<&mut Exporter> {
        self.place(addr).and_then(|at| self.all.get_mut(at))
    }

    pub fn place(&self, addr: &Addr) -> Option<usize> {
        self.places.get(addr).map(|at| *at as usize)
    }

    /// The exporter at a place that [`Exporters::place`] or [`Exporters::insert`] told.
    pub fn at(&mut self, place: usize) -> &mut Exporter {
        &mut self.all[place]
    }

    /// Adds an exporter, or replaces the one with its address; returns its place.
    pub fn insert(&mut self, exporter: Exporter) -> usize {
        if let Some(at) = self.place(&exporter.addr) {
            self.all[at] = exporter;
            return at;
        }
        self.places.insert(exporter.addr, self.all.len() as u32);
        self.all.push(exporter);
        self.all.len() - 1
    }

    pub fn remove(&mut self, addr: &Addr) -> Option<Exporter> {
        let at = self.places.remove(addr)?;
        let gone = self.all.swap_remove(at as usize);
        if let Some(moved) = self.all.get(at as usize) {
            self.places.insert(moved.addr, at);
        }
        Some(gone)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Exporter> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Exporter> {
        self.all.iter_mut()
    }

    /// Calls into the cache what the datagram after the next will ask of its exporter, and the tally of the one that was
    /// called for before: by then the exporter that knows where it lies is there.
    pub fn call(&mut self, addr: &Addr, book: &Book) {
        if let Some(before) = self.called.and_then(|at| self.all.get(at as usize))
            && let Some(tally) = before.domains.first().and_then(|d| book.look(d.account))
        {
            prefetch(tally);
        }
        self.called = self.places.get(addr).copied();
        if let Some(exporter) = self.called.and_then(|at| self.all.get(at as usize)) {
            prefetch(exporter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_one_that_goes_is_taken_by_the_last() {
        let addr = |n| Addr::from_v4([10, 0, 0, n]);
        let mut all = Exporters::default();
        for n in 0..5 {
            all.insert(Exporter::new(addr(n)));
        }
        assert_eq!(all.remove(&addr(1)).map(|e| e.addr), Some(addr(1)));
        assert!(all.remove(&addr(1)).is_none());
        all.remove(&addr(4));
        for n in [0, 2, 3] {
            assert_eq!(all.get(&addr(n)).map(|e| e.addr), Some(addr(n)));
        }
        assert_eq!(all.len(), 3);
        // calling for what is there, and for what is not, changes nothing
        for n in 0..5 {
            all.call(&addr(n), &Book::new(1));
        }
        assert_eq!(all.iter().count(), 3);
    }
}
