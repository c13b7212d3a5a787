//! Beacons: connections to one place outside, in a rhythm and of one size.
//!
//! The statistics are RITA's (version 5): Bowley's skewness and the median deviation of pauses and of sizes. Sixteen connections with jitter,
//! or eight with nearly none, are enough; connections that failed are left out, for whoever tries again does so in a rhythm, and
//! so are services whose rhythm is their use (time, names, mail, copies of files), as long as packets do not say that something else is spoken there.
//! What is known by a name or range that nobody can rent, and what answers with ten times as much as it is asked, needs thirty times as many calls and is
//! less sure: the one who calls chooses the name, and the place how much it answers. What half of at least ten hosts call these days is none
//! (RITA counts prevalence against a beacon, too), and what three call is of severity low; a service that is known by its name is one place with all its addresses. A host that is off at night
//! or over a weekend goes on with the same incident.
//!
//! UDP in rows of exporters tells neither who asked nor what is spoken: the question is what goes out to the lower port, a call is short and has
//! another source port than the one before (rows of a tunnel, and what keeps it open, have the same), and answers only show that there are some.

use super::arena::{Arena, Held};
use super::everyday::{
    is_rented, is_rhythmic, is_rhythmic_app, is_rhythmic_datagram, speaks_other,
};
use super::keep::{Kept, kept};
use super::keyed::{Keyed, Lately, Port, Recent, both};
use super::long::Tries;
use super::sighting::{FlowSeen, Known, Side};
use super::{Ctx, Hashes, TCP, UDP, evidence, figure, is_group};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Handshake, Severity};

#[derive(Debug)]
pub(super) struct Beacon {
    pairs: Arena<(Addr, Addr, u16), Calls>,
    /// Pairs that spoke once: a place is for those that do so again.
    once: Recent,
    /// Who calls a place again and again, and all hosts inside that call anything so.
    places: Arena<(Addr, Port), Place>,
    callers: Lately<64>,
}

/// Hosts that call a place.
#[derive(Debug, Default)]
struct Place {
    last_ms: i64,
    callers: Lately<8>,
    count: u32,
}

kept!(Place {
    last_ms,
    callers,
    count
});

impl Held for Place {
    fn suspicion(&self) -> u32 {
        self.count
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// Calls of a place. What says how much would be lost with it comes first.
#[derive(Debug, Default)]
#[repr(C)]
struct Calls {
    last_ms: i64,
    handle: Option<Handle>,
    n: u32,
    /// Source port of the latest one.
    port: u16,
    first_ms: i64,
    latest_ms: i64,
    bytes: u64,
    back: u64,
    /// When it was counted among those that call the place.
    counted_ms: i64,
    /// How often within an hour.
    tries: Tries,
    ring: [(i64, u32); RING],
}

kept!(Calls {
    ring,
    n,
    first_ms,
    last_ms,
    latest_ms,
    bytes,
    back,
    counted_ms,
    tries,
    port,
    handle
});

impl Held for Calls {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.n
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.n < 3
    }
}

impl Beacon {
    pub fn new(places: usize) -> Self {
        Beacon {
            pairs: Arena::with_door(places / 4),
            once: Recent::new(ONCE_LOG2, ONCE_MS),
            places: Arena::new(places / 16),
            callers: Lately::default(),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr, u16), Calls>::bytes(places / 4)
            + Arena::<(Addr, Port), Place>::bytes(places / 16)
            + Recent::bytes(ONCE_LOG2)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.pairs.lost(), self.places.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    /// Keys that had no place, for they came once.
    pub fn turned_away(&self) -> u64 {
        self.pairs.turned_away()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.places.clear();
        self.callers = Lately::default();
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.once.put(out);
        self.pairs.put(out);
        self.places.put(out);
        self.callers.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.once.get(from)?;
        self.pairs.get(keyed, from)?;
        self.places.get(keyed, from)?;
        self.callers = Kept::get(from)?;
        Some(())
    }

    /// Calls for what a row that may be a call needs, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, f: &FlowSeen, h: Hashes, found: bool) {
        if !f.metered && f.dst_port > f.src_port {
            return;
        }
        let hash = both(h.src, h.dst, f.dst_port.into());
        match found {
            false => {
                self.once.call(hash);
                self.pairs.call_again(hash);
            }
            true if self.once.has(hash) => self.pairs.call_held_again(hash),
            true => {}
        }
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes) {
        if is_exported_udp(f) && f.src_port < f.dst_port {
            return self.answer(f, h);
        }
        if !is_call(ctx, f) {
            return;
        }
        let key = (f.src, f.dst, f.dst_port);
        let hash = both(h.src, h.dst, f.dst_port.into());
        self.once.pass(ctx.now_ms);
        // most speak once, and the bits say it sooner than the table
        if !self.once.has(hash) && self.pairs.find_at(hash, &key).is_none() {
            self.once.add(hash);
            return;
        }
        let Some(calls) = self.pairs.entry_again_at(ctx.keyed, hash, &key) else {
            return;
        };
        let port = std::mem::replace(&mut calls.port, f.src_port);
        if is_exported_udp(f) && port == f.src_port {
            return;
        }
        calls.add(ctx, f);
        if ctx.zones.is_inside(&f.src) && !is_exported_udp(f) {
            calls.tries.add(ctx, f, "the place does");
        }
        let place = place(ctx, f);
        let now_ms = ctx.now_ms;
        if now_ms.saturating_sub(calls.counted_ms) > COUNTED_MS {
            calls.counted_ms = now_ms;
            let caller = ctx.keyed.addr(&f.src);
            self.callers.add(caller, now_ms, SPAN_MS);
            if let Some(place) = self.places.entry(ctx.keyed, &place) {
                place.last_ms = now_ms;
                place.callers.add(caller, now_ms, SPAN_MS);
                place.count = place.callers.count(now_ms, SPAN_MS);
            }
        }
        let Some(rhythm) = calls.judge(ctx, f) else {
            return;
        };
        let place = self.places.find(ctx.keyed, &place);
        let callers = place.map_or(1, |p| p.callers.count(now_ms, SPAN_MS));
        // not where half of all call that call anything
        let all = self.callers.count(now_ms, SPAN_MS);
        if callers < COMMON || callers * 2 < all {
            calls.tell(ctx, f, &rhythm, (callers, all));
        }
    }

