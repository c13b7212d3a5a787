//! One series: what is usual at each hour of the week, and what is far from it.

use super::super::keep::kept;
use super::super::{Ctx, VolumeSettings, figure};
use super::{APPLICATION, BUCKET_MS, CLASS, EGRESS, INGRESS, NET_FROM, NET_TO};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Severity};

/// What a series is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct What {
    pub kind: u8,
    pub exporter: Addr,
    /// Interface, or the number of a name.
    pub id: u64,
}

#[derive(Debug)]
pub(super) struct Series {
    pub what: What,
    /// Its first bucket, which it may have seen half of.
    pub born: i64,
    /// The newest bucket that had bytes.
    pub last: i64,
    hours: Box<[Usual; HOURS]>,
    /// Buckets in a row that are far above, or below.
    pub above: u8,
    pub below: u8,
    /// Since when it carries nothing, which was told; 0: it does.
    down_ms: i64,
    /// It is far off with an interface, of whose incident it is part as long as that is.
    pub is_part: bool,
    handle: Option<Handle>,
}

/// What is usual in an hour, in bytes a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usual {
    mean: f32,
    deviation: f32,
    n: u16,
}

kept!(What { kind, exporter, id });
kept!(Usual { mean, deviation, n });
kept!(Series {
    what,
    born,
    last,
    hours,
    above,
    below,
    down_ms,
    is_part,
    handle
});

/// What a series carried in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub bucket: i64,
    pub bytes: u64,
    /// What is usual then, where that is known.
    pub usual: Option<Usual>,
}

impl Series {
    pub fn new(what: What, now: i64) -> Self {
        Series {
            what,
            born: now,
            last: now,
            hours: Box::new([Usual::default(); HOURS]),
            above: 0,
            below: 0,
            down_ms: 0,
            is_part: false,
            handle: None,
        }
    }

    /// What is usual in the hour of a bucket; `None` where too little is known of it.
    pub fn usual(&self, bucket: i64) -> Option<Usual> {
        let hour = hour_of(bucket);
        let own = self.hours[hour];
        if own.n >= KNOWN {
            return Some(own);
        }
        let is_weekend = |hour: usize| hour / 24 >= 5;
        let days = (0..7).map(|d| (hour + 24 * d) % HOURS);
        let days = days.filter(|h| is_weekend(*h) == is_weekend(hour));
        let days = days.map(|h| self.hours[h]);
        let days: Vec<Usual> = days.filter(|u| u.n >= KNOWN_DAY).collect();
        if days.len() < DAYS {
            return None;
        }
        let n = days.len() as f32;
        let mean = days.iter().map(|u| u.mean).sum::<f32>() / n;
        let between = days.iter().map(|u| (u.mean - mean).abs()).sum::<f32>() / n;
        let within = days.iter().map(|u| u.deviation).fold(0.0, f32::max);
        Some(Usual {
            mean,
            deviation: between + within,
            n: 0,
        })
    }

    pub fn learn(&mut self, bucket: i64, bytes: u64, usual: Option<&Usual>) {
        let mut x = bytes as f32;
        if let Some(u) = usual {
            let far = 3.0 * u.deviation.max(LEAST_DEVIATION * u.mean);
            x = x.clamp(u.mean - far, u.mean + far);
        }
        let own = &mut self.hours[hour_of(bucket)];
        let weight = (1.0 / (f32::from(own.n) + 1.0)).max(WEIGHT);
        let off = x - own.mean;
        own.mean += weight * off;
        if own.n > 0 {
            let weight = (1.0 / f32::from(own.n)).max(WEIGHT);
            own.deviation += weight * (off.abs() - own.deviation);
        }
        own.n = own.n.saturating_add(1);
    }

