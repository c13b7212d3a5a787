//! Heavy hitters: the addresses that an exporter saw send and receive most, in bounded memory.
//!
//! A key belongs to one bucket of eight places. When it is new and the bucket full, it takes the place of the one with the least,
//! but only with the probability of its bytes in those of both: a large key comes in soon, and most small flows cost one look
//! at one cache line. What a place has counted since its key came in is certain. What may be missing of it is at most what
//! its bucket had turned away by then, and that bound stays with it. What no address has is in `other`, so that nothing is
//! lost: the sums of the addresses and `other` are the usage of the exporter.

use super::Settings;
use super::sums::Sums;
use crate::model::{Addr, TalkerRole, TalkerRow, prefetch};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::{BuildHasher, Hasher};

/// Talkers since the last [`Talkers::flush`].
#[derive(Debug)]
pub struct Talkers {
    heads: Vec<Head>,
    places: Vec<Place>,
    /// By place: estimated bytes that may be missing of its key.
    errors: Vec<u64>,
    /// By place: estimated bytes of which nobody knows whether they were sampled.
    unknown: Vec<u64>,
    /// For the choice of who comes in.
    random: u64,
    /// Usage by minute and exporter, each byte once, and what of it is unknown.
    totals: HashMap<(u32, u32), (Sums, u64), FixedState>,
    /// Exporters of which more was counted here than in the usage.
    void: Vec<u32>,
    hasher: FixedState,
    per_exporter_max: usize,
    rows_max: usize,
}

/// What a look at a bucket needs: a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Head {
    /// A byte of each hash; 0 where nothing is.
    tags: u64,
    /// Estimated bytes of what is not in the places any more, or never was.
    turned_away: u64,
    /// Estimated bytes of the places, as the bits of floats: their order is that of the numbers.
    weights: [u32; WAYS],
    /// The place with the least of them.
    least: u32,
}

impl Head {
    /// Places with this tag, a bit in the byte of each; some others, rarely.
    #[inline(always)]
    fn with_tag(&self, tag: u8) -> u64 {
        let differences = self.tags ^ (LOW_BITS * u64::from(tag));
        differences.wrapping_sub(LOW_BITS) & !differences & (LOW_BITS << 7)
    }

    fn is_taken(&self, way: usize) -> bool {
        self.tags >> (8 * way) & 0xff != 0
    }

