//! Contents of rules about one kind of traffic, kept apart by ports: of most rules only those that can be about a packet are looked for.

use super::super::header::{Direction, Header};
use super::super::list::RangeSet;
use super::patterns::{Gathering, Marks, Patterns};
use super::shelf::Shelf;
use std::collections::{BTreeMap, HashMap};

/// What is looked for, by port.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Of rules about many ports.
    wide: Patterns,
    /// Of rules about few source ports, and about few destination ports.
    narrow: [ByPort; 2],
}

/// Patterns of single ports.
#[derive(Debug, Default)]
struct ByPort {
    /// By port the number of its set, from 1; empty where there are none.
    places: Vec<u16>,
    sets: Vec<Set>,
}

/// What is looked for between some ports.
#[derive(Debug)]
struct Set {
    patterns: Patterns,
    /// Those of rules about many ports are in it: one search finds both.
    is_whole: bool,
}

/// Groups in the making.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    wide: Gathering,
    narrow: [Vec<Entry>; 2],
}

/// A content of a rule about few ports.
#[derive(Debug)]
struct Entry {
    ports: Vec<u16>,
    pattern: Vec<u8>,
    rule: u32,
}

impl Gatherings {
    /// A rule with this header is to be looked at where these bytes are, in whatever case.
    pub fn add(&mut self, pattern: &[u8], rule: u32, header: &Header) {
        let sides = [&header.source_ports, &header.destination_ports];
        let few = [1, 0].into_iter().find_map(|side| {
            let ports = few(sides[side]).filter(|_| header.direction != Direction::Both)?;
            Some((side, ports))
        });
        match few {
            None => self.wide.add(pattern, rule),
            Some((side, ports)) => self.narrow[side].push(Entry {
                ports,
                pattern: pattern.to_vec(),
                rule,
            }),
        }
    }

    /// Makes what finds them.
    pub fn build(mut self, shelf: &mut Shelf) -> Result<Groups, String> {
        let mut narrow = [0, 1].map(|side| Sets::of(&self.narrow[side]));
        for (sets, entries) in narrow.iter_mut().zip(&self.narrow) {
            if sets.list.len() > SETS_MAX {
                *sets = Sets::default();
                let wide = &mut self.wide;
                entries.iter().for_each(|e| wide.add(&e.pattern, e.rule));
            }
        }
        let [a, b] = narrow;
        // most packets are told apart by their destination
        let b = b.build(&self.wide, shelf)?;
        let a = a.build(&self.wide, shelf)?;
        Ok(Groups {
            wide: self.wide.build(shelf)?,
            narrow: [a, b],
        })
    }
}

/// Sets in the making.
#[derive(Default)]
struct Sets {
    places: Vec<u16>,
    list: Vec<Gathering>,
}

impl Sets {
    /// The different sets of contents between the ports of entries, one more than there may be at most.
    fn of(entries: &[Entry]) -> Self {
        let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            for port in &entry.ports {
                by_port.entry(*port).or_default().push(at);
            }
        }
        let mut sets = Sets::default();
        if by_port.is_empty() {
            return sets;
        }
        sets.places = vec![0; 1 << 16];
        let mut numbers: HashMap<Vec<usize>, u16> = HashMap::new();
        for (port, list) in by_port {
            let place = &mut sets.places[usize::from(port)];
            if let Some(number) = numbers.get(&list) {
                *place = *number;
                continue;
            }
            let mut gathering = Gathering::default();
            for entry in list.iter().map(|at| &entries[*at]) {
                gathering.add(&entry.pattern, entry.rule);
            }
            sets.list.push(gathering);
            *place = sets.list.len() as u16;
            numbers.insert(list, *place);
            if sets.list.len() > SETS_MAX {
                break;
            }
        }
        sets
    }

    /// Makes what finds them; the largest have what is looked for at all ports in them, as far as there is room.
    fn build(self, wide: &Gathering, shelf: &mut Shelf) -> Result<ByPort, String> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by_key(|n| std::cmp::Reverse(self.list[*n].len()));
        let mut whole = vec![false; self.list.len()];
        for n in order {
            if let Some(left) = shelf.room.checked_sub(wide.len()) {
                shelf.room = left;
                whole[n] = true;
            }
        }
        let made = self.list.into_iter().zip(whole).map(|(set, is_whole)| {
            let set = if is_whole { set.with(wide) } else { set };
            let patterns = set.build(shelf)?;
            Ok(Set { patterns, is_whole })
        });
        Ok(ByPort {
            places: self.places,
            sets: made.collect::<Result<_, String>>()?,
        })
    }
}

impl ByPort {
    #[inline]
    fn of(&self, port: u16) -> Option<&Set> {
        let number = *self.places.get(usize::from(port))?;
        self.sets.get(usize::from(number).checked_sub(1)?)
    }
}

impl Groups {
    /// Whether anything is looked for between these ports.
    #[inline]
    pub fn concern(&self, ports: [u16; 2]) -> bool {
        !self.wide.is_empty() || self.between(ports).next().is_some()
    }

