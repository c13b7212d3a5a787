//! The thread of a capture shard.

use super::{Alarm, CaptureShard, Cell, Change, Lookout, Sealed, Sighted, Stray};
use crate::batch::Bundle;
use crate::detect::anomaly::Sighting;
use crate::dissect::{FrameHead, RouteKey};
use crate::ledger::Outcome;
use crate::meter::AHEAD;
use crate::receive::Frame;
use crate::receive::capture::{FrameBatch, Spread};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never};
use std::time::Instant;

/// A capture shard with its channels.
#[derive(Debug)]
pub struct CaptureWorker {
    shard: CaptureShard,
    changes: Receiver<Change>,
    cell: Cell,
    lookout: Option<Lookout>,
    looked_ns: i64,
    alarm: Option<Alarm>,
    strays: Strays,
    /// Rows are of files: the time of their packets is not the one at which they arrived here.
    reads_files: bool,
    /// Time of the latest packet of files.
    file_ns: i64,
    /// The latest of the clocks that batches were sent at.
    now_ns: i64,
    published_ns: i64,
    costs_ns: i64,
    rows_sent: u64,
    bundles: u64,
    busy_ns: u64,
    queue: usize,
}

/// The ways to the other shards, for packets that belong there.
#[derive(Debug)]
struct Strays {
    /// By shard; its own is there, too, and never used. Empty where there is one shard.
    to: Vec<Sender<Stray>>,
    from: Receiver<Stray>,
    spread: Spread,
    own: usize,
}

impl CaptureWorker {
    /// A worker that publishes into `cell`.
    pub fn new(shard: CaptureShard, cell: Cell) -> Self {
        CaptureWorker {
            shard,
            changes: never(),
            cell,
            lookout: None,
            looked_ns: 0,
            alarm: None,
            strays: Strays {
                to: vec![],
                from: bounded(0).1,
                spread: Spread::new(1),
                own: 0,
            },
            reads_files: false,
            file_ns: i64::MIN,
            now_ns: 0,
            published_ns: 0,
            costs_ns: i64::MIN / 2,
            rows_sent: 0,
            bundles: 0,
            busy_ns: 0,
            queue: 0,
        }
    }

    /// Listens for changes, too; the next batch brings them in force.
    pub fn with_changes(mut self, changes: Receiver<Change>) -> Self {
        self.changes = changes;
        self
    }

    /// Lets detectors see its rows and packets.
    pub fn with_lookout(mut self, lookout: Option<Lookout>) -> Self {
        self.lookout = lookout;
        self
    }

    /// Takes care of what rules raise.
    pub fn with_alarm(mut self, mut alarm: Alarm) -> Self {
        if let Some(ring) = alarm.take_ring() {
            self.shard = self.shard.with_ring(ring);
        }
        self.alarm = Some(alarm);
        self
    }

    /// It is number `own` of several, which hand each other what belongs there.
    pub fn among(
        mut self,
        own: usize,
        to: Vec<Sender<Stray>>,
        from: Receiver<Stray>,
        spread: Spread,
    ) -> Self {
        self.strays = Strays {
            to,
            from,
            spread,
            own,
        };
        self
    }

    /// Its frames are of files that others wrote: time is theirs, and rows are received when they are made.
    pub fn of_files(mut self) -> Self {
        self.reads_files = true;
        self
    }

    /// Works until the senders of `input` are gone, ends all conversations, seals what is left, and ends. `output` may make
    /// it wait: that is how a slow store is felt here.
    pub fn run(mut self, input: &Receiver<FrameBatch>, output: &mut dyn FnMut(Bundle)) {
        for batch in input {
            let began = Instant::now();
            self.clock(batch.now_ns(), output);
            while let Ok(change) = self.changes.try_recv() {
                if let Some((tables, batch)) = &change.back {
                    self.seal(output, false);
                    self.shard.back().reconfigure(tables, batch);
                }
                self.shard.change_rules(&change.rules);
            }
            while let Ok(stray) = self.strays.from.try_recv() {
                self.stray(&stray, output);
            }
            self.frames(&batch, output);
            if batch.is_end() {
                self.end_conversations(output);
                self.raised(false);
                self.alarm(true);
            } else if batch.is_empty() && !self.reads_files {
                self.advance(batch.now_ns(), output);
            }
            let pauses = batch.is_end();
            drop(batch);
            self.cell.count_round();
            self.queue = input.len();
            self.after_batch(output);
            if pauses {
                self.tell_detectors(vec![], true);
            }
            self.busy_ns += began.elapsed().as_nanos() as u64;
        }
        // others end when nobody can send to them any more
        self.strays.to.clear();
        let from = std::mem::replace(&mut self.strays.from, bounded(0).1);
        from.iter().for_each(|stray| self.stray(&stray, output));
        self.end_conversations(output);
        self.raised(true);
        if let Some(mut alarm) = self.alarm.take() {
            alarm.finish(&mut self.shard);
            self.alarm = Some(alarm);
        }
        self.seal(output, true);
        self.look(true);
        self.publish();
    }

