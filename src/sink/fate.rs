//! What becomes of rows behind the seal, as outcomes of the ledger.

use super::spool::State;
use crate::batch::Table;
use crate::ledger::{Outcome, Tally};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of a row that a sink was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The store has it.
    Acknowledged,
    /// Given up by policy.
    Shed,
    /// The store refuses it for good.
    Quarantined,
    /// Its bytes in the spool are torn or changed.
    Damaged,
    /// Taken back from the quarantine: it has a fate once more.
    Replayed,
    /// Given up because the process had to end.
    Lost,
}

impl Fate {
    /// Of rows in a section of this state; none while it is open.
    pub(super) fn of(state: State) -> Option<Fate> {
        match state {
            State::Unsent | State::Sent | State::Failed => None,
            State::Done => Some(Fate::Acknowledged),
            State::Shed => Some(Fate::Shed),
            State::Quarantined => Some(Fate::Quarantined),
            State::Corrupt => Some(Fate::Damaged),
        }
    }

    /// The outcome as which rows of a table are counted: flows, usage, or any other.
    pub(super) fn outcome(self, table: Table) -> Outcome {
        use Outcome as O;
        let [flows, usage, other] = match self {
            Fate::Acknowledged => [
                O::RowsAcknowledged,
                O::UsageRowsAcknowledged,
                O::OtherRowsAcknowledged,
            ],
            Fate::Shed => [O::RowsShed, O::UsageRowsShed, O::OtherRowsShed],
            Fate::Quarantined => [
                O::RowsQuarantined,
                O::UsageRowsQuarantined,
                O::OtherRowsQuarantined,
            ],
            Fate::Damaged => [O::RowsDamaged, O::UsageRowsDamaged, O::OtherRowsDamaged],
            Fate::Replayed => [O::RowsReplayed, O::UsageRowsReplayed, O::OtherRowsReplayed],
            Fate::Lost => [
                O::RowsLostShutdown,
                O::UsageRowsLostShutdown,
                O::OtherRowsLostShutdown,
            ],
        };
        match table {
            Table::Flows => flows,
            Table::Usage1m => usage,
            _ => other,
        }
    }
}

/// What the sections of a bundle say of their rows: table, rows and state of each.
pub(super) fn fates(
    sections: impl Iterator<Item = (Table, u64, State)>,
    is_replayed: bool,
) -> Tally {
    let mut tally = Tally::default();
    for (table, rows, state) in sections {
        let replayed = is_replayed.then_some(Fate::Replayed);
        for fate in Fate::of(state).into_iter().chain(replayed) {
            tally.add(fate.outcome(table), rows);
        }
    }
    tally
}

/// A tally that several threads write.
#[derive(Debug)]
pub(super) struct Cells([AtomicU64; Outcome::COUNT]);

impl Default for Cells {
    fn default() -> Self {
        Cells([const { AtomicU64::new(0) }; Outcome::COUNT])
    }
}

impl Cells {
    pub(super) fn add(&self, outcome: Outcome, n: u64) {
        self.0[outcome as usize].fetch_add(n, Relaxed);
    }

    pub(super) fn merge(&self, tally: &Tally) {
        tally.iter().for_each(|(o, n)| self.add(o, n));
    }

    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Relaxed)
    }

    pub(super) fn read(&self) -> Tally {
        let mut tally = Tally::default();
        for &o in Outcome::ALL {
            tally.add(o, self.count(o));
        }
        tally
    }
}