    /// What comes back, where somebody called before.
    fn answer(&mut self, f: &FlowSeen, h: Hashes) {
        if is_rhythmic(f.src_port) || is_rhythmic_datagram(f.src_port) || f.interval > 1 {
            return;
        }
        let key = (f.dst, f.src, f.src_port);
        if let Some(calls) = self
            .pairs
            .find_at(both(h.dst, h.src, f.src_port.into()), &key)
        {
            calls.back = calls.back.saturating_add(f.bytes);
        }
    }
}

/// Whether a row is a connection outwards that was answered, or may have been.
fn is_call(ctx: &Ctx<'_>, f: &FlowSeen) -> bool {
    if f.side == Side::Responder
        // a connection that is longer than a row is a call once, with the row that says how it was opened
        || f.goes_on && !(f.metered && f.proto == TCP)
        || f.interval > 1
        || f.known == Known::Ruled
        || is_rhythmic_app(f.spoken)
        || is_rhythmic(f.dst_port) && !speaks_other(f)
    {
        return false;
    }
    let inside = |a: &Addr| ctx.zones.is_inside(a);
    let answered = match (f.proto, f.metered) {
        (TCP, true) => f.handshake == Handshake::Complete && f.back_packets > 1,
        (TCP, false) => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12) && f.packets > 2,
        (UDP, true) => f.back_packets > 0,
        // whether there are answers is known later
        (UDP, false) => {
            f.life_ms() < SHORT_MS && !is_rhythmic_datagram(f.dst_port) && inside(&f.src)
        }
        _ => false,
    };
    let towards = f.metered || f.dst_port < f.src_port;
    answered && towards && f.src != f.dst && !inside(&f.dst) && !is_group(&f.dst)
}

/// Whether it is UDP that says neither which way it goes nor what is spoken.
fn is_exported_udp(f: &FlowSeen) -> bool {
    f.proto == UDP && !f.metered
}

/// Where a call goes. A service that is known by its name, and that nobody can rent, has one place with however many addresses.
fn place(ctx: &Ctx<'_>, f: &FlowSeen) -> (Addr, Port) {
    if f.known != Known::Named || is_rented(ctx.names.text(f.app)) {
        return (f.dst, Port(f.dst_port));
    }
    // no address of a host begins so
    let mut bytes = [0xff; 16];
    bytes[8..].copy_from_slice(&f.app.to_be_bytes());
    (Addr(bytes), Port(0))
}