    /// Bytes of the longest content that is looked for between these ports.
    pub fn longest(&self, ports: [u16; 2]) -> usize {
        let narrow = self.between(ports).map(|s| s.patterns.longest()).max();
        self.wide.longest().max(narrow.unwrap_or(0))
    }

    /// Marks the rules whose contents are in bytes that went from one port to the other.
    #[inline]
    pub fn scan(&self, bytes: &[u8], ports: [u16; 2], marks: &mut Marks) {
        let mut is_done = false;
        for set in self.between(ports) {
            set.patterns.scan(bytes, marks);
            is_done |= set.is_whole;
        }
        if !is_done {
            self.wide.scan(bytes, marks);
        }
    }

    /// All that is looked for, wherever.
    pub fn patterns(&self) -> impl Iterator<Item = &Patterns> {
        let narrow = self.narrow.iter().flat_map(|n| &n.sets);
        std::iter::once(&self.wide).chain(narrow.map(|s| &s.patterns))
    }

    #[inline]
    fn between(&self, ports: [u16; 2]) -> impl Iterator<Item = &Set> {
        self.narrow
            .iter()
            .zip(ports)
            .filter_map(|(n, port)| n.of(port))
    }
}

/// The ports of a list that has few of them.
fn few(set: &RangeSet) -> Option<Vec<u16>> {
    let mut ports = vec![];
    if set.is_any() {
        return None;
    }
    for (from, to) in set.ranges() {
        if to - from >= PORTS_MAX as u128 || ports.len() + (to - from) as usize >= PORTS_MAX {
            return None;
        }
        for port in *from..=*to {
            ports.push(u16::try_from(port).ok()?);
        }
    }
    Some(ports)
}

/// A rule about more ports is looked for at all.
const PORTS_MAX: usize = 16;
/// Sets of patterns by source, and by destination; of more there is one.
const SETS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::super::super::keyword::testing::rule_of;
    use super::super::shelf::TWICE_MAX;
    use super::*;

    #[test]
    fn contents_are_looked_for_between_the_ports_of_their_rules() {
        let mut making = Gatherings::default();
        let headers = [
            "tcp any any -> any 80",
            "tcp any any -> any [80,8080]",
            "tcp any 25 -> any any",
            "tcp any any -> any !80",
            "tcp any any <> any 80",
        ];
        for (n, header) in headers.iter().enumerate() {
            let made = rule_of(&format!("alert {header} (content:\"x\"; sid:1;)")).unwrap();
            making.add(b"x", n as u32, &made.header);
        }
        let groups = making.build(&mut Shelf::default()).unwrap();
        let mut marks = Marks::new(headers.len(), groups.patterns());
        let mut found = |ports| {
            marks.clear();
            groups.scan(b"..x", ports, &mut marks);
            marks.sorted().to_vec()
        };
        assert_eq!(found([1, 80]), [0, 1, 3, 4]);
        assert_eq!(found([1, 8080]), [1, 3, 4]);
        assert_eq!(found([25, 80]), [0, 1, 2, 3, 4]);
        assert_eq!(found([80, 1]), [3, 4]);
        assert!(groups.concern([1, 1]) && groups.longest([1, 80]) == 1);
    }

    #[test]
    fn sets_for_which_there_is_no_room_are_looked_for_beside_the_others() {
        let of =
            |header: &str| rule_of(&format!("alert {header} (content:\"x\"; sid:1;)")).unwrap();
        let (few, any) = (of("tcp any any -> any 80"), of("tcp any any -> any any"));
        for (wide, is_whole) in [(3, true), (TWICE_MAX + 1, false)] {
            let mut making = Gatherings::default();
            making.add(b"narrow", 0, &few.header);
            for n in 0..wide {
                making.add(format!("w{n}.").as_bytes(), 1 + n as u32, &any.header);
            }
            let groups = making.build(&mut Shelf::default()).unwrap();
            assert_eq!(groups.narrow[1].sets[0].is_whole, is_whole);
            let mut marks = Marks::new(wide + 1, groups.patterns());
            for (port, want) in [(80, &[0, 2][..]), (81, &[2])] {
                marks.clear();
                groups.scan(b"narrow w1.", [9, port], &mut marks);
                assert_eq!(marks.sorted(), want, "{wide} {port}");
            }
        }
    }

    #[test]
    fn nothing_is_looked_for_where_no_rule_is_about() {
        let mut making = Gatherings::default();
        let made = rule_of("alert tcp any any -> any 80 (content:\"xy\"; sid:1;)").unwrap();
        making.add(b"xy", 0, &made.header);
        let groups = making.build(&mut Shelf::default()).unwrap();
        assert!(groups.concern([9, 80]) && !groups.concern([80, 9]));
        assert_eq!((groups.longest([9, 80]), groups.longest([80, 9])), (2, 0));
    }
}
