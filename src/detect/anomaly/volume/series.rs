//! One series: what is usual at each hour of the week, and what is far from it.

use super::super::keep::kept;
use super::super::{Ctx, VolumeSettings, figure};
use super::{APPLICATION, BUCKET_MS, CLASS, EGRESS, INGRESS, NET_FROM, NET_TO};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};

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
    pub handle: Option<Handle>,
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
    handle
});

/// What a series carried, and how far that is from usual.
struct Seen {
    bytes: u64,
    end_ms: i64,
    run: u8,
    deviation: f64,
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

    pub fn judge(
        &mut self,
        ctx: &mut Ctx<'_>,
        settings: &VolumeSettings,
        (bucket, bytes): (i64, u64),
        usual: &Usual,
    ) {
        let (x, mean) = (bytes as f64, f64::from(usual.mean));
        let deviation = f64::from(usual.deviation.max(LEAST_DEVIATION * usual.mean));
        let far = (x - mean).abs() > settings.deviations * deviation;
        let least = settings.least_bits_s as f64 * BUCKET_S / 8.0;
        let is_high = far && x > mean * (1.0 + settings.rise) && x - mean >= least;
        let is_low = x < mean * (1.0 - settings.fall) && mean - x >= least && far;
        let gone = bytes == 0 && mean >= least / GONE_PART && deviation * 2.0 < mean;
        self.above = if is_high {
            self.above.saturating_add(1)
        } else {
            0
        };
        self.below = if is_low || gone {
            self.below.saturating_add(1)
        } else {
            0
        };
        let run = self.above.max(self.below);
        if u32::from(run) < settings.buckets.max(1) {
            return;
        }
        let end_ms = (bucket + 1) * BUCKET_MS;
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: end_ms,
                count: 1,
                ..Growth::default()
            };
            if ctx.incidents.grow(handle, &growth) {
                return;
            }
            self.handle = None;
        }
        let seen = Seen {
            bytes,
            end_ms,
            run,
            deviation,
        };
        let finding = self.finding(ctx, settings, usual, &seen);
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }

    fn finding(
        &self,
        ctx: &Ctx<'_>,
        settings: &VolumeSettings,
        usual: &Usual,
        s: &Seen,
    ) -> Finding {
        let (x, mean) = (s.bytes as f64, f64::from(usual.mean));
        let (run, deviation, end_ms) = (s.run, s.deviation, s.end_ms);
        let least = settings.least_bits_s as f64 * BUCKET_S / 8.0;
        let rate = |bytes: f64| bytes * 8.0 / BUCKET_S;
        let (detector, way, bound) = match (self.above > 0, s.bytes) {
            (true, _) => (
                "volume.high",
                "more than usual",
                (mean * (1.0 + settings.rise))
                    .max(mean + settings.deviations * deviation)
                    .max(mean + least),
            ),
            (false, 0) => ("volume.zero", "nothing any more", 0.0),
            (false, _) => (
                "volume.low",
                "less than usual",
                mean * (1.0 - settings.fall),
            ),
        };
        let what = self.what.words(ctx);
        let mut seen = figure(RATE, rate(x), Some(rate(bound)));
        seen.baseline = Some(rate(mean));
        let mut blind = vec!["a holiday is a day like any other".to_owned()];
        if usual.n == 0 {
            blind.push("this hour of the week was not seen twice yet".to_owned());
        }
        Finding {
            kind: DetectionKind::VolumeAnomaly,
            detector,
            entity: self.what.entity(),
            role: EntityRole::Victim,
            severity: None,
            confidence: if usual.n == 0 { 50 } else { 70 },
            about: format!("{what}: {way}"),
            first_ms: end_ms - i64::from(run) * BUCKET_MS,
            last_ms: end_ms,
            count: u64::from(run),
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
                    f64::from(run),
                    Some(settings.buckets.into()),
                ),
            ],
            facts: vec![
                ("series", format!("{what}: {way}")),
                ("usual", usual.basis()),
            ],
            counterfactual: match self.above > 0 {
                true => format!("less than {:.0} bit/s in one of these buckets", rate(bound)),
                false => format!("more than {:.0} bit/s in one of these buckets", rate(bound)),
            },
            blind,
        }
    }
}

impl What {
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
    /// What it is learned from.
    fn basis(&self) -> String {
        match self.n {
            0 => format!("this hour of {DAYS} or more other working days"),
            n => format!("this hour of the week, {n} buckets of five minutes"),
        }
    }
}

/// The hour of the week, Monday 0 o'clock UTC is 0 (the first of 1970 was a Thursday).
fn hour_of(bucket: i64) -> usize {
    (bucket.div_euclid(12) + 72).rem_euclid(HOURS as i64) as usize
}

const HOURS: usize = 168;
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
}