    /// Follows the clock: where it was set back, all conversations end.
    fn clock(&mut self, now_ns: i64, output: &mut dyn FnMut(Bundle)) {
        if now_ns < self.now_ns - STEP_NS {
            self.end_conversations(output);
            self.seal(output, false);
            self.shard.back().set_clock(now_ns);
            (self.now_ns, self.published_ns) = (now_ns, now_ns);
        }
        self.now_ns = self.now_ns.max(now_ns);
    }

    fn frames(&mut self, batch: &FrameBatch, output: &mut dyn FnMut(Bundle)) {
        let mut coming = batch.iter();
        for f in coming.by_ref().take(AHEAD) {
            self.shard.comes(f.link_type, f.captured);
        }
        for f in batch.iter() {
            if let Some(f) = coming.next() {
                self.shard.comes(f.link_type, f.captured);
            }
            self.frame(&f, output);
        }
    }

    #[inline]
    fn frame(&mut self, f: &Frame<'_>, output: &mut dyn FnMut(Bundle)) {
        if self.reads_files {
            if f.time_ns < self.file_ns.saturating_sub(FILE_STEP_NS) {
                self.end_conversations(output);
                self.file_ns = f.time_ns;
            }
            self.file_ns = self.file_ns.max(f.time_ns);
        }
        self.advance(f.time_ns, output);
        let head = FrameHead {
            time_ns: f.time_ns,
            frame: 0,
            interface: f.interface,
            link_type: f.link_type,
            wire_len: f.original,
        };
        self.shard.frame(head, f.captured);
        self.raised(false);
        while let Some(stray) = self.shard.take_stray() {
            if let Some(mine) = self.strays.send(stray) {
                self.shard.stray(&mine);
            }
        }
        self.make_room(output);
    }

    fn stray(&mut self, stray: &Stray, output: &mut dyn FnMut(Bundle)) {
        self.shard.stray(stray);
        self.make_room(output);
    }

    #[inline]
    fn advance(&mut self, now_ns: i64, output: &mut dyn FnMut(Bundle)) {
        while !self.shard.advance(now_ns, 0) {
            self.close_batch(output);
        }
    }

    fn end_conversations(&mut self, output: &mut dyn FnMut(Bundle)) {
        while !self.shard.finish(0) {
            self.close_batch(output);
        }
        self.make_room(output);
    }

    #[inline]
    fn make_room(&mut self, output: &mut dyn FnMut(Bundle)) {
        if self.shard.is_full() {
            self.close_batch(output);
        }
    }

    /// Closes the open batch, and seals where the bundle is full.
    fn close_batch(&mut self, output: &mut dyn FnMut(Bundle)) {
        self.date();
        self.shard.close_batch(self.now_ns);
        if self.shard.back().is_crowded() {
            self.seal(output, false);
        }
    }

    /// Rows of a file are received now.
    fn date(&mut self) {
        if self.reads_files {
            self.shard.received_at(self.now_ns);
        }
    }

    fn after_batch(&mut self, output: &mut dyn FnMut(Bundle)) {
        // before rows leave, which carry what was found
        self.raised(false);
        if self.shard.due(self.now_ns) {
            self.seal(output, false);
        }
        self.look(self.now_ns - self.looked_ns >= STEP_NS);
        if self.now_ns - self.published_ns >= PUBLISH_NS {
            self.alarm(false);
            self.publish();
        }
    }

    /// Takes what rules raised.
    #[inline]
    fn raised(&mut self, waits: bool) {
        if self.shard.has_alerts() {
            let alerts = self.shard.take_alerts();
            if let Some(alarm) = &mut self.alarm {
                alarm.take(alerts, &mut self.shard, waits);
            }
        }
    }

