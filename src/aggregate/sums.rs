//! Keys and sums of the open bundle.

use crate::model::{Addr, CoreColumns, InterfaceSide, UsageRow};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, Hasher};

/// Sums by key. The sums lie one after the other and a hash table of four bytes a key finds them: it stays in the
/// second-level cache where the sums do not, and growing it moves no sums.
#[derive(Debug)]
pub struct SumTable {
    places: HashTable<u32>,
    sums: Vec<(Key, Sums)>,
    hasher: FixedState,
}

impl SumTable {
    /// No keys.
    pub fn new(hasher: FixedState) -> Self {
        SumTable {
            places: HashTable::new(),
            sums: Vec::new(),
            hasher,
        }
    }

    /// How many keys have sums.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Adds to the sums of a key.
    #[inline(always)]
    pub fn add(&mut self, key: Key, part: &Sums) {
        let (sums, hasher) = (&mut self.sums, &self.hasher);
        let hash = key.hash(hasher);
        let found = self.places.entry(
            hash,
            |&at| sums[at as usize].0 == key,
            |&at| sums[at as usize].0.hash(hasher),
        );
        match found {
            Entry::Occupied(at) => sums[*at.get() as usize].1.add(part),
            Entry::Vacant(room) => {
                room.insert(sums.len() as u32);
                sums.push((key, *part));
            }
        }
    }

    /// Takes all keys out, in no useful order, and gives back memory above `keep` keys.
    pub fn drain(&mut self, keep: usize) -> impl Iterator<Item = (Key, Sums)> {
        self.places.clear();
        self.places.shrink_to(keep, |_| 0);
        self.sums.shrink_to(keep);
        self.sums.drain(..)
    }
}

/// One of the two interfaces that a row counts for.
#[derive(Clone, Copy)]
pub struct Side {
    pub if_index: u32,
    pub side: InterfaceSide,
    pub inferred: bool,
}

/// A key, packed so that its order is the order of the rows: minute and exporter; interface, side, inferred and
/// protocol; application, class and DSCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u64; 3]);

impl Key {
    #[inline(always)]
    fn hash(&self, hasher: &FixedState) -> u64 {
        let mut state = hasher.build_hasher();
        self.0.iter().for_each(|&w| state.write_u64(w));
        state.finish()
    }

    #[inline(always)]
    pub fn new(minute: u32, exporter: u32, side: Side, c: &CoreColumns, i: usize) -> Key {
        let marks = u64::from(side.side as u8) << 31 | u64::from(side.inferred) << 30;
        let class = u64::from(c.qos_class[i]) << 8 | u64::from(c.tos[i] >> 2);
        Key([
            u64::from(minute) << 32 | u64::from(exporter),
            u64::from(side.if_index) << 32 | marks | u64::from(c.app_proto[i] & APP_PROTO),
            u64::from(c.app[i]) << 32 | class,
        ])
    }

    pub fn exporter(&self) -> u32 {
        self.0[0] as u32
    }

    /// Interface and side, if they are inferred.
    pub fn inferred(&self) -> Option<(u32, InterfaceSide)> {
        let w = self.0[1];
        let side = match w >> 31 & 1 {
            0 => InterfaceSide::Ingress,
            _ => InterfaceSide::Egress,
        };
        (w >> 30 & 1 == 1).then_some(((w >> 32) as u32, side))
    }

    pub fn with_exporter(mut self, exporter: u32) -> Key {
        self.0[0] = self.0[0] >> 32 << 32 | u64::from(exporter);
        self
    }

    pub fn usage_row(&self, exporter: Addr, sums: &Sums) -> UsageRow {
        let [w0, w1, w2] = self.0;
        UsageRow {
            minute_s: (w0 >> 32) as u32 * 60,
            exporter,
            if_index: (w1 >> 32) as u32,
            side: match w1 >> 31 & 1 {
                0 => InterfaceSide::Ingress,
                _ => InterfaceSide::Egress,
            },
            inferred: w1 >> 30 & 1 == 1,
            app_proto: w1 as u32 & APP_PROTO,
            app: (w2 >> 32) as u32,
            qos_class: (w2 >> 8) as u16,
            dscp: w2 as u8,
            bytes: sums.bytes,
            packets: sums.packets,
            flows: sums.flows.into(),
            est_bytes: sums.est_bytes,
            est_packets: sums.est_packets,
            sampled_packets: sums.packets,
            sampling_known: !sums.sampling_unknown,
        }
    }
}

/// What a key has summed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub bytes: u64,
    pub packets: u64,
    pub est_bytes: u64,
    pub est_packets: u64,
    pub flows: u32,
    pub sampling_unknown: bool,
}

impl Sums {
    #[inline(always)]
    pub fn add(&mut self, part: &Sums) {
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.packets = self.packets.saturating_add(part.packets);
        self.flows = self.flows.saturating_add(part.flows);
        self.est_bytes = self.est_bytes.saturating_add(part.est_bytes);
        self.est_packets = self.est_packets.saturating_add(part.est_packets);
        self.sampling_unknown |= part.sampling_unknown;
    }
}

/// Bits of a key for the id of a protocol; names are bounded far below.
const APP_PROTO: u32 = (1 << 30) - 1;
