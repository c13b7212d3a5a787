//! Failed inserts in the log: the first of each kind, then one line a minute with how many there were.

#![expect(
    clippy::disallowed_types,
    reason = "failures are rare; no row passes this lock"
)]

use super::verdict::Fault;
use crate::batch::Table;
use crate::sink::native::EncodedSection;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was said, by table and code.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<BTreeMap<(Table, String), Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    since: u64,
}

impl Complaints {
    /// Logs a failure, unless its kind was logged less than a minute ago.
    pub(super) fn report(&self, section: &EncodedSection, fault: &Fault) {
        let Some(failures) = self.due(section.table, &fault.code, Instant::now()) else {
            return;
        };
        let (table, rows) = (section.table.name(), section.rows);
        let (code, error) = (&fault.code, &fault.text);
        if fault.lacking {
            tracing::error!(
                table,
                rows,
                failures,
                code,
                error,
                "a table of ours is gone: its rows wait until it is there again"
            );
        } else if fault.needs_operator() {
            tracing::error!(
                table,
                rows,
                failures,
                code,
                error,
                "nobody lets us in: nothing is delivered until user, key, rights or the proxy before the store are mended"
            );
        } else {
            tracing::warn!(
                table,
                rows,
                failures,
                code,
                error,
                "insert failed, trying again"
            );
        }
    }

    /// An insert into the table succeeded: says so, where there were complaints.
    pub(super) fn over(&self, table: Table) {
        let mut said = self.said();
        let before = said.len();
        said.retain(|(t, _), _| *t != table);
        if said.len() < before {
            tracing::info!(table = table.name(), "inserts succeed again");
        }
    }

    /// How many failures of a kind to report now, with those that were not reported.
    fn due(&self, table: Table, code: &str, now: Instant) -> Option<u64> {
        let mut said = self.said();
        let key = (table, code.to_owned());
        let crowded = said.len() >= KINDS_MAX;
        match said.get_mut(&key) {
            Some(s) if now.saturating_duration_since(s.at) < QUIET => {
                s.since += 1;
                None
            }
            Some(s) => {
                s.at = now;
                Some(std::mem::take(&mut s.since) + 1)
            }
            None if crowded => None,
            None => {
                said.insert(key, Said { at: now, since: 0 });
                Some(1)
            }
        }
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<(Table, String), Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const QUIET: Duration = Duration::from_secs(60);

/// Kinds that are remembered; codes come from the store.
const KINDS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_once_a_minute_with_its_number() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let due =
            |code: &str, s: u64| complaints.due(Table::Flows, code, start + Duration::from_secs(s));
        assert_eq!(due("241", 0), Some(1));
        assert_eq!((due("241", 1), due("241", 59)), (None, None));
        assert_eq!(due("243", 2), Some(1), "another kind");
        assert_eq!(due("241", 60), Some(3));
        complaints.over(Table::Flows);
        assert_eq!(due("241", 61), Some(1), "a new failure after a success");
    }
}
