//! What the lanes know of a bundle and its sections.

use crate::batch::Table;
use crate::ledger::Tally;
use crate::sink::fate::{Fate, fates};
use crate::sink::native::EncodedSection;
use crate::sink::spool::{Slot, State};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A section: the number of its bundle and its place in it.
pub(super) type Key = (u64, usize);

/// A section in memory, and its share of the room there.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) section: EncodedSection,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is where it belongs, or given up: nothing more to do.
    Finished(State),
    /// It never reached the store.
    NotSent,
    /// Sent, and no answer.
    Silence,
    /// The store answered with an error that is not about these rows; `untouched`: it surely has none of them.
    Again { untouched: bool },
    /// The store answered with an error about these rows.
    Refused { reason: String, untouched: bool },
    /// At once again: what was wrong is mended.
    Retry,
    /// The store was asked and has none of these rows.
    Absent,
    /// Nothing was done: the store does not say whether it has it.
    Later,
    /// Nothing was done: its body cannot be read now.
    Unread,
    /// It can neither be sent nor be called delivered.
    Hopeless(String),
}

impl End {
    /// What is known of a section after an attempt that ended so. Since when it may be there does not change while it may.
    pub(super) fn slot(&self, before: Slot, now_ms: i64) -> Slot {
        let state = match self {
            End::Finished(state) => *state,
            End::Silence => State::Sent,
            End::Again { untouched: true }
            | End::Refused {
                untouched: true, ..
            } if before.state == State::Unsent => State::Unsent,
            End::Again { .. } | End::Refused { .. } => State::Failed,
            End::Absent => State::Unsent,
            End::NotSent | End::Retry | End::Later | End::Unread | End::Hopeless(_) => before.state,
        };
        before.becomes(state, now_ms)
    }
}

/// A section's metadata.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) table: Table,
    pub(super) rows: u32,
    pub(super) slot: Slot,
    pub(super) failures: u32,
    pub(super) refusals: u32,
    /// How often its body could not be read, since it was read last.
    pub(super) unread: u32,
    /// Given up because the process had to end: its state tells nobody.
    pub(super) lost: bool,
}

impl Section {
    pub(super) fn new(table: Table, rows: u64, slot: Slot) -> Section {
        Section {
            table,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            slot,
            failures: 0,
            refusals: 0,
            unread: 0,
            lost: false,
        }
    }
}

/// A bundle that is not delivered yet.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) created_ms: i64,
    pub(super) sections: Box<[Section]>,
    /// What is only in memory: its sections and positions. `None` where there is a file.
    pub(super) memory: Option<Memory>,
    pub(super) damaged: bool,
    /// Whether it comes from the quarantine.
    pub(super) replayed: bool,
}

impl Entry {
    /// What became of its rows so far.
    pub(super) fn fates(&self) -> Tally {
        let kept = self.sections.iter().filter(|s| !s.lost);
        let kept = kept.map(|s| (s.table, u64::from(s.rows), s.slot.state));
        let mut fates = fates(kept, self.replayed);
        for s in self.sections.iter().filter(|s| s.lost) {
            fates.add(Fate::Lost.outcome(s.table), s.rows.into());
        }
        fates
    }

    /// Whether it lies on disk, all that is open of it never sent, so that it can be moved to another file.
    pub(super) fn can_move(&self) -> bool {
        let sent = |s: &Section| s.slot.state.may_be_there();
        let known = self.memory.is_none() && !self.replayed && !self.damaged;
        known && self.sections.len() <= FOLD_SECTIONS_MAX && !self.sections.iter().any(sent)
    }

    /// Whether flow rows of it are open.
    pub(super) fn has_flows(&self) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|s| s.table == Table::Flows && s.slot.state.is_open())
    }

    /// Gives up what is open because the process has to end.
    pub(super) fn lose(&mut self) {
        let open = |s: &&mut Section| s.slot.state.is_open();
        self.sections
            .iter_mut()
            .filter(open)
            .for_each(|s| s.lost = true);
    }
}

/// A bundle without a file.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) sequence: u64,
    pub(super) positions: Vec<u8>,
    pub(super) loads: Vec<Option<Arc<Load>>>,
}

/// Sections of a bundle up to which it is put together with others: so that none is written over and over.
const FOLD_SECTIONS_MAX: usize = 512;
