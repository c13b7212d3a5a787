//! Exporters that tell nothing any more.
//!
//! An exporter that told flows for an hour at least and then is silent for five minutes, and for three times its longest
//! pause of the last two days, is told of. Time is that of what others tell, and of the collector while it runs. A silence counts
//! in hours in which it told flows a week ago, or the day before where no week is known, and not in the first and last of these in
//! a row, which may have been begun late or left early.

use super::keep::{Kept, kept};
use super::sighting::FlowSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Silent {
    exporters: BTreeMap<Addr, Heard>,
    /// The one whose row came last, and when: most rows come from the same one as the row before.
    latest: Option<(Addr, i64)>,
    looked_ms: i64,
    refused: u64,
}

#[derive(Debug, Default)]
struct Heard {
    /// Minute of its first row.
    first: u32,
    last_ms: i64,
    /// Moments with rows, as many as count.
    rows: u8,
    /// The longest pause of this day, and of the day before; without those that were told, and those of hours that are quiet.
    pauses_ms: [u32; 2],
    /// The same of all pauses.
    longest_ms: [u32; 2],
    day: u32,
    hours: Hours,
    /// This silence counts from this hour on, for those before are quiet.
    quiet: u32,
    handle: Option<Handle>,
}

/// In which hours of the week something was told, the last time that each passed.
#[derive(Debug, Default)]
struct Hours {
    told: [u8; HOURS as usize / 8],
    known: [u8; HOURS as usize / 8],
    /// The hour that goes on.
    now: u32,
    /// Whether something was told in it, and whether it was heard from its beginning.
    is_told: bool,
    is_whole: bool,
}

kept!(Hours { told, known, now, is_told; is_whole });
kept!(Heard {
    first,
    last_ms,
    rows,
    pauses_ms,
    longest_ms,
    day,
    hours,
    quiet,
    handle
});

impl Silent {
    pub fn new() -> Self {
        Silent {
            exporters: BTreeMap::new(),
            latest: None,
            looked_ms: i64::MIN,
            refused: 0,
        }
    }

    pub const fn bytes() -> usize {
        EXPORTERS_MAX * 2 * size_of::<(Addr, Heard)>()
    }

    pub fn lost(&self) -> (u64, u64) {
        (0, self.refused)
    }

    pub fn clear(&mut self) {
        self.exporters.clear();
        (self.latest, self.looked_ms) = (None, i64::MIN);
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        (self.exporters.len() as u64).put(out);
        for (exporter, heard) in &self.exporters {
            exporter.put(out);
            heard.put(out);
        }
    }

    pub fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        let all: Vec<(Addr, Heard)> = Kept::get(from)?;
        self.exporters = all.into_iter().take(EXPORTERS_MAX).collect();
        Some(())
    }

    #[inline]
    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        // packets are captured here: whether they come is told by the capture
        if f.metered || self.latest == Some((f.exporter, ctx.now_ms)) {
            return;
        }
        self.latest = Some((f.exporter, ctx.now_ms));
        if self.exporters.len() >= EXPORTERS_MAX && !self.exporters.contains_key(&f.exporter) {
            self.refused += 1;
            return;
        }
        let heard = self.exporters.entry(f.exporter).or_insert(Heard {
            first: since_1970(ctx.now_ms, MINUTE_MS),
            last_ms: ctx.now_ms,
            ..Heard::default()
        });
        heard.row(ctx, f.exporter);
    }

    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.now_ms.saturating_sub(self.looked_ms) < LOOK_MS {
            return;
        }
        // a process that was away for long heard nobody
        let away_ms = match self.looked_ms {
            i64::MIN => i64::MAX,
            looked => ctx.now_ms.saturating_sub(looked),
        };
        self.looked_ms = ctx.now_ms;
        if away_ms > AWAY_MS {
            self.exporters.values_mut().for_each(|h| {
                if h.handle.is_none() && h.last_ms < ctx.now_ms {
                    h.last_ms = ctx.now_ms;
                }
                h.hours.pass(ctx.now_ms);
                h.hours.is_whole = false;
            });
            return;
        }
        for (exporter, heard) in &mut self.exporters {
            heard.judge(ctx, *exporter);
        }
        let now_ms = ctx.now_ms;
        self.exporters
            .retain(|_, h| now_ms.saturating_sub(h.last_ms) < FORGET_MS);
    }
}

