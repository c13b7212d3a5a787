//! Steps of one source that are one attack.
//!
//! Three stages within a week are one incident, the chain. Its steps stay what they are, with their ids, and say that they are part of it:
//! people are told of the chain, and of the steps with it. As long as a source takes a step a week it is the same chain, and no step leaves it.

use super::super::anomaly::Kept;
use super::{Finding, Handle, Incidents, stage};
use crate::model::{
    Addr, Detection, DetectionKind, EVIDENCE_FLOWS_MAX, Entity, EntityRole, EvidenceFlow, Figure,
    PEERS_MAX, Step,
};
use std::collections::BTreeMap;

/// A step of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    kind: DetectionKind,
    id: u64,
    first_ms: i64,
}

/// What steps of a chain have that it has not yet.
#[derive(Debug, Default)]
struct More {
    last_ms: i64,
    flows: Vec<EvidenceFlow>,
    peers: Vec<Addr>,
    peers_total: u64,
}

/// What a source did.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// In order of time.
    links: Vec<Link>,
    /// Ids of steps that gave way, the one that did so first first: they are part of it all the same.
    gone: Vec<u64>,
    /// With whom it was in steps that are over.
    peers: Vec<Addr>,
    /// When the last step was taken.
    last_ms: i64,
    /// When the chain that is told of it began: its id goes by that, whatever earlier steps are found later.
    began_ms: Option<i64>,
}

impl Way {
    /// Adds a step that was seen until `seen_ms`, by the clock of what shows it; whether another one gave way.
    fn add(&mut self, now_ms: i64, seen_ms: i64, link: Link) -> bool {
        if now_ms.saturating_sub(self.last_ms) >= LINK_MS {
            *self = Way::default();
        }
        self.last_ms = now_ms;
        let is_told = self.began_ms.is_some();
        self.links.retain(|l| {
            l.id != link.id && (is_told || seen_ms.saturating_sub(l.first_ms) < LINK_MS)
        });
        self.gone.retain(|id| *id != link.id);
        self.links.push(link);
        self.links.sort_by_key(|l| (l.first_ms, l.id));
        let is_full = self.links.len() > LINKS_MAX;
        if is_full {
            self.drop_one();
        }
        is_full
    }

    /// The oldest step of the stage that has most goes.
    fn drop_one(&mut self) {
        let of = |s: u8| self.links.iter().filter(|l| stage(l.kind) == s).count();
        let most = self.links.iter().map(|l| stage(l.kind));
        let most = most.max_by_key(|s| (of(*s), std::cmp::Reverse(*s)));
        if let Some(at) = self.links.iter().position(|l| Some(stage(l.kind)) == most) {
            let gone = self.links.remove(at);
            if self.gone.len() >= GONE_MAX {
                self.gone.remove(0);
            }
            self.gone.push(gone.id);
        }
    }

    fn stages(&self) -> usize {
        let mut stages: Vec<u8> = self.links.iter().map(|l| stage(l.kind)).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.len()
    }
}

impl Incidents {
    /// Remembers the step of a source; the incident of the whole way, where it has come so far.
    pub(super) fn chain(&mut self, now_ms: i64, step: &Detection) -> Option<Handle> {
        let source = step.entity.addr()?;
        if stage(step.kind) == 0 || step.role != EntityRole::Source {
            return None;
        }
        if self.ways.len() >= LINKED_MAX && !self.ways.contains_key(&source) {
            self.ways
                .retain(|_, w| now_ms.saturating_sub(w.last_ms) < LINK_MS);
            if self.ways.len() >= LINKED_MAX {
                self.lost.1 += 1;
                return None;
            }
        }
        let way = self.ways.entry(source).or_default();
        let link = Link {
            kind: step.kind,
            id: step.id,
            first_ms: step.first_ms,
        };
        self.lost.0 += u64::from(way.add(now_ms, step.last_ms, link));
        if way.stages() < CHAIN_STAGES || self.off.contains(&DetectionKind::AttackChain) {
            return None;
        }
        let way = way.clone();
        self.tell_chain(now_ms, source, step, &way)
    }

