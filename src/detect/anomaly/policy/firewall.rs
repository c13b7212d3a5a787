//! What firewalls say: who is denied much, and which rules are hit.
//!
//! Events are those of element 233 (1 created, 2 deleted, 3 denied) with Cisco's number of the rule (NSEL element 33000: the hashes that
//! `show access-list` prints beside each entry). Of a source it is counted how much was denied within ten minutes.

use super::super::arena::{Arena, Held};
use super::super::keep::{Kept, kept};
use super::super::keyed::Distinct;
use super::super::named::Hosts;
use super::super::sighting::FlowSeen;
use super::super::{Ctx, counted, evidence, figure};
use super::matrix::Used;
use super::settings::PolicySettings;
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Firewall {
    sources: Arena<Addr, Denials>,
    /// Hits by rule, of all firewalls: the hashes come from the text of a rule.
    pub hits: BTreeMap<u64, Used>,
    /// Rules that have to be hit, with their names.
    pub wanted: Vec<(u64, String)>,
    refused: u64,
}

#[derive(Debug, Default)]
struct Denials {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    n: u32,
    hosts: Hosts<8, 16>,
    ports: Distinct<8>,
    rules: [u64; RULES],
    handle: Option<Handle>,
}

kept!(Denials {
    began_ms,
    first_ms,
    last_ms,
    n,
    hosts,
    ports,
    rules,
    handle
});

impl Held for Denials {
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

impl Firewall {
    pub fn new(places: usize, s: &PolicySettings, faults: &mut Vec<String>) -> Self {
        let mut wanted = vec![];
        for rule in &s.firewall_rules {
            let digits = rule.rule.trim().trim_start_matches("0x");
            match u64::from_str_radix(digits, 16) {
                Ok(number) if number != 0 => wanted.push((number, rule.name.clone())),
                _ => faults.push(format!(
                    "firewall_rules: `{}` is no hash of a rule, like 0x9b3e8f01",
                    rule.rule
                )),
            }
        }
        Firewall {
            sources: Arena::new(places / 16),
            hits: BTreeMap::new(),
            wanted,
            refused: 0,
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Addr, Denials>::bytes(places / 16)
            + places / 16 * Hosts::<8, 16>::BYTES
            + HITS_MAX * 2 * size_of::<(u64, Used)>()
    }

    pub fn lost(&self) -> (u64, u64) {
        let (evicted, refused) = self.sources.lost();
        (evicted, refused + self.refused)
    }

    pub fn clear(&mut self) {
        self.sources.clear();
        self.hits.clear();
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        let hits: Vec<(u64, Used)> = self.hits.iter().map(|(r, u)| (*r, *u)).collect();
        hits.put(out);
    }

    pub fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        let hits: Vec<(u64, Used)> = Kept::get(from)?;
        self.hits = hits.into_iter().take(HITS_MAX).collect();
        Some(())
    }

    /// Since when the rule of a hash, long or short, was hit, and how often.
    pub fn used(&self, rule: u64) -> Option<&Used> {
        let is_it = |r: &u64| *r == rule || *r >> 32 == rule;
        let all = self.hits.iter().filter(|(r, _)| is_it(r));
        all.map(|(_, used)| used).max_by_key(|u| u.last_ms)
    }

    pub fn event(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.firewall_rule != 0 {
            let full = self.hits.len() >= HITS_MAX;
            if full && !self.hits.contains_key(&f.firewall_rule) {
                self.refused += 1;
            } else {
                self.hits.entry(f.firewall_rule).or_default().by(f);
            }
        }
        if f.firewall_event == DENIED
            && let Some(denials) = self.sources.entry(ctx.keyed, &f.src)
        {
            denials.add(ctx, f);
        }
    }
}

impl Denials {
    fn add(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Denials {
                began_ms: ctx.now_ms,
                first_ms: f.start_ms,
                handle: self.handle,
                ..Denials::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.n = self.n.saturating_add(1);
        self.hosts.add(f.dst, ctx.keyed.hash(&f.dst));
        self.ports.add(ctx.keyed.hash(&(f.proto, f.dst_port)));
        if let Some(at) = self
            .rules
            .iter()
            .position(|r| *r == f.firewall_rule || *r == 0)
        {
            self.rules[at] = f.firewall_rule;
        }
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: Some(f.dst),
                peers_total: self.hosts.count().into(),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, DENIALS, f64::from(self.n));
                ctx.incidents.show(handle, evidence(f));
                return;
            }
            self.handle = None;
        }
        let threshold = ctx.settings.policy.denied;
        if self.n < threshold {
            return;
        }
        let finding = self.finding(f, threshold);
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }

    fn finding(&self, f: &FlowSeen, threshold: u32) -> Finding {
        let rules = self.rules.iter().filter(|r| **r != 0);
        let rules: Vec<String> = rules.map(|r| rule_words(*r)).collect();
        let mut blind = vec!["what firewalls that send no events deny".to_owned()];
        let mut facts = vec![("firewall", f.exporter.to_string()), counted()];
        match rules.is_empty() {
            true => blind.push("by which rule: the firewall does not say".to_owned()),
            false => facts.push(("rules", rules.join(", "))),
        }
        Finding {
            kind: DetectionKind::PolicyDenied,
            detector: "policy.denied",
            entity: Entity::Host(f.src),
            role: EntityRole::Source,
            severity: None,
            confidence: 80,
            about: f.src.to_string(),
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: self.n.into(),
            peers: self.hosts.named(f.dst),
            peers_total: self.hosts.count().into(),
            figures: vec![
                figure(DENIALS, self.n.into(), Some(threshold.into())),
                figure("hosts", self.hosts.count().into(), None),
                figure("ports", self.ports.count().into(), None),
            ],
            facts,
            counterfactual: format!("fewer than {threshold} denials within ten minutes"),
            blind,
        }
    }
}

/// A rule as the firewall shows it.
pub(super) fn rule_words(rule: u64) -> String {
    match (rule >> 32, rule & 0xffff_ffff) {
        (0, low) => format!("0x{low:08x}"),
        (high, 0) => format!("0x{high:08x}"),
        (high, low) => format!("0x{high:08x} 0x{low:08x}"),
    }
}

const DENIALS: &str = "denials within ten minutes";
pub(super) const DENIED: u8 = 3;
const WINDOW_MS: i64 = 600_000;
const RULES: usize = 4;
const HITS_MAX: usize = 16_384;
