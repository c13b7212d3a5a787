//! Guessed passwords: many short sessions that look alike, or refusals that the server tells.
//!
//! By rows: SSHCure's phases (Hofstede and others, 2014) take sessions of 11 to 51 packets as guesses, Zeek tells 30 in half an hour,
//! Plixer goes by fewer than 25 packets. Here nine sessions of a login's shape within five minutes whose bytes are alike are
//! guesses; a session after them that is much longer is a guess that was right. Services whose clients open short sessions all
//! day long (databases, directories, mail, the web) cannot be judged so, and are judged by refusals alone, which packets tell.

use super::arena::{Arena, Held};
use super::keyed::{Distinct, Key};
use super::sighting::{DeniedSeen, FlowSeen, Side};
use super::{Ctx, evidence, payload};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Figure, Handshake};

#[derive(Debug)]
pub(super) struct BruteForce {
    pairs: Arena<(Addr, Addr, u16), Pair>,
    sprays: Arena<(Addr, Service), Spray>,
}

/// A port, as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Service(u16);

impl Key for (Addr, Service) {
    fn addr(&self) -> Addr {
        self.0
    }
}

/// Sessions of a client with a service.
#[derive(Debug, Default)]
struct Pair {
    ring: [Session; RING],
    n: u32,
    last_ms: i64,
    refused: u32,
    refused_first_ms: i64,
    handle: Option<Handle>,
    succeeded: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    start_ms: i64,
    life_ms: i64,
    bytes: u64,
    packets: u64,
}

/// Hosts on which one client was refused.
#[derive(Debug, Default)]
struct Spray {
    first_ms: i64,
    last_ms: i64,
    hosts: Distinct<4>,
    refused: u32,
    handle: Option<Handle>,
}

impl Held for Pair {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.n + self.refused
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.n + self.refused < 3
    }
}

impl Held for Spray {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.refused
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// A login by its shape.
struct Shape {
    port: u16,
    name: &'static str,
    /// Packets of the client.
    packets: (u64, u64),
    /// Bytes of the client, at most.
    bytes_max: u64,
    /// Sessions that are wanted, in parts of the setting.
    times: u32,
}

const SHAPES: [Shape; 8] = [
    Shape {
        port: 21,
        name: "ftp",
        packets: (5, 40),
        bytes_max: 3_500,
        times: 1,
    },
    Shape {
        port: 22,
        name: "ssh",
        packets: (8, 60),
        bytes_max: 9_000,
        times: 1,
    },
    Shape {
        port: 23,
        name: "telnet",
        packets: (6, 100),
        bytes_max: 6_000,
        times: 1,
    },
    Shape {
        port: 139,
        name: "smb",
        packets: (5, 40),
        bytes_max: 6_000,
        times: 3,
    },
    Shape {
        port: 445,
        name: "smb",
        packets: (5, 40),
        bytes_max: 6_000,
        times: 3,
    },
    Shape {
        port: 2222,
        name: "ssh",
        packets: (8, 60),
        bytes_max: 9_000,
        times: 1,
    },
    Shape {
        port: 3389,
        name: "rdp",
        packets: (5, 80),
        bytes_max: 12_000,
        times: 1,
    },
    Shape {
        port: 5900,
        name: "vnc",
        packets: (5, 60),
        bytes_max: 4_000,
        times: 1,
    },
];

impl BruteForce {
    pub fn new(places: usize) -> Self {
        BruteForce {
            pairs: Arena::new(places / 8),
            sprays: Arena::new(places / 16),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr, u16), Pair>::bytes(places / 8)
            + Arena::<(Addr, Service), Spray>::bytes(places / 16)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.pairs.lost(), self.sprays.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.sprays.clear();
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.proto != TCP || f.side == Side::Responder || f.goes_on || f.interval > 1 {
            return;
        }
        let opened = match f.metered {
            true => f.handshake == Handshake::Complete,
            false => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12),
        };
        if !opened || ctx.is_allowed(&f.src) {
            return;
        }
        let Some(shape) = SHAPES.iter().find(|s| s.port == f.dst_port) else {
            self.unknown_port(ctx, f);
            return;
        };
        let fits = (shape.packets.0..=shape.packets.1).contains(&f.packets)
            && f.bytes <= shape.bytes_max
            && f.life_ms() <= LIFE_MAX_MS;
        let key = (f.src, f.dst, f.dst_port);
        if !fits {
            if let Some(pair) = self.pairs.find(ctx.keyed, &key) {
                pair.succeeded(ctx, f, shape.name);
            }
            return;
        }
        if let Some(pair) = self.pairs.entry(ctx.keyed, &key) {
            pair.add(ctx, f);
            let wanted = ctx
                .settings
                .brute_force
                .sessions
                .saturating_mul(shape.times)
                .min(RING as u32);
            pair.judge(ctx, f, shape.name, wanted);
        }
    }