    /// How many bytes of a bucket are too many, or (negative) too few; 0 where they are not far from usual. What was told to carry nothing
    /// is far from usual as long as it does, and nothing begins with a value that is usual an hour before or after: clocks are put forward and back.
    pub fn weigh(&mut self, settings: &VolumeSettings, seen: &Seen) -> f64 {
        if seen.bytes > 0 {
            self.down_ms = 0;
        }
        let mut by = seen.usual.map_or(0.0, |u| u.far(settings, seen.bytes));
        let before = if by > 0.0 { self.above } else { self.below };
        if self.down_ms != 0 {
            by = seen
                .usual
                .map_or(-f64::MAX, |u| -f64::from(u.mean.max(1.0)));
        } else if by != 0.0 && seen.bytes > 0 && before == 0 {
            let beside = [seen.bucket - HOUR, seen.bucket + HOUR];
            let mut beside = beside.into_iter().filter_map(|b| self.usual(b));
            if beside.any(|u| u.far(settings, seen.bytes) * by <= 0.0) {
                by = 0.0;
            }
        }
        if by == 0.0
            && seen.bytes > 0
            && seen.usual.is_some_and(|u| u.is_near(settings, seen.bytes))
        {
            self.is_part = false;
        }
        let run = |n: u8, goes_on: bool| if goes_on { n.saturating_add(1) } else { 0 };
        self.above = run(self.above, by > 0.0);
        self.below = run(self.below, by < 0.0);
        by
    }

    /// The first bucket of those in a row that are far off.
    pub fn since(&self, bucket: i64) -> i64 {
        match self.down_ms {
            0 => bucket + 1 - i64::from(self.above.max(self.below)),
            down_ms => down_ms / BUCKET_MS,
        }
    }

    /// Tells of a bucket that is far from usual, once enough are in a row, or adds it to what was told; then what it is.
    pub fn tell(&mut self, ctx: &mut Ctx<'_>, settings: &VolumeSettings, seen: &Seen) -> bool {
        let end_ms = (seen.bucket + 1) * BUCKET_MS;
        let run = end_ms / BUCKET_MS - self.since(seen.bucket);
        if self.down_ms == 0 && run < i64::from(settings.buckets.max(1)) {
            return false;
        }
        let is_new = seen.bytes == 0 && self.down_ms == 0;
        if seen.bytes == 0 {
            self.down_ms = end_ms - run * BUCKET_MS;
        }
        let growth = Growth {
            last_ms: end_ms,
            count: 1,
            ..Growth::default()
        };
        let handle = self.handle.take();
        self.handle = handle.filter(|h| ctx.incidents.grow(*h, &growth));
        let goes_on = self.handle.is_some();
        if goes_on && !is_new {
            return true;
        }
        if let Some(usual) = &seen.usual {
            let mut finding = self.finding(ctx, settings, (seen, usual), run);
            if goes_on {
                finding.count = 0;
            }
            self.handle = ctx.incidents.report(ctx.now_ms, finding);
        }
        self.handle.is_some()
    }

    /// Adds a bucket to the incident of an interface that is as far from usual at the same time.
    pub fn belongs(&self, ctx: &mut Ctx<'_>, settings: &VolumeSettings, seen: &Seen, to: &What) {
        let run = u32::from(self.above.max(self.below));
        let Some(usual) = seen.usual.filter(|_| run >= settings.buckets.max(1)) else {
            return;
        };
        let finding = Finding {
            entity: to.entity(),
            first_ms: seen.bucket * BUCKET_MS,
            count: 0,
            confidence: 0,
            figures: vec![],
            facts: vec![("with it", self.words(ctx, seen.bytes))],
            ..self.finding(ctx, settings, (seen, &usual), 1)
        };
        ctx.incidents.report(ctx.now_ms, finding);
    }

    /// The name of a series, and which way it is off.
    fn words(&self, ctx: &Ctx<'_>, bytes: u64) -> String {
        let way = match (self.above > 0, bytes) {
            (true, _) => "more than usual",
            (false, 0) => "nothing any more",
            (false, _) => "less than usual",
        };
        format!("{}: {way}", self.what.words(ctx))
    }