impl Calls {
    fn add(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) {
        if ctx.now_ms.saturating_sub(self.last_ms) > FORGET_MS {
            *self = Calls {
                first_ms: f.start_ms,
                ..Calls::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.latest_ms = self.latest_ms.max(f.end_ms);
        let size = u32::try_from(f.bytes).unwrap_or(u32::MAX);
        self.ring[self.n as usize % RING] = (f.start_ms, size);
        self.n = self.n.saturating_add(1);
        self.bytes = self.bytes.saturating_add(f.bytes);
        self.back = self.back.saturating_add(f.back_bytes.unwrap_or(0));
    }

    /// The rhythm of what is a beacon, and is not told yet.
    fn judge(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) -> Option<Rhythm> {
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: None,
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                let calls = f64::from(self.n) + 1.0;
                ctx.incidents.figure(handle, CONNECTIONS, calls);
                return None;
            }
            self.handle = None;
        }
        let s = &ctx.settings.beacon;
        // the first one gave it its place
        if self.n + 1 < s.connections.max(4) || f.proto == UDP && self.back == 0 {
            return None;
        }
        let doubt = self.doubt(ctx, f);
        if doubt.is_some() && self.n + 1 < s.connections.saturating_mul(DOUBTED) {
            return None;
        }
        let mut ring = self.ring;
        let held = &mut ring[..(self.n as usize).min(RING)];
        held.sort_unstable();
        let pauses: Vec<f64> = held
            .windows(2)
            .map(|w| w[1].0.saturating_sub(w[0].0) as f64)
            .collect();
        let sizes: Vec<f64> = held.iter().map(|h| f64::from(h.1)).collect();
        let (rhythm, size) = (Spread::of(pauses), Spread::of(sizes));
        let score = (rhythm.score() + size.score()) / 2.0;
        let strict = if self.n < MANY { STRICT } else { LOOSE };
        let steady = rhythm.deviation() <= strict && rhythm.longest <= LONGEST * rhythm.median;
        // of few pauses half are alike by chance in one of some dozens of series
        let steady = steady && (self.n >= MANY || rhythm.alike >= ALIKE);
        // who sends much each time does not call home: uploads are judged by what they send
        let calls = size.median < CALL_MAX;
        if rhythm.median < s.pause_min_ms as f64 || score < s.score || !steady || !calls {
            return None;
        }
        Some(Rhythm {
            pauses: rhythm,
            score,
            strict,
            doubt,
        })
    }

    /// Why it may be something else. None of these is beyond somebody who calls home, so that time goes against it.
    fn doubt(&self, ctx: &Ctx<'_>, f: &FlowSeen) -> Option<&'static str> {
        // where the answer, and not the call, is what it is for, somebody reads
        let reads = self.back >= self.bytes.saturating_mul(READ);
        let named = f.known == Known::Named && !is_rented(ctx.names.text(f.app));
        match (reads, named) {
            (_, true) => Some("whether it is the service that its name says"),
            (true, _) => Some("whether somebody reads what comes back"),
            _ => None,
        }
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, of: &Rhythm, (callers, all): (u32, u32)) {
        let s = &ctx.settings.beacon;
        let (severity, rarity) = rarity(callers, all, of.doubt.is_some());
        let ratio = self.bytes as f64 / self.back.max(1) as f64;
        let mut finding = Finding {
            kind: DetectionKind::Beacon,
            detector: "beacon.rhythm",
            entity: Entity::Host(f.src),
            role: EntityRole::Source,
            severity,
            confidence: match (of.doubt, self.n < MANY) {
                (Some(_), _) => 40,
                (_, true) => 60 + rarity,
                _ => 75 + rarity,
            },
            about: format!("{} to {} port {}", f.src, f.dst, f.dst_port),
            first_ms: self.first_ms,
            last_ms: self.latest_ms,
            count: u64::from(self.n) + 1,
            peers: vec![f.dst],
            peers_total: 1,
            figures: vec![
                figure(
                    CONNECTIONS,
                    f64::from(self.n) + 1.0,
                    Some(s.connections.into()),
                ),
                figure("score of rhythm and sizes", of.score, Some(s.score)),
                figure(
                    "seconds between two connections, median",
                    of.pauses.median / 1000.0,
                    None,
                ),
                figure(
                    "median deviation of the pauses, in parts of the median",
                    of.pauses.deviation(),
                    Some(of.strict),
                ),
                figure("hosts inside that call this place", callers.into(), None),
                figure("hosts inside that call anything again", all.into(), None),
            ],
            facts: vec![("port", f.dst_port.to_string()), super::counted()],
            counterfactual: "fewer connections, pauses that differ more, or sizes that differ more"
                .to_owned(),
            blind: of.doubt.into_iter().map(str::to_owned).collect(),
        };
        match self.back > 0 || f.metered {
            true => {
                (finding.figures).push(figure("bytes sent for each that came back", ratio, None))
            }
            false => finding.blind.push(super::ONE_WAY.to_owned()),
        }
        self.handle = ctx.incidents.report(ctx.now_ms, finding.clone());
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
        if self.back > 0 && ratio >= UPLOAD_RATIO && self.bytes >= UPLOAD_BYTES {
            finding.kind = DetectionKind::Exfiltration;
            finding.severity = None;
            finding.detector = "beacon.upload";
            finding.counterfactual =
                format!("fewer than {UPLOAD_RATIO} bytes sent for each that came back");
            ctx.incidents.report(ctx.now_ms, finding);
        }
    }
}

/// How bad a beacon is, and how much surer it is, by how rare its place is (RITA 5: a fiftieth of all hosts or fewer). What several hosts call, or may be
/// what its name says, is good to know.
fn rarity(callers: u32, all: u32, is_doubted: bool) -> (Option<Severity>, u8) {
    match () {
        () if is_doubted || callers >= SEVERAL => (Some(Severity::Low), 0),
        () if callers.saturating_mul(RARE) <= all => (None, 10),
        () => (None, 0),
    }
}

/// What makes calls a beacon.
struct Rhythm {
    pauses: Spread,
    score: f64,
    /// What speaks against it.
    doubt: Option<&'static str>,
    /// How much the pauses may deviate.
    strict: f64,
}

/// How values spread.
struct Spread {
    median: f64,
    /// Median of the deviations from the median.
    mad: f64,
    skew: f64,
    longest: f64,
    /// Share of the values that are the median within `NEAR` of it.
    alike: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |v: &[f64], share: f64| v[((v.len() - 1) as f64 * share).round() as usize];
        let (q1, median, q3) = (at(&values, 0.25), at(&values, 0.5), at(&values, 0.75));
        let mut off: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let width = q3 - q1;
        let skew = match width > 0.0 && median != q1 && median != q3 {
            true => (q1 + q3 - 2.0 * median) / width,
            false => 0.0,
        };
        let alike = off.partition_point(|d| *d <= NEAR * median);
        Spread {
            median,
            mad: at(&off, 0.5),
            skew,
            longest: at(&values, 1.0),
            alike: alike as f64 / off.len() as f64,
        }
    }

