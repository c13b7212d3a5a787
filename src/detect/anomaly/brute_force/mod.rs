//! Guessed passwords: many short sessions that look alike, or refusals that the server tells.
//!
//! By rows: SSHCure's phases (Hofstede and others, 2014) take sessions of 11 to 51 packets as guesses, Zeek tells 30 in half an hour,
//! Plixer goes by fewer than 25 packets. Here nine sessions of a login's shape within five minutes whose bytes are alike are guesses where they follow each
//! other as soon as one is over, or where they are of a closer shape: of a server that takes its time to refuse, and has nothing to say; and so are
//! twice as many small ones within some seconds of each other. What asks a server again and again (git, files, checks) rests longer than it works, and
//! is answered with more than a refusal. Slow ones are told by 30 in
//! half an hour or 100 in a day of the closer shape, and a source that tries many hosts by these. A session after guesses that is much
//! longer, or that the server says yes to, is a guess that was right. Many sources that guess at one service, a few times each, are one crowd. Services whose clients open short sessions all day long (databases,
//! directories, mail, the web) cannot be judged so, and are judged by refusals alone, which packets tell.

mod crowd;
mod pair;
mod session;
mod shape;
mod spray;
mod web;

use super::Ctx;
use super::arena::Arena;
use super::credentials::TriedSeen;
use super::keyed::{Keyed, Port};
use super::named::Named;
use super::sighting::{DeniedSeen, FlowSeen, KeysSeen, Side, Web, WebSeen};
use crate::detect::incident::Finding;
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Figure, Handshake};
use crowd::{Crowd, says_who};
use pair::{Pair, RING};
use shape::{SSH, Said, Shape};
use spray::{Refusal, Spray};
use web::{Tries, Word};

/// Whether a session got somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing says that it did not.
    None,
    /// It has the shape of a guess.
    LooksSo,
    /// The server refused it, or it has that shape and its source is told to try many hosts.
    Refused,
}

#[derive(Debug)]
pub(super) struct BruteForce {
    pairs: Arena<(Addr, Addr, u16), Pair>,
    sprays: Arena<(Addr, Port), Spray>,
    /// The same by the shape of sessions.
    shaped: Arena<(Addr, Port), Spray>,
    /// The same by service, of all sources.
    crowds: Arena<(Addr, Port), Crowd>,
    /// What is tried over HTTP.
    webs: Arena<(Addr, Addr, u16), Tries>,
    /// When a session of FTP was seen last: connections beside it are looked at for a while.
    ftp_ms: i64,
}

impl BruteForce {
    pub fn new(places: usize) -> Self {
        BruteForce {
            pairs: Arena::new(places / 8),
            sprays: Arena::new(places / 16),
            shaped: Arena::new(places / 32),
            crowds: Arena::new(places / 64),
            webs: Arena::new(places / 32),
            ftp_ms: i64::MIN,
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr, u16), Pair>::bytes(places / 8)
            + Arena::<(Addr, Port), Spray>::bytes(places / 16)
            + Arena::<(Addr, Port), Spray>::bytes(places / 32)
            + Arena::<(Addr, Port), Crowd>::bytes(places / 64)
            + Arena::<(Addr, Addr, u16), Tries>::bytes(places / 32)
            + (places / 16 + places / 32) * Named::<16>::BYTES
            + places / 64 * Named::<32>::BYTES
    }

