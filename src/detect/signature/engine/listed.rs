//! Lists that rules look values up in, and change once all of a rule holds.

use super::super::dataset::{Dataset, Listed};
use super::super::rule::{Compare, Group};
use super::super::state::ListedValue;
use super::scene::{Held, Trial};
use crate::ledger::{Outcome, Tally};

/// What the rule that is tried adds to lists, or takes out.
pub(super) type Pending = Vec<(Change, ListedValue)>;

/// What a rule does with a value of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
}

impl Trial {
    /// Counts what gave way in what all shards remember together, whichever of them needed the place.
    pub fn count_evicted(&self, tally: &mut Tally) {
        tally.add(Outcome::RuleStatesEvicted, self.shared.take_evicted());
    }

    /// All of the rule holds: lists are changed. False where another shard did it since they were asked.
    pub fn change_lists(&mut self) -> bool {
        if self.is_other {
            return true;
        }
        let shared = &self.shared;
        let mut pending = self.pending.drain(..);
        pending.all(|(change, value)| match change {
            Change::Add => shared.list(value),
            Change::Remove => shared.unlist(value),
        })
    }

    /// Looks a buffer up whose steps hold.
    pub fn listed(&mut self, group: &Group, bytes: &[u8], held: Held) -> Held {
        if held != Held::Yes || group.lists.is_empty() {
            return held;
        }
        let before = self.pending.len();
        let held = group.lists.iter().all(|l| self.is_listed(l, bytes));
        if !held {
            // of several values of a buffer the next one may be as asked
            self.pending.truncate(before);
        }
        match held {
            true => Held::Yes,
            false => Held::No,
        }
    }

    fn is_listed(&mut self, listed: &Listed, bytes: &[u8]) -> bool {
        match listed {
            Listed::IsIn(list) => list.value(bytes).is_some_and(|v| self.is_in(list, &v)),
            Listed::IsNotIn(list) => list.value(bytes).is_some_and(|v| !self.is_in(list, &v)),
            Listed::Add(list) => list.value(bytes).is_some_and(|v| {
                let adds = !self.is_in(list, &v);
                if adds {
                    self.pending.push((Change::Add, list.key(&v)));
                }
                adds
            }),
            Listed::Remove(list) => list.value(bytes).is_some_and(|v| {
                let key = list.key(&v);
                let removes = list.grows()
                    && self.shared.is_listed(key)
                    && !self.pending.contains(&(Change::Remove, key));
                if removes {
                    self.pending.push((Change::Remove, key));
                }
                removes
            }),
            Listed::Score(list, compare, with) => {
                let score = list.value(bytes).and_then(|v| list.score(&v));
                score.is_some_and(|score| match compare {
                    Compare::Less => score < *with,
                    Compare::Greater => score > *with,
                    _ => score == *with,
                })
            }
        }
    }

    /// Whether a list has a value: its file, what rules added, or what the rule that is tried adds.
    fn is_in(&self, list: &Dataset, value: &[u8]) -> bool {
        if list.holds(value) {
            return true;
        }
        // nobody else is asked where no rule adds to it
        let key = list.grows().then(|| list.key(value));
        key.is_some_and(|key| {
            self.pending.contains(&(Change::Add, key)) || self.shared.is_listed(key)
        })
    }
}
