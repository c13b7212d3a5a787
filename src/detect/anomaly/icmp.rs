//! Tunnels in echo messages.
//!
//! A reply has the data of its request (RFC 792, RFC 4443 section 4.2). Where replies say something else again and again, or data
//! come in many lengths, the two ends talk in them (ptunnel, icmptunnel, Loki). Who only takes away sends requests that each carry something new, of
//! whatever length, and needs no answer. A pattern that repeats says nothing, however long it is: what
//! looks for the largest packet of a path sends it in many lengths.

use super::arena::{Arena, Held};
use super::keyed::Distinct;
use super::sighting::EchoSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};

#[derive(Debug)]
pub(super) struct Icmp {
    pairs: Arena<(Addr, Addr), Echoes>,
}

/// Echo messages between two hosts, the lower address first.
#[derive(Debug, Default)]
struct Echoes {
    first_ms: i64,
    last_ms: i64,
    client: Addr,
    requests: u32,
    replies: u32,
    /// Messages with data that are no pattern.
    speak: u32,
    spoken_replies: u32,
    /// Replies that differ from their request.
    differ: u32,
    bytes: u64,
    large: u32,
    /// Large requests, and how many of them say something that none before did.
    loads: u32,
    load_contents: Distinct<8>,
    lengths: Distinct<4>,
    contents: Distinct<8>,
    asked: [((u16, u16), u64); 16],
    handle: Option<Handle>,
}

impl Held for Echoes {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.differ * 16 + self.lengths.count()
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.suspicion() < 16
    }
}

impl Icmp {
    pub fn new(places: usize) -> Self {
        Icmp {
            pairs: Arena::new(places / 16),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Echoes>::bytes(places / 16)
    }

    pub fn lost(&self) -> (u64, u64) {
        self.pairs.lost()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    pub fn echo(&mut self, ctx: &mut Ctx<'_>, e: &EchoSeen) {
        let key = (e.src.min(e.dst), e.src.max(e.dst));
        let Some(pair) = self.pairs.entry(ctx.keyed, &key) else {
            return;
        };
        if ctx.now_ms.saturating_sub(pair.last_ms) > FORGET_MS {
            *pair = Echoes {
                first_ms: e.time_ms,
                client: if e.is_reply { e.dst } else { e.src },
                ..Echoes::default()
            };
        }
        pair.last_ms = ctx.now_ms;
        pair.add(ctx, e);
        pair.judge(ctx, e);
    }
}

impl Echoes {
    fn add(&mut self, ctx: &Ctx<'_>, e: &EchoSeen) {
        self.bytes += u64::from(e.len);
        if !e.is_pattern {
            self.speak = self.speak.saturating_add(1);
            self.spoken_replies += u32::from(e.is_reply);
            self.large += u32::from(e.len > LARGE);
            self.lengths.add(ctx.keyed.hash(&e.len));
            self.contents.add(e.hash);
            if !e.is_reply && e.len > LARGE {
                self.loads = self.loads.saturating_add(1);
                self.load_contents.add(ctx.keyed.hash(&e.hash));
            }
        }
        let id = e.id_seq;
        let place = ctx.keyed.hash(&id) as usize % self.asked.len();
        if !e.is_reply {
            self.requests = self.requests.saturating_add(1);
            self.asked[place] = (id, e.hash);
            return;
        }
        self.replies = self.replies.saturating_add(1);
        let (asked, hash) = self.asked[place];
        self.differ += u32::from(hash != 0 && asked == id && hash != e.hash);
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, e: &EchoSeen) {
        let lengths = self.lengths.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: e.time_ms,
                count: 1,
                peer: None,
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, DIFFER, self.differ.into());
                ctx.incidents.figure(handle, LENGTHS, lengths.into());
                ctx.incidents.figure(handle, LOADS, self.loads.into());
                ctx.incidents.show(handle, e.evidence());
                return;
            }
            self.handle = None;
        }
        let n = self.requests + self.replies;
        let differ = self.differ >= DIFFER_MIN && self.differ * 4 >= self.replies;
        let talk = self.speak >= TALK_MIN
            && lengths >= LENGTHS_MIN
            && self.contents.count() * 4 >= self.speak
            && self.large >= 5;
        // replies alone, or far more of them than requests, that say new things
        let unasked = self.spoken_replies >= TALK_MIN
            && self.requests * 4 < self.replies
            && lengths >= LENGTHS_MIN;
        // whether somebody answers or says the same back, each request carries something new
        let loads = self.loads >= TALK_MIN
            && self.load_contents.count() * 5 >= self.loads.saturating_mul(4);
        if !differ && !talk && !unasked && !loads {
            return;
        }
        let server = if self.client == e.src { e.dst } else { e.src };
        let finding = Finding {
            kind: DetectionKind::IcmpTunnel,
            detector: match () {
                () if differ => "icmp.replies_differ",
                () if talk || unasked => "icmp.lengths",
                () => "icmp.loads",
            },
            entity: Entity::Pair(self.client, server),
            role: EntityRole::Source,
            severity: None,
            confidence: if differ { 90 } else { 75 },
            about: format!("between {} and {server}", self.client),
            first_ms: self.first_ms,
            last_ms: e.time_ms,
            count: n.into(),
            peers: vec![server],
            peers_total: 1,
            figures: vec![
                figure(DIFFER, self.differ.into(), Some(DIFFER_MIN.into())),
                figure(LENGTHS, lengths.into(), Some(LENGTHS_MIN.into())),
                figure(LOADS, self.loads.into(), Some(TALK_MIN.into())),
                figure("bytes in echo messages", self.bytes as f64, None),
            ],
            facts: vec![],
            counterfactual: "replies with the data of their requests, of one length, and requests with a pattern of ping".to_owned(),
            blind: vec![],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, e.evidence());
        }
    }
}

const DIFFER: &str = "replies that differ from their request";
const LENGTHS: &str = "different lengths";
const LOADS: &str = "large requests that are no pattern";
const DIFFER_MIN: u32 = 5;
const TALK_MIN: u32 = 20;
const LENGTHS_MIN: u32 = 8;
/// Bytes that no ping has by itself (48 to 64).
const LARGE: u16 = 100;
const FORGET_MS: i64 = 600_000;
