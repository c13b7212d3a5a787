//! Connections that last for most of a day, and places that are tried again and again.
//!
//! Both are RITA's (version 5): a connection to one place outside that stands for twelve hours is as good a way in as a beacon, and so is a
//! place that is called more often than once a second over an hour (86,400 times a day there). Rows of one connection follow each other as
//! timeouts cut them: where both ends are the same, none says that it is opened anew, and there are no ten minutes between them, it is one. Mail,
//! messages and push services keep connections by design, as long as packets do not say that something else is spoken there.

use super::arena::{Arena, Held};
use super::everyday::{is_machine, is_rhythmic, speaks_other};
use super::keep::kept;
use super::keyed::{Key, Keyed};
use super::sighting::{FlowSeen, Known, Side};
use super::{Ctx, evidence, figure, is_group};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Figure, Handshake};

#[derive(Debug)]
pub(super) struct Long {
    connections: Arena<Ends, Connection>,
    /// Places that do not answer.
    tries: Arena<(Addr, Addr, u16), Tries>,
}

/// Who began, and with whom.
type Ends = ((Addr, u16), (Addr, u16));

/// A connection as far as rows have told of it.
#[derive(Debug, Default)]
struct Connection {
    first_ms: i64,
    last_ms: i64,
    bytes: u64,
    back: u64,
    handle: Option<Handle>,
}

/// How often a place was called within an hour.
#[derive(Debug, Default)]
pub(super) struct Tries {
    began_ms: i64,
    last_ms: i64,
    n: u32,
    /// Since it was told.
    all: u32,
    handle: Option<Handle>,
}

kept!(Connection {
    first_ms,
    last_ms,
    bytes,
    back,
    handle
});
kept!(Tries {
    began_ms,
    last_ms,
    n,
    all,
    handle
});

impl Held for Connection {
    fn suspicion(&self) -> u32 {
        let minutes = self.last_ms.saturating_sub(self.first_ms) / 60_000;
        match self.handle {
            Some(_) => u32::MAX,
            None => u32::try_from(minutes).unwrap_or(0),
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        i64::from(self.suspicion()) * 60_000 < LIGHT_MS
    }
}

impl Held for Tries {
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
        self.n < 10
    }
}

impl Long {
    pub fn new(places: usize) -> Self {
        Long {
            connections: Arena::with_door(places / 32),
            tries: Arena::new(places / 32),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Ends, Connection>::bytes(places / 32)
            + Arena::<(Addr, Addr, u16), Tries>::bytes(places / 32)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.connections.lost(), self.tries.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    /// Keys that had no place, for they came once.
    pub fn turned_away(&self) -> u64 {
        self.connections.turned_away()
    }

    pub fn clear(&mut self) {
        self.connections.clear();
        self.tries.clear();
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.connections.put(out);
        self.tries.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.connections.get(keyed, from)?;
        self.tries.get(keyed, from)
    }

    /// Rows that are long matter, and those of connections that are silent for a while and go on: what is opened and over at once, as
    /// most is, only where it has the ends of another one.
    #[inline]
    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        let says = |flags: u16| {
            f.tcp_flags
                .is_some_and(|t| t & (FIN | RST | flags) == flags)
        };
        let goes_on = f.life_ms() >= ROW_MS || says(ACK) && !says(SYN);
        if (goes_on || says(SYN | ACK)) && f.side != Side::Responder && f.proto == TCP {
            self.lasts(ctx, f, goes_on);
        }
    }

    fn lasts(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, goes_on: bool) {
        let towards = f.metered || f.dst_port < f.src_port;
        let is_kept = f.dst_port != SSH && is_rhythmic(f.dst_port) && !speaks_other(f);
        if !towards || is_kept || is_known(ctx, f) || !goes_out(ctx, f) {
            return;
        }
        let key = ((f.src, f.src_port), (f.dst, f.dst_port));
        let hash = key.hashed(ctx.keyed);
        let connection = match goes_on {
            true if f.life_ms() >= LIGHT_MS => self.connections.entry_at(ctx.keyed, hash, &key),
            true => self.connections.entry_again_at(ctx.keyed, hash, &key),
            false => self.connections.find_at(hash, &key),
        };
        if let Some(connection) = connection {
            connection.add(f);
            connection.judge(ctx, f);
        }
    }

    /// A contact that failed, and had been tried before.
    pub fn again(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.proto != TCP || f.interval > 1 || !goes_out(ctx, f) {
            return;
        }
        let key = (f.src, f.dst, f.dst_port);
        if let Some(tries) = self.tries.entry(ctx.keyed, &key) {
            tries.add(ctx, f, "nobody answers");
        }
    }
}

/// Whether it is known whose service it is, and nobody can rent it: messengers and updates keep connections for days.
fn is_known(ctx: &Ctx<'_>, f: &FlowSeen) -> bool {
    match f.known {
        Known::Ruled => true,
        Known::Named => !is_machine(ctx.names.text(f.app)),
        Known::No => false,
    }
}

/// From inside to one host outside.
fn goes_out(ctx: &Ctx<'_>, f: &FlowSeen) -> bool {
    ctx.zones.is_inside(&f.src) && !ctx.zones.is_inside(&f.dst) && !is_group(&f.dst)
}

impl Connection {
    fn add(&mut self, f: &FlowSeen) {
        let opens = match f.metered {
            true => f.handshake != Handshake::None,
            false => f.tcp_flags.is_some_and(|t| t & SYN != 0),
        };
        let follows = f.start_ms.saturating_sub(self.last_ms) <= REST_MS
            && f.end_ms >= self.first_ms
            && !(opens && f.start_ms > self.last_ms);
        if !follows {
            *self = Connection {
                first_ms: f.start_ms,
                last_ms: f.start_ms,
                ..Connection::default()
            };
        }
        self.first_ms = self.first_ms.min(f.start_ms);
        self.last_ms = self.last_ms.max(f.end_ms);
        self.bytes = self.bytes.saturating_add(f.est_bytes());
        self.back = self.back.saturating_add(f.back_bytes.unwrap_or(0));
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        let hours = self.last_ms.saturating_sub(self.first_ms) as f64 / 3_600_000.0;
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                ..Growth::default()
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, HOURS, hours);
                ctx.incidents.figure(handle, BYTES, self.bytes as f64);
                return;
            }
            self.handle = None;
        }
        let wanted = f64::from(ctx.settings.beacon.long_hours);
        if hours < wanted {
            return;
        }
        let is_whole = self.back > 0 || f.metered;
        let mut figures = vec![
            figure(HOURS, hours, Some(wanted)),
            figure(BYTES, self.bytes as f64, None),
        ];
        figures.extend(is_whole.then(|| figure("bytes that came back", self.back as f64, None)));
        let kind = (DetectionKind::LongConnection, "long.connection");
        let seen = (self.first_ms, self.last_ms, 1);
        let why = format!("a connection of less than {wanted} hours");
        let mut finding = finding(f, kind, seen, figures, why);
        if !is_whole {
            finding.blind.push(super::ONE_WAY.to_owned());
        }
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

