//! Where exporters meter: the sides of interfaces that element 61 has named. What was not named for half a day to a day is forgotten, for
//! exporters are reconfigured; a restart is no reason to forget.

use crate::model::{Addr, InterfaceSide};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Exporters by small numbers, and the sides of their interfaces at which records were metered. Bounded.
#[derive(Debug)]
pub struct Metered {
    numbers: HashMap<Addr, u32, FixedState>,
    exporters: Vec<Exporter>,
    /// By exporter (upper half) and ifIndex: the half of a day in which ingress and egress were named last, [`NEVER`] where they were not.
    sides: HashMap<u64, [i32; 2], FixedState>,
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
    /// The latest half of a day, counted from 1970, in which it was heard.
    half_day: i32,
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
                half_day: 0,
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

    /// The time of receipt of the exporter's next records, ms since 1970. Only its own time passes for an exporter, so that what is known of
    /// it does not depend on others.
    #[inline]
    pub fn at(&mut self, exporter: u32, received_ms: i64) {
        let now = received_ms.div_euclid(HALF_DAY_MS) as i32;
        let e = &mut self.exporters[exporter as usize];
        // a clock that is set back is no time that passes
        if e.half_day < now {
            e.half_day = now;
            e.seen = Default::default();
        }
    }

    /// Everything that is known, by exporter and ifIndex (bit 0 ingress, bit 1 egress): what outlives a restart.
    pub fn known(&self) -> Vec<(Addr, Vec<(u32, u8)>)> {
        let mut all: Vec<(Addr, Vec<(u32, u8)>)> =
            self.exporters.iter().map(|e| (e.addr, vec![])).collect();
        for (key, named) in &self.sides {
            let exporter = (key >> 32) as usize;
            let fresh = named.map(|n| u8::from(holds(self.exporters[exporter].half_day, n)));
            let sides = fresh[0] | fresh[1] << 1;
            if sides != 0 {
                all[exporter].1.push((*key as u32, sides));
            }
        }
        all.retain(|(_, interfaces)| !interfaces.is_empty());
        all.sort_unstable_by_key(|(addr, _)| *addr);
        (all.iter_mut()).for_each(|(_, interfaces)| interfaces.sort_unstable());
        all
    }

    /// Takes in what was known before a restart, as far as there is room: as something that was named half a day before `received_ms`.
    pub fn recall(&mut self, exporter: Addr, interfaces: &[(u32, u8)], received_ms: i64) {
        let number = self.number(exporter);
        self.at(number, received_ms);
        let e = &mut self.exporters[number as usize];
        for (if_index, sides) in interfaces {
            let room =
                e.interfaces < self.per_exporter_max && self.sides.len() < self.interfaces_max;
            let key = key(number, *if_index);
            if sides & 0b11 == 0 || !room && !self.sides.contains_key(&key) {
                continue;
            }
            let named = self.sides.entry(key).or_insert_with(|| {
                e.interfaces += 1;
                [NEVER; 2]
            });
            for side in [0, 1].into_iter().filter(|side| sides >> side & 1 == 1) {
                named[side] = named[side].max(e.half_day - 1);
                e.any |= 1 << side;
            }
        }
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
        let now = e.half_day;
        match self.sides.get_mut(&key) {
            Some(named) => {
                let named = &mut named[side as usize];
                // no news where it is only confirmed
                self.news |= !holds(now, *named);
                *named = now;
            }
            None if room => {
                e.interfaces += 1;
                let mut named = [NEVER; 2];
                named[side as usize] = now;
                self.sides.insert(key, named);
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
        let e = &self.exporters[exporter as usize];
        e.any & 1 << side as u8 != 0
            && (self.sides.get(&key(exporter, if_index)))
                .is_some_and(|named| holds(e.half_day, named[side as usize]))
    }
}

/// Whether what was named in a half of a day still holds.
#[inline(always)]
fn holds(now: i32, named: i32) -> bool {
    named != NEVER && now - named <= 1
}

#[inline(always)]
fn key(exporter: u32, if_index: u32) -> u64 {
    u64::from(exporter) << 32 | u64::from(if_index)
}

/// How long what was named is known at least, and half of how long at most.
const HALF_DAY_MS: i64 = 12 * 3_600_000;
/// Before all time.
const NEVER: i32 = i32::MIN / 2;
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

    #[test]
    fn what_is_not_named_any_more_is_forgotten_and_a_restart_forgets_nothing() {
        let new = || Metered::new(9, 9, FixedState::default());
        let (mut m, a) = (new(), Addr::from_v4([1, 1, 1, 1]));
        let half_day = |n: i64| n * HALF_DAY_MS + 5;
        let n = m.number(a);
        let other = m.number(Addr::from_v4([1, 1, 1, 2]));
        m.at(n, half_day(10));
        assert!(m.learn(n, 5, Ingress) && m.learn(n, 5, Egress) && m.learn(n, 6, Egress));
        assert!(m.take_news());
        assert_eq!(m.known(), [(a, vec![(5, 3), (6, 2)])]);
        m.at(n, half_day(11));
        m.at(other, half_day(99));
        assert!(m.is_metered(n, 5, Ingress) && m.is_metered(n, 6, Egress));
        assert!(m.learn(n, 5, Ingress) && !m.take_news(), "confirmed");
        m.at(n, half_day(9));
        m.at(n, half_day(12));
        assert!(m.is_metered(n, 5, Ingress) && !m.is_metered(n, 6, Egress));
        assert_eq!(m.known(), [(a, vec![(5, 1)])]);

        let mut again = new();
        for (exporter, interfaces) in m.known() {
            again.recall(exporter, &interfaces, half_day(20));
        }
        let n = again.number(a);
        assert_eq!(again.known(), m.known());
        assert!(again.is_metered(n, 5, Ingress) && !again.take_news());
        again.at(n, half_day(21));
        assert!(!again.is_metered(n, 5, Ingress) && again.known().is_empty());
        assert!(again.learn(n, 5, Ingress) && again.take_news() && again.is_metered(n, 5, Ingress));
        let mut small = Metered::new(1, 9, FixedState::default());
        small.recall(a, &[(5, 0xff), (6, 2), (5, 1), (7, 0)], 0);
        assert_eq!(small.known(), [(a, vec![(5, 3)])]);
    }
}
