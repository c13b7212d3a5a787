//! Uploads: much from a host inside to a place outside, and little back; and conversations with pools of miners.
//!
//! Without a history of a month, what is new cannot be told from what is usual: the start values are those of `large_upload`, of
//! low severity, and say so.

use super::arena::{Arena, Held};
use super::sighting::{FlowSeen, Side};
use super::{Ctx, evidence, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, AppProto, DetectionKind, Entity, EntityRole};

#[derive(Debug)]
pub(super) struct Upload {
    pairs: Arena<(Addr, Addr), Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    sent: u64,
    came: u64,
    handle: Option<Handle>,
}

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
        self.sent < 1 << 20
    }
}

impl Upload {
    pub fn new(places: usize) -> Self {
        Upload {
            pairs: Arena::new(places / 8),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Sums>::bytes(places / 8)
    }

    pub fn lost(&self) -> (u64, u64) {
        self.pairs.lost()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        mining(ctx, f);
        let out = ctx.zones.is_inside(&f.src) && !ctx.zones.is_inside(&f.dst);
        let home = !ctx.zones.is_inside(&f.src) && ctx.zones.is_inside(&f.dst);
        let back = f.back_bytes.unwrap_or(0);
        if !(out || home) || f.est_bytes().max(back) < LEAST {
            return;
        }
        let (key, sent, came) = match out {
            true => ((f.src, f.dst), f.est_bytes(), back),
            false => ((f.dst, f.src), back, f.est_bytes()),
        };
        if let Some(sums) = self.pairs.entry(ctx.keyed, &key) {
            sums.add(ctx, f, sent, came);
            sums.judge(ctx, f, key);
        }
    }
}

impl Sums {
    fn add(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, sent: u64, came: u64) {
        if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Sums {
                began_ms: ctx.now_ms,
                first_ms: f.start_ms,
                handle: self.handle,
                ..Sums::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.sent = self.sent.saturating_add(sent);
        self.came = self.came.saturating_add(came);
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, (src, dst): (Addr, Addr)) {
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: None,
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                ctx.incidents.figure(handle, SENT, self.sent as f64);
                return;
            }
            self.handle = None;
        }
        let s = &ctx.settings.upload;
        let ratio = self.sent as f64 / self.came.max(1) as f64;
        if self.sent < s.bytes || ratio < s.ratio {
            return;
        }
        let mut blind = super::sampled(f.interval);
        blind.push("whether this host sends so much usually is not known".to_owned());
        let finding = Finding {
            kind: DetectionKind::LargeUpload,
            detector: "upload.ratio",
            entity: Entity::Host(src),
            role: EntityRole::Source,
            severity: None,
            confidence: 50,
            about: format!("{src} to {dst}"),
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: 1,
            peers: vec![dst],
            peers_total: 1,
            figures: vec![
                figure(SENT, self.sent as f64, Some(s.bytes as f64)),
                figure("bytes sent for each that came back", ratio, Some(s.ratio)),
            ],
            facts: vec![],
            counterfactual: format!("fewer than {} bytes, or more that came back", s.bytes),
            blind,
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

/// A conversation that speaks a protocol of mining pools.
fn mining(ctx: &mut Ctx<'_>, f: &FlowSeen) {
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
const WINDOW_MS: i64 = 3_600_000;
/// Smaller rows make no large upload.
const LEAST: u64 = 4_096;
