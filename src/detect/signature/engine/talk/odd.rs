//! What is odd about a transaction is asked of both its sides, where a protocol has both in one: each gets what the other one raised.

use super::{OPEN_MAX, Said};
use crate::detect::signature::engine::unit::Unit;
use crate::model::AppProto;

/// What requests raised whose answers are still to come.
#[derive(Debug, Default)]
pub(super) struct Odd(Vec<(u64, &'static str)>);

impl Odd {
    /// Memory that it takes.
    pub fn room(&self) -> usize {
        self.0.capacity() * size_of::<(u64, &str)>()
    }
}

impl Said {
    /// Shares what was raised since; at last what requests raised whose answers are not read.
    pub(super) fn share_events(&mut self, is_last: bool) {
        let shares = matches!(
            self.proto,
            AppProto::Http | AppProto::Ftp | AppProto::Modbus
        );
        if !shares || !self.limits.wanted.events {
            return;
        }
        let mut at = 0;
        while let Some(unit) = self.units.get_mut(at) {
            at += 1;
            let (direction, transaction) = (unit.direction, unit.transaction);
            let mut raised = unit.take_raised();
            if direction == 1 && !self.odd.0.is_empty() {
                let mine = self.odd.0.iter().filter(|o| o.0 == transaction);
                mine.clone().for_each(|o| unit.share(o.1));
                raised.retain(|e| mine.clone().all(|o| o.1 != *e));
                self.odd.0.retain(|o| o.0 != transaction);
            }
            if raised.is_empty() {
                continue;
            }
            let is_other = |u: &&mut Unit| u.direction != direction && u.transaction == transaction;
            if let Some(other) = self.units.iter_mut().find(is_other) {
                raised.iter().for_each(|e| other.share(e));
            } else if direction == 1 {
                self.raise_apart(0, transaction, &raised);
            } else if self.odd.0.len() + raised.len() <= self.limits.items_max {
                let odd = raised.iter().map(|e| (transaction, *e));
                self.odd.0.extend(odd);
            } else {
                self.lose();
            }
        }
        if is_last {
            self.share_last_events();
        }
    }

    /// No answers come any more: what requests raised is asked without them.
    fn share_last_events(&mut self) {
        let odd = std::mem::take(&mut self.odd.0);
        for of in odd.chunk_by(|a, b| a.0 == b.0) {
            let names: Vec<_> = of.iter().map(|o| o.1).collect();
            self.raise_apart(1, of[0].0, &names);
        }
    }

    /// A side of a transaction that rules were tried with before, of which there is nothing but what is odd.
    pub(super) fn raise_apart(
        &mut self,
        direction: usize,
        transaction: u64,
        names: &[&'static str],
    ) {
        if self.units.len() >= OPEN_MAX {
            self.lose();
            return;
        }
        let mut unit = Unit::new(direction, transaction, self.limits.wanted);
        unit.is_whole = true;
        names.iter().for_each(|name| unit.share(name));
        self.units.push(unit);
    }
}
