//! Networks that are flooded at one time, and lie side by side, are one carpet: what is told of all of them is told of the first.

use super::super::keyed::network;
use crate::model::Addr;

/// Carpets of now.
#[derive(Debug, Default)]
pub(super) struct Carpets(Vec<Carpet>);

#[derive(Debug)]
struct Carpet {
    /// All networks, in order, and the one that was told first.
    nets: Vec<Addr>,
    first: Addr,
    last_ms: i64,
}

/// What a network is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub net: Addr,
    /// The network of the incident.
    pub first: Addr,
    /// How many networks it has by now.
    pub networks: usize,
}

impl Carpets {
    /// Most bytes that they take.
    pub const fn bytes() -> usize {
        CARPETS_MAX * (size_of::<Carpet>() + 2 * NETS_MAX * size_of::<Addr>())
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The carpet that a network is of, which is told of it now.
    pub fn part(&mut self, now_ms: i64, net: Addr) -> Part {
        let is_over = |c: &Carpet| now_ms.saturating_sub(c.last_ms) > TOGETHER_MS;
        self.0.retain(|c| !is_over(c));
        let side_by_side = |c: &&mut Carpet| wide(&c.first) == wide(&net);
        let Some(carpet) = self.0.iter_mut().find(side_by_side) else {
            if self.0.len() < CARPETS_MAX {
                self.0.push(Carpet {
                    nets: vec![net],
                    first: net,
                    last_ms: now_ms,
                });
            }
            return Part {
                net,
                first: net,
                networks: 1,
            };
        };
        carpet.last_ms = now_ms;
        if let Err(at) = carpet.nets.binary_search(&net)
            && carpet.nets.len() < NETS_MAX
        {
            carpet.nets.insert(at, net);
        }
        Part {
            net,
            first: carpet.first,
            networks: carpet.nets.len(),
        }
    }
}

/// What is side by side: 16 bits of IPv4, 32 of IPv6.
fn wide(addr: &Addr) -> Addr {
    let mut network = network(addr);
    match network.is_v4() {
        true => network.0[14] = 0,
        false => network.0[4..].fill(0),
    }
    network
}

const TOGETHER_MS: i64 = 300_000;
const CARPETS_MAX: usize = 256;
/// As many as 16 bits of IPv4 have.
const NETS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_side_by_side_are_one_carpet() {
        let mut carpets = Carpets::default();
        let net = |b, c| Addr::from_v4([10, b, c, 0]);
        let mut part = |at_ms, net| {
            let part = carpets.part(at_ms, net);
            (part.first, part.networks)
        };
        assert_eq!(part(0, net(60, 3)), (net(60, 3), 1));
        assert_eq!(part(0, net(60, 3)), (net(60, 3), 1));
        assert_eq!(part(900, net(60, 1)), (net(60, 3), 2));
        assert_eq!(part(900, net(61, 1)), (net(61, 1), 1));
        assert_eq!(part(300_000, net(60, 9)), (net(60, 3), 3));
        // it goes on as long as any of it does
        assert_eq!(part(600_000, net(60, 200)), (net(60, 3), 4));
        assert_eq!(part(900_001, net(60, 9)), (net(60, 9), 1));
        for n in 0..=255 {
            (0..=255).for_each(|m| _ = part(1_000_000, Addr::from_v4([20, n, m, 0])));
        }
        for n in 0..=255u8 {
            let other = Addr::from_v4([30, n, 0, 0]);
            assert_eq!(part(1_000_000, other).0, other);
        }
        assert!(carpets.0.len() <= CARPETS_MAX);
    }
}
