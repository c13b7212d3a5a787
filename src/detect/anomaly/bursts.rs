//! Packets of one second, by their ends and what they are.
//!
//! Nearly every packet that is no segment within a connection comes here, so that it is a table of fixed size: an index of a few bits of
//! each hash and a place, and the counts side by side. Of packets in a row most belong to the same as the one before.

use super::sighting::Burst;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

#[derive(Debug)]
pub(super) struct Bursts {
    /// Place in `all` and 1 (0 where there is none) below a part of the hash; linear probing.
    index: Vec<u32>,
    all: Vec<Burst>,
    /// Where in the index each of them is.
    at: Vec<u16>,
    /// The place of the one that was added to last.
    latest: usize,
    hashes: FixedState,
}

impl Bursts {
    pub fn new(hash_seed: u64) -> Self {
        Bursts {
            index: vec![0; INDEX],
            all: vec![],
            at: vec![],
            latest: 0,
            hashes: FixedState::with_seed(hash_seed),
        }
    }

    /// Most bytes that it takes.
    pub const fn bytes() -> usize {
        INDEX * 4 + BURSTS_MAX * (size_of::<Burst>() + 2)
    }

    /// Whether what is in it has to be taken before more is added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.all.len() >= BURSTS_MAX
    }

    /// Adds packets; there is room for them.
    #[inline]
    pub fn add(&mut self, b: &Burst) {
        let place = match self.all.get(self.latest) {
            Some(latest) if is_same(latest, b) => self.latest,
            _ => match self.find(b) {
                Some(place) => place,
                None => return,
            },
        };
        self.latest = place;
        let known = &mut self.all[place];
        known.bytes += b.bytes;
        known.packets = known.packets.saturating_add(b.packets);
        known.first_ms = known.first_ms.min(b.first_ms);
        known.last_ms = known.last_ms.max(b.last_ms);
    }

    /// The place of what is the same; where nothing is, it is put there, and there is nothing to add.
    #[inline]
    fn find(&mut self, b: &Burst) -> Option<usize> {
        let hash = self.hash(b);
        let tag = (hash >> 32) as u32 & !PLACE;
        let mut at = hash as usize % INDEX;
        loop {
            match self.index[at] {
                0 => break,
                way if way & !PLACE == tag => {
                    let place = (way & PLACE) as usize - 1;
                    if is_same(&self.all[place], b) {
                        return Some(place);
                    }
                }
                _ => {}
            }
            at = (at + 1) % INDEX;
        }
        self.latest = self.all.len();
        self.all.push(*b);
        self.at.push(at as u16);
        self.index[at] = tag | self.all.len() as u32;
        None
    }

    /// What is in it, in order; the table begins anew.
    pub fn take(&mut self) -> Vec<Burst> {
        for at in self.at.drain(..) {
            self.index[usize::from(at)] = 0;
        }
        let mut all = std::mem::take(&mut self.all);
        all.sort_unstable();
        all
    }

    /// Takes memory back.
    pub fn give_back(&mut self, mut all: Vec<Burst>) {
        all.clear();
        self.all = all;
    }

    #[inline]
    fn hash(&self, b: &Burst) -> u64 {
        let ports = u64::from(b.src_port) << 16 | u64::from(b.dst_port);
        let mut hasher = self.hashes.build_hasher();
        hasher.write_u128(u128::from_be_bytes(b.src.0));
        hasher.write_u128(u128::from_be_bytes(b.dst.0));
        hasher.write_u64((b.kind as u64) << 32 | ports);
        hasher.finish()
    }
}

#[inline]
fn is_same(a: &Burst, b: &Burst) -> bool {
    a.src == b.src
        && a.dst == b.dst
        && (a.kind, a.src_port, a.dst_port) == (b.kind, b.src_port, b.dst_port)
}

/// Ends that are counted apart within a second; past it they are told at once.
const BURSTS_MAX: usize = 16_384;
/// Twice as many, so that what is looked for is near; a place of it fits 16 bits.
const INDEX: usize = 2 * BURSTS_MAX;
/// Bits that are a place.
const PLACE: u32 = INDEX as u32 - 1;

#[cfg(test)]
mod tests {
    use super::super::sighting::BurstKind;
    use super::*;
    use crate::model::Addr;
    use std::collections::BTreeMap;

    fn burst(n: u32) -> Burst {
        Burst {
            src: Addr::from_v4(n.to_be_bytes()),
            dst: Addr::from_v4([192, 0, 2, (n % 7) as u8]),
            kind: if n.is_multiple_of(2) {
                BurstKind::Syn
            } else {
                BurstKind::Udp
            },
            src_port: (n % 3) as u16,
            dst_port: 80,
            bytes: 40,
            packets: 1,
            first_ms: i64::from(n),
            last_ms: i64::from(n),
        }
    }

    #[test]
    fn packets_are_added_up_by_their_ends_and_come_out_in_order() {
        let mut bursts = Bursts::new(7);
        for round in 1..=2u32 {
            let mut wanted = BTreeMap::new();
            for n in 0..40_000u32 {
                let n = n.wrapping_mul(0x9e37_79b1) % (8_000 * round);
                bursts.add(&burst(n));
                *wanted.entry((burst(n).src, burst(n).dst)).or_insert(0u32) += 1;
            }
            let taken = bursts.take();
            assert!(taken.is_sorted());
            let found = taken.iter().map(|b| ((b.src, b.dst), b.packets));
            assert!(found.eq(wanted));
            assert_eq!(bursts.index.iter().max(), Some(&0));
            bursts.give_back(taken);
        }
        (0..BURSTS_MAX as u32).for_each(|n| bursts.add(&burst(n)));
        assert!(bursts.is_full());
        assert!(
            bursts
                .take()
                .iter()
                .all(|b| b.packets == 1 && b.bytes == 40)
        );
    }
}
