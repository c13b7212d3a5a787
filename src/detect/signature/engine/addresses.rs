//! Rules about addresses alone: which of them may be about a pair of addresses.

use super::super::list::RangeSet;
use crate::model::Addr;

/// Rules by the addresses of the side that they say more of.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    source: Intervals,
    destination: Intervals,
    /// Rules about any addresses.
    any: Vec<u32>,
}

/// Rules by interval: sorted starts, and the rules of each up to the next.
#[derive(Debug, Default)]
struct Intervals {
    starts: Vec<u128>,
    rules: Vec<Vec<u32>>,
}

impl Addresses {
    /// Arranges rules: number, sources, destinations.
    pub fn new(rules: Vec<(u32, RangeSet, RangeSet)>) -> Self {
        let (mut sources, mut destinations, mut any) = (vec![], vec![], vec![]);
        for (n, source, destination) in rules {
            match (source.is_any(), destination.is_any()) {
                (true, true) => any.push(n),
                (false, _) => sources.push((n, source)),
                (true, false) => destinations.push((n, destination)),
            }
        }
        Addresses {
            source: Intervals::new(&sources),
            destination: Intervals::new(&destinations),
            any,
        }
    }

    /// The rules that may be about a packet.
    pub fn of(&self, source: Addr, destination: Addr) -> impl Iterator<Item = u32> {
        let sets = [
            self.source.of(source),
            self.destination.of(destination),
            &self.any,
        ];
        sets.into_iter().flatten().copied()
    }
}

impl Intervals {
    fn new(rules: &[(u32, RangeSet)]) -> Self {
        let mut events: Vec<(u128, bool, u32)> = vec![];
        for (n, set) in rules {
            for (from, to) in set.ranges() {
                events.push((*from, true, *n));
                if let Some(after) = to.checked_add(1) {
                    events.push((after, false, *n));
                }
            }
        }
        events.sort_unstable();
        let (mut starts, mut lists): (Vec<u128>, Vec<Vec<u32>>) = (vec![], vec![]);
        let mut now: Vec<u32> = vec![];
        for (at, begins, n) in events {
            match begins {
                true => now.push(n),
                false => now.retain(|m| *m != n),
            }
            if starts.last() == Some(&at) {
                lists.pop();
            } else {
                starts.push(at);
            }
            lists.push(now.clone());
        }
        Intervals {
            starts,
            rules: lists,
        }
    }

    fn of(&self, address: Addr) -> &[u32] {
        let key = u128::from_be_bytes(address.0);
        let after = self.starts.partition_point(|s| *s <= key);
        let list = after.checked_sub(1).and_then(|at| self.rules.get(at));
        list.map_or(&[], Vec::as_slice)
    }
}