impl Heard {
    fn row(&mut self, ctx: &mut Ctx<'_>, exporter: Addr) {
        let pause = ctx.now_ms.saturating_sub(self.last_ms);
        let day = since_1970(ctx.now_ms, DAY_MS);
        if day != self.day {
            let is_next = day == self.day.saturating_add(1);
            for pauses in [&mut self.pauses_ms, &mut self.longest_ms] {
                *pauses = [0, if is_next { pauses[0] } else { 0 }];
            }
            self.day = day;
        }
        self.hours.pass(ctx.now_ms);
        self.hours.is_told = true;
        // forgotten long before it is longer
        let pause_ms = pause.clamp(0, u32::MAX.into()) as u32;
        self.longest_ms[0] = self.longest_ms[0].max(pause_ms);
        if let Some(handle) = self.handle.take() {
            let growth = Growth {
                last_ms: ctx.now_ms,
                count: 1,
                ..Growth::default()
            };
            if ctx.incidents.grow(handle, &growth) {
                let text = format!("{exporter} tells flows again after {} s", pause / 1_000);
                ctx.incidents.fact(handle, "again", text);
                ctx.incidents.figure(handle, SECONDS, pause as f64 / 1e3);
            }
        } else if self.quiet == 0 {
            self.pauses_ms[0] = self.pauses_ms[0].max(pause_ms);
        }
        self.quiet = 0;
        self.rows = self.rows.saturating_add(1);
        self.last_ms = ctx.now_ms;
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, exporter: Addr) {
        self.hours.pass(ctx.now_ms);
        let silent_ms = ctx.now_ms.saturating_sub(self.last_ms);
        let longest_ms = i64::from(self.pauses_ms[0].max(self.pauses_ms[1]));
        let least_ms = i64::from(ctx.settings.volume.silent_s) * 1_000;
        let threshold = least_ms.max(longest_ms.saturating_mul(PAUSES));
        if let Some(handle) = self.handle {
            ctx.incidents
                .figure(handle, SECONDS, silent_ms as f64 / 1e3);
            return;
        }
        let first_ms = i64::from(self.first) * MINUTE_MS;
        let known = self.last_ms.saturating_sub(first_ms) >= KNOWN_MS && self.rows >= ROWS;
        if !known || silent_ms < threshold {
            return;
        }
        let hour = since_1970(ctx.now_ms, HOUR_MS);
        self.quiet = self.quiet.max(self.hours.quiet_until(hour));
        let quiet_ms = i64::from(self.quiet) * HOUR_MS;
        if ctx.now_ms.saturating_sub(quiet_ms) < threshold {
            return;
        }
        let seconds = |ms: i64| ms as f64 / 1e3;
        let mut silence = figure(SECONDS, seconds(silent_ms), Some(seconds(threshold)));
        silence.baseline = Some(seconds(longest_ms));
        let finding = Finding {
            kind: DetectionKind::ExporterSilent,
            detector: "silent.exporter",
            entity: Entity::Exporter(exporter),
            role: EntityRole::Victim,
            severity: None,
            confidence: 80,
            about: format!("{exporter} for {} s", silent_ms / 1_000),
            first_ms: self.last_ms,
            last_ms: ctx.now_ms,
            count: 1,
            peers: vec![],
            peers_total: 0,
            figures: vec![silence],
            facts: vec![("longest pause", self.pauses(longest_ms))],
            counterfactual: format!("a flow within {} s", threshold / 1_000),
            blind: vec![
                "templates and counters are not flows: it may still send those".to_owned(),
                "what went through it meanwhile".to_owned(),
            ],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }

    /// The longest pause, and the one that counts.
    fn pauses(&self, counts_ms: i64) -> String {
        let all_ms = i64::from(self.longest_ms[0].max(self.longest_ms[1]));
        let all = format!("{} s in two days", all_ms / 1_000);
        match counts_ms == all_ms {
            true => all,
            false => format!(
                "{all}, {} s without those that were told or are usual at their hours",
                counts_ms / 1_000
            ),
        }
    }
}

impl Hours {
    /// Lets time pass.
    fn pass(&mut self, now_ms: i64) {
        let hour = since_1970(now_ms, HOUR_MS);
        if hour <= self.now {
            return;
        }
        if self.is_told || self.is_whole {
            let (byte, bit) = place(self.now);
            self.known[byte] |= bit;
            self.told[byte] &= !bit;
            self.told[byte] |= if self.is_told { bit } else { 0 };
        }
        self.is_whole = hour == self.now.saturating_add(1);
        self.is_told = false;
        self.now = hour;
    }

