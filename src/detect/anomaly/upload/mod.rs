//! Uploads: much from a host inside to a place outside, and little back; the same over days; and conversations with pools of miners.
//!
//! Of every host it is learned what it sends outside at each hour of the day (mean and mean deviation, weight of two weeks), and which places it
//! sent to within a month. What is usual for the host is not told; what goes to a place that nobody of it knew a week ago is a
//! loss of data. As long as less than a week was seen, the fixed start values hold, of low severity, and the evidence says so. What was estimated
//! of sampled packets counts less two standard deviations.
//! The start values are those of Slips (100 MB an hour) halved, and a ratio of five.
//! Exporters tell each direction in a row of its own: before an upload is told, what comes back has half a minute to be told, too. What goes to
//! a place that is flooded belongs to the flood.

mod usual;

use super::arena::{Arena, Held};
use super::flood::Flood;
use super::keep::{Kept, kept};
use super::keyed::{Keyed, Recent, both, network};
use super::sighting::{DaysSeen, FlowSeen, Side};
use super::zones::Zones;
use super::{Ctx, Hashes, evidence, figure, is_group};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, AppProto, DetectionKind, Entity, EntityRole, variance};
use std::collections::{BTreeMap, VecDeque};
use usual::Usual;

#[derive(Debug)]
pub(super) struct Upload {
    pairs: Arena<(Addr, Addr), Sums>,
    hosts: Arena<Addr, Usual>,
    /// Places of each host within two weeks to a month.
    places: Recent,
    /// Slow ones that were told, and when.
    slow: BTreeMap<(Addr, Addr), i64>,
    /// What would be uploads, unless as much comes back; those that wait longest first.
    waiting: VecDeque<Waiting>,
    began_ms: i64,
}

/// An upload until the rows of the other direction have come.
#[derive(Debug)]
struct Waiting {
    due_ms: i64,
    pair: (Addr, Addr),
    /// The row that made it one.
    row: FlowSeen,
    past: Past,
}

/// What is known of a host that sends.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// For how long uploads are looked at.
    known_ms: i64,
    /// What it sends in such an hour on average, and what is still usual.
    usual: Option<(f64, f64)>,
}

#[derive(Debug, Default)]
struct Sums {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    sent: u64,
    came: u64,
    /// Of `sent`, where it was estimated of sampled packets.
    variance: f64,
    /// When the place was new to the host.
    new_ms: i64,
    /// Rows since it waits for the other direction, the one that made it an upload with them; 0: it does not wait.
    waits: u32,
    /// What came lately, KiB, and since which second: what answers the first row of an hour may be told just before it.
    lately_kib: u32,
    lately_s: u32,
    handle: Option<Handle>,
}

kept!(Sums { began_ms, first_ms, last_ms, sent, came, variance, new_ms, handle; waits, lately_kib, lately_s });
impl Held for Sums {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            (self.sent >> 10).min(1 << 30) as u32
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.sent < LIGHT
    }
}

/// A row that is large enough to count, of which one end is inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// Whether its source is inside.
    out: bool,
    /// The hashes of the end inside with the other one, and with the network of that.
    pair: u64,
    place: u64,
}

impl Carried {
    #[inline]
    pub fn of(keyed: &Keyed, zones: &Zones, f: &FlowSeen, h: Hashes) -> Option<Self> {
        if f.est_bytes().max(f.back_bytes.unwrap_or(0)) < LEAST {
            return None;
        }
        let out = zones.is_inside(&f.src);
        // what goes to a group may stay inside
        if out == zones.is_inside(&f.dst) || is_group(&f.dst) {
            return None;
        }
        let (there, ends) = match out {
            true => (f.dst, (h.src, h.dst)),
            false => (f.src, (h.dst, h.src)),
        };
        Some(Carried {
            out,
            pair: both(ends.0, ends.1, 0),
            place: both(ends.0, keyed.addr(&network(&there)), 0),
        })
    }
}