    /// Tells what rules found.
    fn alarm(&mut self, all: bool) {
        let now_ns = match self.reads_files {
            true => self.file_ns,
            false => self.now_ns,
        };
        if let Some(alarm) = &mut self.alarm {
            alarm.tick(now_ns, all, &mut self.shard);
        }
    }

    fn seal(&mut self, output: &mut dyn FnMut(Bundle), last: bool) {
        self.date();
        let sealed: Sealed = self.shard.seal(self.now_ns, last);
        let Some(bundle) = sealed else { return };
        self.rows_sent += bundle.flow_rows() as u64;
        self.bundles += 1;
        let refused = self.cell.count_usage(&bundle);
        let tally = self.shard.book().other();
        tally.add(Outcome::SeriesRefused, refused);
        // published before they leave: rows may be counted open twice for a moment, never not at all
        self.publish();
        self.cell.deliver(bundle, output);
    }

    /// Hands to detectors what there is to see, and the time where that is all.
    fn look(&mut self, always: bool) {
        if self.lookout.is_none() {
            return;
        }
        let sightings = self.shard.take_sightings();
        if always || !sightings.is_empty() {
            self.tell_detectors(sightings, false);
        }
    }

    /// Hands facts over, where the time of the data is known; `pauses` where nothing more comes for now.
    fn tell_detectors(&mut self, sightings: Vec<Sighting>, pauses: bool) {
        let now_ns = match self.reads_files {
            true => self.file_ns,
            false => self.now_ns,
        };
        let Some(lookout) = &self.lookout else { return };
        if sightings.is_empty() && now_ns == i64::MIN {
            return;
        }
        self.looked_ns = self.now_ns;
        let dropped = lookout.tell(Sighted {
            now_ms: now_ns.div_euclid(1_000_000),
            of_files: self.reads_files,
            pauses,
            sightings,
        });
        let tally = self.shard.book().other();
        tally.add(Outcome::SightingsDropped, dropped);
    }

    fn publish(&mut self) {
        self.published_ns = self.now_ns;
        let (rows_open, flows) = (self.shard.rows_open(), self.shard.flows() as u64);
        let fragments = self.shard.fragments_waiting();
        let (rows_sent, bundles, busy_ns, queue) =
            (self.rows_sent, self.bundles, self.busy_ns, self.queue);
        let quality = self.shard.back().quality().clone();
        let generation = self.shard.generation();
        let hits = self.alarm.as_ref().map(Alarm::counts);
        let dear = self.now_ns - self.costs_ns >= COSTS_NS;
        let costs = dear.then(|| self.shard.dearest_rules());
        if dear {
            self.costs_ns = self.now_ns;
        }
        let book = self.shard.book();
        self.cell.with(|stats| {
            stats.costs = costs.unwrap_or_else(|| std::mem::take(&mut stats.costs));
            stats.generation = generation;
            if let Some(hits) = hits.filter(|h| h.all != stats.hits.all) {
                stats.hits.clone_from(hits);
            }
            stats.book.clone_from(book);
            stats.rows_open = rows_open;
            stats.rows_sent = rows_sent;
            stats.bundles = bundles;
            stats.busy_ns = busy_ns;
            stats.queue = queue;
            stats.conversations = flows;
            stats.fragments_waiting = fragments;
            stats.quality = quality;
        });
    }
}

impl Strays {
    /// Hands a packet to its shard; gives it back where that is this one, or takes no more.
    fn send(&self, stray: Stray) -> Option<Stray> {
        let (low, high) = stray.ends();
        let shard = self.spread.shard(&RouteKey { low, high });
        match self.to.get(shard) {
            Some(to) if shard != self.own => match to.try_send(stray) {
                Ok(()) => None,
                Err(TrySendError::Full(stray) | TrySendError::Disconnected(stray)) => Some(stray),
            },
            _ => Some(stray),
        }
    }
}

/// A clock that is back by more was set.
const STEP_NS: i64 = 1_000_000_000;
/// Where the packets of files go back by more, another capture begins.
const FILE_STEP_NS: i64 = 3_600 * STEP_NS;
/// Nanoseconds after which the costs of rules are published.
const COSTS_NS: i64 = 5 * STEP_NS;
/// Nanoseconds after which counts are published.
const PUBLISH_NS: i64 = 100_000_000;