    /// Changes what the bytes of a place weigh.
    #[inline(always)]
    fn weigh(&mut self, way: usize, bytes: u64) {
        self.weights[way] = weight(bytes).to_bits();
        if way == self.least as usize {
            // weights that differ by less than a millionth may be taken for each other
            let numbered = (0..WAYS).map(|way| self.weights[way] & !(WAYS as u32 - 1) | way as u32);
            self.least = numbered.min().unwrap_or(0) % WAYS as u32;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Place {
    key: TalkerKey,
    sums: Sums,
}

const _: () = assert!(
    size_of::<Place>() == 64 && size_of::<Head>() == 64,
    "cache lines"
);

/// Who talks: minute, exporter, role and address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TalkerKey {
    /// Minute in the upper half, role in bit 31, number of the exporter below.
    of: u64,
    address: Addr,
}

impl TalkerKey {
    /// A key from minute (upper half) and exporter; exporters have numbers below 2^31.
    #[inline(always)]
    pub fn of(of: u64, role: TalkerRole, address: Addr) -> TalkerKey {
        TalkerKey {
            of: of | u64::from(role as u8) << 31,
            address,
        }
    }

    fn minute(&self) -> u32 {
        (self.of >> 32) as u32
    }

    fn exporter(&self) -> u32 {
        self.of as u32 & (u32::MAX >> 1)
    }

    fn role(&self) -> TalkerRole {
        match self.of >> 31 & 1 {
            0 => TalkerRole::Source,
            _ => TalkerRole::Destination,
        }
    }
}

impl Talkers {
    /// Nothing counted.
    pub fn new(settings: &Settings, hasher: FixedState) -> Self {
        let buckets = match settings.talkers_max {
            0 => 0,
            n => (n / WAYS).next_power_of_two(),
        };
        Talkers {
            heads: vec![Head::default(); buckets],
            places: vec![Place::default(); buckets * WAYS],
            errors: vec![0; buckets * WAYS],
            unknown: vec![0; buckets * WAYS],
            random: settings.hash_seed | 1,
            totals: HashMap::with_hasher(hasher.clone()),
            void: Vec::new(),
            hasher,
            per_exporter_max: settings.talkers_per_exporter_max,
            rows_max: settings.talkers_max / 2,
        }
    }

    /// Whether talkers are wanted at all.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        !self.heads.is_empty()
    }

    /// Hash of an address in a role.
    #[inline(always)]
    pub fn hash_part(&self, role: TalkerRole, address: &Addr) -> u64 {
        let mut state = self.hasher.build_hasher();
        state.write_u128(u128::from_ne_bytes(address.0));
        state.finish() ^ role as u64
    }

    /// Hash of a key, whose minute and exporter are `of`.
    #[inline(always)]
    pub fn hash(&self, of: u64, part: u64) -> u32 {
        ((part ^ of.wrapping_mul(MIX)).wrapping_mul(MIX) >> 32) as u32
    }

    /// Calls for the bucket of a key; only where it is on.
    #[inline(always)]
    pub fn call_bucket(&self, hash: u32) {
        prefetch(&self.heads[self.bucket(hash)]);
    }

    #[inline(always)]
    fn bucket(&self, hash: u32) -> usize {
        (hash >> 8) as usize & (self.heads.len() - 1)
    }

    /// Calls for the place of a key whose bucket was called for.
    #[inline(always)]
    pub fn call_place(&self, hash: u32) {
        let bucket = self.bucket(hash);
        let hits = self.heads[bucket].with_tag(hash as u8 | 1);
        let way = hits.trailing_zeros() as usize / 8 % WAYS;
        prefetch(&self.places[bucket * WAYS + way]);
    }

    /// Adds to what a key has; only where it is on.
    #[inline(always)]
    pub fn add(&mut self, key: &TalkerKey, hash: u32, part: &Sums) {
        let (bucket, tag) = (self.bucket(hash), hash as u8 | 1);
        let head = &mut self.heads[bucket];
        let mut hits = head.with_tag(tag);
        while hits != 0 {
            let way = hits.trailing_zeros() as usize / 8;
            let place = &mut self.places[bucket * WAYS + way];
            if place.key == *key {
                place.sums.add(part);
                if part.doubt.is_unknown() {
                    let unknown = &mut self.unknown[bucket * WAYS + way];
                    *unknown = unknown.saturating_add(part.est_bytes);
                }
                head.weigh(way, place.sums.est_bytes);
                return;
            }
            hits &= hits - 1;
        }
        let way = head.least as usize % WAYS;
        let least = f32::from_bits(head.weights[way]);
        self.random = (self.random.wrapping_mul(0x5851_f42d_4c95_7f2d)).wrapping_add(1);
        let chance = (self.random >> 40) as i32 as f32 / (1u64 << 24) as f32;
        let weight = weight(part.est_bytes);
        if chance * (least + weight) < weight {
            self.replace(bucket, way, tag, *key, part);
        } else {
            head.turned_away = head.turned_away.saturating_add(part.est_bytes);
        }
    }

    /// Gives a new key a place.
    fn replace(&mut self, bucket: usize, way: usize, tag: u8, key: TalkerKey, part: &Sums) {
        let (head, at) = (&mut self.heads[bucket], bucket * WAYS + way);
        if head.is_taken(way) {
            let gone = self.places[at].sums.est_bytes;
            head.turned_away = head.turned_away.saturating_add(gone);
        }
        head.tags = head.tags & !(0xff << (8 * way)) | u64::from(tag) << (8 * way);
        head.weigh(way, part.est_bytes);
        self.errors[at] = head.turned_away;
        self.unknown[at] = part.unknown();
        self.places[at] = Place { key, sums: *part };
    }

    /// Most estimated bytes that the key of a place can have.
    fn most(&self, at: usize) -> u64 {
        self.places[at]
            .sums
            .est_bytes
            .saturating_add(self.errors[at])
    }

    /// Takes in the usage of an exporter in a minute, each byte once, and what of it is unknown.
    pub fn add_total(&mut self, minute: u32, exporter: u32, sums: &Sums, unknown: u64) {
        if self.is_on() {
            let (all, of) = self.totals.entry((minute, exporter)).or_default();
            all.add(sums);
            *of = of.saturating_add(unknown);
        }
    }

    /// Whether the totals ask for a flush.
    pub fn is_full(&self) -> bool {
        self.totals.len() >= TOTALS_MAX
    }

    /// Some of what was counted of an exporter turned out not to count: all of it goes to `other`.
    pub fn set_void(&mut self, exporter: u32) {
        if !self.void.contains(&exporter) {
            self.void.push(exporter);
        }
    }

    /// Takes everything out, in order of minute, exporter, role and estimated bytes, `other` last; `addresses` are those of the exporters by
    /// number. Returns the rows and how many talkers there was no row for.
    pub fn flush(&mut self, addresses: &[Addr]) -> (Vec<TalkerRow>, u64) {
        let places = self.in_order();
        let groups = || places.chunk_by(|a, b| self.places[*a].key.of == self.places[*b].key.of);
        let least = self.least(groups());
        let mut of = HashMap::with_capacity_and_hasher(places.len(), self.hasher.clone());
        groups().for_each(|group| {
            of.insert(self.places[group[0]].key.of, group);
        });
        let turned_away = self.heads.iter().map(|h| h.turned_away).max().unwrap_or(0);
        let mut totals: Vec<((u32, u32), (Sums, u64))> =
            self.totals.iter().map(|(k, s)| (*k, *s)).collect();
        totals.sort_unstable_by_key(|((minute, exporter), _)| {
            (*minute, addresses[*exporter as usize])
        });
        let mut rows = Vec::with_capacity(2 * totals.len());
        let mut cut = 0;
        for ((minute, exporter), total) in totals {
            for role in [TalkerRole::Source, TalkerRole::Destination] {
                let usage = u64::from(minute) << 32 | u64::from(exporter);
                let key = TalkerKey::of(usage, role, Addr::UNSPECIFIED);
                let group = of.get(&key.of).copied().unwrap_or_default();
                let first = group.len().min(self.per_exporter_max);
                let rowed = group[..first].partition_point(|&at| self.bytes(at) > least);
                cut += (first - rowed) as u64;
                let (own, rest) = group.split_at(rowed);
                let void = self.void.contains(&exporter);
                let most = rest.iter().map(|&at| self.most(at)).max().unwrap_or(0);
                let bound = if void {
                    u64::MAX
                } else {
                    most.max(turned_away)
                };
                self.rows(
                    key,
                    addresses[exporter as usize],
                    own,
                    total,
                    bound,
                    &mut rows,
                );
            }
        }
        self.clear();
        (rows, cut)
    }

    /// The rows of one minute, exporter and role: `own` places, and what they leave of the total.
    fn rows(
        &self,
        key: TalkerKey,
        exporter: Addr,
        own: &[usize],
        total: (Sums, u64),
        bound: u64,
        rows: &mut Vec<TalkerRow>,
    ) {
        let (mut other, mut rest) = total;
        for &at in own {
            other.take(&self.places[at].sums);
            rest = rest.saturating_sub(self.unknown[at]);
        }
        let row = |address, is_other, sums: &Sums, unknown: u64, error: u64| TalkerRow {
            minute_s: key.minute() * 60,
            exporter,
            role: key.role(),
            address,
            other: is_other,
            bytes: sums.bytes,
            packets: sums.packets,
            flows: sums.flows.into(),
            est_bytes: sums.est_bytes,
            est_packets: sums.est_packets,
            sampled_packets: sums.packets,
            variance: sums.doubt.variance(),
            sampling_known: !sums.doubt.is_unknown(),
            est_bytes_unknown: unknown.min(sums.est_bytes),
            // nobody can miss more than there is
            error_bytes: error.min(other.est_bytes),
        };
        rows.extend(own.iter().map(|&at| {
            let place = &self.places[at];
            row(
                place.key.address,
                false,
                &place.sums,
                self.unknown[at],
                self.errors[at],
            )
        }));
        rows.push(row(Addr::UNSPECIFIED, true, &other, rest, bound));
    }

    /// Places that count, by minute, exporter and role, the largest first.
    fn in_order(&self) -> Vec<usize> {
        let counts = |at: &usize| {
            let key = &self.places[*at].key;
            let taken = self.heads[at / WAYS].is_taken(at % WAYS);
            taken
                && self.totals.contains_key(&(key.minute(), key.exporter()))
                && !self.void.contains(&key.exporter())
        };
        let mut all: Vec<usize> = (0..self.places.len()).filter(counts).collect();
        all.sort_unstable_by_key(|&at| {
            let key = &self.places[at].key;
            (key.of, std::cmp::Reverse(self.bytes(at)), key.address)
        });
        all
    }

    /// The bytes that a talker must exceed to have a row: with more candidates than rows, the largest have them.
    fn least<'a>(&self, groups: impl Iterator<Item = &'a [usize]>) -> u64 {
        let candidates = groups.flat_map(|g| g.iter().take(self.per_exporter_max));
        let mut bytes: Vec<u64> = candidates.map(|&at| self.bytes(at)).collect();
        if bytes.len() <= self.rows_max {
            return 0;
        }
        let (_, least, _) = bytes.select_nth_unstable_by(self.rows_max, |a, b| b.cmp(a));
        *least
    }