impl Upload {
    pub fn new(places: usize) -> Self {
        Upload {
            pairs: Arena::with_door(places / 8),
            hosts: Arena::new(places / 16),
            places: Recent::new(PLACES_LOG2, PLACES_MS),
            slow: BTreeMap::new(),
            waiting: VecDeque::new(),
            began_ms: i64::MIN,
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Sums>::bytes(places / 8)
            + Arena::<Addr, Usual>::bytes(places / 16)
            + Recent::bytes(PLACES_LOG2)
            + SLOW_MAX * 2 * size_of::<((Addr, Addr), i64)>()
            + WAITING_MAX * 2 * size_of::<Waiting>()
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.pairs.lost(), self.hosts.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    /// Keys that had no place, for they came once.
    pub fn turned_away(&self) -> u64 {
        self.pairs.turned_away()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.hosts.clear();
        self.slow.clear();
        self.waiting.clear();
        self.began_ms = i64::MIN;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        self.places.put(out);
        self.pairs.put(out);
        self.hosts.put(out);
        let slow = self.slow.iter().map(|(pair, ms)| (pair.0, pair.1, *ms));
        slow.collect::<Vec<(Addr, Addr, i64)>>().put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.began_ms = Kept::get(from)?;
        self.places.get(from)?;
        self.pairs.get(keyed, from)?;
        self.hosts.get(keyed, from)?;
        let slow: Vec<(Addr, Addr, i64)> = Kept::get(from)?;
        self.slow = slow.into_iter().map(|(a, b, ms)| ((a, b), ms)).collect();
        Some(())
    }

    /// Calls for what a row will need, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, carried: Carried, h: Hashes, found: bool) {
        let host = if carried.out { h.src } else { h.dst };
        match found {
            false => {
                self.pairs.call_again(carried.pair);
                self.hosts.call(host);
                self.places.call(carried.place);
            }
            true => {
                self.pairs.call_held_again(carried.pair);
                self.hosts.call_held(host);
            }
        }
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes, flood: &Flood) {
        mining(ctx, f);
        if self.began_ms == i64::MIN {
            self.began_ms = ctx.now_ms;
        }
        let Some(carried) = h.carried else {
            return;
        };
        if carried.out && flood.is_victim(&f.dst) {
            return;
        }
        let back = f.back_bytes.unwrap_or(0);
        let (key, host, sent, came) = match carried.out {
            true => ((f.src, f.dst), h.src, f.est_bytes(), back),
            false => ((f.dst, f.src), h.dst, back, f.est_bytes()),
        };
        let is_new = sent > 0 && self.is_new(ctx.now_ms, carried.place);
        let usual = match sent {
            0 => None,
            _ => self
                .hosts
                .entry_at(ctx.keyed, host, &key.0)
                .map(|u| u.add(ctx.now_ms, sent)),
        };
        let known_ms = ctx.now_ms.saturating_sub(self.began_ms);
        let sums = match sent < LIGHT {
            true => self.pairs.entry_again_at(ctx.keyed, carried.pair, &key),
            false => self.pairs.entry_at(ctx.keyed, carried.pair, &key),
        };
        if let Some(sums) = sums {
            sums.add(ctx, f, sent, came);
            if is_new {
                sums.new_ms = ctx.now_ms;
            }
            let usual = usual.flatten();
            let past = Past { known_ms, usual };
            // what comes back makes no upload
            let goes_on = sums.goes_on(ctx, f);
            if goes_on || sent == 0 || sums.waits > 0 || !sums.is_much(ctx, past) {
                return;
            }
            if f.metered {
                sums.tell(ctx, f, key, past);
                return;
            }
            sums.waits = 1;
            self.waiting.push_back(Waiting {
                due_ms: ctx.now_ms.saturating_add(i64::from(WAIT_S) * 1_000),
                pair: key,
                row: f.clone(),
                past,
            });
            if self.waiting.len() > WAITING_MAX {
                self.judge_next(ctx, flood);
            }
        }
    }

    /// Judges what waited until `by_ms` for the other direction.
    pub fn judge_waiting(&mut self, ctx: &mut Ctx<'_>, by_ms: i64, flood: &Flood) {
        while self.waiting.front().is_some_and(|w| w.due_ms <= by_ms) {
            self.judge_next(ctx, flood);
        }
    }

    fn judge_next(&mut self, ctx: &mut Ctx<'_>, flood: &Flood) {
        let Some(Waiting {
            pair, row, past, ..
        }) = self.waiting.pop_front()
        else {
            return;
        };
        let Some(sums) = self.pairs.find(ctx.keyed, &pair) else {
            return;
        };
        if flood.is_victim(&pair.1) {
            *sums = Sums {
                last_ms: sums.last_ms,
                new_ms: sums.new_ms,
                ..Sums::default()
            };
        } else if sums.is_much(ctx, past) {
            sums.tell(ctx, &row, pair, past);
        }
        sums.waits = 0;
    }

    /// Takes what the store says of past days.
    pub fn days(&mut self, ctx: &mut Ctx<'_>, d: &DaysSeen) {
        let s = &ctx.settings.upload;
        let ratio = d.sent as f64 / d.came.max(1) as f64;
        let is_it = d.sent >= s.slow_bytes && d.days >= SLOW_DAYS && ratio >= s.ratio;
        let both = ctx.zones.is_inside(&d.src) && !ctx.zones.is_inside(&d.dst);
        let again_ms = i64::from(s.days) * DAY_MS;
        self.slow
            .retain(|_, told| ctx.now_ms.saturating_sub(*told) < again_ms);
        let told = self.slow.contains_key(&(d.src, d.dst)) || self.slow.len() >= SLOW_MAX;
        if !is_it || !both || told || ctx.is_allowed(&d.src) {
            return;
        }
        self.slow.insert((d.src, d.dst), ctx.now_ms);
        let finding = Finding {
            kind: DetectionKind::Exfiltration,
            detector: "upload.slow",
            entity: Entity::Host(d.src),
            role: EntityRole::Source,
            severity: None,
            confidence: 55,
            about: format!("{} to {} within {} days", d.src, d.dst, s.days),
            first_ms: d.first_ms,
            last_ms: d.last_ms,
            count: d.days.into(),
            peers: vec![d.dst],
            peers_total: 1,
            figures: vec![
                figure(
                    "bytes sent within these days",
                    d.sent as f64,
                    Some(s.slow_bytes as f64),
                ),
                figure(RATIO, ratio, Some(s.ratio)),
                figure("days with traffic", d.days.into(), Some(SLOW_DAYS.into())),
            ],
            facts: vec![("days", s.days.to_string())],
            counterfactual: format!("fewer than {} bytes, or more that came back", s.slow_bytes),
            blind: vec!["days that the store does not have any more".to_owned()],
        };
        ctx.incidents.report(ctx.now_ms, finding);
    }

    /// Whether a host never sent to the network of a place, as far as is known; from now on it did.
    fn is_new(&mut self, now_ms: i64, hash: u64) -> bool {
        self.places.pass(now_ms);
        let known = self.places.has(hash);
        self.places.add(hash);
        !known
    }
}

impl Sums {
    fn add(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, sent: u64, came: u64) {
        let second = ctx.now_ms.div_euclid(1_000) as u32;
        let is_late = second.wrapping_sub(self.lately_s) > WAIT_S;
        let lately_kib = if is_late { 0 } else { self.lately_kib };
        if self.waits > 0 {
            self.waits = self.waits.saturating_add(1);
        } else if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Sums {
                began_ms: ctx.now_ms,
                first_ms: f.start_ms,
                came: u64::from(lately_kib) << 10,
                new_ms: self.new_ms,
                handle: self.handle,
                lately_s: self.lately_s,
                ..Sums::default()
            };
        }
        if is_late {
            self.lately_s = second;
        }
        let fresh_kib = u32::try_from(came >> 10).unwrap_or(u32::MAX);
        self.lately_kib = lately_kib.saturating_add(fresh_kib);
        self.last_ms = ctx.now_ms;
        self.sent = self.sent.saturating_add(sent);
        self.came = self.came.saturating_add(came);
        if sent > 0 {
            self.variance += variance(f.bytes, f.packets, f.interval);
        }
    }

