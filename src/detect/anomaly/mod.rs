//! Detectors over rows and packets, exported or metered: one file a detector.
//!
//! Owns: [`Feed`] (packets to facts, in each shard), [`Sighting`] (a fact), [`Detectors`] (all detectors and their incidents).
//! Never: capturing, storing, the clock: time is that of the data, and passes with what is seen.
//! Why one place judges: a scanner or a victim shows up in many shards. Shards make small facts in passing; they are judged here in
//! the order of the input, so that a replay gives the same whatever the number of shards. Each table has its places from the start;
//! who fills them gets at most a share, and what is most suspicious stays.

mod answers;
mod arena;
mod arp;
mod beacon;
mod brute_force;
mod bursts;
mod credentials;
mod degraded;
mod dga;
mod dns;
mod everyday;
mod evidence;
mod feed;
mod flood;
mod icmp;
mod keep;
mod keyed;
mod label;
mod lateral;
mod long;
mod named;
mod namer;
mod odd;
mod once;
mod pages;
mod payload;
mod policy;
mod profile;
mod reflectors;
mod sampling;
mod scan;
mod service;
mod settings;
mod sighting;
mod silent;
mod snapshot;
mod ssh;
mod upload;
mod volume;
mod web;
mod zones;

pub use credentials::TriedSeen;
pub use feed::Feed;
pub use namer::Namer;
pub use policy::{AllowSettings, DscpSettings, PolicySettings, RuleSettings, ZoneSettings};
pub use profile::Profile;
pub use settings::{
    BeaconSettings, BruteForceSettings, DnsSettings, FloodSettings, ScanSettings, ServiceSettings,
    Settings, UploadSettings, VolumeSettings,
};
pub use sighting::{
    ArpSeen, Burst, BurstKind, CallSeen, DaysSeen, DeniedSeen, DnsSeen, EchoSeen, FlowSeen,
    KeysSeen, Known, OddSeen, PairSeen, Seen, Side, Sighting, Web, WebSeen, of_rows,
};

use super::incident::Incidents;
use crate::model::{Addr, Detection, Figure, prefetch};
use answers::Answers;
use evidence::{evidence, packet_evidence};
pub(super) use keep::Kept;
use keyed::{Keyed, both};
use namer::Called;
use sampling::{counted, estimated, sampled};
use zones::Zones;
pub use zones::ranges;

/// What a detector works with.
struct Ctx<'a> {
    now_ms: i64,
    settings: &'a Settings,
    keyed: &'a Keyed,
    zones: &'a Zones,
    names: &'a Called,
    incidents: &'a mut Incidents,
}

impl Ctx<'_> {
    /// Whether an address may scan, guess and sweep.
    #[inline]
    fn is_allowed(&self, addr: &Addr) -> bool {
        let allowed = &self.settings.allow_sources;
        !allowed.is_empty() && allowed.contains(&addr.to_ip())
    }
}

/// Hashes of the ends of a row, for which many detectors ask.
#[derive(Clone, Copy, Debug, Default)]
struct Hashes {
    src: u64,
    dst: u64,
    /// Of a row that has no direction of its own: of itself, and of what answers it.
    there: u64,
    back: u64,
    /// Of what goes out of, or comes into, the networks that are inside.
    carried: Option<upload::Carried>,
    /// What a row of an exporter is made of.
    burst: Option<(BurstKind, u16)>,
}

impl Hashes {
    #[inline]
    fn of(keyed: &Keyed, src: &Addr, dst: &Addr) -> Self {
        Hashes {
            src: keyed.addr(src),
            dst: keyed.addr(dst),
            ..Hashes::default()
        }
    }

    #[inline]
    fn of_row(keyed: &Keyed, zones: &Zones, f: &FlowSeen) -> Self {
        let mut hashes = Hashes::of(keyed, &f.src, &f.dst);
        if !f.metered {
            hashes.burst = flood::burst(f);
        }
        hashes.carried = upload::Carried::of(keyed, zones, f, hashes);
        if has_no_direction(f) {
            // the ports of echo messages say which way they go
            let ports = match f.proto {
                UDP | SCTP => u32::from(f.src_port) << 16 | u32::from(f.dst_port),
                _ => 0,
            };
            hashes.there = both(hashes.src, hashes.dst, ports.into());
            hashes.back = both(hashes.dst, hashes.src, ports.rotate_left(16).into());
        }
        hashes
    }
}