    fn tell_chain(
        &mut self,
        now_ms: i64,
        source: Addr,
        step: &Detection,
        way: &Way,
    ) -> Option<Handle> {
        let (links, stages) = (&way.links, way.stages());
        let first_ms = links.iter().map(|l| l.first_ms).min()?;
        let began_ms = way.began_ms.unwrap_or(first_ms);
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
            first_ms: began_ms,
            last_ms: step.last_ms,
            count: 0,
            peers: way.peers.clone(),
            peers_total: 0,
            figures: vec![
                figure("stages", stages as f64, CHAIN_STAGES as f64),
                figure("incidents", links.len() as f64, CHAIN_STAGES as f64),
            ],
            facts: vec![],
            counterfactual: format!("fewer than {CHAIN_STAGES} stages within a week"),
            blind: vec!["whether one hand does all of it".to_owned()],
        };
        let handle = self.report(now_ms, finding)?;
        if let Some(way) = self.ways.get_mut(&source) {
            way.began_ms = Some(began_ms);
        }
        let incident = self.open.get_mut(handle)?;
        incident.told.first_ms = incident.told.first_ms.min(first_ms);
        let of = |l: &Link| Step {
            id: l.id,
            kind: l.kind,
            first_ms: l.first_ms,
        };
        incident.told.evidence.steps = links.iter().map(of).collect();
        incident.told.evidence.steps_gone = way.gone.clone();
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

    /// A step is over: with whom it was is known as long as its source may go on.
    pub(super) fn leave(&mut self, step: &Detection) {
        let source = step.entity.addr();
        let way = source.and_then(|source| self.ways.get_mut(&source));
        let Some(way) = way.filter(|w| w.links.iter().any(|l| l.id == step.id)) else {
            return;
        };
        for peer in &step.peers {
            if way.peers.len() < PEERS_MAX && !way.peers.contains(peer) {
                way.peers.push(*peer);
            }
        }
    }

    /// A chain goes on as long as one of its steps does, is about all who take part in these, and shows a flow of each.
    pub(super) fn chains_go_on(&mut self) {
        let mut more: BTreeMap<u64, More> = BTreeMap::new();
        self.open.each(|incident| {
            let step = &incident.told;
            let Some(chain) = step.evidence.part_of else {
                return;
            };
            let of = more.entry(chain).or_insert_with(|| More {
                last_ms: i64::MIN,
                ..More::default()
            });
            of.last_ms = of.last_ms.max(step.last_ms);
            of.peers_total = of.peers_total.max(step.peers_total);
            if incident.changed {
                of.peers.extend(&step.peers);
            }
            let first = step.evidence.flows.first();
            if let Some(flow) = first.filter(|_| !incident.in_chain) {
                of.flows.push(flow.clone());
                incident.in_chain = true;
            }
        });
        for (chain, more) in more {
            let Some(handle) = self.open.handle(chain) else {
                continue;
            };
            let Some(incident) = self.open.get_mut(handle) else {
                continue;
            };
            let told = &mut incident.told;
            let before = (told.last_ms, told.peers.len(), told.peers_total);
            told.last_ms = told.last_ms.max(more.last_ms);
            told.peers_total = told.peers_total.max(more.peers_total);
            more.peers.into_iter().for_each(|p| incident.add_peer(p));
            let told = &incident.told;
            incident.changed |= before != (told.last_ms, told.peers.len(), told.peers_total);
            for flow in more.flows {
                let shown = &mut incident.told.evidence.flows;
                if shown.len() < EVIDENCE_FLOWS_MAX {
                    shown.push(flow);
                    incident.changed = true;
                }
            }
        }
    }

    pub(super) fn put_ways(&self, out: &mut Vec<u8>) {
        let of = |l: &Link| (l.kind, l.id, l.first_ms);
        (self.ways.len() as u64).put(out);
        for (source, way) in &self.ways {
            (*source, way.last_ms, way.began_ms).put(out);
            way.links.iter().map(of).collect::<Vec<_>>().put(out);
            way.gone.put(out);
            way.peers.put(out);
        }
    }

