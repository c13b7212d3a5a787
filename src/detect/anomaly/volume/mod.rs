//! Volume of interfaces, applications, classes and networks against what is usual at this hour of the week.
//!
//! Bytes are added up in buckets of five minutes, spread over each flow's life. For every hour of the week (UTC) a series keeps
//! a usual value and a mean deviation, learned as exponentially weighted averages whose weight never falls below that of four weeks;
//! what lies far outside is cut before it is learned, so that an attack does not become usual at once. An hour that was seen in
//! fewer than two weeks is judged by the same hour of other working days, and an hour that none of both knows is not judged. What is far
//! from usual in three buckets in a row is told: the start values (six deviations, half as much again, 5 Mbit/s) are those of the
//! usual "six MAD and a least effect"; a fall to nothing needs the exporter to go on telling of other traffic. Both directions of an
//! interface are one incident, and what is off at the same time on its exporter, by no more, is part of it.

mod series;

use super::keep::Kept;
use super::sighting::FlowSeen;
use super::{Ctx, VolumeSettings};
use crate::model::Addr;
use series::{Seen, Series, What};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Volume {
    /// Place in `series` and 1 by key; linear probing.
    index: Vec<(u64, u32)>,
    series: Vec<Series>,
    /// Bytes of the buckets that are open, of each series.
    open: Vec<[u64; OPEN]>,
    series_max: usize,
    /// The newest bucket.
    newest: i64,
    /// All before are closed.
    closed: i64,
    /// The exporter of the row before, and its part of keys: most rows come from the same one as the row before.
    latest: (Addr, u64),
    refused: u64,
}

impl Volume {
    pub fn new(series_max: usize) -> Self {
        let series_max = series_max.max(16);
        Volume {
            index: vec![(0, 0); (2 * series_max).next_power_of_two()],
            series: vec![],
            open: vec![],
            series_max,
            newest: i64::MIN,
            closed: i64::MIN,
            latest: (Addr::UNSPECIFIED, part_of(&Addr::UNSPECIFIED)),
            refused: 0,
        }
    }

    pub fn bytes(series_max: usize) -> usize {
        let series_max = series_max.max(16);
        (2 * series_max).next_power_of_two() * size_of::<(u64, u32)>()
            + series_max * (size_of::<Series>() + series::HOURS_BYTES + OPEN * 8)
    }

    pub fn lost(&self) -> (u64, u64) {
        (0, self.refused)
    }

    pub fn clear(&mut self) {
        self.index.fill((0, 0));
        self.series.clear();
        self.open.clear();
        (self.newest, self.closed) = (i64::MIN, i64::MIN);
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.newest.put(out);
        self.closed.put(out);
        self.series.put(out);
        self.open.put(out);
    }

