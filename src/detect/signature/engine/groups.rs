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
    sets: Vec<Patterns>,
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
        let mut narrow: [ByPort; 2] = Default::default();
        for (side, entries) in self.narrow.iter().enumerate() {
            match ByPort::new(entries, shelf)? {
                Some(made) => narrow[side] = made,
                None => entries
                    .iter()
                    .for_each(|e| self.wide.add(&e.pattern, e.rule)),
            }
        }
        Ok(Groups {
            wide: self.wide.build(shelf)?,
            narrow,
        })
    }
}

impl ByPort {
    /// None where there are too many different sets of rules.
    fn new(entries: &[Entry], shelf: &mut Shelf) -> Result<Option<Self>, String> {
        let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            for port in &entry.ports {
                by_port.entry(*port).or_default().push(at);
            }
        }
        if by_port.is_empty() {
            return Ok(Some(Self::default()));
        }
        let mut numbers: HashMap<Vec<usize>, u16> = HashMap::new();
        let (mut places, mut sets) = (vec![0; 1 << 16], vec![]);
        for (port, list) in by_port {
            if let Some(number) = numbers.get(&list) {
                places[usize::from(port)] = *number;
                continue;
            }
            if sets.len() >= SETS_MAX {
                return Ok(None);
            }
            let mut gathering = Gathering::default();
            for entry in list.iter().map(|at| &entries[*at]) {
                gathering.add(&entry.pattern, entry.rule);
            }
            sets.push(gathering.build(shelf)?);
            places[usize::from(port)] = sets.len() as u16;
            numbers.insert(list, sets.len() as u16);
        }
        Ok(Some(ByPort { places, sets }))
    }

    #[inline]
    fn of(&self, port: u16) -> Option<&Patterns> {
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
        let narrow = self.between(ports).map(Patterns::longest).max();
        self.wide.longest().max(narrow.unwrap_or(0))
    }

    /// Marks the rules whose contents are in bytes that went from one port to the other.
    #[inline]
    pub fn scan(&self, bytes: &[u8], ports: [u16; 2], marks: &mut Marks) {
        self.wide.scan(bytes, marks);
        self.between(ports).for_each(|p| p.scan(bytes, marks));
    }

    /// All that is looked for, wherever.
    pub fn patterns(&self) -> impl Iterator<Item = &Patterns> {
        let narrow = self.narrow.iter().flat_map(|n| &n.sets);
        std::iter::once(&self.wide).chain(narrow)
    }

    #[inline]
    fn between(&self, ports: [u16; 2]) -> impl Iterator<Item = &Patterns> {
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
    fn nothing_is_looked_for_where_no_rule_is_about() {
        let mut making = Gatherings::default();
        let made = rule_of("alert tcp any any -> any 80 (content:\"xy\"; sid:1;)").unwrap();
        making.add(b"xy", 0, &made.header);
        let groups = making.build(&mut Shelf::default()).unwrap();
        assert!(groups.concern([9, 80]) && !groups.concern([80, 9]));
        assert_eq!((groups.longest([9, 80]), groups.longest([80, 9])), (2, 0));
    }
}
