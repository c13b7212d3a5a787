//! Exporters that tell nothing any more.
//!
//! An exporter that told flows for an hour at least and then is silent for five minutes, and for three times its longest
//! pause of the last two days, is told of. Time is that of what others tell, and of the collector while it runs.

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
    first_ms: i64,
    last_ms: i64,
    rows: u64,
    /// The longest pause of this day, and of the day before.
    pauses_ms: [i64; 2],
    day: i64,
    handle: Option<Handle>,
}

kept!(Heard {
    first_ms,
    last_ms,
    rows,
    pauses_ms,
    day,
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
            first_ms: ctx.now_ms,
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
        let day = ctx.now_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.pauses_ms = match day == self.day + 1 {
                true => [0, self.pauses_ms[0]],
                false => [0, 0],
            };
            self.day = day;
        }
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
        } else {
            self.pauses_ms[0] = self.pauses_ms[0].max(pause);
        }
        self.rows += 1;
        self.last_ms = ctx.now_ms;
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, exporter: Addr) {
        let silent_ms = ctx.now_ms.saturating_sub(self.last_ms);
        let longest_ms = self.pauses_ms[0].max(self.pauses_ms[1]);
        let least_ms = i64::from(ctx.settings.volume.silent_s) * 1_000;
        let threshold = least_ms.max(longest_ms.saturating_mul(PAUSES));
        if let Some(handle) = self.handle {
            ctx.incidents
                .figure(handle, SECONDS, silent_ms as f64 / 1e3);
            return;
        }
        let known = self.last_ms.saturating_sub(self.first_ms) >= KNOWN_MS && self.rows >= ROWS;
        if !known || silent_ms < threshold {
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
            facts: vec![(
                "longest pause",
                format!("{} s in two days", longest_ms / 1_000),
            )],
            counterfactual: format!("a flow within {} s", threshold / 1_000),
            blind: vec![
                "templates and counters are not flows: it may still send those".to_owned(),
                "what went through it meanwhile".to_owned(),
            ],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }
}

const SECONDS: &str = "seconds without a flow";
const EXPORTERS_MAX: usize = 16_384;
const LOOK_MS: i64 = 10_000;
const AWAY_MS: i64 = 120_000;
const DAY_MS: i64 = 86_400_000;
const FORGET_MS: i64 = 7 * DAY_MS;
const KNOWN_MS: i64 = 3_600_000;
/// Moments with rows from which on pauses say something.
const ROWS: u64 = 30;
const PAUSES: i64 = 3;