    /// A refusal that the server told.
    pub fn denied(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen) {
        if ctx.is_allowed(&d.client) {
            return;
        }
        let spray_hosts = ctx.settings.brute_force.spray_hosts;
        if let Some(spray) = self.sprays.entry(ctx.keyed, &(d.client, Service(d.port))) {
            spray.add(ctx, d);
            if spray.hosts.count() >= spray_hosts && spray.refused < 5 * spray.hosts.count() {
                spray.tell(ctx, d, spray_hosts);
                return;
            }
        }
        if let Some(pair) = self.pairs.entry(ctx.keyed, &(d.client, d.server, d.port)) {
            pair.denied(ctx, d);
        }
    }

    /// A port of no known service: sessions that follow each other and are all but the same.
    fn unknown_port(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        let shaped = (8..=40).contains(&f.packets) && f.bytes <= 6_000 && f.life_ms() <= 15_000;
        let told_apart = f.back_packets >= 6 && f.metered;
        if !shaped || !told_apart || f.dst_port > f.src_port || is_everyday(f.dst_port) {
            return;
        }
        let key = (f.src, f.dst, f.dst_port);
        let wanted = ctx.settings.brute_force.sessions_unknown_port;
        if let Some(pair) = self.pairs.entry(ctx.keyed, &key) {
            pair.add(ctx, f);
            let close = pair.spread_ms() <= CLOSE_MS && pair.spread_ms() >= CLOSE_MIN_MS;
            if pair.n >= wanted && close && pair.deviation() <= 0.05 {
                pair.judge(ctx, f, "unknown", RING as u32);
            }
        }
    }
}

impl Pair {
    fn add(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) {
        if ctx.now_ms.saturating_sub(self.last_ms) > FORGET_MS {
            *self = Pair::default();
        }
        self.last_ms = ctx.now_ms;
        self.ring[self.n as usize % RING] = Session {
            start_ms: f.start_ms,
            life_ms: f.life_ms(),
            bytes: f.bytes,
            packets: f.packets,
        };
        self.n = self.n.saturating_add(1);
    }

    fn held(&self) -> &[Session] {
        &self.ring[..(self.n as usize).min(RING)]
    }

    fn spread_ms(&self) -> i64 {
        let starts = || self.held().iter().map(|s| s.start_ms);
        let latest = starts().max().unwrap_or(0);
        latest.saturating_sub(starts().min().unwrap_or(0))
    }

