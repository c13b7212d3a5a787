//! Names that an algorithm made (DGA): one client asks for many domains that do not exist, and most of them look drawn by lot.
//!
//! Within five minutes, or within hours for a program that takes its time. Resolvers ask for their clients: who answers
//! others, asks many servers, or hears of twenty times as much that exists, is not judged.

use super::arena::Held;
use super::keyed::Distinct;
use super::label::is_drawn;
use super::sighting::DnsSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle, plain};
use crate::model::{DetectionKind, Entity, EntityRole};

/// Domains that do not exist.
#[derive(Debug, Default)]
pub(super) struct Missing {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    domains: Distinct<4>,
    /// Who was asked: who asks many is a resolver, and its questions are those of others.
    servers: Distinct<1>,
    drawn: u32,
    n: u32,
    /// Answers of any kind.
    answers: u32,
    /// Domains since it was told.
    told: u32,
    slow: Slow,
    handle: Option<Handle>,
}

/// The same within hours.
#[derive(Clone, Copy, Debug, Default)]
struct Slow {
    began_ms: i64,
    first_ms: i64,
    domains: Distinct<8>,
    drawn: u32,
    n: u32,
    answers: u32,
    servers: Distinct<1>,
}

impl Held for Missing {
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
}

impl Missing {
    /// An answer of any kind.
    pub fn hears(&mut self, ctx: &Ctx<'_>) {
        if ctx.now_ms.saturating_sub(self.slow.began_ms) > SLOW_MS {
            self.slow = Slow {
                began_ms: ctx.now_ms,
                ..Slow::default()
            };
        }
        self.answers = self.answers.saturating_add(1);
        self.slow.answers = self.slow.answers.saturating_add(1);
    }

    /// An answer that a domain does not exist.
    pub fn add(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, domain: &[u8]) {
        if ctx.now_ms.saturating_sub(self.began_ms) > MISSING_MS {
            *self = Missing {
                began_ms: ctx.now_ms,
                first_ms: d.time_ms,
                told: self.told,
                slow: self.slow,
                handle: self.handle,
                ..Missing::default()
            };
        }
        self.last_ms = ctx.now_ms;
        let server = ctx.keyed.hash(&d.server);
        self.servers.add(server);
        self.slow.servers.add(server);
        let label = domain.split(|b| *b == b'.').next().unwrap_or_default();
        let (hash, drawn) = (ctx.keyed.hash(&domain), u32::from(is_drawn(label)));
        let is_new = self.slow.add(d, hash, drawn);
        if !self.domains.add(hash) && !is_new {
            return;
        }
        self.n += 1;
        self.drawn += drawn;
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: d.time_ms,
                count: 1,
                peer: None,
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                self.told = self.told.saturating_add(1);
                ctx.incidents.figure(handle, MISSING, self.told.into());
                return;
            }
            self.handle = None;
        }
        self.judge(ctx, d, domain);
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, domain: &[u8]) {
        let wanted = ctx.settings.dns.missing_domains;
        let slowly = wanted.saturating_mul(SLOW_TIMES);
        let quick = (self.n, self.drawn, self.answers, wanted, self.first_ms);
        let mut ways = vec![quick];
        if self.slow.servers.count() < SERVERS {
            let s = &self.slow;
            ways.push((s.n, s.drawn, s.answers, slowly, s.first_ms));
        }
        // of many clients there is always one that asks for what does not exist
        let is_made = |&(n, drawn, answers, wanted, _): &(u32, u32, u32, u32, i64)| {
            n >= wanted && drawn * 2 >= n && n.saturating_mul(FEW) >= answers
        };
        let Some((n, drawn, _, wanted, first_ms)) = ways.into_iter().find(is_made) else {
            return;
        };
        if self.servers.count() >= SERVERS {
            return;
        }
        self.told = n;
        let finding = Finding {
            kind: DetectionKind::Dga,
            detector: "dns.missing_domains",
            entity: Entity::Host(d.client),
            role: EntityRole::Source,
            severity: None,
            confidence: 75,
            about: format!("asked for by {}", d.client),
            first_ms,
            last_ms: d.time_ms,
            count: n.into(),
            peers: vec![d.server],
            peers_total: 1,
            figures: vec![
                figure(MISSING, n.into(), Some(wanted.into())),
                figure(
                    "of them with names that look drawn by lot",
                    drawn.into(),
                    Some(f64::from(n) / 2.0),
                ),
            ],
            facts: vec![
                ("last domain", plain(&String::from_utf8_lossy(domain))),
                super::counted(),
            ],
            counterfactual: format!(
                "fewer than {} domains that do not exist within five minutes and {slowly} within six hours",
                ctx.settings.dns.missing_domains
            ),
            blind: vec![],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, d.evidence());
        }
    }
}

impl Slow {
    /// Whether a domain is new among them.
    fn add(&mut self, d: &DnsSeen, hash: u64, drawn: u32) -> bool {
        if !self.domains.add(hash) {
            return false;
        }
        if self.n == 0 {
            self.first_ms = d.time_ms;
        }
        self.n += 1;
        self.drawn += drawn;
        true
    }
}

const MISSING: &str = "domains that do not exist";
/// Who asks so many servers resolves for others.
const SERVERS: u32 = 5;
/// So many times as many answers, and what does not exist is what somebody mistypes.
const FEW: u32 = 20;
const MISSING_MS: i64 = 300_000;
const SLOW_MS: i64 = 6 * 3_600_000;
/// How many times more domains are wanted within hours: browsers and searches try some that do not exist.
const SLOW_TIMES: u32 = 4;
