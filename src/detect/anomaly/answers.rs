//! What was asked and answered, and first contacts that wait for what says whether they failed.
//!
//! Rows of exporters that have no direction of their own come apart: that of an answer stands behind that of its question, up to some seconds
//! later. A half-open connection that was answered is a probe, or what balancers do all day long: who does it a third time within a minute asks
//! whether a service is there, and does not look for one. Both are known some time later, so that such contacts wait in queues of a fixed size;
//! where one is full, the oldest is judged by what is known by then.
//!
//! Where routers tell of one direction alone, no answer is ever seen. Conversations of some packets show it: where many of them go one way, and
//! none comes back, over the border of what is inside or on one side of it, no question is judged.

use super::keyed::{ODD, Recent, both};
use super::scan::Contact;
use super::sighting::FlowSeen;
use super::{Ctx, Detectors, FAR, Hashes};
use crate::model::{Addr, prefetch};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Answers {
    seen: Recent,
    /// Questions, and half-open connections.
    lines: [VecDeque<Waiting>; 2],
    early: u64,
    ways: Ways,
}

/// Which way a row goes: over the border of what is inside, or on one side of it.
#[derive(Clone, Copy, Debug)]
enum Way {
    In,
    Out,
    Beside,
}

/// Rows of each way, on one side those that answer others or come from a service.
#[derive(Debug)]
struct Ways {
    rows: [u8; 3],
    last_ms: [i64; 3],
    /// Of some packets, to a service.
    there: [u8; 3],
    /// So many were seen lately that until then nobody looks.
    until_ms: [i64; 2],
}

/// What a contact waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// An answer.
    Answer,
    /// That it is tried again and again.
    Again,
}

/// A contact that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    due_ms: i64,
    awaited: Awaited,
    /// The hash of what says that it did not fail.
    key: u64,
    src: Addr,
    dst: Addr,
    /// The hashes of both.
    hashes: (u64, u64),
    ports: (u16, u16),
    proto: u8,
    icmp: u16,
    packets: u32,
    bytes: u32,
    life_ms: u32,
    start_ms: i64,
    /// Which way its answer goes.
    back: Way,
    pub contact: Contact,
}

impl Waiting {
    /// The hashes of its ends.
    pub fn hashes(&self) -> Hashes {
        let (src, dst) = self.hashes;
        Hashes {
            src,
            dst,
            ..Hashes::default()
        }
    }

    /// Its row, as far as a contact goes.
    pub fn row(&self) -> FlowSeen {
        FlowSeen {
            src: self.src,
            dst: self.dst,
            src_port: self.ports.0,
            dst_port: self.ports.1,
            proto: self.proto,
            icmp: self.icmp,
            packets: self.packets.into(),
            bytes: self.bytes.into(),
            interval: 1,
            start_ms: self.start_ms,
            end_ms: self.start_ms.saturating_add(self.life_ms.into()),
            ..FlowSeen::default()
        }
    }
}

impl Answers {
    pub fn new() -> Self {
        Answers {
            seen: Recent::new(SEEN_LOG2, SEEN_MS),
            lines: WAITING_MAX.map(VecDeque::with_capacity),
            early: 0,
            ways: Ways::new(),
        }
    }

    pub const fn bytes() -> usize {
        Recent::bytes(SEEN_LOG2) + (WAITING_MAX[0] + WAITING_MAX[1]) * size_of::<Waiting>()
    }

    /// Contacts that failed as far as was known when their queue was full.
    pub fn lost(&self) -> (u64, u64) {
        (self.early, 0)
    }

    pub fn clear(&mut self) {
        self.lines.iter_mut().for_each(VecDeque::clear);
        self.ways = Ways::new();
    }

    /// Takes a row of an exporter: which way it goes, and whether it answers another one.
    #[inline]
    pub fn way(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, answered: bool) {
        let [border, beside] = self.ways.until_ms;
        let may_answer = answered || f.packets >= SOME || matches!(f.proto, ICMP | ICMPV6);
        if ctx.now_ms >= border || may_answer && ctx.now_ms >= beside {
            self.ways.take(ctx, f, answered);
        }
    }

    /// Calls for what a row that has no direction of its own needs.
    #[inline]
    pub fn call(&self, h: Hashes) {
        self.seen.call(h.there);
        self.seen.call(h.back);
    }

