//! Incidents that were open at a restart: what goes on with the same entity is the same incident, with the same id.

use super::rest_ms;
use crate::detect::anomaly::Kept;
use crate::model::{Addr, Detection, DetectionKind, Entity};
use std::collections::BTreeMap;

/// By what they are about.
#[derive(Debug, Default)]
pub(super) struct Resumed(BTreeMap<(DetectionKind, Entity), Before>);

/// An incident as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub id: u64,
    pub first_ms: i64,
    last_ms: i64,
}

impl Resumed {
    /// The incident that one which begins then goes on with, if the pause is not longer than `gap_ms`, or than its kind may rest.
    pub fn take(
        &mut self,
        key: &(DetectionKind, Entity),
        first_ms: i64,
        gap_ms: i64,
    ) -> Option<Before> {
        let before = self.0.remove(key)?;
        let pause_ms = first_ms.saturating_sub(before.last_ms);
        let began_before = first_ms < before.first_ms.saturating_sub(gap_ms);
        (!began_before && pause_ms <= gap_ms.max(rest_ms(key.0))).then_some(before)
    }

    /// Writes those that are open, and those that did not go on yet.
    pub fn put<'a>(&self, open: impl Iterator<Item = &'a Detection>, out: &mut Vec<u8>) {
        let open = open.map(|d| {
            let before = Before {
                id: d.id,
                first_ms: d.first_ms,
                last_ms: d.last_ms,
            };
            (d.kind, d.entity.clone(), before)
        });
        let waiting = self.0.iter().map(|((k, e), b)| (*k, e.clone(), *b));
        let all: Vec<_> = waiting.chain(open).collect();
        (all.len() as u64).put(out);
        for (kind, entity, before) in all {
            kind.name().to_owned().put(out);
            put_entity(&entity, out);
            (before.id, before.first_ms, before.last_ms).put(out);
        }
    }

    /// Takes back at most so many; of more those that were seen last.
    pub fn get(from: &mut &[u8], most: usize) -> Option<Self> {
        let mut all = BTreeMap::new();
        for _ in 0..u64::get(from)? {
            let name = String::get(from)?;
            let entity = get_entity(from)?;
            let (id, first_ms, last_ms) = Kept::get(from)?;
            let kind = DetectionKind::ALL.iter().find(|k| k.name() == name);
            let before = Before {
                id,
                first_ms,
                last_ms,
            };
            if let Some(kind) = kind {
                all.insert((*kind, entity), before);
            }
            if all.len() > most {
                let oldest = all.iter().min_by_key(|(_, b)| (b.last_ms, b.id));
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    all.remove(&oldest);
                }
            }
        }
        Some(Resumed(all))
    }
}

fn put_entity(entity: &Entity, out: &mut Vec<u8>) {
    let none = Addr([0; 16]);
    let (kind, one, other, number) = match *entity {
        Entity::Host(a) => (0u8, a, none, 0),
        Entity::Pair(a, b) => (1, a, b, 0),
        Entity::Network(a, bits) => (2, a, none, bits.into()),
        Entity::Interface(a, number) => (3, a, none, number),
        Entity::Exporter(a) => (4, a, none, 0),
        Entity::Collector => (5, none, none, 0),
    };
    (kind, one, other, number).put(out);
}

fn get_entity(from: &mut &[u8]) -> Option<Entity> {
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

#[cfg(test)]
mod tests {
    use super::super::{Finding, Incidents};
    use super::*;
    use crate::model::EntityRole;

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
        assert!(again.len() >= bytes.len() - 8 * all.len(), "they wait on");
        for (n, entity) in all.iter().enumerate() {
            // the last one comes too late
            let at_ms = if n == 5 { 99_000 } else { 31_000 };
            after.report(at_ms, finding(entity, at_ms)).expect("room");
        }
        after.close_all();
        let later = after.take();
        for d in &told {
            let same = later.iter().find(|l| l.id == d.id);
            match d.entity {
                Entity::Collector => assert!(same.is_none()),
                _ => assert!(same.is_some_and(|l| l.version > d.version && l.first_ms == 1_000)),
            }
        }
        assert!((0..bytes.len()).all(|n| fresh().get(&mut &bytes[..n]).is_none()));
    }
}
