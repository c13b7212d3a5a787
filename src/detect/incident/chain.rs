//! Steps of one source that are one attack.
//!
//! Three stages within a week are one incident, the chain. Its steps stay what they are, with their ids, and say that they are part of it:
//! people are told of the chain, and of the steps with it.

use super::super::anomaly::Kept;
use super::{Finding, Handle, Incidents, stage};
use crate::model::{Addr, Detection, DetectionKind, Entity, EntityRole, Figure, Step};
use std::collections::BTreeMap;

/// A step of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    kind: DetectionKind,
    id: u64,
    first_ms: i64,
}

impl Incidents {
    /// Remembers the step of a source; the incident of the whole way, where it has come so far.
    pub(super) fn chain(&mut self, now_ms: i64, step: &Detection) -> Option<Handle> {
        let source = step.entity.addr()?;
        if stage(step.kind) == 0 || step.role != EntityRole::Source {
            return None;
        }
        if self.links.len() >= LINKED_MAX && !self.links.contains_key(&source) {
            let since = now_ms - LINK_MS;
            self.links
                .retain(|_, l| l.iter().any(|l| l.first_ms >= since));
            if self.links.len() >= LINKED_MAX {
                return None;
            }
        }
        let links = self.links.entry(source).or_default();
        links.retain(|l| now_ms.saturating_sub(l.first_ms) < LINK_MS && l.id != step.id);
        if links.len() < LINKS_MAX {
            links.push(Link {
                kind: step.kind,
                id: step.id,
                first_ms: step.first_ms,
            });
        }
        links.sort_by_key(|l| (l.first_ms, l.id));
        let links = links.clone();
        let mut stages: Vec<u8> = links.iter().map(|l| stage(l.kind)).collect();
        stages.sort_unstable();
        stages.dedup();
        if stages.len() < CHAIN_STAGES || self.off.contains(&DetectionKind::AttackChain) {
            return None;
        }
        self.tell_chain(now_ms, source, step, (&links, stages.len()))
    }

    fn tell_chain(
        &mut self,
        now_ms: i64,
        source: Addr,
        step: &Detection,
        (links, stages): (&[Link], usize),
    ) -> Option<Handle> {
        let first_ms = links.iter().map(|l| l.first_ms).min()?;
        let mut attack: Vec<&'static str> = vec![];
        for id in links.iter().flat_map(|l| l.kind.attack()) {
            if !attack.contains(id) {
                attack.push(id);
            }
        }
        let about = format!("{source} has come {stages} stages");
        let title = format!("{}: {about}", DetectionKind::AttackChain.title());
        let finding = Finding {
            kind: DetectionKind::AttackChain,
            detector: "incident.chain",
            entity: Entity::Host(source),
            role: EntityRole::Source,
            severity: None,
            confidence: 85,
            about,
            first_ms,
            last_ms: step.last_ms,
            count: 0,
            peers: step.peers.clone(),
            peers_total: step.peers_total,
            figures: vec![
                figure("stages", stages as f64, CHAIN_STAGES as f64),
                figure("incidents", links.len() as f64, CHAIN_STAGES as f64),
            ],
            facts: vec![],
            counterfactual: format!("fewer than {CHAIN_STAGES} stages within a week"),
            blind: vec!["whether one hand does all of it".to_owned()],
        };
        let handle = self.report(now_ms, finding)?;
        let incident = self.open.get_mut(handle)?;
        let of = |l: &Link| Step {
            id: l.id,
            kind: l.kind,
            first_ms: l.first_ms,
        };
        incident.told.evidence.steps = links.iter().map(of).collect();
        incident.told.attack = attack.into_iter().map(Into::into).collect();
        incident.told.count = links.len() as u64;
        incident.told.title = title;
        for link in links {
            if let Some(of) = self.open.handle(link.id)
                && let Some(step) = self.open.get_mut(of)
                && step.told.evidence.part_of != Some(handle.id)
            {
                step.told.evidence.part_of = Some(handle.id);
                step.changed = true;
            }
        }
        Some(handle)
    }

    /// A chain goes on as long as one of its steps does.
    pub(super) fn chains_go_on(&mut self) {
        let mut last: BTreeMap<u64, i64> = BTreeMap::new();
        for step in self.open.iter().map(|i| &i.told) {
            if let Some(chain) = step.evidence.part_of {
                let at = last.entry(chain).or_insert(i64::MIN);
                *at = (*at).max(step.last_ms);
            }
        }
        for (chain, last_ms) in last {
            if let Some(handle) = self.open.handle(chain)
                && let Some(incident) = self.open.get_mut(handle)
                && incident.told.last_ms < last_ms
            {
                incident.told.last_ms = last_ms;
                incident.changed = true;
            }
        }
    }

    pub(super) fn put_links(&self, out: &mut Vec<u8>) {
        let links = self
            .links
            .iter()
            .flat_map(|(a, all)| all.iter().map(move |l| (a, l)));
        let links = links.map(|(a, l)| (*a, l.kind.name().to_owned(), l.id, l.first_ms));
        links.collect::<Vec<_>>().put(out);
    }

    pub(super) fn get_links(&mut self, from: &mut &[u8]) -> Option<()> {
        let links: Vec<(Addr, String, u64, i64)> = Kept::get(from)?;
        for (source, kind, id, first_ms) in links.into_iter().take(LINKED_MAX * LINKS_MAX) {
            let kind = DetectionKind::ALL.iter().find(|k| k.name() == kind);
            let all = self.links.entry(source).or_default();
            if let Some(&kind) = kind.filter(|_| all.len() < LINKS_MAX) {
                all.push(Link { kind, id, first_ms });
            }
        }
        Some(())
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

/// So many stages are a chain: fewer are told by each incident, which names those before.
const CHAIN_STAGES: usize = 3;
/// Steps of a source, for how long, and of how many sources.
const LINKS_MAX: usize = 32;
const LINK_MS: i64 = 7 * 86_400_000;
const LINKED_MAX: usize = 4_096;
