//! Incidents that are open: by id in order, and each at a place where who adds to it finds it at once.

use super::{Handle, Incident};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Open {
    places: BTreeMap<u64, u32>,
    all: Vec<Option<Incident>>,
    free: Vec<u32>,
}

impl Open {
    /// Those of another time, at the places that they had.
    pub fn of(all: Vec<Option<Incident>>) -> Self {
        let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let held = all.iter().enumerate();
        let held = held.filter_map(|(n, i)| i.as_ref().map(|i| (i.told.id, at(n))));
        let free = all.iter().enumerate().filter(|(_, i)| i.is_none());
        Open {
            places: held.collect(),
            free: free.map(|(n, _)| at(n)).collect(),
            all,
        }
    }

    /// Every place with who is at it.
    pub fn places(&self) -> &[Option<Incident>] {
        &self.all
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Where the incident of an id is.
    pub fn handle(&self, id: u64) -> Option<Handle> {
        let place = *self.places.get(&id)?;
        Some(Handle { id, place })
    }

    #[inline]
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut Incident> {
        let is_there = |all: &[Option<Incident>], place: u32| {
            let incident = all.get(place as usize).and_then(Option::as_ref);
            incident.is_some_and(|i| i.told.id == handle.id)
        };
        let place = match is_there(&self.all, handle.place) {
            true => handle.place,
            // over, or the same again
            false => *self.places.get(&handle.id)?,
        };
        self.all.get_mut(place as usize)?.as_mut()
    }

    /// Puts an incident in the place of one with the same id, else in a free one.
    pub fn insert(&mut self, id: u64, incident: Incident) -> Handle {
        let (all, free) = (&mut self.all, &mut self.free);
        let place = *self.places.entry(id).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                all.push(None);
                all.len() as u32 - 1
            })
        });
        self.all[place as usize] = Some(incident);
        Handle { id, place }
    }

    pub fn remove(&mut self, id: u64) -> Option<Incident> {
        let place = self.places.remove(&id)?;
        self.free.push(place);
        self.all[place as usize].take()
    }

    /// All, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Incident> {
        let at = |place: &u32| self.all[*place as usize].as_ref();
        self.places.values().filter_map(at)
    }

    /// Does something with all, in order of their ids.
    pub fn each(&mut self, mut act: impl FnMut(&mut Incident)) {
        for place in self.places.values() {
            if let Some(incident) = &mut self.all[*place as usize] {
                act(incident);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Incidents};
    use crate::model::{Addr, DetectionKind, Entity, EntityRole};

    fn finding(host: u8, first_ms: i64) -> Finding {
        Finding {
            kind: DetectionKind::PortScan,
            detector: "scan.vertical",
            entity: Entity::Host(Addr::from_v4([192, 0, 2, host])),
            role: EntityRole::Source,
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
    fn who_adds_to_an_incident_finds_it_until_it_is_over() {
        let mut all = Incidents::new(60, 2, 100, &[]);
        let grown = |all: &mut Incidents, handle| all.grow(handle, &Default::default());
        let first = all.report(1_000, finding(1, 0)).expect("room");
        let second = all.report(2_000, finding(2, 1_000)).expect("room");
        assert!(grown(&mut all, first) && grown(&mut all, second));
        // the oldest gives way, and its place is another's
        let third = all.report(3_000, finding(3, 2_000)).expect("room");
        assert!(!grown(&mut all, first) && grown(&mut all, third));
        assert_eq!(third.place, first.place);
        // the same again is at another place, and found by who knew it before
        let again = all.report(4_000, finding(1, 0)).expect("room");
        assert!(again.id == first.id && grown(&mut all, first) && !grown(&mut all, second));
        all.close_all();
        assert!(!grown(&mut all, again) && !grown(&mut all, third));
    }

    #[test]
    fn what_would_be_refused_is_known_before_it_is_put_into_words() {
        let mut all = Incidents::new(60, 9, 2, &["beacon".to_owned()]);
        let host = |n| Entity::Host(Addr::from_v4([192, 0, 2, n]));
        assert!(all.refuses(0, DetectionKind::Beacon, &host(1)));
        for n in 1..=2 {
            assert!(!all.refuses(0, DetectionKind::PortScan, &host(n)));
            assert!(all.report(0, finding(n, 0)).is_some());
        }
        assert!(all.refuses(0, DetectionKind::PortScan, &host(3)));
        assert!(all.report(0, finding(3, 0)).is_none());
        // more of what is known, and another day
        assert!(!all.refuses(0, DetectionKind::PortScan, &host(2)));
        assert!(!all.refuses(86_400_000, DetectionKind::PortScan, &host(3)));
        assert_eq!(all.held_back(), 2);
    }
}