    /// Takes a row that has no direction of its own: whether it answers another one.
    #[inline]
    pub fn row(&mut self, h: Hashes) -> bool {
        let answered = self.seen.has(h.back);
        self.seen.add(h.there);
        answered
    }

    /// How often a half-open connection to a port was seen lately, three times at most.
    pub fn again(&mut self, key: u64) -> usize {
        let marks = times(key);
        let n = marks.iter().take_while(|m| self.seen.has(**m)).count();
        for mark in &marks[..(n + 1).min(AGAIN)] {
            self.seen.add(*mark);
        }
        n
    }

    /// The hashes of the ends of what will be judged at once when so many more wait.
    #[inline]
    pub fn coming(&self, awaited: Awaited, ahead: usize) -> Option<Hashes> {
        let n = awaited as usize;
        let line = &self.lines[n];
        if line.len() < WAITING_MAX[n] {
            return None;
        }
        if let Some(later) = line.get(2 * ahead) {
            prefetch(&later.key);
            prefetch(&later.contact);
        }
        let coming = line.get(ahead)?;
        self.seen.call(coming.key);
        Some(coming.hashes())
    }

    /// Lets a contact wait. What has to be judged at once, for there is no room, comes back.
    pub fn wait(
        &mut self,
        ctx: &Ctx<'_>,
        (f, h, contact): (&FlowSeen, Hashes, Contact),
        (awaited, key): (Awaited, u64),
    ) -> Option<Waiting> {
        let n = awaited as usize;
        let line = &mut self.lines[n];
        let oldest = match line.len() < WAITING_MAX[n] {
            true => None,
            false => line.pop_front(),
        };
        line.push_back(Waiting {
            due_ms: ctx.now_ms.saturating_add(WAIT_MS[n]),
            key: match awaited {
                Awaited::Answer => key,
                Awaited::Again => times(key)[AGAIN - 1],
            },
            src: f.src,
            dst: f.dst,
            hashes: (h.src, h.dst),
            ports: (f.src_port, f.dst_port),
            proto: f.proto,
            icmp: f.icmp,
            packets: u32::try_from(f.packets).unwrap_or(u32::MAX),
            bytes: u32::try_from(f.bytes).unwrap_or(u32::MAX),
            life_ms: u32::try_from(f.life_ms()).unwrap_or(u32::MAX),
            start_ms: f.start_ms,
            back: Way::of(ctx, &f.dst, &f.src),
            awaited,
            contact,
        });
        let oldest = self.settled(oldest?)?;
        self.early += u64::from(oldest.contact.failed);
        Some(oldest)
    }

    /// The next that has waited long enough.
    pub fn due(&mut self, now_ms: i64) -> Option<Waiting> {
        for n in 0..self.lines.len() {
            while self.lines[n].front().is_some_and(|w| w.due_ms <= now_ms) {
                if let Some(coming) = self.lines[n].get(super::NEAR) {
                    self.seen.call(coming.key);
                }
                let waiting = self.lines[n].pop_front()?;
                if let Some(settled) = self.settled(waiting) {
                    return Some(settled);
                }
            }
        }
        None
    }

    /// Forgets what is too old.
    pub fn pass(&mut self, now_ms: i64) {
        self.seen.pass(now_ms);
    }

    /// A contact with what is known of it now; `None` where its answer would not have been seen.
    fn settled(&self, mut waiting: Waiting) -> Option<Waiting> {
        waiting.contact.failed &= !self.seen.has(waiting.key);
        let is_told = waiting.awaited == Awaited::Again
            || !waiting.contact.failed
            || self.ways.is_told(waiting.back, waiting.due_ms);
        is_told.then_some(waiting)
    }
}

impl Way {
    fn of(ctx: &Ctx<'_>, src: &Addr, dst: &Addr) -> Self {
        match [src, dst].map(|a| ctx.zones.is_inside(a)) {
            [false, true] => Way::In,
            [true, false] => Way::Out,
            _ => Way::Beside,
        }
    }

    /// That of the answer.
    fn back(self) -> Self {
        match self {
            Way::In => Way::Out,
            Way::Out => Way::In,
            Way::Beside => Way::Beside,
        }
    }
}