    fn deviation(&self) -> f64 {
        let n = self.held().len().max(1) as f64;
        let mean = self.held().iter().map(|s| s.bytes as f64).sum::<f64>() / n;
        let off = self.held().iter().map(|s| (s.bytes as f64 - mean).powi(2));
        (off.sum::<f64>() / n).sqrt() / mean.max(1.0)
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, service: &'static str, wanted: u32) {
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: Some(f.dst),
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                ctx.incidents.figure(handle, SESSIONS, f64::from(self.n));
                return;
            }
            self.handle = None;
        }
        let recent = self.held().iter();
        let recent = recent
            .filter(|s| f.start_ms.saturating_sub(s.start_ms) <= WINDOW_MS)
            .count() as u32;
        let cv_max = ctx.settings.brute_force.bytes_cv_max;
        let deviation = self.deviation();
        if recent < wanted || deviation > cv_max {
            return;
        }
        let entity = Entity::Host(f.src);
        if ctx
            .incidents
            .refuses(ctx.now_ms, DetectionKind::BruteForce, &entity)
        {
            return;
        }
        let first_ms = self
            .held()
            .iter()
            .map(|s| s.start_ms)
            .min()
            .unwrap_or(f.start_ms);
        let figures = vec![
            figure(SESSIONS, f64::from(self.n), f64::from(wanted)),
            figure(
                "deviation of their bytes, in parts of the mean",
                deviation,
                cv_max,
            ),
        ];
        let counterfactual = format!(
            "fewer than {wanted} such sessions within five minutes, or sessions that differ more"
        );
        let finding = finding(
            (f.src, f.dst, f.dst_port),
            (service, "brute_force.sessions"),
            (first_ms, f.end_ms, u64::from(self.n)),
            figures,
            counterfactual,
        );
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }

    fn denied(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen) {
        if ctx.now_ms.saturating_sub(self.last_ms) > FORGET_MS {
            *self = Pair::default();
        }
        let age_ms = d.time_ms.saturating_sub(self.refused_first_ms);
        if self.refused == 0 || self.handle.is_none() && age_ms > FORGET_MS {
            (self.refused, self.refused_first_ms) = (0, d.time_ms);
        }
        self.last_ms = ctx.now_ms;
        self.refused = self.refused.saturating_add(1);
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: d.time_ms,
                count: 1,
                peer: Some(d.server),
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents
                    .figure(handle, REFUSALS, f64::from(self.refused));
                return;
            }
            self.handle = None;
        }
        let times = if d.service == payload::HTTP { 3 } else { 1 };
        let wanted = ctx.settings.brute_force.refusals.saturating_mul(times);
        if self.refused < wanted {
            return;
        }
        let finding = finding(
            (d.client, d.server, d.port),
            (d.service, "brute_force.refusals"),
            (self.refused_first_ms, d.time_ms, u64::from(self.refused)),
            vec![figure(REFUSALS, f64::from(self.refused), f64::from(wanted))],
            format!("fewer than {wanted} refusals within ten minutes"),
        );
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }

    /// A session after guesses that is no guess.
    fn succeeded(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, service: &'static str) {
        let n = self.held().len().max(1) as u64;
        let bytes = self.held().iter().map(|s| s.bytes).sum::<u64>() / n;
        let packets = self.held().iter().map(|s| s.packets).sum::<u64>() / n;
        let life_ms = self.held().iter().map(|s| s.life_ms).sum::<i64>() / n as i64;
        let soon = ctx.now_ms.saturating_sub(self.last_ms) <= FORGET_MS;
        let longer = f.packets >= 3 * packets && f.bytes >= 3 * bytes && f.life_ms() >= life_ms;
        if self.handle.is_none() || self.succeeded || !soon || !longer || self.held().is_empty() {
            return;
        }
        self.succeeded = true;
        let mut finding = finding(
            (f.src, f.dst, f.dst_port),
            (service, "brute_force.succeeded"),
            (f.start_ms, f.end_ms, 1),
            vec![
                figure(
                    "packets of the session",
                    f.packets as f64,
                    3.0 * packets as f64,
                ),
                figure("bytes of the session", f.bytes as f64, 3.0 * bytes as f64),
            ],
            "a session as short as the guesses before it".to_owned(),
        );
        finding.kind = DetectionKind::BruteForceSucceeded;
        finding.confidence = 60;
        if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

impl Spray {
    fn add(&mut self, ctx: &Ctx<'_>, d: &DeniedSeen) {
        if ctx.now_ms.saturating_sub(self.last_ms) > SPRAY_MS {
            *self = Spray {
                first_ms: d.time_ms,
                ..Spray::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.refused = self.refused.saturating_add(1);
        self.hosts.add(ctx.keyed.hash(&d.server));
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen, wanted: u32) {
        let hosts = self.hosts.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: d.time_ms,
                count: 1,
                peer: Some(d.server),
                peers_total: u64::from(hosts),
            };
            if ctx.incidents.grow(handle, &growth) {
                return;
            }
        }
        let mut finding = finding(
            (d.client, d.server, d.port),
            (d.service, "brute_force.spray"),
            (self.first_ms, d.time_ms, u64::from(self.refused)),
            vec![figure(
                "hosts that refused",
                f64::from(hosts),
                f64::from(wanted),
            )],
            format!("fewer than {wanted} hosts"),
        );
        finding.kind = DetectionKind::PasswordSpray;
        finding.about = format!("{} by {}", d.service, d.client);
        finding.peers_total = u64::from(hosts);
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }
}

fn finding(
    (src, dst, port): (Addr, Addr, u16),
    (service, detector): (&'static str, &'static str),
    (first_ms, last_ms, count): (i64, i64, u64),
    figures: Vec<Figure>,
    counterfactual: String,
) -> Finding {
    Finding {
        kind: DetectionKind::BruteForce,
        detector,
        entity: Entity::Host(src),
        role: EntityRole::Source,
        severity: None,
        confidence: if detector == "brute_force.sessions" {
            75
        } else {
            90
        },
        about: format!("{service} on {dst} by {src}"),
        first_ms,
        last_ms,
        count,
        peers: vec![dst],
        peers_total: 1,
        figures,
        facts: vec![("service", service.to_owned()), ("port", port.to_string())],
        counterfactual,
        blind: vec![],
    }
}

fn figure(name: &'static str, observed: f64, threshold: f64) -> Figure {
    Figure {
        name,
        observed,
        threshold: Some(threshold),
        baseline: None,
    }
}

/// Ports whose clients open short sessions that are alike all day long.
fn is_everyday(port: u16) -> bool {
    const EVERYDAY: [u16; 35] = [
        25, 53, 80, 88, 110, 123, 135, 143, 389, 443, 465, 587, 636, 853, 993, 995, 1433, 1521,
        1883, 3128, 3268, 3306, 5000, 5432, 6379, 6443, 8000, 8080, 8200, 8443, 8888, 9090, 9200,
        9443, 27_017,
    ];
    EVERYDAY.contains(&port)
}

const SESSIONS: &str = "sessions of the shape of a failed login";
const REFUSALS: &str = "refusals";
const TCP: u8 = 6;
const RING: usize = 32;
const WINDOW_MS: i64 = 300_000;
const FORGET_MS: i64 = 600_000;
const LIFE_MAX_MS: i64 = 120_000;
const SPRAY_MS: i64 = 3_600_000;
/// A ring of sessions on an unknown port begins within so long, and not faster than a program that works does.
const CLOSE_MS: i64 = 120_000;
const CLOSE_MIN_MS: i64 = 5_000;