    fn deviation(&self) -> f64 {
        self.mad / self.median.max(1.0)
    }

    /// 1 where all values are the same.
    fn score(&self) -> f64 {
        let even = 1.0 - self.skew.abs();
        let near = (1.0 - self.deviation()).max(0.0);
        (even + near) / 2.0
    }
}

const CONNECTIONS: &str = "connections";
/// Hosts that call a place which may be common: fewer may all be somebody's.
const COMMON: u32 = 10;
/// What so many call is no place of one program that somebody brought in.
const SEVERAL: u32 = 3;
/// One in so many hosts.
const RARE: u32 = 50;
/// Who calls is known for this time to twice as long, and counted again so often.
const SPAN_MS: i64 = 86_400_000;
const COUNTED_MS: i64 = 3_600_000;
/// How many times more calls are wanted where something speaks against it.
const DOUBTED: u32 = 30;
/// How many times more comes back from a place that is read.
const READ: u64 = 10;
const RING: usize = 32;
const ONCE_LOG2: u32 = 22;
/// Twice as long at most: what calls every few hours calls, too.
const ONCE_MS: i64 = 6 * 3_600_000;
/// From so many on, jitter is allowed.
const MANY: u32 = 16;
const STRICT: f64 = 0.1;
const LOOSE: f64 = 0.35;
/// Of fewer, so large a share of the pauses is nearly the same: all but a call that was missed.
const ALIKE: f64 = 0.86;
/// Bytes of one call.
const CALL_MAX: f64 = 1_048_576.0;
const NEAR: f64 = 0.15;
/// A call of UDP is shorter; what lasts is a connection, whose rows come as timeouts cut them.
const SHORT_MS: i64 = 10_000;
/// A pause is not longer than so many medians: people come back after a while, programs do not sleep longer.
const LONGEST: f64 = 4.0;
const FORGET_MS: i64 = 6 * 3_600_000;
/// What goes out with a beacon by so much more than what comes is a loss of data.
const UPLOAD_RATIO: f64 = 10.0;
const UPLOAD_BYTES: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rhythm_scores_high_and_people_low() {
        let even = Spread::of(vec![10_000.0; 9]);
        assert_eq!((even.score(), even.deviation()), (1.0, 0.0));
        let jitter = Spread::of((0..20).map(|n| 5_000.0 + 500.0 * f64::from(n)).collect());
        assert!(jitter.score() > 0.8 && jitter.deviation() < LOOSE);
        let people = Spread::of(vec![
            30.0, 1200.0, 90.0, 40_000.0, 300.0, 7000.0, 100.0, 60_000.0,
        ]);
        assert!(people.score() < 0.7 && people.deviation() > LOOSE);
        // a job that does ten things one after the other: half of the pauses are alike, the others are not
        let job = Spread::of(vec![30.0, 31.0, 29.0, 28.0, 31.5, 6.0, 54.0, 48.0, 12.0]);
        assert!(job.score() > 0.8 && job.deviation() < STRICT && job.alike < ALIKE);
        let missed = Spread::of(vec![60.0, 60.0, 61.0, 120.0, 59.0, 60.0, 60.0, 58.0]);
        assert!(missed.alike >= ALIKE);
    }
}