    /// The hour from which on a silence counts that goes on by then, where that is a later one: this one is quiet and the one behind it may
    /// be begun late, or the next one is quiet and this one may be left early. 0 where it counts.
    fn quiet_until(&self, hour: u32) -> u32 {
        match (self.is_busy(hour), self.is_busy(hour + 1)) {
            (false, _) => hour + 2,
            (true, false) => hour + 1,
            (true, true) => 0,
        }
    }

    /// Whether something was told in an hour, this or the next one, a week ago or else the day before; yes where nobody knows.
    fn is_busy(&self, hour: u32) -> bool {
        let of = |hour: u32| {
            let (byte, bit) = place(hour);
            (self.known[byte] & bit != 0).then_some(self.told[byte] & bit != 0)
        };
        let before = || of(hour.saturating_sub(24));
        of(hour).or_else(before).unwrap_or(true)
    }
}

/// Where the bit of an hour of the week is.
fn place(hour: u32) -> (usize, u8) {
    let at = hour % HOURS;
    (at as usize / 8, 1 << (at % 8))
}

/// Minutes, hours or days since 1970.
fn since_1970(ms: i64, unit_ms: i64) -> u32 {
    u32::try_from(ms / unit_ms).unwrap_or(0)
}

const SECONDS: &str = "seconds without a flow";
const EXPORTERS_MAX: usize = 16_384;
const LOOK_MS: i64 = 10_000;
const AWAY_MS: i64 = 120_000;
const DAY_MS: i64 = 86_400_000;
const FORGET_MS: i64 = 7 * DAY_MS;
const HOUR_MS: i64 = 3_600_000;
const HOURS: u32 = 168;
const MINUTE_MS: i64 = 60_000;
const KNOWN_MS: i64 = HOUR_MS;
/// Moments with rows from which on pauses say something.
const ROWS: u8 = 30;
const PAUSES: i64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Told something from 7 to 19 o'clock of five days a week, since the first hour of a Monday.
    fn office(days: u32) -> Hours {
        let mut hours = Hours::default();
        for hour in 1..=24 * days {
            hours.is_told = (7..19).contains(&((hour - 1) % 24)) && (hour - 1) / 24 % 7 < 5;
            hours.pass(i64::from(hour) * HOUR_MS);
        }
        hours
    }

    #[test]
    fn a_silence_counts_in_hours_in_which_something_is_usually_told() {
        // in hours of that day
        let quiet = |days, at| match office(days).quiet_until(24 * days + at) {
            0 => None,
            until => Some(until - 24 * days),
        };
        // a Tuesday of which the week before is known
        let night = [0, 5, 6, 7].map(|at| quiet(8, at));
        assert_eq!(night, [Some(2), Some(7), Some(8), None]);
        let evening = [12, 17, 18, 19].map(|at| quiet(8, at));
        assert_eq!(evening, [None, None, Some(19), Some(21)]);
        // the first Tuesday goes by Monday, the first Saturday by Friday, and a later one by that
        assert_eq!(quiet(1, 20), Some(22));
        assert_eq!(quiet(5, 12), None);
        assert_eq!(quiet(12, 12), Some(14));
        // of the first day nobody knows anything
        assert_eq!(quiet(0, 20), None);
    }

    #[test]
    fn an_hour_that_was_heard_in_part_is_not_taken_for_quiet() {
        let mut hours = office(8);
        let mut pass = |hour: u32, is_whole| {
            hours.pass(i64::from(24 * 8 + hour) * HOUR_MS);
            hours.is_whole = is_whole;
        };
        pass(7, false);
        pass(8, true);
        pass(9, true);
        assert!(hours.is_busy(24 * 15 + 7));
        assert!(!hours.is_busy(24 * 15 + 8), "it was heard, and silent");
    }
}
