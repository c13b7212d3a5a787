//! The thread that makes bundles durable, several with one commit, and removes what has ended.

use super::admit::Door;
use super::lanes::Shed;
use super::section::{Entry, Section};
use crate::batch::Table;
use crate::sink::Stats;
use crate::sink::fate::Fate;
use crate::sink::native::EncodedBundle;
use crate::sink::spool::{Disk, Ended, Found, Marks, Positions, Slot, State, now_ms};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Make a bundle durable and take it into the lanes; its share of the queue's bytes ends with that.
    Bundle(u64, EncodedBundle, Option<OwnedSemaphorePermit>),
    /// Answer when all orders before this one are done.
    Flush(Sender<()>),
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) orders: Receiver<Order>,
    pub(super) disk: Arc<Disk>,
    pub(super) door: Door,
    pub(super) stats: Arc<Stats>,
    pub(super) positions: Positions,
    pub(super) numbers: Arc<AtomicU64>,
    /// Bundles that ended and have still a file.
    pub(super) ended: Vec<Ended>,
    pub(super) complained: Option<Instant>,
    /// Flow rows and others shed since that was logged.
    pub(super) shedding: (u64, u64),
    pub(super) marks: Marks,
    /// Bundles up to this one cannot be put together with others.
    pub(super) unfoldable: u64,
}

impl Writer {
    /// Works until the orders end; then what has ended is removed.
    pub(super) fn run(mut self) {
        let age_max = Duration::from_secs(self.disk.settings().age_max_s);
        self.marks.ages.begin(self.numbers.load(Relaxed), age_max);
        let mut tidied = Instant::now();
        loop {
            match self.orders.recv_timeout(TICK) {
                Ok(order) => self.group(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let gone = tidied.elapsed();
            if gone >= TIDY {
                tidied += gone;
                self.tidy(gone);
            }
        }
        self.tell_shed();
        self.retire();
        self.keep_marks(tidied.elapsed());
    }

    /// The first order and those that wait behind it, in one commit.
    fn group(&mut self, first: Order) {
        let (mut bundles, mut rooms, mut waiting) = (vec![], vec![], vec![]);
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Bundle(number, bundle, room) => {
                    bundles.push((number, bundle));
                    rooms.push(room);
                }
                Order::Flush(done) => waiting.push(done),
            }
            let full = bundles.len() >= self.disk.settings().group_max.max(1);
            next = (!full).then(|| self.orders.try_recv().ok()).flatten();
        }
        if !bundles.is_empty() {
            self.commit(bundles);
        }
        drop(rooms);
        for done in waiting {
            done.send(()).ok();
        }
    }

    fn commit(&mut self, bundles: Vec<(u64, EncodedBundle)>) {
        let bytes = |b: &EncodedBundle| b.sections.iter().map(|s| s.body.len() as u64).sum::<u64>();
        let more: u64 = bundles.iter().map(|(_, b)| bytes(b)).sum();
        let mut ends = match self.make_room(more, bundles.len()) {
            true => self.write(&bundles),
            false => bundles.iter().map(|_| Err(full())).collect(),
        };
        if ends.iter().any(is_full) && self.shed(more, u64::MAX, false) > 0 {
            self.retire();
            ends = self.write_missing(&bundles, ends);
        }
        for ((number, bundle), end) in bundles.into_iter().zip(ends) {
            match end {
                Ok(_) => {
                    self.disk.set_failing(false);
                    self.door.spooled(number, bundle);
                }
                Err(error) => {
                    self.disk.set_failing(true);
                    self.complain(&error);
                    self.door.memory(number, bundle);
                }
            }
        }
    }

    fn write(&self, bundles: &[(u64, EncodedBundle)]) -> Vec<io::Result<u64>> {
        let slot = Slot {
            state: State::Unsent,
            time_ms: now_ms(),
        };
        let slots: Vec<_> = (bundles.iter())
            .map(|(_, b)| vec![slot; b.sections.len()])
            .collect();
        let group: Vec<_> = (bundles.iter().zip(&slots))
            .map(|((number, bundle), slots)| (*number, bundle, &slots[..]))
            .collect();
        self.disk.commit(&group)
    }

    /// Tries those again that found no room.
    fn write_missing(
        &self,
        bundles: &[(u64, EncodedBundle)],
        ends: Vec<io::Result<u64>>,
    ) -> Vec<io::Result<u64>> {
        let again = bundles.iter().zip(ends).map(|(bundle, end)| match end {
            Err(_) => (self.write(std::slice::from_ref(bundle)).pop()).unwrap_or(Err(full())),
            done => done,
        });
        again.collect()
    }

    /// Sheds until so many bytes fit, and puts together until so many files do; false where that cannot be.
    fn make_room(&mut self, more: u64, files: usize) -> bool {
        loop {
            let crowded = self.is_crowded(files);
            let excess = self.disk.excess(more);
            if excess == 0 && !crowded {
                return true;
            }
            // what has ended costs nobody anything
            if self.retire() > 0 || excess == 0 && self.fold() {
                continue;
            }
            if self.shed_one(u64::MAX, false).is_none() {
                return false;
            }
        }
    }

