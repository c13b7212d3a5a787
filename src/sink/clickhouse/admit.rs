//! Takes encoded bundles into the lanes: those with a file at once, those without as memory has room.

use super::deliver::passed;
use super::post::Shared;
use super::room::Rooms;
use super::section::{Entry, Load, Memory, Section};
use crate::batch::Table;
use crate::sink::fate::Fate;
use crate::sink::native::{Buffers, EncodedBundle};
use crate::sink::spool::{Slot, State, now_ms};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The door to the lanes.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) rooms: Arc<Rooms>,
    pub(super) runtime: Handle,
    pub(super) deadline: watch::Receiver<Option<Instant>>,
    pub(super) buffers: Arc<Buffers>,
}

impl Door {
    /// A bundle that has a file: bodies stay in memory while there is room, the others are read when their turn comes.
    pub(super) fn spooled(&self, number: u64, bundle: EncodedBundle) {
        let entry = entry(&bundle, None);
        let mut loads = vec![];
        for section in bundle.sections {
            loads.push(match self.rooms.sealed(section.table) {
                Some(room) => Some(Arc::new(Load {
                    section,
                    _room: Some(room),
                })),
                None => {
                    self.buffers.recycle(section.body);
                    None
                }
            });
        }
        self.shared.with(|lanes| lanes.accept(number, entry, loads));
    }

    /// A bundle that is only in memory: waits for room there. What there is no time for is lost and counted.
    pub(super) fn memory(&self, number: u64, bundle: EncodedBundle) {
        let memory = Memory {
            sequence: bundle.sequence,
            positions: bundle.positions.clone(),
            loads: bundle.sections.iter().map(|_| None).collect(),
        };
        let entry = entry(&bundle, Some(memory));
        self.shared
            .with(|lanes| lanes.accept(number, entry, vec![]));
        for (i, section) in bundle.sections.into_iter().enumerate() {
            match self.enter(section.table) {
                Some(room) => {
                    let load = Arc::new(Load {
                        section,
                        _room: Some(room),
                    });
                    self.shared.with(|lanes| lanes.admit((number, i), load));
                }
                None => {
                    tracing::error!(
                        table = section.table.name(),
                        rows = section.rows,
                        "rows lost: the store did not take them before the process had to end"
                    );
                    self.shared
                        .stats
                        .end(section.table, Fate::Lost, section.rows);
                    self.shared.with(|lanes| lanes.give_up((number, i)));
                }
            }
        }
    }

    /// Whether there is room for every section of a bundle, and the store takes what it gets.
    pub(super) fn is_open_for(&self, bundle: &EncodedBundle) -> bool {
        let mut wanted: BTreeMap<Table, usize> = BTreeMap::new();
        for section in &bundle.sections {
            *wanted.entry(section.table).or_default() += 1;
        }
        let free = |(table, n): (&Table, &usize)| self.rooms.free(*table) >= *n;
        wanted.iter().all(free) && self.shared.look(|lanes| lanes.is_smooth())
    }

    /// Room for a section, or `None` when the deadline comes first.
    fn enter(&self, table: Table) -> Option<OwnedSemaphorePermit> {
        let (room, deadline) = (self.rooms.wait(table), self.deadline.clone());
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                permit = room => permit,
                () = passed(deadline) => None,
            }
        })
    }
}

fn entry(bundle: &EncodedBundle, memory: Option<Memory>) -> Entry {
    let slot = Slot {
        state: State::Unsent,
        time_ms: now_ms(),
    };
    let sections = bundle.sections.iter();
    Entry {
        created_ms: bundle.created_ms,
        sections: sections
            .map(|s| Section::new(s.table, s.rows, slot))
            .collect(),
        memory,
        damaged: false,
        replayed: false,
    }
}
