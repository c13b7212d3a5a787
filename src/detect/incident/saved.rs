//! Incidents over a restart: those that are open stay so, with all that was told of them, and who added to one finds it again.

use super::more::FIGURES_MAX;
use super::open::Open;
use super::{Handle, Incident};
use crate::detect::anomaly::Kept;
use crate::model::{
    Addr, Detection, DetectionKind, EVIDENCE_FLOWS_MAX, Entity, EntityRole, Evidence, EvidenceFlow,
    Figure, PEERS_MAX, Severity, Step,
};
use std::borrow::Cow;

/// Texts of figures, facts and techniques.
type Text = Cow<'static, str>;

impl Kept for Handle {
    fn put(&self, out: &mut Vec<u8>) {
        (self.id, self.place).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (id, place) = Kept::get(from)?;
        Some(Handle { id, place })
    }
}

impl Kept for Open {
    fn put(&self, out: &mut Vec<u8>) {
        (self.places().len() as u64).put(out);
        self.places().iter().for_each(|place| place.put(out));
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Vec::get(from).map(Open::of)
    }
}

impl Kept for Incident {
    fn put(&self, out: &mut Vec<u8>) {
        self.told.put(out);
        (self.changed, self.counted.clone(), self.in_chain).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let told = Kept::get(from)?;
        let (changed, counted, in_chain) = Kept::get(from)?;
        Some(Incident {
            told,
            told_ms: None,
            changed,
            least_shown: None,
            counted,
            in_chain,
        })
    }
}

impl Kept for Detection {
    fn put(&self, out: &mut Vec<u8>) {
        (self.id, self.version, self.kind, self.detector.clone()).put(out);
        let is_source = self.role == EntityRole::Source;
        let (severity, title) = (self.severity as u8, self.title.clone());
        (severity, self.confidence, title, is_source).put(out);
        self.entity.put(out);
        (self.peers.clone(), self.peers_total, self.count).put(out);
        (self.first_ms, self.last_ms, self.detected_ms).put(out);
        self.evidence.put(out);
        self.attack.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (id, version, kind, detector) = Kept::get(from)?;
        let (severity, confidence, title, is_source): (u8, u8, _, bool) = Kept::get(from)?;
        let mut severities = Severity::ALL.iter();
        let severity = severities.find(|s| **s as u8 == severity);
        let entity = Kept::get(from)?;
        let (mut peers, peers_total, count): (Vec<Addr>, _, _) = Kept::get(from)?;
        peers.truncate(PEERS_MAX);
        let (first_ms, last_ms, detected_ms) = Kept::get(from)?;
        Some(Detection {
            id,
            version,
            kind,
            detector,
            sid: None,
            severity: *severity?,
            confidence,
            title,
            entity,
            role: match is_source {
                true => EntityRole::Source,
                false => EntityRole::Victim,
            },
            peers,
            peers_total,
            first_ms,
            last_ms,
            detected_ms,
            count,
            evidence: Kept::get(from)?,
            attack: Kept::get(from)?,
        })
    }
}

/// All but places of matches, which detectors have none of.
impl Kept for Evidence {
    fn put(&self, out: &mut Vec<u8>) {
        self.figures.put(out);
        self.facts.put(out);
        self.flows.put(out);
        (self.counterfactual.clone(), self.blind.clone()).put(out);
        (self.steps.clone(), self.steps_gone.clone(), self.part_of).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (mut figures, facts, mut flows): (Vec<Figure>, _, Vec<EvidenceFlow>) = Kept::get(from)?;
        figures.truncate(FIGURES_MAX);
        flows.truncate(EVIDENCE_FLOWS_MAX);
        let (counterfactual, blind) = Kept::get(from)?;
        let (steps, steps_gone, part_of) = Kept::get(from)?;
        Some(Evidence {
            figures,
            facts,
            flows,
            counterfactual,
            blind,
            matches: vec![],
            steps,
            steps_gone,
            part_of,
        })
    }
}

impl Kept for Figure {
    fn put(&self, out: &mut Vec<u8>) {
        (self.name.clone(), self.observed).put(out);
        (self.threshold, self.baseline).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (name, observed, threshold, baseline) = Kept::get(from)?;
        Some(Figure {
            name,
            observed,
            threshold,
            baseline,
        })
    }
}

impl Kept for EvidenceFlow {
    fn put(&self, out: &mut Vec<u8>) {
        (self.src, self.dst, self.src_port, self.dst_port).put(out);
        (self.proto, self.bytes, self.packets, self.start_ms).put(out);
        self.community_id.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (src, dst, src_port, dst_port) = Kept::get(from)?;
        let (proto, bytes, packets, start_ms) = Kept::get(from)?;
        Some(EvidenceFlow {
            src,
            dst,
            src_port,
            dst_port,
            proto,
            bytes,
            packets,
            start_ms,
            community_id: Kept::get(from)?,
        })
    }
}

impl Kept for Step {
    fn put(&self, out: &mut Vec<u8>) {
        (self.id, self.kind, self.first_ms).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (id, kind, first_ms) = Kept::get(from)?;
        Some(Step { id, kind, first_ms })
    }
}

/// By its name.
impl Kept for DetectionKind {
    fn put(&self, out: &mut Vec<u8>) {
        self.name().to_owned().put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let name = String::get(from)?;
        let mut all = DetectionKind::ALL.iter();
        all.find(|k| k.name() == name).copied()
    }
}

impl Kept for Text {
    fn put(&self, out: &mut Vec<u8>) {
        self.clone().into_owned().put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        String::get(from).map(Cow::Owned)
    }
}