impl Tries {
    /// Counts a call of a place, and says how it went.
    pub fn add(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, how: &'static str) {
        if f.start_ms.saturating_sub(self.began_ms) > HOUR_MS {
            *self = Tries {
                began_ms: f.start_ms,
                all: self.all,
                handle: self.handle,
                ..Tries::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.n = self.n.saturating_add(1);
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                ..Growth::default()
            };
            if ctx.incidents.grow(handle, &growth) {
                self.all = self.all.saturating_add(1);
                ctx.incidents.figure(handle, CALLS, self.all.into());
                return;
            }
            self.handle = None;
        }
        let wanted = ctx.settings.beacon.strobe_calls;
        if self.n < wanted {
            return;
        }
        self.all = self.n;
        let figures = vec![figure(CALLS, self.n.into(), Some(wanted.into()))];
        let kind = (DetectionKind::Strobe, "long.strobe");
        let seen = (self.began_ms, f.end_ms, self.n.into());
        let why = format!("fewer than {wanted} calls within an hour");
        let mut finding = finding(f, kind, seen, figures, why);
        finding.facts.push(("answers", how.to_owned()));
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

fn finding(
    f: &FlowSeen,
    (kind, detector): (DetectionKind, &'static str),
    (first_ms, last_ms, count): (i64, i64, u64),
    figures: Vec<Figure>,
    counterfactual: String,
) -> Finding {
    Finding {
        kind,
        detector,
        entity: Entity::Host(f.src),
        role: EntityRole::Source,
        severity: None,
        confidence: 50,
        about: format!("{} to {} port {}", f.src, f.dst, f.dst_port),
        first_ms,
        last_ms,
        count,
        peers: vec![f.dst],
        peers_total: 1,
        figures,
        facts: [("port", f.dst_port.to_string())]
            .into_iter()
            .chain(super::estimated(f.interval))
            .collect(),
        counterfactual,
        blind: super::sampled(f.interval),
    }
}

const TCP: u8 = 6;
const FIN: u16 = 1;
const SYN: u16 = 2;
const RST: u16 = 4;
const ACK: u16 = 16;
const SSH: u16 = 22;
const HOURS: &str = "hours that it lasts";
const BYTES: &str = "bytes sent";
const CALLS: &str = "calls of the place";
/// What lasted for less is no loss.
const LIGHT_MS: i64 = 600_000;
/// Rows of long connections are cut by timeouts of a minute and more.
const ROW_MS: i64 = 45_000;
/// Between two rows of one connection, for exporters lose some.
const REST_MS: i64 = 600_000;
const HOUR_MS: i64 = 3_600_000;