    /// What is told of so many buckets in a row.
    fn finding(
        &self,
        ctx: &Ctx<'_>,
        settings: &VolumeSettings,
        (s, usual): (&Seen, &Usual),
        run: i64,
    ) -> Finding {
        let (x, mean) = (s.bytes as f64, f64::from(usual.mean));
        let (deviation, end_ms) = (usual.spread(), (s.bucket + 1) * BUCKET_MS);
        let rate = |bytes: f64| bytes * 8.0 / BUCKET_S;
        let (detector, bound) = match (self.above > 0, s.bytes) {
            (true, _) => (
                "volume.high",
                (mean * (1.0 + settings.rise))
                    .max(mean + settings.deviations * deviation)
                    .max(mean + least(settings)),
            ),
            (false, 0) => ("volume.zero", 0.0),
            (false, _) => ("volume.low", mean * (1.0 - settings.fall)),
        };
        let words = self.words(ctx, s.bytes);
        let mut seen = figure(RATE, rate(x), Some(rate(bound)));
        seen.baseline = Some(rate(mean));
        let mut blind = vec!["a holiday is a day like any other".to_owned()];
        if usual.n == 0 {
            blind.push("this hour of the week was not seen twice yet".to_owned());
        }
        let is_dead = s.bytes == 0 && self.what.is_interface();
        Finding {
            kind: DetectionKind::VolumeAnomaly,
            detector,
            entity: self.what.entity(),
            role: EntityRole::Victim,
            severity: is_dead.then_some(Severity::Medium),
            confidence: if usual.n == 0 { 50 } else { 70 },
            about: words.clone(),
            first_ms: end_ms - run * BUCKET_MS,
            last_ms: end_ms,
            count: run as u64,
            peers: vec![],
            peers_total: 0,
            figures: vec![
                seen,
                figure(
                    DEVIATIONS,
                    (x - mean).abs() / deviation.max(1.0),
                    Some(settings.deviations),
                ),
                figure(
                    "buckets of five minutes in a row",
                    run as f64,
                    Some(settings.buckets.into()),
                ),
            ],
            facts: vec![("series", words), ("usual", usual.basis())],
            counterfactual: match self.above > 0 {
                true => format!("less than {:.0} bit/s in one of these buckets", rate(bound)),
                false => format!("more than {:.0} bit/s in one of these buckets", rate(bound)),
            },
            blind,
        }
    }
}

impl What {
    pub fn is_interface(&self) -> bool {
        matches!(self.kind, INGRESS | EGRESS)
    }

    fn entity(&self) -> Entity {
        match self.kind {
            INGRESS | EGRESS => Entity::Interface(self.exporter, self.id as u32),
            _ => Entity::Exporter(self.exporter),
        }
    }

    fn words(&self, ctx: &Ctx<'_>) -> String {
        match self.kind {
            INGRESS => format!("interface {} in", self.id),
            EGRESS => format!("interface {} out", self.id),
            APPLICATION => format!("application {}", ctx.names.get(self.id)),
            CLASS => format!("class {}", ctx.names.get(self.id)),
            NET_FROM => format!("from network {}", ctx.names.get(self.id)),
            NET_TO => format!("to network {}", ctx.names.get(self.id)),
            _ => "everything".to_owned(),
        }
    }
}

impl Usual {
    /// What it differs by usually.
    fn spread(&self) -> f64 {
        f64::from(self.deviation.max(LEAST_DEVIATION * self.mean))
    }

    /// How many bytes are too many, or (negative) too few; 0 where they are not far from usual.
    fn far(&self, settings: &VolumeSettings, bytes: u64) -> f64 {
        let (x, mean, deviation) = (bytes as f64, f64::from(self.mean), self.spread());
        let least = least(settings);
        let far = (x - mean).abs() > settings.deviations * deviation;
        let is_high = far && x > mean * (1.0 + settings.rise) && x - mean >= least;
        let is_low = far && x < mean * (1.0 - settings.fall) && mean - x >= least;
        let gone = bytes == 0 && mean >= least / GONE_PART && deviation * 2.0 < mean;
        match is_high || is_low || gone {
            true => x - mean,
            false => 0.0,
        }
    }

    /// Whether it is neither much more nor much less, however little that is.
    fn is_near(&self, settings: &VolumeSettings, bytes: u64) -> bool {
        let (x, mean) = (bytes as f64, f64::from(self.mean));
        (mean * (1.0 - settings.fall)..=mean * (1.0 + settings.rise)).contains(&x)
    }

