//! Which incidents people were told of, and how severe they were then.

use crate::model::Severity;
use std::collections::BTreeMap;

/// At most so many; the one that was told longest ago is forgotten first.
#[derive(Debug)]
pub(super) struct Told {
    max: usize,
    /// The worst that was told, and when in the order of all.
    by_id: BTreeMap<u64, (Severity, u64)>,
    by_order: BTreeMap<u64, u64>,
    next: u64,
}

impl Told {
    pub fn new(max: usize) -> Told {
        Told {
            max: max.max(1),
            by_id: BTreeMap::new(),
            by_order: BTreeMap::new(),
            next: 0,
        }
    }

    pub fn has(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Forgets it: whether it was told.
    pub fn forget(&mut self, id: u64) -> bool {
        let before = self.by_id.remove(&id);
        if let Some((_, order)) = before {
            self.by_order.remove(&order);
        }
        before.is_some()
    }

    /// Remembers that it is told; how severe it was before.
    pub fn tell(&mut self, id: u64, severity: Severity) -> Option<Severity> {
        let order = self.next;
        self.next += 1;
        let before = self.by_id.insert(id, (severity, order));
        if let Some((_, earlier)) = before {
            self.by_order.remove(&earlier);
        }
        self.by_order.insert(order, id);
        if self.by_id.len() > self.max
            && let Some((_, oldest)) = self.by_order.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        before.map(|b| b.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_longest_ago_is_forgotten_whatever_its_id() {
        let mut told = Told::new(3);
        for id in [900, 1, 500] {
            assert_eq!(told.tell(id, Severity::Low), None);
        }
        // it is told again, and is not the oldest any more
        assert_eq!(told.tell(900, Severity::High), Some(Severity::Low));
        told.tell(2, Severity::Low);
        assert!(told.has(900) && told.has(500) && told.has(2) && !told.has(1));
        assert_eq!(told.tell(900, Severity::High), Some(Severity::High));
        assert_eq!((told.by_id.len(), told.by_order.len()), (3, 3));
        assert!(told.forget(2) && !told.forget(2) && !told.has(2));
        assert_eq!((told.by_id.len(), told.by_order.len()), (2, 2));
    }
}
