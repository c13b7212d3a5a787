//! Sessions of one client with one service.

use super::super::arena::Held;
use super::super::credentials::TriedSeen;
use super::super::keep::kept;
use super::super::sighting::{DeniedSeen, FlowSeen, KeysSeen};
use super::super::{Ctx, evidence, payload};
use super::session::{ASIDE_MS, Heard, Keys, Lasting, Rhythm, Session, Tally};
use super::shape::{FTP, Said, Shape};
use super::{figure, finding};
use crate::detect::incident::{Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, Figure, Handshake, Severity};
use std::ops::RangeInclusive;

/// Sessions of a client with a service.
#[derive(Debug, Default)]
pub(super) struct Pair {
    ring: [Session; RING],
    pub n: u32,
    last_ms: i64,
    refused: u32,
    refused_first_ms: i64,
    refused_last_ms: i64,
    /// When the server said that a password was right.
    granted_ms: i64,
    /// The session that is longer than a row.
    lasting: Lasting,
    keys: Keys,
    heard: Heard,
    rhythm: Rhythm,
    /// It is told as a client with an old password.
    is_stuck: bool,
    /// Connections that began lately and may carry what a login was for, and those that began within one.
    aside: [i64; ASIDE],
    data: Tally,
    /// Of rows that are each one direction: bytes of sessions that are over, and of what answered them.
    there: u64,
    back: u64,
    answers: u32,
    /// Small sessions within five minutes, where both directions were seen or a stranger comes in.
    small: Tally,
    /// Sessions that can hardly be anything but guesses, within half an hour and within a day.
    close: Tally,
    day: Tally,
    /// When what is told began: it stays one incident over a restart.
    told_first_ms: i64,
    handle: Option<Handle>,
    succeeded: bool,
}

kept!(Pair { ring, n, last_ms, refused, refused_first_ms, granted_ms, aside, data, there, back, answers, small, close, day, told_first_ms, handle, succeeded, refused_last_ms, rhythm, is_stuck; lasting, keys, heard });

impl Held for Pair {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.n.saturating_add(self.refused)
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.n.saturating_add(self.refused) < 3
    }
}

impl Pair {
    /// Adds a session; `small` where it is no more than a login, `closely` where it can hardly be anything but a guess.
    pub fn add(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, small: bool, closely: bool) {
        self.forget_old(ctx);
        self.last_ms = ctx.now_ms;
        let session = Session {
            start_ms: f.start_ms,
            life_ms: u32::try_from(f.life_ms()).unwrap_or(u32::MAX),
            bytes: u32::try_from(f.bytes).unwrap_or(u32::MAX),
            back: u32::try_from(f.back_bytes.unwrap_or(0)).unwrap_or(u32::MAX),
            packets: u16::try_from(f.packets).unwrap_or(u16::MAX),
            closely,
        };
        self.ring[self.n as usize % RING] = session;
        if f.back_bytes.is_none() {
            self.there = self.there.saturating_add(f.bytes);
        }
        for at_ms in &mut self.aside {
            if *at_ms != 0 && session.has(*at_ms) {
                self.data.add(*at_ms, FORGET_MS);
                *at_ms = 0;
            }
        }
        self.n = self.n.saturating_add(1);
        if small {
            self.small.add(f.start_ms, WINDOW_MS);
        }
        if closely {
            self.close.add(f.start_ms, SLOW_MS);
            self.day.add(f.start_ms, DAY_MS);
        }
    }

    /// Adds what answered a session, in a row of its own: much more than guesses are answered with goes to somebody who is in.
    pub fn answers(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        service: &'static str,
        sprayed: bool,
    ) {
        let usual = self.back / u64::from(self.answers.max(1));
        let told = self.handle.is_some() && self.is_soon(f.start_ms);
        let ends = (f.dst, f.src, f.src_port);
        if self.answers >= ANSWERS && (told || sprayed) && is_much(f.bytes, usual) {
            let why = [figure(BACK, f.bytes as f64, 3.0 * usual as f64)];
            return self.is_in(ctx, f, (ends, service), why.into());
        }
        self.back = self.back.saturating_add(f.bytes);
        self.answers = self.answers.saturating_add(1);
    }

