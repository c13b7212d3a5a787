//! How many bodies may be in memory: one count for those that were just sealed and those that are read from disk.

use crate::batch::Table;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for the bodies of each table.
#[derive(Debug)]
pub(super) struct Rooms(BTreeMap<Table, Room>);

#[derive(Debug)]
struct Room {
    all: Arc<Semaphore>,
    /// One place that only bodies on disk may take: what is in doubt must have its turn even where sealed ones fill the rest.
    read: Arc<Semaphore>,
}

impl Rooms {
    /// Room for what is in flight, and with a spool for as much again that waits.
    pub(super) fn new(in_flight_max: usize, spooled: bool) -> Rooms {
        let all = match spooled {
            true => (2 * in_flight_max).saturating_sub(1),
            false => in_flight_max,
        };
        let room = || Room {
            all: Arc::new(Semaphore::new(all.max(1))),
            read: Arc::new(Semaphore::new(1)),
        };
        Rooms(Table::ALL.iter().map(|t| (*t, room())).collect())
    }

    /// A place for a sealed section, if there is one.
    pub(super) fn sealed(&self, table: Table) -> Option<OwnedSemaphorePermit> {
        self.0[&table].all.clone().try_acquire_owned().ok()
    }

    /// The same, waiting for it.
    pub(super) async fn wait(&self, table: Table) -> Option<OwnedSemaphorePermit> {
        self.0[&table].all.clone().acquire_owned().await.ok()
    }

    /// A place for a section that is read from disk, if there is one.
    pub(super) fn read(&self, table: Table) -> Option<OwnedSemaphorePermit> {
        let kept = &self.0[&table].read;
        self.sealed(table)
            .or_else(|| kept.clone().try_acquire_owned().ok())
    }

    /// Places for sealed sections.
    pub(super) fn free(&self, table: Table) -> usize {
        self.0[&table].all.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_share_and_one_place_is_kept_for_reading() {
        let rooms = Rooms::new(2, true);
        let read: Vec<_> = std::iter::from_fn(|| rooms.read(Table::Flows)).collect();
        assert_eq!(read.len(), 4);
        assert!(rooms.sealed(Table::Flows).is_none() && rooms.sealed(Table::Usage1m).is_some());
        drop(read);
        let sealed: Vec<_> = std::iter::from_fn(|| rooms.sealed(Table::Flows)).collect();
        assert_eq!((sealed.len(), rooms.free(Table::Flows)), (3, 0));
        assert!(rooms.read(Table::Flows).is_some());
    }
}