impl Kept for Entity {
    fn put(&self, out: &mut Vec<u8>) {
        let none = Addr([0; 16]);
        let (kind, one, other, number) = match *self {
            Entity::Host(a) => (0u8, a, none, 0),
            Entity::Pair(a, b) => (1, a, b, 0),
            Entity::Network(a, bits) => (2, a, none, bits.into()),
            Entity::Interface(a, number) => (3, a, none, number),
            Entity::Exporter(a) => (4, a, none, 0),
            Entity::Collector => (5, none, none, 0),
        };
        (kind, one, other, number).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (kind, one, other, number): (u8, Addr, Addr, u32) = Kept::get(from)?;
        Some(match kind {
            0 => Entity::Host(one),
            1 => Entity::Pair(one, other),
            2 => Entity::Network(one, number.try_into().ok()?),
            3 => Entity::Interface(one, number),
            4 => Entity::Exporter(one),
            5 => Entity::Collector,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Growth, Incidents};
    use super::*;

    fn finding(entity: &Entity, first_ms: i64) -> Finding {
        Finding {
            kind: DetectionKind::Flood,
            detector: "flood.volume",
            entity: entity.clone(),
            role: EntityRole::Victim,
            severity: None,
            confidence: 90,
            about: String::new(),
            first_ms,
            last_ms: first_ms,
            count: 1,
            peers: vec![],
            peers_total: 0,
            figures: vec![],
            facts: vec![],
            counterfactual: String::new(),
            blind: vec![],
        }
    }

    #[test]
    fn what_goes_on_after_a_restart_keeps_its_id_and_what_comes_later_has_another() {
        let addr = |n| Addr::from_v4([192, 0, 2, n]);
        let all = [
            Entity::Host(addr(1)),
            Entity::Pair(addr(1), addr(2)),
            Entity::Network(addr(0), 24),
            Entity::Interface(addr(1), 7),
            Entity::Exporter(addr(1)),
            Entity::Collector,
        ];
        let fresh = || Incidents::new(60, 9, 100, &[]);
        let mut before = fresh();
        for entity in &all {
            before.report(1_000, finding(entity, 1_000)).expect("room");
        }
        let (mut bytes, mut again) = (vec![], vec![]);
        before.put(&mut bytes);
        before.close_all();
        let told = before.take();
        let mut after = fresh();
        after.get(&mut &bytes[..]).expect("whole");
        after.put(&mut again);
        assert_eq!(again.len(), bytes.len(), "they wait on");
        for (n, entity) in all.iter().enumerate() {
            // the last one comes too late
            let at_ms = if n == 5 { 99_000 } else { 31_000 };
            after.tick(at_ms);
            after.report(at_ms, finding(entity, at_ms)).expect("room");
        }
        after.close_all();
        let later = after.take();
        for d in &told {
            let same = later.iter().rev().find(|l| l.id == d.id);
            let same = same.filter(|l| l.last_ms > 1_000);
            match d.entity {
                Entity::Collector => assert!(same.is_none()),
                _ => assert!(same.is_some_and(|l| l.version > d.version && l.first_ms == 1_000)),
            }
        }
        assert!((0..bytes.len()).all(|n| fresh().get(&mut &bytes[..n]).is_none()));
    }

    #[test]
    fn a_version_after_a_restart_says_no_less_than_the_one_before() {
        let host = Addr::from_v4([192, 0, 2, 1]);
        let peer = |n| Some(Addr::from_v4([198, 51, 100, n]));
        let grow = |all: &mut Incidents, handle, n: u8| {
            let growth = Growth {
                last_ms: 2_000 + i64::from(n),
                count: 5,
                peer: peer(n),
                peers_total: 0,
            };
            assert!(all.grow(handle, &growth));
        };
        let mut first = finding(&Entity::Host(host), 1_000);
        first.about = format!("{} hosts", super::super::PEERS);
        first.figures = vec![Figure {
            name: "packets a second".into(),
            observed: 9e5,
            threshold: Some(1e5),
            baseline: None,
        }];
        first.facts = vec![("protocol", "udp".to_owned())];
        first.blind = vec!["who sends it".to_owned()];
        let mut before = Incidents::new(60, 9, 100, &[]);
        let handle = before.report(1_500, first).expect("room");
        grow(&mut before, handle, 1);
        before.flush();
        let told = before.take().pop().expect("a version");
        let (mut bytes, mut kept) = (vec![], vec![]);
        before.put(&mut bytes);
        handle.put(&mut kept);
        let mut after = Incidents::new(60, 9, 100, &[]);
        after.get(&mut &bytes[..]).expect("whole");
        after.tick(3_000);
        assert!(after.take().is_empty(), "there is nothing new");
        grow(
            &mut after,
            Handle::get(&mut &kept[..]).expect("a handle"),
            2,
        );
        after.flush();
        let again = after.take().pop().expect("a version");
        assert!(again.version > told.version);
        let expected = Detection {
            version: again.version,
            title: "Flood: 2 hosts".to_owned(),
            peers: [1, 2].into_iter().filter_map(peer).collect(),
            peers_total: 2,
            last_ms: 2_002,
            count: told.count + 5,
            ..told
        };
        assert_eq!(again, expected);
        // what nobody wants to hear of any more is gone, and of too many those that were seen last stay
        let mut off = Incidents::new(60, 9, 100, &["flood".to_owned()]);
        off.get(&mut &bytes[..]).expect("whole");
        assert!(!off.grow(handle, &Growth::default()));
        let other = Entity::Host(Addr::from_v4([192, 0, 2, 2]));
        let later = after.report(9_000, finding(&other, 9_000)).expect("room");
        let mut both = vec![];
        after.put(&mut both);
        let mut narrow = Incidents::new(60, 1, 100, &[]);
        narrow.get(&mut &both[..]).expect("whole");
        assert!(narrow.grow(later, &Growth::default()));
        assert!(!narrow.grow(handle, &Growth::default()));
    }
}