    /// How much a session said, by what is known of those before.
    pub fn said(&self, f: &FlowSeen) -> Said {
        let Keys { there, back } = self.keys;
        let is_known = [there.0, there.1, back.0, back.1].iter().all(|n| *n > 0);
        let keys = (
            there.0.saturating_add(there.1),
            back.0.saturating_add(back.1),
        );
        Said::of(f, (self.there, self.back), is_known.then_some(keys))
    }

    /// The same without what is known of their keys.
    pub fn totals(&self, f: &FlowSeen) -> Said {
        Said::of(f, (self.there, self.back), None)
    }

    /// Takes how long it is what is said in the clear.
    pub fn agrees(&mut self, ctx: &Ctx<'_>, k: &KeysSeen) {
        // how long it was silent goes by its sessions
        if self.n == 0 && self.refused == 0 {
            self.last_ms = ctx.now_ms;
        }
        let of = match k.by_client {
            true => &mut self.keys.there,
            false => &mut self.keys.back,
        };
        if k.offer > 0 {
            of.0 = k.offer;
        }
        if k.answer > 0 {
            of.1 = k.answer;
        }
    }

    /// Takes what is said in the clear to be let in.
    pub fn tries(&mut self, ctx: &Ctx<'_>, t: &TriedSeen) {
        if self.n == 0 && self.refused == 0 {
            self.last_ms = ctx.now_ms;
        }
        self.heard.add(t.user, t.words, |of| ctx.keyed.hash(of));
    }

    /// What was silent for long begins anew, but for what is counted over a day.
    fn forget_old(&mut self, ctx: &Ctx<'_>) {
        let silent_ms = ctx.now_ms.saturating_sub(self.last_ms);
        let is_over = silent_ms > FORGET_MS && self.day.n == 0;
        if silent_ms > DAY_MS || is_over {
            *self = Pair {
                granted_ms: self.granted_ms,
                keys: self.keys,
                ..Pair::default()
            };
        } else if silent_ms > FORGET_MS {
            (self.refused, self.succeeded) = (0, false);
        }
    }

    fn held(&self) -> &[Session] {
        &self.ring[..(self.n as usize).min(RING)]
    }

    /// Sessions that began since.
    fn since(&self, since_ms: i64) -> impl Iterator<Item = &Session> {
        self.held().iter().filter(move |s| s.start_ms >= since_ms)
    }

    /// From the first to the last beginning of those that are held.
    pub fn spread_ms(&self) -> i64 {
        let starts = || self.held().iter().map(|s| s.start_ms);
        let latest = starts().max().unwrap_or(0);
        latest.saturating_sub(starts().min().unwrap_or(0))
    }

    /// How much the bytes of sessions deviate that began since, in parts of their mean.
    pub fn deviation(&self, since_ms: i64) -> f64 {
        let n = self.since(since_ms).count().max(1) as f64;
        let mean = self.since(since_ms).map(|s| s.bytes as f64).sum::<f64>() / n;
        let off = self
            .since(since_ms)
            .map(|s| (s.bytes as f64 - mean).powi(2));
        (off.sum::<f64>() / n).sqrt() / mean.max(1.0)
    }

    /// Whether sessions that began since follow each other closely, or run side by side: what works rests for longer. Who guesses may rest, too, so
    /// that as many that can hardly be anything but guesses are enough, or twice as many small ones with short pauses.
    fn is_busy(&self, since_ms: i64, wanted: u32) -> bool {
        let closely = self.since(since_ms).filter(|s| s.closely).count();
        if closely as u32 >= wanted {
            return true;
        }
        let small = self.small.of(since_ms.saturating_add(WINDOW_MS), WINDOW_MS);
        let mut all: Vec<(i64, i64)> = self
            .since(since_ms)
            .map(|s| (s.start_ms, s.life_ms.into()))
            .collect();
        all.sort_unstable();
        let pause = |w: &[(i64, i64)]| w[1].0.saturating_sub(w[0].0);
        let pauses = all.windows(2).map(pause);
        let idle = all.windows(2).map(|w| pause(w).saturating_sub(w[0].1));
        match (median(pauses.collect()), median(idle.collect())) {
            (Some(pause), Some(idle)) => {
                idle.saturating_mul(2) <= pause || small / 2 >= wanted && pause <= SHORT_MS
            }
            _ => false,
        }
    }