    /// Whether so many more files are too many. What is on its way to the store does not count: it cannot be put together now, there
    /// is a window for it, and it is soon gone.
    fn is_crowded(&self, files: usize) -> bool {
        let files_max = self.disk.settings().files_max;
        let fit = |waiting: usize| waiting < 2 || waiting.saturating_add(files) <= files_max;
        (self.door.shared)
            .look(|lanes| !fit(lanes.len()) && !fit(lanes.len().saturating_sub(lanes.bound())))
    }

    /// Sheds at least `bytes`, if there is so much; returns what became free.
    fn shed(&mut self, bytes: u64, before: u64, flows_only: bool) -> u64 {
        let mut freed = 0u64;
        for _ in 0..SHED_AT_ONCE {
            match self.shed_one(before, flows_only) {
                Some(n) if freed.saturating_add(n) < bytes => freed += n,
                Some(n) => return freed + n,
                None => break,
            }
        }
        freed
    }

    fn shed_one(&mut self, before: u64, flows_only: bool) -> Option<u64> {
        let shared = self.door.shared.clone();
        let shed = shared.with(|lanes| lanes.shed(before, flows_only))?;
        Some(self.give_up(shed))
    }

    /// Notes in its file that sections are given up, and counts them. Returns the bytes that became free.
    pub(super) fn give_up(&mut self, shed: Shed) -> u64 {
        let Shed {
            number,
            sections,
            rows,
        } = shed;
        let noted = self.disk.shed(number, &sections);
        for (table, rows) in rows {
            self.stats.end(table, Fate::Shed, rows);
            if noted.is_ok() {
                self.stats.book(table, Fate::Shed, rows);
            }
            match table {
                Table::Flows => self.shedding.0 += rows,
                _ => self.shedding.1 += rows,
            }
        }
        noted.unwrap_or_else(|error| {
            tracing::error!(bundle = number, %error, "cannot shed on disk");
            0
        })
    }

    fn tidy(&mut self, gone: Duration) {
        self.retire();
        self.tell_shed();
        self.disk.weigh();
        let waiting = self.door.shared.look(|lanes| lanes.len());
        if waiting > self.disk.settings().files_max / 2 {
            self.stats.crowded("the spool has half of spool.files_max");
        }
        self.keep_marks(gone);
        if let Some(before) = self.marks.ages.old() {
            self.shed(u64::MAX, before, true);
        }
        let numbers = self.numbers.clone();
        for found in self.disk.adopt(|| numbers.fetch_add(1, Relaxed)) {
            tracing::info!(bundle = found.number, "replaying from the quarantine");
            for s in &found.header.sections {
                self.stats.end(s.table, Fate::Replayed, s.rows);
            }
            self.stats.book_all(&found.fates());
            take(found, &self.door);
        }
    }

    /// Goes on with the ages of what waits, and keeps on disk what the next process has to know.
    fn keep_marks(&mut self, gone: Duration) {
        self.marks.ages.go_on(gone, self.numbers.load(Relaxed));
        let blocks = self.door.shared.look(|lanes| lanes.blocks().clone());
        self.marks.blocks = blocks;
        if let Err(error) = self.disk.keep(&mut self.marks) {
            self.complain(&error);
        }
    }

    fn tell_shed(&mut self) {
        let (flow_rows, other_rows) = std::mem::take(&mut self.shedding);
        if flow_rows + other_rows > 0 {
            tracing::error!(
                flow_rows,
                other_rows,
                "rows shed since the last line: the spool is full, or they are too old"
            );
        }
    }

    /// Removes the files of bundles that ended; how many.
    pub(super) fn retire(&mut self) -> usize {
        let new = self.door.shared.with(super::lanes::Lanes::take_ended);
        self.ended.extend(new);
        if self.ended.is_empty() {
            return 0;
        }
        match self.disk.retire(&self.ended, &mut self.positions) {
            Ok(()) => {
                for bundle in self.ended.iter().filter(|b| b.positions.is_some()) {
                    self.stats.book_all(&bundle.fates);
                }
                std::mem::take(&mut self.ended).len()
            }
            Err(error) => {
                self.complain(&error);
                0
            }
        }
    }

    /// Logs that the disk refuses, at most once a minute.
    pub(super) fn complain(&mut self, error: &io::Error) {
        if self.complained.is_none_or(|at| at.elapsed() >= QUIET) {
            self.complained = Some(Instant::now());
            let dir = self.disk.directory().display();
            tracing::error!(
                "the spool in {dir} takes nothing: {error}; rows go to the store from memory, where a kill loses them"
            );
        }
    }
}

/// Takes a file into the lanes that this process did not write, or wrote in an earlier life.
pub(super) fn take(found: Found, door: &Door) {
    let sections = found.header.sections.iter().zip(&found.slots);
    let entry = Entry {
        created_ms: found.header.created_ms,
        sections: sections
            .map(|(s, slot)| Section::new(s.table, s.rows, *slot))
            .collect(),
        memory: None,
        damaged: found.slots.iter().any(|s| s.state == State::Corrupt),
        replayed: found.is_replayed(),
    };
    door.shared
        .with(|lanes| lanes.accept(found.number, entry, vec![]));
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no room left in the spool")
}

fn is_full(end: &io::Result<u64>) -> bool {
    matches!(end, Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

const TICK: Duration = Duration::from_millis(100);

/// Time between two rounds of removing what has ended.
const TIDY: Duration = Duration::from_secs(1);

const QUIET: Duration = Duration::from_secs(60);

/// Bundles shed in one go.
const SHED_AT_ONCE: usize = 64;
