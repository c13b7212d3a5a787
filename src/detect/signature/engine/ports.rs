//! Rules that are tried with every packet, by the ports that they are about.

use super::super::header::{Direction, Header};

/// Lists of rules by destination port.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Which list, by port; none where there is one list.
    lists_by_port: Vec<u16>,
    lists: Vec<Vec<u32>>,
}

impl Ports {
    /// Arranges rules, given in order.
    pub fn new<'a>(rules: Vec<u32>, header: impl Fn(u32) -> &'a Header) -> Self {
        if rules.len() < FEW {
            return Ports {
                lists_by_port: vec![],
                lists: vec![rules],
            };
        }
        // every port at which a list may change
        let mut edges: Vec<u32> = vec![0];
        for n in &rules {
            let h = header(*n);
            for set in [&h.source_ports, &h.destination_ports] {
                for (from, to) in set.ranges() {
                    let edge = |v: u128| u32::try_from(v).unwrap_or(u32::MAX);
                    edges.push(edge(*from));
                    edges.push(edge(to.saturating_add(1)));
                }
            }
        }
        edges.sort_unstable();
        edges.dedup();
        edges.retain(|e| *e <= u32::from(u16::MAX));
        let (mut lists_by_port, mut lists) = (vec![0; 1 << 16], vec![]);
        for (at, from) in edges.iter().enumerate() {
            let to = edges.get(at + 1).copied().unwrap_or(1 << 16);
            let port = u128::from(*from);
            let about = |n: &u32| {
                let h = header(*n);
                h.destination_ports.contains(port)
                    || h.direction == Direction::Both && h.source_ports.contains(port)
            };
            let list: Vec<u32> = rules.iter().copied().filter(about).collect();
            let place = match lists.iter().position(|l| *l == list) {
                Some(place) => place,
                None => {
                    lists.push(list);
                    lists.len() - 1
                }
            };
            lists_by_port[*from as usize..to as usize].fill(place as u16);
        }
        Ports {
            lists_by_port,
            lists,
        }
    }

    /// The rules that may be about packets to this port, in order.
    pub fn of(&self, port: u16) -> &[u32] {
        let place = self.lists_by_port.get(usize::from(port)).copied();
        let list = self.lists.get(usize::from(place.unwrap_or(0)));
        list.map_or(&[], Vec::as_slice)
    }
}

/// So few are tried with every packet.
const FEW: usize = 8;