    /// A connection beside the login: somebody is in, where it began while a session of the login lasted. Rows of either may come first.
    pub fn carries(&mut self, at_ms: i64) {
        if self.held().iter().any(|s| s.has(at_ms)) {
            self.data.add(at_ms, FORGET_MS);
            return;
        }
        if let Some(oldest) = self.aside.iter_mut().min() {
            *oldest = at_ms;
        }
    }

    /// Whether a session is one of somebody who was let in.
    pub fn lets_in(&self, f: &FlowSeen) -> bool {
        around(f).contains(&self.granted_ms)
    }

    /// Whether a session is one of somebody who was refused.
    pub fn refuses(&self, f: &FlowSeen) -> bool {
        around(f).contains(&self.refused_last_ms)
    }

    pub fn judge(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, shape: &Shape, wanted: u32) {
        if self.goes_on(ctx, f) {
            return;
        }
        let recently = f.start_ms.saturating_sub(WINDOW_MS);
        let recent = self.since(recently).count() as u32;
        let cv_max = ctx.settings.brute_force.bytes_cv_max;
        let deviation = self.deviation(recently);
        // where as many files are carried, logins are for them
        let data = self.data.of(f.start_ms, FORGET_MS);
        let carries = shape.name == FTP && data.saturating_mul(3) >= recent;
        if carries {
            return;
        }
        if recent >= wanted && deviation <= cv_max && self.is_busy(recently, wanted) {
            let why = format!(
                "fewer than {wanted} such sessions within five minutes, sessions that differ more, or shorter ones with longer pauses between them"
            );
            let rule = (shape.name, "brute_force.sessions");
            self.tell(ctx, f, rule, (wanted, deviation, cv_max), why);
            return;
        }
        let s = &ctx.settings.brute_force;
        let slow = s.sessions_slow.saturating_mul(shape.times);
        let daily = s.sessions_daily.saturating_mul(shape.times);
        let deviation = self.deviation(i64::MIN);
        let many = self.close.of(f.start_ms, SLOW_MS) >= slow;
        let whole_day = self.day.of(f.start_ms, DAY_MS) >= daily;
        if (many || whole_day) && deviation <= SLOW_CV_MAX {
            let wanted = if many { slow } else { daily };
            let why = format!(
                "fewer than {slow} such sessions within half an hour and {daily} within a day, or sessions that differ more"
            );
            let rule = (shape.name, "brute_force.slow");
            self.tell(ctx, f, rule, (wanted, deviation, SLOW_CV_MAX), why);
        }
    }

    /// The same where all that is known is that sessions are alike.
    pub fn judge_alike(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, wanted: u32) {
        if self.goes_on(ctx, f) {
            return;
        }
        let deviation = self.deviation(i64::MIN);
        let spread_ms = self.spread_ms();
        let close = (CLOSE_MIN_MS..=CLOSE_MS).contains(&spread_ms);
        if self.n < wanted || !close || deviation > ALIKE_CV_MAX {
            return;
        }
        let why = format!("fewer than {wanted} such sessions, or sessions that differ more");
        let rule = ("unknown", "brute_force.sessions");
        self.tell(ctx, f, rule, (wanted, deviation, ALIKE_CV_MAX), why);
    }

    /// Adds to the incident that there is.
    fn goes_on(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) -> bool {
        let Some(handle) = self.handle else {
            return false;
        };
        let growth = Growth {
            last_ms: f.end_ms,
            // where refusals are heard, they are what is counted
            count: u64::from(self.refused == 0),
            peer: Some(f.dst),
            peers_total: 0,
        };
        if !ctx.incidents.grow(handle, &growth) {
            (self.handle, self.told_first_ms) = (None, 0);
            return false;
        }
        ctx.incidents.show(handle, evidence(f));
        ctx.incidents.figure(handle, SESSIONS, f64::from(self.n));
        true
    }

