//! Rules about addresses alone: which of them may be about a pair of addresses.

use super::super::list::RangeSet;
use crate::model::Addr;

/// Rules by the addresses of the side that they say more of: where one host is asked for and a network, by the host.
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
            match source.is_any() && destination.is_any() {
                true => any.push(n),
                false if source.count() <= destination.count() => sources.push((n, source)),
                false => destinations.push((n, destination)),
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

#[cfg(test)]
mod tests {
    use super::super::super::settings::Settings;
    use super::super::super::variables::Variables;
    use super::*;

    #[test]
    fn a_host_is_looked_up_before_a_network() {
        let list = |text: &str| {
            let set = Variables::default().addresses_of(text, &Settings::default());
            set.expect("addresses")
        };
        let rule = |n| (n, list("10.0.0.0/24"), list(&format!("192.0.2.{n}")));
        let addresses = Addresses::new((0..200).map(rule).collect());
        let of = |from: [u8; 4], to: [u8; 4]| -> Vec<u32> {
            let found = addresses.of(Addr::from_v4(from), Addr::from_v4(to));
            found.collect()
        };
        assert_eq!(of([10, 0, 0, 9], [192, 0, 2, 77]), [77]);
        assert!(of([10, 0, 0, 9], [10, 0, 0, 1]).is_empty());
    }
}