    pub fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        let (newest, closed) = Kept::get(from)?;
        let series: Vec<Series> = Kept::get(from)?;
        let mut open: Vec<[u64; OPEN]> = Kept::get(from)?;
        open.resize(series.len(), [0; OPEN]);
        (self.newest, self.closed) = (newest, closed);
        for (series, open) in series.into_iter().zip(open).take(self.series_max) {
            let key = key(&series.what);
            let at = self.place(key);
            self.series.push(series);
            self.open.push(open);
            self.index[at] = (key, self.series.len() as u32);
        }
        Some(())
    }

    pub fn flow(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) {
        let bytes = f.est_bytes().saturating_add(f.back_bytes.unwrap_or(0));
        if bytes == 0 {
            return;
        }
        let now = ctx.now_ms.div_euclid(BUCKET_MS);
        self.begin(now);
        let oldest = self.closed.max(now - OPEN as i64 + 1);
        let bucket = |ms: i64| ms.div_euclid(BUCKET_MS).clamp(oldest, now.max(oldest));
        let shares = Shares::of(f, bytes, (bucket(f.start_ms), bucket(f.end_ms)));
        if self.latest.0 != f.exporter {
            self.latest = (f.exporter, part_of(&f.exporter));
        }
        let part = self.latest.1;
        let mut add = |kind: u8, id: u64| {
            let what = || What {
                kind,
                exporter: f.exporter,
                id,
            };
            if let Some(series) = self.find(key_with(part, kind, id), now, what) {
                shares.add_to(&mut self.open[series]);
            }
        };
        add(ALL, 0);
        let (ingress, egress) = f.interfaces;
        if ingress != 0 && !f.at_egress {
            add(INGRESS, ingress.into());
        }
        if egress != 0 {
            add(EGRESS, egress.into());
        }
        for (kind, id) in [
            (APPLICATION, f.app),
            (CLASS, f.class),
            (NET_FROM, f.nets.0),
            (NET_TO, f.nets.1),
        ] {
            if id != 0 {
                add(kind, id);
            }
        }
    }

    /// Lets time pass: buckets into which nothing comes any more are judged and learned.
    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        if self.newest == i64::MIN {
            return;
        }
        let now = ctx.now_ms.div_euclid(BUCKET_MS);
        let until = (ctx.now_ms - LATE_MS).div_euclid(BUCKET_MS);
        self.begin(now);
        while self.closed < until {
            let bucket = self.closed;
            self.close(ctx, bucket);
            self.closed += 1;
        }
    }

    /// Opens buckets up to `now`.
    fn begin(&mut self, now: i64) {
        if self.newest == i64::MIN {
            (self.newest, self.closed) = (now, now);
        }
        if now <= self.newest {
            return;
        }
        if now.saturating_sub(self.closed) >= OPEN as i64 {
            // nothing was told for long: what was open says nothing of it
            self.open.iter_mut().for_each(|o| *o = [0; OPEN]);
            self.series
                .iter_mut()
                .for_each(|s| (s.above, s.below) = (0, 0));
            self.closed = now;
            self.series
                .iter_mut()
                .for_each(|s| s.born = s.born.max(now));
        }
        self.newest = now;
    }

    fn close(&mut self, ctx: &mut Ctx<'_>, bucket: i64) {
        let at = place_of(bucket);
        let mut alive: Vec<Addr> = vec![];
        for (s, open) in self.series.iter().zip(&self.open) {
            if s.what.kind == ALL && open[at] > 0 {
                alive.push(s.what.exporter);
            }
        }
        alive.sort_unstable();
        let all = ctx.settings;
        let settings = &all.volume;
        let mut far: Vec<Far> = vec![];
        for (series, (s, open)) in self.series.iter_mut().zip(&mut self.open).enumerate() {
            let bytes = std::mem::take(&mut open[at]);
            if bytes > 0 {
                s.last = s.last.max(bucket);
            }
            if bucket <= s.born || s.what.kind == ALL {
                continue;
            }
            if alive.binary_search(&s.what.exporter).is_err() {
                // an exporter that tells nothing is another matter
                (s.above, s.below) = (0, 0);
                continue;
            }
            let usual = s.usual(bucket);
            let seen = Seen {
                bucket,
                bytes,
                usual,
            };
            let by = s.weigh(settings, &seen);
            if by != 0.0 {
                far.push(Far { by, series, seen });
            }
            s.learn(bucket, bytes, usual.as_ref());
        }
        self.tell(ctx, settings, far);
    }

    /// Tells what is far from usual in a bucket: interfaces first, those that are furthest off before others. What is off since then, by no
    /// more than the interfaces of its exporter together, went through them, and is part of what is told of the first of these.
    fn tell(&mut self, ctx: &mut Ctx<'_>, settings: &VolumeSettings, mut far: Vec<Far>) {
        far.sort_by(|a, b| {
            let is_other = |f: &Far| !self.series[f.series].what.is_interface();
            let order = is_other(a).cmp(&is_other(b));
            let order = order.then(b.by.abs().total_cmp(&a.by.abs()));
            order.then(a.series.cmp(&b.series))
        });
        // interfaces by exporter, and whether they carry more
        let mut lines: BTreeMap<(Addr, bool), Vec<Line>> = BTreeMap::new();
        for Far { by, series, seen } in &far {
            let s = &mut self.series[*series];
            let (way, since) = ((s.what.exporter, *by > 0.0), s.since(seen.bucket));
            if s.what.is_interface() {
                let told = s.tell(ctx, settings, seen).then_some(s.what);
                let lines = lines.entry(way).or_default();
                if lines.len() < LINES_MAX {
                    let by = by.abs();
                    lines.push(Line { since, by, told });
                }
                continue;
            }
            let (mut through, mut told) = (0.0, None);
            for line in lines.get(&way).into_iter().flatten() {
                if s.is_part || (line.since - since).abs() <= TOGETHER {
                    through += line.by;
                    told = told.or(line.told);
                }
            }
            s.is_part = by.abs() <= through;
            match told.filter(|_| s.is_part) {
                Some(what) => s.belongs(ctx, settings, seen, &what),
                // else the interface may be told with the next bucket
                None if s.is_part => {}
                None => {
                    s.tell(ctx, settings, seen);
                }
            }
        }
    }

    /// The place of a series by its key, made where there is none; `None` where there is no room.
    #[inline]
    fn find(&mut self, key: u64, now: i64, what: impl FnOnce() -> What) -> Option<usize> {
        let at = self.place(key);
        match self.index[at].1 {
            0 => self.make(what(), now, at),
            n => Some(n as usize - 1),
        }
    }

    /// Where a key is in the index, or would be.
    #[inline]
    fn place(&self, key: u64) -> usize {
        let mask = self.index.len() - 1;
        let mut at = (key >> 32) as usize & mask;
        while self.index[at].1 != 0 && self.index[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn make(&mut self, what: What, now: i64, at: usize) -> Option<usize> {
        if self.series.len() >= self.series_max {
            let stale = self.series.iter().enumerate();
            let stale = stale.filter(|(_, s)| now - s.last > STALE);
            let Some((slot, _)) = stale.min_by_key(|(i, s)| (s.last, *i)) else {
                self.refused += 1;
                return None;
            };
            self.series[slot] = Series::new(what, now);
            self.open[slot] = [0; OPEN];
            self.reindex();
            return Some(slot);
        }
        self.series.push(Series::new(what, now));
        self.open.push([0; OPEN]);
        self.index[at] = (key(&what), self.series.len() as u32);
        Some(self.series.len() - 1)
    }

    fn reindex(&mut self) {
        self.index.fill((0, 0));
        for n in 0..self.series.len() {
            let key = key(&self.series[n].what);
            let at = self.place(key);
            self.index[at] = (key, n as u32 + 1);
        }
    }
}

/// A series that is far from usual in a bucket: by how many bytes.
struct Far {
    by: f64,
    series: usize,
    seen: Seen,
}

/// An interface that is: since which bucket, by how much, and what it is, where that was told.
struct Line {
    since: i64,
    by: f64,
    told: Option<What>,
}

/// The key of a series; what exporters send has no part in it but for their address and interface numbers, and a clash costs no
/// more than two series that are one.
fn key(what: &What) -> u64 {
    key_with(part_of(&what.exporter), what.kind, what.id)
}

/// The part of an exporter in its keys.
fn part_of(exporter: &Addr) -> u64 {
    let n = u128::from_be_bytes(exporter.0);
    fold(fold(1, n as u64), (n >> 64) as u64)
}

#[inline]
fn key_with(part: u64, kind: u8, id: u64) -> u64 {
    let h = fold(part ^ u64::from(kind) << 56, id);
    (h ^ h >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}

#[inline]
fn fold(h: u64, n: u64) -> u64 {
    (h ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// The bytes of a flow in the buckets of its life; what does not divide belongs to the last.
struct Shares {
    first: i64,
    last: i64,
    /// By place of the bucket.
    bytes: [u64; OPEN],
}

impl Shares {
    #[inline]
    fn of(f: &FlowSeen, bytes: u64, (first, last): (i64, i64)) -> Self {
        let mut shares = Shares {
            first: first.min(last),
            last,
            bytes: [0; OPEN],
        };
        let mut left = bytes;
        if first < last {
            let life = f.life_ms().max(1) as u64;
            for bucket in first..last {
                let (from, to) = (bucket * BUCKET_MS, (bucket + 1) * BUCKET_MS);
                let part = to.saturating_sub(f.start_ms.max(from)).max(0) as u64;
                let share = part_of_life(bytes, part.min(life), life).min(left);
                left -= share;
                shares.bytes[place_of(bucket)] = share;
            }
        }
        shares.bytes[place_of(last)] = left;
        shares
    }

    #[inline]
    fn add_to(&self, open: &mut [u64; OPEN]) {
        for bucket in self.first..=self.last {
            let at = place_of(bucket);
            open[at] = open[at].saturating_add(self.bytes[at]);
        }
    }
}

/// `bytes` times `part` by `life`, which is `part` at least.
#[inline]
fn part_of_life(bytes: u64, part: u64, life: u64) -> u64 {
    match bytes.checked_mul(part) {
        Some(product) => product / life,
        None => (u128::from(bytes) * u128::from(part) / u128::from(life)) as u64,
    }
}

#[inline]
fn place_of(bucket: i64) -> usize {
    bucket.rem_euclid(OPEN as i64) as usize
}

const ALL: u8 = 0;
const INGRESS: u8 = 1;
const EGRESS: u8 = 2;
const APPLICATION: u8 = 3;
const CLASS: u8 = 4;
const NET_FROM: u8 = 5;
const NET_TO: u8 = 6;
const BUCKET_MS: i64 = 300_000;
/// Buckets that are open at a time: long flows are told late.
const OPEN: usize = 8;
/// So long a bucket waits for flows that are told late.
const LATE_MS: i64 = 600_000;
/// Interfaces of an exporter that what else is far off is held against.
const LINES_MAX: usize = 64;
/// Buckets between the beginnings of what is one fall.
const TOGETHER: i64 = 1;
/// Buckets of silence after which a series may give way: two weeks.
const STALE: i64 = 2 * 7 * 288;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_life_are_all_there() {
        let f = FlowSeen {
            start_ms: 1_000,
            end_ms: 2 * BUCKET_MS + 77,
            ..FlowSeen::default()
        };
        let mut open = [0; OPEN];
        Shares::of(&f, 1_000_003, (0, 2)).add_to(&mut open);
        assert_eq!(open.iter().sum::<u64>(), 1_000_003);
        assert!(open[0] > 490_000 && open[1] > 490_000 && open[2] < 1_000);
        let mut other = [0; OPEN];
        Shares::of(&f, u64::MAX, (0, 2)).add_to(&mut other);
        assert_eq!(other.iter().sum::<u64>(), u64::MAX);
        assert!(other[0] > u64::MAX / 100 * 49);
        let mut other = [0; OPEN];
        Shares::of(&f, 7, (9, 9)).add_to(&mut other);
        assert_eq!(other[1], 7);
    }

    #[test]
    fn series_find_their_place_and_the_stale_one_gives_way() {
        let mut v = Volume::new(16);
        let what = |id| What {
            kind: INGRESS,
            exporter: Addr::from_v4([192, 0, 2, 1]),
            id,
        };
        let mut find = |id: u64, now: i64| {
            let what = what(id);
            v.find(key(&what), now, || what)
        };
        for id in 1..=16 {
            assert_eq!(find(id, 0), Some(id as usize - 1));
        }
        assert_eq!(find(3, 0), Some(2));
        assert_eq!(find(17, 1), None);
        assert_eq!(find(17, STALE + 1), Some(0));
        assert_eq!(find(16, STALE + 1), Some(15));
        assert_eq!(find(1, STALE + 2), Some(1), "it had to come again");
        assert_eq!(v.lost().1, 1);
    }
}