    fn tell(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        (service, rule): (&'static str, &'static str),
        (wanted, deviation, cv_max): (u32, f64, f64),
        counterfactual: String,
    ) {
        let (kind, entity) = (DetectionKind::BruteForce, Entity::Host(f.src));
        if ctx.incidents.refuses(ctx.now_ms, kind, &entity) {
            return;
        }
        let first_ms = match self.told_first_ms {
            0 => self.held().iter().map(|s| s.start_ms).min(),
            told => Some(told),
        };
        let first_ms = first_ms.unwrap_or(f.start_ms);
        let figures = vec![
            figure(SESSIONS, f64::from(self.n), f64::from(wanted)),
            figure(
                "deviation of their bytes, in parts of the mean",
                deviation,
                cv_max,
            ),
        ];
        let finding = finding(
            (f.src, f.dst, f.dst_port),
            (service, rule),
            (first_ms, f.end_ms, u64::from(self.n)),
            figures,
            counterfactual,
        );
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            self.told_first_ms = first_ms;
            ctx.incidents.show(handle, evidence(f));
        }
    }

    pub fn denied(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen) {
        self.forget_old(ctx);
        let age_ms = d.time_ms.saturating_sub(self.refused_first_ms);
        let pause_ms = d.time_ms.saturating_sub(self.refused_last_ms);
        (self.last_ms, self.refused_last_ms) = (ctx.now_ms, d.time_ms);
        if self.heard.is_same_again() {
            return;
        }
        if self.refused == 0 || self.handle.is_none() && age_ms > FORGET_MS {
            (self.refused, self.refused_first_ms) = (0, d.time_ms);
            self.rhythm = Rhythm::default();
        } else {
            self.rhythm.add(pause_ms);
        }
        self.refused = self.refused.saturating_add(1);
        let was_stuck = self.is_stuck && !self.rhythm.is_even();
        if was_stuck {
            (self.handle, self.is_stuck) = (None, false);
        }
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
                ctx.incidents.show(handle, d.evidence());
                return;
            }
            self.handle = None;
        }
        let times = if d.service == payload::HTTP { 3 } else { 1 };
        let wanted = ctx.settings.brute_force.refusals.saturating_mul(times);
        if self.refused < wanted {
            return;
        }
        // those before are told already
        let count = if was_stuck { 1 } else { self.refused };
        let mut finding = finding(
            (d.client, d.server, d.port),
            (d.service, "brute_force.refusals"),
            (self.refused_first_ms, d.time_ms, u64::from(count)),
            vec![figure(REFUSALS, f64::from(self.refused), f64::from(wanted))],
            format!("fewer than {wanted} refusals within ten minutes"),
        );
        self.is_stuck = self.rhythm.is_even();
        finding.severity = Some(match self.is_stuck {
            true => Severity::Low,
            false => finding.kind.severity(),
        });
        if self.is_stuck {
            finding.confidence = 40;
            finding
                .about
                .push_str(", evenly, as by a program with an old password");
        }
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, d.evidence());
        }
    }

    /// Whether a success comes so soon after guesses that it is one of them: who guesses slowly waits for longer.
    fn is_soon(&self, at_ms: i64) -> bool {
        let pauses = i64::from(self.n).clamp(2, RING as i64) - 1;
        let usual_ms = self.spread_ms() / pauses;
        let silent_ms = at_ms.saturating_sub(self.last_ms);
        silent_ms <= usual_ms.saturating_mul(4).clamp(FORGET_MS, DAY_MS)
    }

    /// The server said that a password is right; `sprayed` where this client is told to try many hosts.
    pub fn granted(&mut self, ctx: &mut Ctx<'_>, d: &DeniedSeen, sprayed: bool) {
        // whose mail or database it is often is asked by many behind one address: one of them mistypes, the others come in as ever
        let is_usual = !matches!(d.service, FTP | "smb" | payload::HTTP)
            && self.granted_ms != 0
            && d.time_ms.saturating_sub(self.granted_ms) < DAY_MS;
        self.granted_ms = d.time_ms;
        let told = self.handle.is_some() && self.is_soon(ctx.now_ms) && !is_usual;
        if self.succeeded || !(told || sprayed) {
            return;
        }
        self.succeeded = true;
        let mut finding = finding(
            (d.client, d.server, d.port),
            (d.service, "brute_force.granted"),
            (d.time_ms, d.time_ms, 1),
            vec![figure(REFUSALS, f64::from(self.refused), 1.0)],
            "a server that lets nobody in".to_owned(),
        );
        finding.kind = DetectionKind::BruteForceSucceeded;
        finding.confidence = 85;
        if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
            ctx.incidents.show(handle, d.evidence());
        }
    }

    /// A row of a session that is longer than a row.
    pub fn lasts(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, service: &'static str, sprayed: bool) {
        let is_first = !f.metered || f.handshake == Handshake::Complete;
        if is_first {
            self.lasting = Lasting {
                conversation: f.conversation,
                start_ms: f.start_ms,
                ..Lasting::default()
            };
        } else if self.lasting.conversation != f.conversation {
            return;
        }
        let lasting = &mut self.lasting;
        lasting.packets = lasting.packets.saturating_add(f.packets);
        lasting.bytes = lasting.bytes.saturating_add(f.bytes);
        lasting.back = lasting.back.saturating_add(f.back_bytes.unwrap_or(0));
        let whole = FlowSeen {
            start_ms: lasting.start_ms,
            packets: lasting.packets,
            bytes: lasting.bytes,
            back_bytes: Some(lasting.back),
            ..f.clone()
        };
        self.succeeded(ctx, &whole, service, (false, sprayed));
    }

    /// A session after guesses that is no guess; returns whether it is none. Of one that has the shape of a guess (`fits`) what came back counts alone.
    pub fn succeeded(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        service: &'static str,
        (fits, sprayed): (bool, bool),
    ) -> bool {
        let n = self.held().len() as u64;
        let told = self.handle.is_some() && self.is_soon(f.start_ms);
        if self.succeeded || !(told || sprayed) || n == 0 {
            return false;
        }
        let mean = |of: fn(&Session) -> u64| self.held().iter().map(of).sum::<u64>() / n;
        let (packets, bytes) = (mean(|s| s.packets.into()), mean(|s| s.bytes.into()));
        let (back, life_ms) = (mean(|s| s.back.into()), mean(|s| s.life_ms.into()));
        let does_much = !fits
            && f.packets >= packets.saturating_mul(3)
            && f.bytes >= bytes.saturating_mul(3)
            && f.life_ms() as u64 >= life_ms;
        let got = f.back_bytes.unwrap_or(0);
        let figures = match () {
            () if does_much => vec![
                figure(
                    "packets of the session",
                    f.packets as f64,
                    3.0 * packets as f64,
                ),
                figure("bytes of the session", f.bytes as f64, 3.0 * bytes as f64),
            ],
            () if is_much(got, back) => vec![figure(BACK, got as f64, 3.0 * back as f64)],
            () => return false,
        };
        self.is_in(ctx, f, ((f.src, f.dst, f.dst_port), service), figures);
        true
    }

    fn is_in(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        (ends, service): ((Addr, Addr, u16), &'static str),
        figures: Vec<Figure>,
    ) {
        if self.succeeded {
            return;
        }
        self.succeeded = true;
        let mut finding = finding(
            ends,
            (service, "brute_force.succeeded"),
            (f.start_ms, f.end_ms, 1),
            figures,
            "a session as short as the guesses before it".to_owned(),
        );
        finding.kind = DetectionKind::BruteForceSucceeded;
        finding.confidence = 60;
        if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

/// Whether somebody got much more than guesses do.
fn is_much(bytes: u64, usual: u64) -> bool {
    usual > 0 && bytes >= usual.saturating_mul(3)
}

/// The time of a session, and a little before and after it.
fn around(f: &FlowSeen) -> RangeInclusive<i64> {
    f.start_ms.saturating_sub(ASIDE_MS)..=f.end_ms.saturating_add(ASIDE_MS)
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

const SESSIONS: &str = "sessions of the shape of a failed login";
const REFUSALS: &str = "refusals";
const BACK: &str = "bytes that came back";
/// Answers in rows of their own that tell what is usual.
const ANSWERS: u32 = 5;
pub(super) const RING: usize = 32;
/// Connections beside logins that wait for the login's own row.
const ASIDE: usize = 8;
const WINDOW_MS: i64 = 300_000;
const FORGET_MS: i64 = 600_000;
const SHORT_MS: i64 = 8_000;
const SLOW_MS: i64 = 1_800_000;
const DAY_MS: i64 = 86_400_000;
const SLOW_CV_MAX: f64 = 0.15;
/// A ring of sessions on an unknown port begins within so long, and not faster than a program that works does.
const CLOSE_MS: i64 = 120_000;
const CLOSE_MIN_MS: i64 = 5_000;
const ALIKE_CV_MAX: f64 = 0.05;
