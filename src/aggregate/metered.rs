//! Where exporters meter: the sides of interfaces that element 61 has named.

use crate::model::{Addr, InterfaceSide};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Exporters by small numbers, and the sides of their interfaces at which records were metered. Bounded.
#[derive(Debug)]
pub struct Metered {
    numbers: HashMap<Addr, u32, FixedState>,
    exporters: Vec<Exporter>,
    /// By exporter (upper half) and ifIndex: bit 0 ingress, bit 1 egress.
    sides: HashMap<u64, u8, FixedState>,
    per_exporter_max: usize,
    interfaces_max: usize,
    /// Something was learned since [`Metered::take_news`].
    news: bool,
}

#[derive(Debug)]
struct Exporter {
    addr: Addr,
    /// Sides of any interface.
    any: u8,
    interfaces: usize,
    /// Some of the sides that are known, by page of ifIndexes: with thousands of exporters the others lie far away.
    seen: [Seen; PAGES],
}

/// Sides of the interfaces of a page, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    page: u32,
    sides: [u64; 2],
}

impl Metered {
    /// Knows nothing; keeps at most `interfaces_max` interfaces, `per_exporter_max` of one exporter.
    pub fn new(per_exporter_max: usize, interfaces_max: usize, hasher: FixedState) -> Self {
        Metered {
            numbers: HashMap::with_hasher(hasher.clone()),
            exporters: Vec::new(),
            sides: HashMap::with_hasher(hasher),
            per_exporter_max,
            interfaces_max,
            news: false,
        }
    }

    /// Whether something was learned since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The number of an exporter, from 0.
    pub fn number(&mut self, exporter: Addr) -> u32 {
        let exporters = &mut self.exporters;
        *self.numbers.entry(exporter).or_insert_with(|| {
            exporters.push(Exporter {
                addr: exporter,
                any: 0,
                interfaces: 0,
                seen: [Seen::default(); PAGES],
            });
            (exporters.len() - 1) as u32
        })
    }

    /// How many exporters have numbers.
    pub fn exporters(&self) -> usize {
        self.exporters.len()
    }

    /// The addresses, in the order of their numbers.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = Addr> {
        self.exporters.iter().map(|e| e.addr)
    }

    /// Forgets everything; numbers begin anew.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.exporters.clear();
        self.sides.clear();
    }

    /// A record was metered there. False when there is no room to remember it.
    #[inline]
    pub fn learn(&mut self, exporter: u32, if_index: u32, side: InterfaceSide) -> bool {
        let (key, bit) = (key(exporter, if_index), 1 << side as u8);
        let e = &mut self.exporters[exporter as usize];
        let (page, seen_bit) = (if_index / u64::BITS, 1 << (if_index % u64::BITS));
        let seen = &mut e.seen[page as usize % PAGES];
        if seen.page == page && seen.sides[side as usize] & seen_bit != 0 {
            return true;
        }
        let room = e.interfaces < self.per_exporter_max && self.sides.len() < self.interfaces_max;
        match self.sides.get_mut(&key) {
            Some(sides) if *sides & bit != 0 => {}
            Some(sides) => (*sides, self.news) = (*sides | bit, true),
            None if room => {
                e.interfaces += 1;
                self.sides.insert(key, bit);
                self.news = true;
            }
            None => return false,
        }
        e.any |= bit;
        if seen.page != page {
            *seen = Seen {
                page,
                ..Seen::default()
            };
        }
        seen.sides[side as usize] |= seen_bit;
        true
    }

    /// Whether a record was metered there.
    #[inline]
    pub fn is_metered(&self, exporter: u32, if_index: u32, side: InterfaceSide) -> bool {
        let bit = 1 << side as u8;
        self.exporters[exporter as usize].any & bit != 0
            && (self.sides.get(&key(exporter, if_index))).is_some_and(|sides| sides & bit != 0)
    }
}

#[inline(always)]
fn key(exporter: u32, if_index: u32) -> u64 {
    u64::from(exporter) << 32 | u64::from(if_index)
}

/// Pages of an exporter that are at hand.
const PAGES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use InterfaceSide::{Egress, Ingress};

    #[test]
    fn sides_are_per_exporter_and_bounded() {
        sides_of([5, 6, 7, 8]);
        // of two pages, of pages that push each other out
        sides_of([62, 63, 64, 65]);
        sides_of([0, 256, 512, u32::MAX]);
    }

    fn sides_of([five, six, seven, eight]: [u32; 4]) {
        let mut m = Metered::new(2, 3, FixedState::default());
        let a = m.number(Addr::from_v4([1, 1, 1, 1]));
        let b = m.number(Addr::from_v4([2, 2, 2, 2]));
        assert_eq!((a, b, m.number(Addr::from_v4([1, 1, 1, 1]))), (0, 1, 0));
        assert!(m.learn(a, five, Egress) && m.learn(a, six, Ingress));
        assert!(!m.learn(a, seven, Egress), "no room for a third interface");
        assert!(m.learn(a, six, Egress) && m.learn(b, seven, Ingress));
        assert!(!m.learn(b, eight, Egress), "no room for a fourth in all");
        assert!(m.is_metered(a, five, Egress) && !m.is_metered(a, five, Ingress));
        assert!(m.is_metered(a, six, Ingress) && m.is_metered(a, six, Egress));
        assert!(!m.is_metered(a, seven, Egress) && !m.is_metered(b, five, Egress));
    }
}