    pub(super) fn get_ways(&mut self, from: &mut &[u8]) -> Option<()> {
        for _ in 0..u64::get(from)? {
            let (source, last_ms, began_ms) = Kept::get(from)?;
            let links: Vec<(DetectionKind, u64, i64)> = Kept::get(from)?;
            let mut gone: Vec<u64> = Kept::get(from)?;
            gone.truncate(GONE_MAX);
            let mut peers: Vec<Addr> = Kept::get(from)?;
            peers.truncate(PEERS_MAX);
            if self.ways.len() >= LINKED_MAX {
                self.lost.1 += 1;
                continue;
            }
            let links = links.into_iter().take(LINKS_MAX);
            let link = |(kind, id, first_ms)| Link { kind, id, first_ms };
            let way = Way {
                links: links.map(link).collect(),
                gone,
                peers,
                last_ms,
                began_ms,
            };
            self.ways.insert(source, way);
        }
        Some(())
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

/// So many stages are a chain: fewer are told by each incident, which names those before.
const CHAIN_STAGES: usize = 3;
/// Steps of a source, for how long, and of how many sources.
const LINKS_MAX: usize = 64;
/// Steps that gave way and are still known as part of it.
const GONE_MAX: usize = 448;
const LINK_MS: i64 = 7 * 86_400_000;
const LINKED_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::super::Growth;
    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const GAP_S: u32 = 3_600;

    fn step(kind: DetectionKind, first_ms: i64, last_ms: i64) -> Finding {
        Finding {
            kind,
            detector: "of.a.test",
            entity: Entity::Host(Addr::from_v4([10, 0, 0, 9])),
            role: EntityRole::Source,
            severity: None,
            confidence: 80,
            about: String::new(),
            first_ms,
            last_ms,
            count: 1,
            peers: vec![],
            peers_total: 0,
            figures: vec![],
            facts: vec![],
            counterfactual: String::new(),
            blind: vec![],
        }
    }

    /// Reports a step at a time, after what was silent for long is over.
    fn take(all: &mut Incidents, kind: DetectionKind, first_ms: i64, now_ms: i64) {
        all.tick(now_ms);
        all.report(now_ms, step(kind, first_ms, now_ms));
        all.tick(now_ms);
    }

    fn chains(all: &mut Incidents) -> Vec<Detection> {
        all.flush();
        let told = all.take().into_iter();
        told.filter(|d| d.kind == DetectionKind::AttackChain)
            .collect()
    }

    fn three(all: &mut Incidents, at_ms: i64) {
        use DetectionKind as K;
        for (n, kind) in [K::PortScan, K::BruteForce, K::Beacon]
            .into_iter()
            .enumerate()
        {
            let at_ms = at_ms + n as i64 * 60_000;
            take(all, kind, at_ms, at_ms);
        }
    }

    #[test]
    fn many_scans_do_not_hide_what_comes_after_them() {
        let mut all = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        for n in 0..100 {
            let at_ms = 2 * HOUR_MS * n / 3;
            take(&mut all, DetectionKind::PortScan, at_ms, at_ms);
            all.close_all();
        }
        assert!(chains(&mut all).is_empty());
        assert!(all.lost().0 > 0, "what gives way is counted");
        take(
            &mut all,
            DetectionKind::BruteForce,
            67 * HOUR_MS,
            67 * HOUR_MS,
        );
        take(&mut all, DetectionKind::Beacon, 67 * HOUR_MS, 67 * HOUR_MS);
        let chain = chains(&mut all).pop().expect("a chain");
        let steps: Vec<u64> = chain.evidence.steps.iter().map(|s| s.id).collect();
        assert_eq!(steps.len(), LINKS_MAX);
        // those that gave way are part of it, over a restart as well
        let gone = &chain.evidence.steps_gone;
        assert_eq!(gone.len(), 102 - LINKS_MAX);
        assert!(gone.iter().all(|id| !steps.contains(id)));
        let mut saved = vec![];
        all.put(&mut saved);
        let mut after = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        after.get(&mut saved.as_slice()).expect("state");
        let now_ms = 68 * HOUR_MS;
        take(&mut after, DetectionKind::Heartbleed, now_ms, now_ms);
        let again = chains(&mut after).pop().expect("the chain");
        assert!(again.evidence.steps_gone.starts_with(gone));
    }

    #[test]
    fn a_chain_names_the_peers_of_all_its_steps() {
        use DetectionKind as K;
        let peers = |n: &[u8]| -> Vec<Addr> {
            let all = n.iter();
            all.map(|n| Addr::from_v4([10, 0, 1, *n])).collect()
        };
        let take = |all: &mut Incidents, kind, at_ms, peers| {
            all.tick(at_ms);
            let found = Finding {
                peers,
                ..step(kind, at_ms, at_ms)
            };
            all.report(at_ms, found).expect("room")
        };
        // the first one is over when the chain begins, and that is after a restart
        let mut before = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        take(&mut before, K::PortScan, 0, peers(&[1]));
        before.tick(2 * HOUR_MS);
        let mut saved = vec![];
        before.put(&mut saved);
        let mut all = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        all.get(&mut saved.as_slice()).expect("state");
        let now_ms = 3 * HOUR_MS;
        take(&mut all, K::BruteForce, now_ms, peers(&[2]));
        let moved = take(&mut all, K::LateralMovement, now_ms, peers(&[4, 3]));
        let chain = chains(&mut all).pop().expect("a chain");
        assert_eq!(chain.peers, peers(&[1, 2, 3, 4]));
        // who comes to a step later takes part as well
        let growth = Growth {
            last_ms: now_ms,
            count: 1,
            peer: peers(&[5]).pop(),
            peers_total: 9,
        };
        assert!(all.grow(moved, &growth));
        let chain = chains(&mut all).pop().expect("the chain");
        assert_eq!(
            (chain.peers, chain.peers_total),
            (peers(&[1, 2, 3, 4, 5]), 9)
        );
    }

    /// An exporter sends what a capture of last year has, and stamps it so.
    #[test]
    fn steps_of_a_past_that_is_sent_now_are_a_chain() {
        use DetectionKind as K;
        let mut all = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        let (now_ms, past_ms) = (20_000 * HOUR_MS, 8_000 * HOUR_MS);
        for (n, kind) in (0..).zip([K::PortScan, K::BruteForce, K::LargeUpload]) {
            let at_ms = past_ms + 60_000 * n;
            all.report(now_ms + 1_000 * n, step(kind, at_ms, at_ms + 50_000));
        }
        let chain = chains(&mut all).pop().expect("a chain");
        assert_eq!((chain.evidence.steps.len(), chain.first_ms), (3, past_ms));
        // what lies weeks apart in that past is none
        let mut apart = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        for (n, kind) in (0..).zip([K::PortScan, K::BruteForce, K::LargeUpload]) {
            let at_ms = past_ms + 8 * 24 * HOUR_MS * n;
            apart.report(now_ms + 1_000 * n, step(kind, at_ms, at_ms + 50_000));
        }
        assert!(chains(&mut apart).is_empty());
    }

    #[test]
    fn a_chain_keeps_its_id_its_versions_and_its_steps() {
        let mut all = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        let begin_ms = 1_000 * HOUR_MS;
        three(&mut all, begin_ms);
        let first = chains(&mut all).pop().expect("a chain");
        assert_eq!(first.evidence.steps.len(), 3);
        // days later, when all of it was over, something that began before all others
        let mut told = vec![first.clone()];
        for (days, kind) in [
            (5, DetectionKind::LateralMovement),
            (10, DetectionKind::LargeUpload),
        ] {
            let now_ms = begin_ms + days * 24 * HOUR_MS;
            take(&mut all, kind, begin_ms - HOUR_MS, now_ms);
            told.extend(chains(&mut all));
        }
        assert!(told.iter().all(|d| d.id == first.id));
        assert!(told.is_sorted_by(|a, b| a.version < b.version));
        let last = told.last().expect("a version");
        assert_eq!(last.evidence.steps.len(), 5, "none has left it");
        assert_eq!(last.first_ms, begin_ms - HOUR_MS);
        // and over a restart
        let mut saved = vec![];
        all.put(&mut saved);
        let mut after = Incidents::new(GAP_S, 4_096, 10_000, &[]);
        after.get(&mut saved.as_slice()).expect("state");
        let now_ms = begin_ms + 12 * 24 * HOUR_MS;
        take(&mut after, DetectionKind::Heartbleed, now_ms, now_ms);
        let again = chains(&mut after).pop().expect("the chain");
        assert_eq!((again.id, again.evidence.steps.len()), (first.id, 6));
        assert!(again.version > last.version);
        // a week of silence is the end of it
        let now_ms = begin_ms + 20 * 24 * HOUR_MS;
        three(&mut after, now_ms);
        let other = chains(&mut after).pop().expect("another chain");
        assert!(other.id != first.id && other.evidence.steps.len() == 3);
    }
}