    fn bytes(&self, at: usize) -> u64 {
        self.places[at].sums.est_bytes
    }

    fn clear(&mut self) {
        self.heads.fill(Head::default());
        self.errors.fill(0);
        self.void.clear();
        self.totals.clear();
        self.totals.shrink_to(TOTALS_MAX);
    }
}

/// What bytes weigh: half of them, never nothing. A signed number holds that, and becomes a float in one step.
#[inline(always)]
fn weight(bytes: u64) -> f32 {
    (bytes >> 1 | 1) as i64 as f32
}

/// An odd number without a pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Places of a bucket: the bytes of a word.
const WAYS: usize = 8;
/// The lowest bit of each byte.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// Minutes of exporters after which a flush is asked for.
const TOTALS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::super::doubt::Doubt;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn settings(talkers_max: usize, talkers_per_exporter_max: usize) -> Settings {
        Settings {
            talkers_max,
            talkers_per_exporter_max,
            ..Settings::default()
        }
    }

    fn part(bytes: u64) -> Sums {
        Sums {
            bytes,
            packets: bytes / 100,
            est_bytes: 3 * bytes,
            est_packets: 3 * (bytes / 100),
            flows: 1,
            doubt: Doubt::default(),
        }
    }

    fn host(n: u16) -> Addr {
        let [a, b] = n.to_be_bytes();
        Addr::from_v4([10, 0, a, b])
    }

    /// Adds flows (minute, exporter, source, destination, bytes) as usage does, and their totals.
    fn observe(talkers: &mut Talkers, flows: &[(u32, u32, u16, u16, u64)]) {
        for &(minute, exporter, source, destination, bytes) in flows {
            let of = u64::from(minute) << 32 | u64::from(exporter);
            for (role, n) in [
                (TalkerRole::Source, source),
                (TalkerRole::Destination, destination),
            ] {
                let hash = talkers.hash(of, talkers.hash_part(role, &host(n)));
                talkers.call_place(hash);
                talkers.add(&TalkerKey::of(of, role, host(n)), hash, &part(bytes));
            }
            talkers.add_total(minute, exporter, &part(bytes), 0);
        }
    }

    const EXPORTERS: [Addr; 3] = [
        Addr::from_v4([192, 0, 2, 3]),
        Addr::from_v4([192, 0, 2, 1]),
        Addr::from_v4([192, 0, 2, 2]),
    ];

    proptest! {
        /// The law: addresses and `other` are the usage, whatever the flows and however little room there is; and what a row says of an
        /// address, and of those without a row, is true within its bound.
        #[test]
        fn rows_add_up_to_the_usage_and_bounds_hold(
            flows in prop::collection::vec((0u32..3, 0u32..3, 0u16..60, 0u16..400, 1u64..100_000), 0..600),
            room in 1usize..200,
            first in 0usize..9,
            exponent in 1u32..4,
        ) {
            // few flows have most of the bytes
            let flows: Vec<_> = flows.into_iter().map(|(m, e, s, d, b)| (m, e, s, d, b.pow(exponent) / 1000 + 1)).collect();
            let mut talkers = Talkers::new(&settings(room, first), FixedState::default());
            let mut truth = BTreeMap::new();
            let mut totals = BTreeMap::new();
            let mut got: Vec<TalkerRow> = vec![];
            for part_of in [&flows[..flows.len() / 2], &flows[flows.len() / 2..]] {
                observe(&mut talkers, part_of);
                let (rows, _) = talkers.flush(&EXPORTERS);
                prop_assert!(rows.is_sorted_by_key(|r| (r.minute_s, r.exporter, r.role)));
                prop_assert!(rows.iter().filter(|r| !r.other).count() <= talkers.rows_max);
                got.extend(rows);
            }
            for &(m, e, s, d, bytes) in &flows {
                let of = |role, n| (m * 60, EXPORTERS[e as usize], role, host(n));
                for key in [of(TalkerRole::Source, s), of(TalkerRole::Destination, d)] {
                    *truth.entry(key).or_insert(0) += 3 * bytes;
                    let total = totals.entry((key.0, key.1, key.2)).or_insert([0; 4]);
                    for (to, n) in total.iter_mut().zip([bytes, bytes / 100, 3 * bytes, 1]) {
                        *to += n;
                    }
                }
            }
            let mut sums = BTreeMap::new();
            let mut known = BTreeMap::new();
            let mut bounds = BTreeMap::new();
            for r in &got {
                let sum = sums.entry((r.minute_s, r.exporter, r.role)).or_insert([0; 4]);
                for (to, n) in sum.iter_mut().zip([r.bytes, r.packets, r.est_bytes, r.flows]) {
                    *to += n;
                }
                match r.other {
                    true => *bounds.entry((r.minute_s, r.exporter, r.role)).or_insert(0) += r.error_bytes,
                    false => {
                        let k = known.entry((r.minute_s, r.exporter, r.role, r.address)).or_insert((0, 0));
                        *k = (k.0 + r.est_bytes, k.1 + r.error_bytes);
                    }
                }
            }
            prop_assert_eq!(sums, totals);
            for (key, bytes) in truth {
                let (certain, _) = known.get(&key).copied().unwrap_or_default();
                let bound = bounds[&(key.0, key.1, key.2)] + known.get(&key).map_or(0, |k| k.1);
                prop_assert!(certain <= bytes && bytes <= certain + bound, "{:?}: {} + {} for {}", key, certain, bound, bytes);
            }
        }
    }

    #[test]
    fn the_largest_are_found_among_many() {
        let mut talkers = Talkers::new(&settings(1_024, 5), FixedState::default());
        // five large ones among 20,000 small ones, ten times what there is room for
        let small =
            (0..20_000u64).map(|n| (0, 0, (n * 7 % 9_973) as u16, (n % 9_973) as u16, 1_000));
        let mut flows: Vec<_> = small.collect();
        for (place, n) in (0..500).enumerate() {
            flows.insert(
                place * 40,
                (0, 0, 60_000 + n % 5, 1, 10_000 * u64::from(1 + n % 5)),
            );
        }
        observe(&mut talkers, &flows);
        let (rows, cut) = talkers.flush(&EXPORTERS);
        let sources: Vec<_> = rows
            .iter()
            .filter(|r| r.role == TalkerRole::Source && !r.other)
            .collect();
        let names: Vec<Addr> = sources.iter().map(|r| r.address).collect();
        assert_eq!(names, [4, 3, 2, 1, 0].map(|n| host(60_000 + n)));
        assert_eq!(cut, 0);
        for (t, n) in sources.iter().zip([5u64, 4, 3, 2, 1]) {
            // all but what it had before it came in, and that is bounded
            let truth = n * 1_000_000;
            assert!(t.bytes > truth * 9 / 10 && t.bytes <= truth, "{t:?}");
            assert!(3 * truth <= t.est_bytes + t.error_bytes, "{t:?}");
            assert!(t.error_bytes < 3 * 2_000_000, "{t:?}");
        }
        assert!(talkers.flush(&EXPORTERS).0.is_empty(), "everything is out");
    }

    #[test]
    fn what_turned_out_not_to_count_is_in_other() {
        let mut talkers = Talkers::new(&settings(64, 5), FixedState::default());
        observe(&mut talkers, &[(0, 0, 1, 2, 100), (0, 1, 1, 2, 100)]);
        talkers.set_void(1);
        let (rows, _) = talkers.flush(&EXPORTERS);
        let of = |e: usize| {
            rows.iter()
                .filter(|r| r.exporter == EXPORTERS[e])
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0).len(), 4);
        assert!(
            of(1)
                .iter()
                .all(|r| r.other && r.bytes == 100 && r.error_bytes == 300)
        );
    }

    #[test]
    fn with_more_candidates_than_rows_the_largest_have_them() {
        let mut talkers = Talkers::new(&settings(16, 8), FixedState::default());
        for exporter in 0..3 {
            for n in 0..2 {
                observe(
                    &mut talkers,
                    &[(
                        0,
                        exporter,
                        n,
                        n,
                        1_000 * u64::from(exporter + 1) + u64::from(n),
                    )],
                );
            }
        }
        let (rows, cut) = talkers.flush(&EXPORTERS);
        let own = rows.iter().filter(|r| !r.other).count();
        assert!(own <= 8 && cut > 0, "{own} rows, {cut} cut");
        assert_eq!(rows.iter().filter(|r| r.other).count(), 6);
    }
}