    pub fn lost(&self) -> (u64, u64) {
        let sprays = [self.sprays.lost(), self.shaped.lost()];
        let more = [self.webs.lost(), self.crowds.lost()];
        let all = [self.pairs.lost(), sprays[0], sprays[1], more[0], more[1]];
        all.iter().fold((0, 0), |s, l| (s.0 + l.0, s.1 + l.1))
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.sprays.clear();
        self.shaped.clear();
        self.crowds.clear();
        self.webs.clear();
        self.ftp_ms = i64::MIN;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.pairs.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.pairs.get(keyed, from)
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.proto != TCP || f.side == Side::Responder || f.interval > 1 {
            return;
        }
        // how it was opened is told with the first row of a connection
        if f.metered && f.handshake == Handshake::None {
            return self.lasts(ctx, f);
        }
        let opened = match f.metered {
            true => f.handshake == Handshake::Complete,
            false => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12),
        };
        if !opened || ctx.is_allowed(&f.src) {
            return;
        }
        if f.goes_on {
            return self.lasts(ctx, f);
        }
        self.beside_ftp(ctx, f);
        let is_answer = f.side == Side::Unknown && f.src_port < f.dst_port;
        if is_answer && let Some(shape) = Shape::of(f.src_port) {
            let sprayed = self.is_sprayed(ctx, f.dst, f.src_port);
            let key = (f.dst, f.src, f.src_port);
            if let Some(pair) = self.pairs.find(ctx.keyed, &key) {
                pair.answers(ctx, f, shape.name, sprayed);
            }
            return;
        }
        let Some(shape) = Shape::of(f.dst_port) else {
            self.unknown_port(ctx, f);
            return;
        };
        if f.dst_port == FTP_CONTROL {
            self.ftp_ms = ctx.now_ms;
        }
        let key = (f.src, f.dst, f.dst_port);
        let comes_in = !ctx.zones.is_inside(&f.src) && ctx.zones.is_inside(&f.dst);
        let said = self.judged_by(ctx, f, comes_in);
        let sprayed = self.is_sprayed(ctx, f.src, f.dst_port);
        let fits = shape.fits(f, comes_in, said);
        let pair = self.pairs.find(ctx.keyed, &key);
        let is_in = pair.is_some_and(|p| p.succeeded(ctx, f, shape.name, (fits, sprayed)));
        if comes_in && shape.name == SSH {
            self.one_of_many(ctx, f, (shape, is_in));
        }
        if is_in || !fits {
            return;
        }
        let Some(pair) = self.pairs.entry(ctx.keyed, &key) else {
            return;
        };
        if pair.lets_in(f) {
            return;
        }
        let closely = shape.fits_closely(f, comes_in, said);
        let small = shape.is_small(f, said) && (f.metered || comes_in);
        pair.add(ctx, f, small, closely);
        // hosts inside have short sessions with many servers of files
        if closely
            && (comes_in || shape.times == 1)
            && let Some(spray) = (self.shaped).entry(ctx.keyed, &(f.src, Port(f.dst_port)))
            && spray.refuse(ctx, Refusal::shaped(f, shape.name))
        {
            return;
        }
        let sessions = ctx.settings.brute_force.sessions;
        let wanted = sessions.saturating_mul(shape.times).min(RING as u32);
        pair.judge(ctx, f, shape, wanted);
    }

    /// A session from outside, by its shape. What the server says counts here, for it is no banner of who comes.
    fn one_of_many(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, (shape, is_in): (&Shape, bool)) {
        let said = self.said(ctx, f);
        let guesses = shape.fits_closely(f, false, said);
        let welcome = is_in || !shape.fits(f, false, said);
        self.shared(ctx, &Refusal::shaped(f, shape.name), (guesses, welcome));
    }

    /// Who was refused, or let in, is one of many.
    fn shared(&mut self, ctx: &mut Ctx<'_>, r: &Refusal, (refused, welcome): (bool, bool)) {
        let key = (r.server, Port(r.port));
        if refused {
            if let Some(crowd) = self.crowds.entry(ctx.keyed, &key) {
                crowd.refuses(ctx, r);
            }
        } else if welcome && let Some(crowd) = self.crowds.entry(ctx.keyed, &key) {
            crowd.welcomes(ctx, &r.client);
        }
    }

    /// A row of a session that is longer than a row: no guess, and maybe the one that was right.
    fn lasts(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        let Some(shape) = Shape::of(f.dst_port) else {
            return;
        };
        let comes_in = !ctx.zones.is_inside(&f.src) && ctx.zones.is_inside(&f.dst);
        if comes_in && shape.name == SSH {
            self.shared(ctx, &Refusal::shaped(f, shape.name), (false, true));
        }
        let sprayed = self.is_sprayed(ctx, f.src, f.dst_port);
        if let Some(pair) = self.pairs.find(ctx.keyed, &(f.src, f.dst, f.dst_port)) {
            pair.lasts(ctx, f, shape.name, sprayed);
        }
    }

    fn said(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) -> Said {
        let pair = self.pairs.find(ctx.keyed, &(f.src, f.dst, f.dst_port));
        pair.map_or(Said::of(f, (0, 0), None), |p| p.said(f))
    }

    /// The same by which one session is judged: of who comes from outside, without what is known of their keys.
    fn judged_by(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, comes_in: bool) -> Said {
        if !comes_in {
            return self.said(ctx, f);
        }
        let pair = self.pairs.find(ctx.keyed, &(f.src, f.dst, f.dst_port));
        pair.map_or(Said::of(f, (0, 0), None), |p| p.totals(f))
    }

    /// How client and server agree on keys.
    pub fn keys(&mut self, ctx: &mut Ctx<'_>, k: &KeysSeen) {
        if ctx.is_allowed(&k.client) {
            return;
        }
        if let Some(pair) = self.pairs.entry(ctx.keyed, &(k.client, k.server, k.port)) {
            pair.agrees(ctx, k);
        }
    }

    /// How far a session is known to be a guess.
    pub fn doubt(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) -> Doubt {
        let Some(shape) = Shape::of(f.dst_port) else {
            return Doubt::None;
        };
        let pair = self.pairs.find(ctx.keyed, &(f.src, f.dst, f.dst_port));
        let (refused, let_in) = pair.map_or((false, false), |p| (p.refuses(f), p.lets_in(f)));
        let said = self.said(ctx, f);
        let fits = shape.fits(f, false, said);
        let closely = fits && shape.fits_closely(f, false, said);
        let [by_words, by_shape] = self.sprayed(ctx, f.src, f.dst_port);
        match () {
            () if let_in || f.goes_on => Doubt::None,
            () if refused || by_words && fits || by_shape && closely => Doubt::Refused,
            () if closely => Doubt::LooksSo,
            () => Doubt::None,
        }
    }

    /// A connection beside a session of FTP carries a file or a list (RFC 959 section 3.2): from port 20 of the server, or to one that it named.
    fn beside_ftp(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) {
        if ctx.now_ms.saturating_sub(self.ftp_ms) > FTP_MS {
            return;
        }
        let key = match (f.src_port, f.dst_port) {
            (FTP_DATA, _) => (f.dst, f.src, FTP_CONTROL),
            (1024.., 1024..) => (f.src, f.dst, FTP_CONTROL),
            _ => return,
        };
        if let Some(pair) = self.pairs.find(ctx.keyed, &key) {
            pair.carries(f.start_ms);
        }
    }

    /// What a client says in the clear to be let in.
    pub fn tried(&mut self, ctx: &mut Ctx<'_>, t: &TriedSeen) {
        if ctx.is_allowed(&t.client) {
            return;
        }
        if let Some(pair) = self.pairs.entry(ctx.keyed, &(t.client, t.server, t.port)) {
            pair.tries(ctx, t);
        }
    }

    /// A refusal that the server told.
    pub fn denied(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen) {
        if ctx.is_allowed(&d.client) {
            return;
        }
        if says_who(d.service) {
            self.shared(ctx, &Refusal::told(d), (true, false));
        }
        if let Some(spray) = self.sprays.entry(ctx.keyed, &(d.client, Port(d.port)))
            && spray.refuse(ctx, Refusal::told(d))
        {
            return;
        }
        if let Some(pair) = self.pairs.entry(ctx.keyed, &(d.client, d.server, d.port)) {
            pair.denied(ctx, d);
        }
    }

    /// The server said that a password is right.
    pub fn granted(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen) {
        if says_who(d.service) {
            self.shared(ctx, &Refusal::told(d), (false, true));
        }
        let sprayed = self.is_sprayed(ctx, d.client, d.port);
        if let Some(pair) = self.pairs.entry(ctx.keyed, &(d.client, d.server, d.port)) {
            pair.granted(ctx, d, sprayed);
        }
    }

    /// What is tried over HTTP, and what is answered.
    pub fn web(&mut self, ctx: &mut Ctx<'_>, w: &WebSeen) {
        let key = (w.client, w.server, w.port);
        let begins = matches!(w.what, Web::Tried { .. } | Web::Posts { .. });
        let tries = match begins && !ctx.is_allowed(&w.client) {
            true => self.webs.entry(ctx.keyed, &key),
            false => self.webs.find(ctx.keyed, &key),
        };
        let Some(word) = tries.and_then(|t| t.take(ctx, w)) else {
            return;
        };
        let seen = web::denied(w);
        match word {
            Word::Wrong { is_form: false } => self.denied(ctx, &seen),
            // that forms of many hosts answer says nothing yet
            Word::Wrong { is_form: true } => {
                if let Some(pair) = self.pairs.entry(ctx.keyed, &key) {
                    pair.denied(ctx, &seen);
                }
            }
            Word::Right => {
                let sprayed = self.is_sprayed(ctx, w.client, w.port);
                if let Some(pair) = self.pairs.find(ctx.keyed, &key) {
                    pair.granted(ctx, &seen, sprayed);
                }
            }
        }
    }

    /// Whether a client is told to try many hosts, by words or by the shape of sessions.
    fn is_sprayed(&mut self, ctx: &Ctx<'_>, client: Addr, port: u16) -> bool {
        self.sprayed(ctx, client, port).contains(&true)
    }

    /// The same: by words, and by the shape of sessions.
    fn sprayed(&mut self, ctx: &Ctx<'_>, client: Addr, port: u16) -> [bool; 2] {
        let key = (client, Port(port));
        [&mut self.sprays, &mut self.shaped].map(|sprays| {
            let spray = sprays.find(ctx.keyed, &key);
            spray.is_some_and(|s| s.is_told(ctx.now_ms))
        })
    }

    /// A port of no known service: sessions that follow each other and are all but the same.
    fn unknown_port(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        let shaped = (8..=40).contains(&f.packets) && f.bytes <= 6_000 && f.life_ms() <= 15_000;
        let told_apart = f.back_packets >= 6 && f.metered;
        if !shaped || !told_apart || f.dst_port > f.src_port || is_everyday(f.dst_port) {
            return;
        }
        let wanted = ctx.settings.brute_force.sessions_unknown_port;
        let key = (f.src, f.dst, f.dst_port);
        if let Some(pair) = self.pairs.entry(ctx.keyed, &key) {
            pair.add(ctx, f, false, false);
            pair.judge_alike(ctx, f, wanted);
        }
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
        confidence: match detector {
            "brute_force.refusals" | "brute_force.spray" => 90,
            "brute_force.sessions" => 75,
            _ => 60,
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
        name: name.into(),
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

const TCP: u8 = 6;
const FTP_CONTROL: u16 = 21;
const FTP_DATA: u16 = 20;
/// How long after a session of FTP connections are looked at.
const FTP_MS: i64 = 600_000;