    /// What it is learned from.
    fn basis(&self) -> String {
        match self.n {
            0 => format!("this hour of {DAYS} or more other working days"),
            n => format!("this hour of the week, {n} buckets of five minutes"),
        }
    }
}

/// The least effect, bytes a bucket.
fn least(settings: &VolumeSettings) -> f64 {
    settings.least_bits_s as f64 * BUCKET_S / 8.0
}

/// The hour of the week, Monday 0 o'clock UTC is 0 (the first of 1970 was a Thursday).
fn hour_of(bucket: i64) -> usize {
    (bucket.div_euclid(HOUR) + 72).rem_euclid(HOURS as i64) as usize
}

const HOURS: usize = 168;
/// Buckets of an hour.
const HOUR: i64 = 12;
/// Bytes of what is usual.
pub(super) const HOURS_BYTES: usize = size_of::<[Usual; HOURS]>();
const BUCKET_S: f64 = 300.0;
/// Buckets of an hour of the week from which it is known: two weeks.
const KNOWN: u16 = 24;
/// The same of an hour of one day, and of how many days.
const KNOWN_DAY: u16 = 10;
const DAYS: usize = 3;
/// Of four weeks of twelve buckets each.
const WEIGHT: f32 = 1.0 / 48.0;
/// A deviation is at least this part of the mean: traffic that was never other is no promise.
const LEAST_DEVIATION: f32 = 0.05;
/// What falls to nothing is told from this part of the least effect on.
const GONE_PART: f64 = 50.0;
const RATE: &str = "bit/s";
const DEVIATIONS: &str = "deviations from usual";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_week_begin_on_monday() {
        // 2024-01-01 was a Monday
        let monday = 1_704_067_200_000i64 / BUCKET_MS;
        assert_eq!(hour_of(monday), 0);
        assert_eq!(hour_of(monday + 12), 1);
        assert_eq!(hour_of(monday - 1), 167);
    }

    #[test]
    fn what_is_far_off_is_not_learned_at_once() {
        let mut s = Series::new(What::default(), 0);
        (0..24).for_each(|_| s.learn(0, 1_000, None));
        let usual = s.usual(0).expect("known");
        assert_eq!((usual.mean, usual.deviation), (1_000.0, 0.0));
        s.learn(0, 1_000_000, Some(&usual));
        assert!(s.hours[hour_of(0)].mean < 1_010.0);
        assert!(s.usual(12).is_none(), "one day says nothing of other hours");
    }

    /// 40,000,000 by day and a tenth of it by night, of which three weeks were seen.
    fn days() -> Series {
        let mut s = Series::new(What::default(), 0);
        for bucket in 0..3 * 7 * 288 {
            let is_day = (7..19).contains(&(bucket / 12 % 24));
            s.learn(
                bucket,
                if is_day { 1_500_000_000 } else { 150_000_000 },
                None,
            );
        }
        s
    }

    #[test]
    fn what_is_usual_an_hour_before_or_after_is_not_far_off() {
        let (mut s, settings) = (days(), VolumeSettings::default());
        let mut weigh = |hour: i64, bytes: u64| {
            let bucket = hour * 12;
            let usual = s.usual(bucket);
            s.weigh(
                &settings,
                &Seen {
                    bucket,
                    bytes,
                    usual,
                },
            )
        };
        let (day, night) = (1_500_000_000, 150_000_000);
        assert_eq!([6, 19].map(|hour| weigh(hour, day)), [0.0; 2]);
        assert_eq!([7, 18].map(|hour| weigh(hour, night)), [0.0; 2]);
        // in between, and at other hours
        assert_eq!(weigh(7, 2 * night), 0.0);
        assert!([5, 20].iter().all(|hour| weigh(*hour, day) > 0.0));
        assert!([8, 17].iter().all(|hour| weigh(*hour, night) < 0.0));
        // far more than either, and nothing at all
        assert!(weigh(6, 2 * day) > 0.0 && weigh(7, 0) < 0.0);
        // what began before goes on
        assert!(weigh(17, night) < 0.0 && weigh(18, night) < 0.0);
    }
}