impl Ways {
    fn new() -> Self {
        Ways {
            rows: [0; 3],
            last_ms: [i64::MIN; 3],
            there: [0; 3],
            until_ms: [i64::MIN; 2],
        }
    }

    fn take(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, answered: bool) {
        let way = Way::of(ctx, &f.src, &f.dst);
        // a host says that a port is closed, or a router that nobody is there
        let is_error = matches!((f.proto, f.icmp >> 8), (ICMP, 3 | 11) | (ICMPV6, 1..=4));
        let n = way as usize;
        let serves = f.packets >= SOME && f.src_port < f.dst_port;
        if f.packets >= SOME && f.dst_port < f.src_port {
            self.there[n] = self.there[n].saturating_add(1);
        }
        if matches!(way, Way::Beside) && !answered && !is_error && !serves {
            return;
        }
        self.rows[n] = self.rows[n].saturating_add(1);
        self.last_ms[n] = ctx.now_ms;
        let is_seen = |way| self.is_seen(way, ctx.now_ms);
        let later_ms = ctx.now_ms.saturating_add(LOOK_MS);
        let all = [is_seen(Way::In) && is_seen(Way::Out), is_seen(Way::Beside)];
        for (until_ms, is_seen) in self.until_ms.iter_mut().zip(all) {
            if is_seen {
                *until_ms = later_ms;
            }
        }
    }

    /// Whether rows that go this way would be told of: some were lately, or nothing shows that they would not.
    fn is_told(&self, way: Way, now_ms: i64) -> bool {
        self.there[way.back() as usize] < THERE_MIN || self.is_seen(way, now_ms)
    }

    /// Whether rows that go this way were told of lately.
    fn is_seen(&self, way: Way, now_ms: i64) -> bool {
        let n = way as usize;
        self.rows[n] >= ROWS_MIN && now_ms.saturating_sub(self.last_ms[n]) <= TOLD_MS
    }
}

impl Detectors {
    /// Contacts that waited until `by_ms` for what says whether they failed are judged, and uploads that waited for what comes back.
    pub(super) fn judge_waiting(&mut self, by_ms: i64) {
        let (mut ctx, parts, answers) = self.split();
        parts.upload.judge_waiting(&mut ctx, by_ms, &parts.flood);
        let mut due = Vec::with_capacity(FAR);
        loop {
            due.extend(std::iter::from_fn(|| answers.due(by_ms)).take(FAR));
            if due.is_empty() {
                return;
            }
            let hashes: [Hashes; FAR] =
                std::array::from_fn(|n| due.get(n).map(Waiting::hashes).unwrap_or_default());
            for found in [false, true] {
                let all = &hashes[..due.len()];
                all.iter().for_each(|h| parts.scan.call(*h, found));
            }
            for (waiting, h) in due.drain(..).zip(hashes) {
                let row = waiting.row();
                if !parts.flood.is_victim(&row.dst) {
                    parts.scan.contact(&mut ctx, (&row, h), waiting.contact);
                }
            }
        }
    }
}

/// The hash of a half-open connection from a host to a port of another one.
pub(super) fn half_open(f: &FlowSeen, h: Hashes) -> u64 {
    both(h.src, h.dst, f.dst_port.into())
}

/// What is remembered when it was seen once, twice and three times.
fn times(key: u64) -> [u64; AGAIN] {
    [1, 2, 3].map(|n: u64| (key ^ n).wrapping_mul(ODD))
}

const AGAIN: usize = 3;
const SEEN_LOG2: u32 = 22;
const SEEN_MS: i64 = 60_000;
/// Questions wait for answers that come after them, half-open connections for two more of intervals of health checks.
const WAIT_MS: [i64; 2] = [30_000, 60_000];
const WAITING_MAX: [usize; 2] = [16_384, 8_192];
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Packets of a conversation in which something is answered.
const SOME: u64 = 4;
/// So many of these without any that comes back show that one way is told.
const THERE_MIN: u8 = 20;
/// So many rows show that those of a way are told, for so long; how often that is looked at.
const ROWS_MIN: u8 = 3;
const TOLD_MS: i64 = 86_400_000;
const LOOK_MS: i64 = 3_600_000;
