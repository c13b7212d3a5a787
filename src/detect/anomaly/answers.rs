//! What was asked and answered, and first contacts that wait for what says whether they failed.
//!
//! Rows of exporters that have no direction of their own come apart: that of an answer stands behind that of its question, up to some seconds
//! later. A half-open connection that was answered is a probe, or what balancers do all day long: who does it a third time within a minute asks
//! whether a service is there, and does not look for one. Both are known some time later, so that such contacts wait in queues of a fixed size;
//! where one is full, the oldest is judged by what is known by then.

use super::keyed::Recent;
use super::scan::Contact;
use super::sighting::FlowSeen;
use super::{Ctx, Detectors, FAR, Hashes};
use crate::model::Addr;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Answers {
    seen: Recent,
    /// Questions, and half-open connections.
    lines: [VecDeque<Waiting>; 2],
    early: u64,
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
    /// The hash of what says that it did not fail.
    key: u64,
    src: Addr,
    dst: Addr,
    ports: (u16, u16),
    proto: u8,
    icmp: u16,
    packets: u32,
    bytes: u32,
    life_ms: u32,
    start_ms: i64,
    pub contact: Contact,
}

impl Waiting {
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

    /// Lets a contact wait. What has to be judged at once, for there is no room, comes back.
    pub fn wait(
        &mut self,
        now_ms: i64,
        (f, contact): (&FlowSeen, Contact),
        (awaited, key): (Awaited, u64),
    ) -> Option<Waiting> {
        let n = awaited as usize;
        let line = &mut self.lines[n];
        let oldest = match line.len() < WAITING_MAX[n] {
            true => None,
            false => line.pop_front(),
        };
        line.push_back(Waiting {
            due_ms: now_ms.saturating_add(WAIT_MS[n]),
            key: match awaited {
                Awaited::Answer => key,
                Awaited::Again => times(key)[AGAIN - 1],
            },
            src: f.src,
            dst: f.dst,
            ports: (f.src_port, f.dst_port),
            proto: f.proto,
            icmp: f.icmp,
            packets: u32::try_from(f.packets).unwrap_or(u32::MAX),
            bytes: u32::try_from(f.bytes).unwrap_or(u32::MAX),
            life_ms: u32::try_from(f.life_ms()).unwrap_or(u32::MAX),
            start_ms: f.start_ms,
            contact,
        });
        let oldest = self.settled(oldest?);
        self.early += u64::from(oldest.contact.failed);
        Some(oldest)
    }

    /// The next that has waited long enough.
    pub fn due(&mut self, now_ms: i64) -> Option<Waiting> {
        for line in &mut self.lines {
            if line.front().is_some_and(|w| w.due_ms <= now_ms) {
                if let Some(coming) = line.get(super::NEAR) {
                    self.seen.call(coming.key);
                }
                let waiting = line.pop_front()?;
                return Some(self.settled(waiting));
            }
        }
        None
    }

    /// Forgets what is too old.
    pub fn pass(&mut self, now_ms: i64) {
        self.seen.pass(now_ms);
    }

    fn settled(&self, mut waiting: Waiting) -> Waiting {
        waiting.contact.failed &= !self.seen.has(waiting.key);
        waiting
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
            let hashes = |w: &Waiting| Hashes::of(ctx.keyed, &w.src, &w.dst);
            let hashes: [Hashes; FAR] =
                std::array::from_fn(|n| due.get(n).map(hashes).unwrap_or_default());
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
pub(super) fn half_open(ctx: &Ctx<'_>, f: &FlowSeen) -> u64 {
    ctx.keyed.hash(&(f.src, f.dst, f.dst_port))
}

/// What is remembered when it was seen once, twice and three times.
fn times(key: u64) -> [u64; AGAIN] {
    [1, 2, 3].map(|n: u64| (key ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

const AGAIN: usize = 3;
const SEEN_LOG2: u32 = 22;
const SEEN_MS: i64 = 60_000;
/// Questions wait for answers that come after them, half-open connections for two more of intervals of health checks.
const WAIT_MS: [i64; 2] = [30_000, 60_000];
const WAITING_MAX: [usize; 2] = [16_384, 8_192];