    /// Adds to the incident that there is.
    fn goes_on(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) -> bool {
        let Some(handle) = self.handle else {
            return false;
        };
        let growth = Growth {
            last_ms: f.end_ms,
            count: 1,
            peer: None,
            peers_total: 0,
        };
        if !ctx.incidents.grow(handle, &growth) {
            self.handle = None;
            return false;
        }
        ctx.incidents.show(handle, evidence(f));
        let ratio = self.sent as f64 / self.came.max(1) as f64;
        ctx.incidents.figure(handle, SENT, self.sent as f64);
        ctx.incidents.figure(handle, RATIO, ratio);
        true
    }

    /// Whether it is more than is usual, and hardly anything came back.
    fn is_much(&self, ctx: &Ctx<'_>, past: Past) -> bool {
        let s = &ctx.settings.upload;
        let sure = self.sure();
        let ratio = sure / self.came.max(1) as f64;
        let is_usual = past.usual.is_some_and(|u| sure < u.1);
        sure >= s.bytes as f64 && ratio >= s.ratio && (self.is_new(ctx, past) || !is_usual)
    }

    /// Bytes that were sent, less two standard deviations of what was estimated.
    fn sure(&self) -> f64 {
        self.sent as f64 - 2.0 * self.variance.sqrt()
    }

    /// Whether the place is new to a host that is known.
    fn is_new(&self, ctx: &Ctx<'_>, past: Past) -> bool {
        past.known_ms >= KNOWN_MS && ctx.now_ms.saturating_sub(self.new_ms) < DAY_MS
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, pair: (Addr, Addr), past: Past) {
        let kind = match self.is_new(ctx, past) {
            true => DetectionKind::Exfiltration,
            false => DetectionKind::LargeUpload,
        };
        if ctx
            .incidents
            .refuses(ctx.now_ms, kind, &Entity::Host(pair.0))
        {
            return;
        }
        let finding = self.finding(ctx, f, pair, (kind, past));
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }

