//! Keys and sums of the open bundle.

use super::doubt::Doubt;
use crate::model::{Addr, InterfaceSide, NetworkRow, UsageRow, prefetch};
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Sums by key. The sums lie one after the other, a cache line each, and slots of eight bytes find them, so that growing moves no
/// sums. There are more sums than the second-level cache holds: keys are met some time before they are added, and called for.
#[derive(Debug)]
pub struct SumTable {
    /// A hash in the upper half and the place of the sums, counted from 1, in the lower; 0 where nothing is. Searched from where the low
    /// bits of the hash say; a power of two.
    slots: Vec<u64>,
    sums: Vec<Entry>,
    hasher: FixedState,
    /// Bits that any key has set, the earliest minute and the latest: how wide a packed key must be.
    bits: Key,
    minutes: (u32, u32),
    packed: Vec<u128>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Entry {
    key: Key,
    sums: Sums,
}

const _: () = assert!(size_of::<Entry>() == 64, "a cache line");

impl SumTable {
    /// No keys.
    pub fn new(hasher: FixedState) -> Self {
        SumTable {
            slots: vec![0; SLOTS_MIN],
            sums: Vec::new(),
            hasher,
            bits: Key::default(),
            minutes: NO_MINUTES,
            packed: Vec::new(),
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

    /// Hash of the part of a key that the shares of a row have in common.
    #[inline(always)]
    pub fn hash_part(&self, side: u64, names: u64) -> u64 {
        let mut state = self.hasher.build_hasher();
        state.write_u128(u128::from(side) << 64 | u128::from(names));
        state.finish()
    }

    /// Hash of a key, whose minute and exporter are `of`.
    #[inline(always)]
    pub fn hash(&self, of: u64, part: u64) -> u32 {
        ((part ^ of.wrapping_mul(MIX)).wrapping_mul(MIX) >> 32) as u32
    }

    /// Hash of a whole key.
    #[inline(always)]
    pub fn hash_of(&self, key: &Key) -> u32 {
        let Key([of, side, names]) = *key;
        self.hash(of, self.hash_part(side, names))
    }

    /// Calls for the slot of a key.
    #[inline(always)]
    pub fn call_slot(&self, hash: u32) {
        prefetch(&self.slots[hash as usize & (self.slots.len() - 1)]);
    }

    /// Calls for the sums of a key whose slot was called for.
    #[inline(always)]
    pub fn call_sums(&self, hash: u32) {
        let slot = self.slots[hash as usize & (self.slots.len() - 1)];
        if let Some(entry) = self.sums.get((slot as u32).wrapping_sub(1) as usize) {
            prefetch(entry);
        }
    }

    /// Adds to the sums of a key.
    #[inline(always)]
    pub fn add(&mut self, key: &Key, hash: u32, part: &Sums) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return self.insert(at, key, hash, part);
            }
            if (slot >> 32) as u32 == hash {
                let entry = &mut self.sums[(slot as u32 - 1) as usize];
                if entry.key == *key {
                    return entry.sums.add(part);
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(never)]
    fn insert(&mut self, at: usize, key: &Key, hash: u32, part: &Sums) {
        self.bits.0.iter_mut().zip(key.0).for_each(|(b, k)| *b |= k);
        let (first, last) = self.minutes;
        self.minutes = (first.min(key.minute()), last.max(key.minute()));
        self.sums.push(Entry {
            key: *key,
            sums: *part,
        });
        self.slots[at] = u64::from(hash) << 32 | self.sums.len() as u64;
        if slots_for(self.sums.len()) > self.slots.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        let mut slots = vec![0; mask + 1];
        for &slot in self.slots.iter().filter(|s| **s != 0) {
            let mut at = (slot >> 32) as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }

    /// Takes all keys out, in their order, exporters by their rank (given by number); gives back memory above `keep` keys.
    pub fn drain(&mut self, ranks: &[u32], keep: usize, mut take: impl FnMut(&Key, &Sums)) {
        match Packing::new(self, ranks.len()) {
            Some(packing) => {
                let keys = self.sums.iter().map(|e| packing.pack(&e.key, ranks));
                let places = keys.zip(0u32..);
                self.packed.clear();
                self.packed
                    .extend(places.map(|(key, at)| key << packing.place | u128::from(at)));
                self.packed.sort_unstable();
                let mask = (1u128 << packing.place) - 1;
                for (n, packed) in self.packed.iter().enumerate() {
                    if let Some(coming) = self.packed.get(n + CALLED_AHEAD) {
                        prefetch(&self.sums[(coming & mask) as usize]);
                    }
                    let e = &self.sums[(packed & mask) as usize];
                    take(&e.key, &e.sums);
                }
            }
            None => {
                let rank = |e: &Entry| e.key.with_exporter(ranks[e.key.exporter() as usize]);
                self.sums.sort_unstable_by_key(rank);
                self.sums.iter().for_each(|e| take(&e.key, &e.sums));
            }
        }
        match slots_for(keep) {
            most if most < self.slots.len() => self.slots = vec![0; most],
            _ => self.slots.fill(0),
        }
        self.sums.clear();
        self.sums.shrink_to(keep);
        self.packed.shrink_to(keep);
        (self.bits, self.minutes) = (Key::default(), NO_MINUTES);
    }
}

/// Slots of so many keys: at most three quarters are taken.
fn slots_for(keys: usize) -> usize {
    (keys + keys / 3 + 1).next_power_of_two().max(SLOTS_MIN)
}

/// How many bits each part of a packed key takes: what its largest value needs. Sorting 16 bytes that hold key and place
/// is several times cheaper than moving the sums.
struct Packing {
    first_minute: u32,
    exporter: u32,
    if_index: u32,
    app_proto: u32,
    app: u32,
    class: u32,
    /// The place of the sums, below the key.
    place: u32,
}

impl Packing {
    /// `None` where key and place do not fit.
    fn new(table: &SumTable, exporters: usize) -> Option<Packing> {
        let width = |n: u64| u64::BITS - n.leading_zeros();
        let [_, w1, w2] = table.bits.0;
        let (first_minute, last_minute) = table.minutes;
        let minute = width(last_minute.saturating_sub(first_minute).into());
        let p = Packing {
            first_minute,
            exporter: width(exporters as u64),
            if_index: width(w1 >> 32),
            app_proto: width(w1 & u64::from(APP_PROTO)),
            app: width(w2 >> 32),
            class: width(w2 & u64::from(u32::MAX)),
            place: width(table.sums.len() as u64),
        };
        let names = p.app_proto + p.app + p.class;
        let bits = minute + p.exporter + p.if_index + MARKS + names + p.place;
        (bits <= u128::BITS).then_some(p)
    }

    #[inline(always)]
    fn pack(&self, key: &Key, ranks: &[u32]) -> u128 {
        let [_, w1, w2] = key.0;
        let part = |packed: u128, bits: u32, n: u64| packed << bits | u128::from(n);
        let minute = u128::from(key.minute() - self.first_minute);
        let p = part(minute, self.exporter, ranks[key.exporter() as usize].into());
        let p = part(p, self.if_index, w1 >> 32);
        let p = part(p, MARKS, w1 >> 30 & 0b11);
        let p = part(p, self.app_proto, w1 & u64::from(APP_PROTO));
        let p = part(p, self.app, w2 >> 32);
        part(p, self.class, w2 & u64::from(u32::MAX))
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u64; 3]);

impl Key {
    /// The key of one side of a row, from its words.
    #[inline(always)]
    pub fn of(of: u64, side: u64, names: u64) -> Key {
        Key([of, side, names])
    }

    /// The word of a key that tells the side.
    #[inline(always)]
    pub fn side(side: Side, app_proto: u32) -> u64 {
        let marks = u64::from(side.side as u8) << 31 | u64::from(side.inferred) << 30;
        u64::from(side.if_index) << 32 | marks | u64::from(app_proto & APP_PROTO)
    }

    /// The word of a key that has application, class, DSCP, and whether the sampling interval is known: sums of both kinds stay apart.
    #[inline(always)]
    pub fn names(app: u32, qos_class: u16, tos: u8, known: bool) -> u64 {
        let marking = u64::from(tos >> 2) << 1 | u64::from(!known);
        u64::from(app) << 32 | u64::from(qos_class) << 8 | marking
    }

    /// The key of traffic between two networks; `inferred` names the ingress interface of what is only inferred there.
    #[inline(always)]
    pub fn networks(of: u64, nets: (u32, u32), inferred: Option<u32>, known: bool) -> Key {
        let mark = u64::from(inferred.is_some()) << 30 | u64::from(!known);
        Key([
            of,
            u64::from(nets.0) << 32 | mark,
            u64::from(nets.1) << 32 | u64::from(inferred.unwrap_or(0)),
        ])
    }

    pub fn exporter(&self) -> u32 {
        self.0[0] as u32
    }

    pub fn minute(&self) -> u32 {
        (self.0[0] >> 32) as u32
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

    /// Ingress interface of a key of networks, if that is inferred.
    pub fn inferred_between(&self) -> Option<u32> {
        (self.0[1] >> 30 & 1 == 1).then_some(self.0[2] as u32)
    }

    /// Whether the side is an ingress.
    pub fn is_ingress(&self) -> bool {
        self.0[1] >> 31 & 1 == 0
    }

    fn with_exporter(mut self, exporter: u32) -> Key {
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
            dscp: w2 as u8 >> 1,
            bytes: sums.bytes,
            packets: sums.packets,
            flows: sums.flows.into(),
            est_bytes: sums.est_bytes,
            est_packets: sums.est_packets,
            sampled_packets: sums.packets,
            variance: sums.doubt.variance(),
            sampling_known: !sums.doubt.is_unknown(),
            est_bytes_unknown: sums.unknown(),
        }
    }
}

impl Key {
    /// The row of a key of networks.
    pub fn network_row(&self, exporter: Addr, sums: &Sums) -> NetworkRow {
        NetworkRow {
            minute_s: self.minute() * 60,
            exporter,
            src_net: (self.0[1] >> 32) as u32,
            dst_net: (self.0[2] >> 32) as u32,
            bytes: sums.bytes,
            packets: sums.packets,
            flows: sums.flows.into(),
            est_bytes: sums.est_bytes,
            est_packets: sums.est_packets,
            sampled_packets: sums.packets,
            variance: sums.doubt.variance(),
            sampling_known: !sums.doubt.is_unknown(),
            est_bytes_unknown: sums.unknown(),
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
    pub doubt: Doubt,
}

impl Sums {
    #[inline(always)]
    pub fn add(&mut self, part: &Sums) {
        let (a, b) = (self.wide(), part.wide());
        if (0..4).fold(0, |bits, n| bits | a[n] | b[n]) >> 63 == 0 {
            // nothing near the limit: all at once
            let [bytes, packets, est_bytes, est_packets] =
                std::array::from_fn(|n| a[n].wrapping_add(b[n]));
            *self = Sums {
                bytes,
                packets,
                est_bytes,
                est_packets,
                flows: self.flows.saturating_add(part.flows),
                doubt: self.doubt.and(part.doubt),
            };
        } else {
            self.add_large(part);
        }
    }

    /// The estimated bytes of which nobody knows whether they were sampled, where all parts are alike.
    pub fn unknown(&self) -> u64 {
        u64::from(self.doubt.is_unknown()) * self.est_bytes
    }

    #[inline(always)]
    fn wide(&self) -> [u64; 4] {
        [self.bytes, self.packets, self.est_bytes, self.est_packets]
    }

    #[cold]
    fn add_large(&mut self, part: &Sums) {
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.packets = self.packets.saturating_add(part.packets);
        self.flows = self.flows.saturating_add(part.flows);
        self.est_bytes = self.est_bytes.saturating_add(part.est_bytes);
        self.est_packets = self.est_packets.saturating_add(part.est_packets);
        self.doubt = self.doubt.and(part.doubt);
    }

    /// Takes a part out of a sum that has it.
    pub fn take(&mut self, part: &Sums) {
        self.bytes = self.bytes.saturating_sub(part.bytes);
        self.packets = self.packets.saturating_sub(part.packets);
        self.flows = self.flows.saturating_sub(part.flows);
        self.est_bytes = self.est_bytes.saturating_sub(part.est_bytes);
        self.est_packets = self.est_packets.saturating_sub(part.est_packets);
        self.doubt = self.doubt.without(part.doubt);
    }
}

/// Bits of a key for the id of a protocol; names are bounded far below.
const APP_PROTO: u32 = (1 << 30) - 1;
/// Bits of a key for side and inferred.
const MARKS: u32 = 2;
/// How many sums ahead of the one that is taken are called for.
const CALLED_AHEAD: usize = 12;
/// An odd number without a pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Slots of an empty table.
const SLOTS_MIN: usize = 1_024;
/// Earliest and latest of no minutes.
const NO_MINUTES: (u32, u32) = (u32::MAX, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_table_that_grows_finds_every_key_and_gives_memory_back() {
        let mut table = SumTable::new(FixedState::default());
        let part = Sums {
            bytes: 3,
            ..Sums::default()
        };
        for round in 0..2 {
            for n in 0..20_000u64 {
                let key = Key([(n % 7) << 32, n << 32, 0]);
                let hash = table.hash_of(&key);
                table.call_slot(hash);
                table.call_sums(hash);
                table.add(&key, hash, &part);
            }
            assert_eq!(table.len(), 20_000, "round {round}");
        }
        let mut sums = 0;
        table.drain(&[0], 100, |_, s| sums += s.bytes);
        assert_eq!((sums, table.len()), (2 * 3 * 20_000, 0));
        assert_eq!(table.slots.len(), SLOTS_MIN);
        assert!(table.slots.iter().all(|s| *s == 0) && table.sums.capacity() < 20_000);
    }

    #[test]
    fn sums_stay_at_the_limit() {
        let large = Sums {
            bytes: u64::MAX - 5,
            packets: 1 << 63,
            est_bytes: 7,
            est_packets: u64::MAX,
            flows: u32::MAX,
            doubt: Doubt::new(1.0, true),
        };
        let mut sum = Sums {
            bytes: 9,
            packets: 1 << 63,
            est_bytes: 8,
            est_packets: 1,
            flows: 1,
            doubt: Doubt::new(2.0, false),
        };
        sum.add(&large);
        assert_eq!(
            (sum.wide(), sum.flows),
            ([u64::MAX, u64::MAX, 15, u64::MAX], u32::MAX)
        );
        assert_eq!(sum.doubt, Doubt::new(3.0, true));
    }

    proptest! {
        #[test]
        fn keys_come_in_their_order_whatever_their_width(
            keys in prop::collection::vec((any::<u32>(), 0u32..4, any::<[u32; 4]>()), 0..80),
            shift in 0u32..31,
        ) {
            let mut table = SumTable::new(FixedState::default());
            let mut want = std::collections::BTreeMap::new();
            let ranks = [2, 0, 3, 1];
            for &(minute, exporter, [a, b, c, d]) in &keys {
                let marks = u64::from(b & 0b11) << 30;
                let (if_index, proto, app) = (a >> shift, (b & APP_PROTO) >> shift, c >> shift);
                let key = |exporter: u32| Key([
                    u64::from(minute) << 32 | u64::from(exporter),
                    u64::from(if_index) << 32 | marks | u64::from(proto),
                    u64::from(app) << 32 | u64::from(d & 0xff_ff7f),
                ]);
                let part = Sums { bytes: 7, ..Sums::default() };
                let hash = table.hash_of(&key(exporter));
                table.call_sums(hash);
                table.add(&key(exporter), hash, &part);
                *want.entry(key(ranks[exporter as usize])).or_insert(0) += 7;
            }
            let mut got = Vec::new();
            table.drain(&ranks, 10, |key, sums| {
                got.push((key.with_exporter(ranks[key.exporter() as usize]), sums.bytes));
            });
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
            prop_assert!(table.is_empty());
        }
    }
}