/// Whether question and answer are rows of their own that look the same.
#[inline]
fn has_no_direction(f: &FlowSeen) -> bool {
    !f.metered && f.proto != TCP
}

/// All detectors.
#[derive(Debug)]
pub struct Detectors {
    settings: Settings,
    keyed: Keyed,
    zones: Zones,
    names: Called,
    incidents: Incidents,
    parts: Parts,
    /// Questions and answers of rows that have no direction of their own.
    answers: Answers,
    now_ms: i64,
    second: i64,
    lost_told: u64,
    lost_ms: i64,
    /// Why state was not taken over, until it is told.
    forgot: Option<String>,
}

#[derive(Debug)]
struct Parts {
    once: once::Once,
    scan: scan::Scan,
    flood: flood::Flood,
    brute_force: brute_force::BruteForce,
    dns: dns::Dns,
    icmp: icmp::Icmp,
    arp: arp::Arp,
    odd: odd::Odd,
    lateral: lateral::Lateral,
    beacon: beacon::Beacon,
    long: long::Long,
    upload: upload::Upload,
    service: service::Service,
    volume: volume::Volume,
    silent: silent::Silent,
    policy: policy::Policy,
}

impl Detectors {
    /// Detectors that have seen nothing.
    ///
    /// # Errors
    /// When the settings cannot be so; the text begins with the key.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let zones = Zones::new(&settings.inside)?;
        if let Some(fault) = settings.faults().into_iter().next() {
            return Err(fault);
        }
        let places = settings.places_max.clamp(PLACES_MIN, PLACES_MAX);
        Ok(Detectors {
            keyed: Keyed::new(settings.hash_seed),
            zones,
            names: Called::new(),
            incidents: Incidents::new(
                settings.incident_gap_s,
                settings.incidents_max,
                settings.incidents_per_day_max,
                &settings.off,
            ),
            parts: Parts {
                once: once::Once::new(places),
                scan: scan::Scan::new(places),
                flood: flood::Flood::new(places),
                brute_force: brute_force::BruteForce::new(places),
                dns: dns::Dns::new(places),
                icmp: icmp::Icmp::new(places),
                arp: arp::Arp::new(places),
                odd: odd::Odd::new(places),
                lateral: lateral::Lateral::new(places),
                beacon: beacon::Beacon::new(places),
                long: long::Long::new(places),
                upload: upload::Upload::new(places),
                service: service::Service::new(places),
                volume: volume::Volume::new(settings.volume.series_max.min(SERIES_MAX)),
                silent: silent::Silent::new(),
                policy: policy::Policy::new(places, &settings.policy)
                    .map_err(|faults| faults.join("; "))?,
            },
            answers: Answers::new(),
            settings: settings.clone(),
            now_ms: i64::MIN,
            second: i64::MIN,
            lost_told: 0,
            lost_ms: i64::MIN,
            forgot: None,
        })
    }

    /// Most bytes that detectors with these settings take.
    pub fn memory_max(settings: &Settings) -> usize {
        let places = settings.places_max.clamp(PLACES_MIN, PLACES_MAX);
        let parts = [
            once::Once::bytes(places),
            flood::Flood::bytes(places),
            dns::Dns::bytes(places),
            icmp::Icmp::bytes(places),
            arp::Arp::bytes(places),
            odd::Odd::bytes(places),
            Answers::bytes(),
        ];
        let kept = Self::saved_max(settings);
        parts.into_iter().fold(kept, usize::saturating_add)
    }

    /// Most bytes of what outlives a restart, of all that they take.
    pub fn saved_max(settings: &Settings) -> usize {
        let places = settings.places_max.clamp(PLACES_MIN, PLACES_MAX);
        let parts = [
            scan::Scan::bytes(places),
            brute_force::BruteForce::bytes(places),
            lateral::Lateral::bytes(places),
            beacon::Beacon::bytes(places),
            long::Long::bytes(places),
            upload::Upload::bytes(places),
            service::Service::bytes(places),
            volume::Volume::bytes(settings.volume.series_max.min(SERIES_MAX)),
            silent::Silent::bytes(),
            policy::Policy::bytes(places),
            Called::bytes(),
            settings.incidents_max.saturating_mul(INCIDENT_BYTES),
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// Takes a fact. Facts come in the order of the input.
    pub fn observe(&mut self, s: &Sighting) {
        self.observe_all(std::slice::from_ref(s));
    }

    /// Takes facts, in the order of the input. What detectors know of hosts lies all over their memory, so that what rows need is
    /// called into the cache some rows before: first where it is, then itself.
    pub fn observe_all(&mut self, all: &[Sighting]) {
        let mut hashes = [Hashes::default(); FAR];
        for n in 0..all.len() + FAR {
            if let Some(coming) = all.get(n + NEAR) {
                prefetch(coming);
                prefetch(&coming.now_ms);
            }
            if let Some(s) = n.checked_sub(FAR).map(|i| &all[i]) {
                self.take_fact(s, hashes[n % FAR]);
            }
            if n >= NEAR
                && let Some(f) = all.get(n - NEAR).and_then(row)
            {
                self.parts.call(f, hashes[(n - NEAR) % FAR], true);
            }
            if let Some(f) = all.get(n).and_then(row) {
                let h = Hashes::of_row(&self.keyed, &self.zones, f);
                hashes[n % FAR] = h;
                self.parts.call(f, h, false);
                self.parts.once.call(h, f);
                self.parts.service.call(f, h);
                if has_no_direction(f) {
                    self.answers.call(h);
                }
            }
        }
    }

    /// `h` is of a row.
    #[inline]
    fn take_fact(&mut self, s: &Sighting, h: Hashes) {
        self.pass(s.now_ms);
        if let Seen::Name(number, name) = &s.seen {
            self.names.learn(*number, name);
            return;
        }
        let (mut ctx, parts, answers) = self.split();
        match &s.seen {
            Seen::Flow(f) => flow(&mut ctx, parts, answers, (f, h)),
            Seen::Burst(b) => parts.flood.burst(&mut ctx, b),
            Seen::Dns(d) => parts.dns.message(&mut ctx, d),
            Seen::Echo(e) => parts.icmp.echo(&mut ctx, e),
            Seen::Arp(a) => parts.arp.packet(&mut ctx, a),
            Seen::Odd(o) => parts.odd.segment(&mut ctx, o),
            Seen::Tried(t) => parts.brute_force.tried(&mut ctx, t),
            Seen::Denied(d) => parts.brute_force.denied(&mut ctx, d),
            Seen::Granted(d) => parts.brute_force.granted(&mut ctx, d),
            Seen::Keys(k) => parts.brute_force.keys(&mut ctx, k),
            Seen::Web(w) => parts.brute_force.web(&mut ctx, w),
            Seen::Call(c) => parts.lateral.call(&mut ctx, c),
            Seen::Heartbleed(p) => lateral::Lateral::heartbleed(&mut ctx, p),
            Seen::Days(d) => parts.upload.days(&mut ctx, d),
            Seen::Name(..) => {}
        }
    }

    /// Lets time pass. A clock that goes back by more than half a day begins another capture: everything is over, and nothing is known.
    pub fn pass(&mut self, now_ms: i64) {
        if self.now_ms != i64::MIN && now_ms < self.now_ms.saturating_sub(STEP_MS) {
            self.finish();
            self.forget();
        }
        let second = now_ms.div_euclid(1_000);
        if second > self.second {
            let is_first = self.second == i64::MIN;
            self.second = second;
            // the second begins: which of its facts comes first says nothing
            self.now_ms = second * 1_000;
            if !is_first {
                self.judge_waiting(self.now_ms);
                self.tick();
            }
            self.answers.pass(self.now_ms);
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Nothing more comes for now: the second that goes on is over, and what it brought is judged.
    pub fn pause(&mut self) {
        self.judge_waiting(i64::MAX);
        self.parts.flood.hurry();
        if self.second != i64::MIN {
            self.pass(self.second.saturating_add(1).saturating_mul(1_000));
        }
    }

    /// As [`Detectors::pause`], and every change of an incident is given out: what is saved then has been told.
    pub fn settle(&mut self) {
        self.pause();
        self.incidents.flush();
    }

    /// The end of the input: everything is judged, and every incident is over.
    pub fn finish(&mut self) {
        self.judge_waiting(i64::MAX);
        self.parts.flood.hurry();
        self.tick();
        self.incidents.close_all();
    }

    /// Incidents that are new or have grown since this was called last; each has a higher version than before.
    pub fn take(&mut self) -> Vec<Detection> {
        self.incidents.take()
    }

    /// Incidents that the budget of the day held back.
    pub fn held_back(&self) -> u64 {
        self.incidents.held_back()
    }

    fn tick(&mut self) {
        self.degraded();
        let (mut ctx, parts, _) = self.split();
        parts.flood.tick(&mut ctx);
        parts.volume.tick(&mut ctx);
        parts.silent.tick(&mut ctx);
        parts.policy.tick(&mut ctx);
        let now_ms = self.now_ms;
        self.incidents.tick(now_ms);
    }

    fn forget(&mut self) {
        let p = &mut self.parts;
        p.once.clear();
        p.scan.clear();
        p.flood.clear();
        p.brute_force.clear();
        p.dns.clear();
        p.icmp.clear();
        p.arp.clear();
        p.odd.clear();
        p.lateral.clear();
        p.beacon.clear();
        p.long.clear();
        p.upload.clear();
        p.service.clear();
        p.volume.clear();
        p.silent.clear();
        p.policy.clear();
        self.answers.clear();
        (self.now_ms, self.second) = (i64::MIN, i64::MIN);
    }

    fn split(&mut self) -> (Ctx<'_>, &mut Parts, &mut Answers) {
        let ctx = Ctx {
            now_ms: self.now_ms,
            settings: &self.settings,
            keyed: &self.keyed,
            zones: &self.zones,
            names: &self.names,
            incidents: &mut self.incidents,
        };
        (ctx, &mut self.parts, &mut self.answers)
    }
}

impl Parts {
    /// Calls for what most rows need, first for where it is, then for itself.
    #[inline]
    fn call(&self, f: &FlowSeen, h: Hashes, found: bool) {
        self.flood.call(h, found);
        // others wait first for what answers them
        if scan::may_be_first(f) && !has_no_direction(f) {
            self.scan.call(h, found);
        }
        if let Some(carried) = h.carried {
            self.upload.call(carried, h, found);
        }
        self.beacon.call(f, h, found);
    }
}

/// The row that a fact is.
#[inline]
fn row(s: &Sighting) -> Option<&FlowSeen> {
    match &s.seen {
        Seen::Flow(f) => Some(f),
        _ => None,
    }
}

/// A row, with the hashes of its ends, goes to all detectors that look at rows.
fn flow(ctx: &mut Ctx<'_>, parts: &mut Parts, answers: &mut Answers, (f, h): (&FlowSeen, Hashes)) {
    parts.silent.flow(ctx, f);
    parts.volume.flow(ctx, f);
    if parts.once.is_again(f, h, ctx.now_ms) {
        // a firewall says of it what routers on the way do not
        if f.firewall_event != 0 {
            parts.policy.flow(ctx, f);
        }
        return;
    }
    let mut answered = false;
    if f.metered && f.proto == TCP {
        parts.flood.stray(ctx, f, h);
    }
    if has_no_direction(f) {
        answered = answers.row(h);
    }
    if !f.metered {
        answers.way(ctx, f, answered);
        parts.flood.flow(ctx, f, h, answered);
    }
    // sources that speak to a victim may be invented, and their number is no reason to forget others
    if !parts.flood.is_victim(&f.dst) {
        if parts.scan.flow(ctx, (f, h), answered, answers) {
            parts.long.again(ctx, f);
        }
        parts.brute_force.flow(ctx, f);
        parts.beacon.flow(ctx, f, h);
        parts.long.flow(ctx, f);
        let guesses = &mut parts.brute_force;
        parts.lateral.flow(ctx, (f, h), guesses);
        parts.service.flow(ctx, f, h, answered);
    } else {
        parts.flood.show(ctx, f);
    }
    parts.upload.flow(ctx, f, h, &parts.flood);
    parts.policy.flow(ctx, f);
}

fn figure(name: &'static str, observed: f64, threshold: Option<f64>) -> Figure {
    Figure {
        name: name.into(),
        observed,
        threshold,
        baseline: None,
    }
}

/// Whether an address is of a group or of all hosts, and not of one.
fn is_group(addr: &Addr) -> bool {
    match addr.is_v4() {
        true => addr.0[12] >= 224 || addr.0[15] == 255 || addr.0[12..] == [0; 4],
        false => addr.0[0] == 0xff || addr.is_unspecified(),
    }
}

/// Rows, or packets, ahead of the one that is judged, for which it is called where what they need is, and for that itself.
const FAR: usize = 8;
const NEAR: usize = 4;
/// What is not known where exporters tell each direction in a row of its own.
const ONE_WAY: &str = "what came back: exporters tell it in rows of its own";
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const PLACES_MIN: usize = 4_096;
const PLACES_MAX: usize = 1 << 22;
const SERIES_MAX: usize = 1 << 20;
/// Where the clock goes back by more, another capture begins. Rows of metered packets come when the next packet does, which may be hours later.
const STEP_MS: i64 = 12 * 3_600_000;
/// Peers, flows and words of an incident.
const INCIDENT_BYTES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Handshake, RowPlace};

    /// Of each field what exporters may claim: the ends of its range and what detectors look for.
    fn extreme(n: u64) -> FlowSeen {
        let mut bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pick = |of: usize| {
            bits ^= bits >> 29;
            bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (bits >> 33) as usize % of
        };
        const COUNTS: [u64; 6] = [0, 1, 3, 1 << 32, 1 << 63, u64::MAX];
        const PORTS: [u16; 10] = [0, 20, 21, 22, 53, 67, 123, 443, 40_000, 65_535];
        const TIMES: [i64; 6] = [i64::MIN, -1, 0, NOW_MS - 90_000, NOW_MS, i64::MAX];
        let host = |outside: usize, n: usize| match outside {
            0 => Addr::from_v4([10, 0, 0, n as u8]),
            1 => Addr::from_v4([198, 51, 100, n as u8]),
            _ => Addr::from_v4([224, 0, 0, n as u8]),
        };
        FlowSeen {
            src: host(pick(2), pick(40)),
            dst: host(pick(3), pick(3)),
            src_port: PORTS[pick(10)],
            dst_port: PORTS[pick(10)],
            proto: [1, 6, 6, 17, 17, 47, 58][pick(7)],
            tcp_flags: [None, Some(0x02), Some(0x12), Some(0x1b), Some(0x14)][pick(5)],
            bytes: COUNTS[pick(6)],
            packets: COUNTS[pick(6)],
            interval: [0, 1, 1_000, u32::MAX][pick(4)],
            back_bytes: [None, Some(0), Some(u64::MAX)][pick(3)],
            back_packets: COUNTS[pick(6)],
            start_ms: TIMES[pick(6)],
            end_ms: TIMES[pick(6)],
            conversation: COUNTS[pick(6)],
            handshake: [Handshake::None, Handshake::Complete, Handshake::Refused][pick(3)],
            side: [Side::Unknown, Side::Initiator, Side::Responder][pick(3)],
            metered: pick(3) == 0,
            goes_on: pick(2) == 0,
            interfaces: (u32::MAX, pick(3) as u32),
            app: COUNTS[pick(6)],
            ..FlowSeen::default()
        }
    }

    #[test]
    fn rows_that_claim_anything_are_counted_without_a_panic() {
        let mut detectors = Detectors::new(&Settings::default()).expect("defaults");
        // all day long, a second after some
        for n in 0..200_000u64 {
            detectors.observe(&Sighting {
                place: RowPlace::at(n),
                now_ms: NOW_MS + n as i64 * 432,
                seen: Seen::Flow(extreme(n)),
            });
        }
        // a service, a client and a guesser of their own, so that sums of one key reach the end
        for n in 0..20_000u64 {
            let mut f = extreme(n);
            (f.src, f.dst) = (Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([192, 0, 2, 7]));
            f.dst_port = [22, 443, 9_999][n as usize % 3];
            (f.src_port, f.bytes, f.back_bytes) = (40_000, u64::MAX, Some(u64::MAX));
            let now_ms = NOW_MS + 86_400_000 + n as i64 * 100;
            let (place, seen) = (RowPlace::at(n), Seen::Flow(f));
            detectors.observe(&Sighting {
                place,
                now_ms,
                seen,
            });
        }
        detectors.finish();
        assert!(!detectors.take().is_empty());
    }

    const NOW_MS: i64 = 1_700_000_000_000;
}