    fn finding(
        &self,
        ctx: &Ctx<'_>,
        f: &FlowSeen,
        (src, dst): (Addr, Addr),
        (kind, past): (DetectionKind, Past),
    ) -> Finding {
        let s = &ctx.settings.upload;
        let Past { known_ms, usual } = past;
        let is_new = kind == DetectionKind::Exfiltration;
        let ratio = self.sent as f64 / self.came.max(1) as f64;
        let bound = usual.map(|u| u.1);
        let (detector, confidence) = match is_new {
            true => ("upload.new_place", 70),
            false => ("upload.ratio", 50),
        };
        let mut sent = figure(
            SENT,
            self.sent as f64,
            Some(bound.unwrap_or(0.0).max(s.bytes as f64)),
        );
        sent.baseline = usual.map(|u| u.0);
        let mut blind = super::sampled(f.interval);
        if usual.is_none() {
            blind.push("whether this host sends so much usually is not known".to_owned());
        }
        if known_ms < KNOWN_MS {
            blind.push("whether this place is new to it is not known".to_owned());
        }
        let place = match is_new {
            true => "nothing was sent there within two weeks before",
            false => "known, or not known for how long",
        };
        Finding {
            kind,
            detector,
            entity: Entity::Host(src),
            role: EntityRole::Source,
            severity: None,
            confidence,
            about: format!("{src} to {dst}"),
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: self.waits.max(1).into(),
            peers: vec![dst],
            peers_total: 1,
            figures: vec![sent, figure(RATIO, ratio, Some(s.ratio))],
            facts: [("place", place.to_owned())]
                .into_iter()
                .chain(super::estimated(f.interval))
                .collect(),
            counterfactual: format!("fewer than {} bytes, or more that came back", s.bytes),
            blind,
        }
    }
}

/// A conversation that speaks a protocol of mining pools.
fn mining(ctx: &mut Ctx<'_>, f: &FlowSeen) {
    if f.spoken == 0 {
        return;
    }
    let miners = [AppProto::Stratum, AppProto::Monero, AppProto::Ethereum];
    let Some(proto) = miners.iter().find(|p| **p as u8 == f.spoken) else {
        return;
    };
    let (src, dst) = match f.side {
        Side::Responder => (f.dst, f.src),
        _ => (f.src, f.dst),
    };
    let finding = Finding {
        kind: DetectionKind::PolicyCryptomining,
        detector: "policy.cryptomining",
        entity: Entity::Host(src),
        role: EntityRole::Source,
        severity: None,
        confidence: 85,
        about: format!("{} by {src}", proto.name()),
        first_ms: f.start_ms,
        last_ms: f.end_ms,
        count: 1,
        peers: vec![dst],
        peers_total: 1,
        figures: vec![],
        facts: vec![("protocol", proto.name().to_owned())],
        counterfactual: "policy_cryptomining among `off`".to_owned(),
        blind: vec![],
    };
    if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
        ctx.incidents.show(handle, evidence(f));
    }
}

const SENT: &str = "bytes sent within an hour";
const RATIO: &str = "bytes sent for each that came back";
const WINDOW_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Smaller rows make no large upload.
const LEAST: u64 = 4_096;
/// Less than this is no loss.
const LIGHT: u64 = 1 << 20;
const PLACES_LOG2: u32 = 22;
/// Kept twice as long at most.
const PLACES_MS: i64 = 15 * DAY_MS;
/// From so long on it is known what is new.
const KNOWN_MS: i64 = 7 * DAY_MS;
const SLOW_DAYS: u32 = 3;
/// For so long what comes back may be told later than what was sent.
const WAIT_S: u32 = 30;
const WAITING_MAX: usize = 1_024;
const SLOW_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_a_group_is_no_upload() {
        let zones = Zones::new(&["10.0.0.0/8".into()]).expect("networks");
        let carried = |dst| {
            let f = FlowSeen {
                src: Addr::from_v4([10, 3, 0, 5]),
                dst: Addr::from_v4(dst),
                bytes: 1 << 20,
                interval: 1,
                ..FlowSeen::default()
            };
            Carried::of(&Keyed::new(1), &zones, &f, Hashes::default()).is_some_and(|c| c.out)
        };
        assert!(carried([198, 51, 100, 7]));
        assert!(!carried([239, 1, 1, 1]) && !carried([10, 1, 1, 1]));
    }
}
