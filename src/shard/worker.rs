//! The thread of a shard.

use super::{ExportShard, Lookout, RulesChange, Sighted, Stages};
use crate::aggregate::{Bandwidth, Quality, Series};
use crate::batch::{self, Bundle, Content};
use crate::decode::{self, Faults, Snapshot};
use crate::detect::signature::HitCounts;
use crate::detect::signature::engine::CostLine;
use crate::enrich::Tables;
use crate::ledger::{Book, Outcome};
use crate::receive::DatagramBatch;
use crossbeam_channel::{Receiver, Sender, never};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Batches after which counts are published, however short the time.
const PUBLISH_BATCHES: u32 = 256;

/// Nanoseconds of the data's clock after which counts are published.
const PUBLISH_NS: i64 = 100_000_000;

/// Nanoseconds between two looks for what has expired.
const TICK_NS: i64 = 1_000_000_000;

/// Nanoseconds between two snapshots of templates and options.
const SAVE_NS: i64 = 30_000_000_000;

/// The same when there is news, and by how much more each byte of the last snapshot puts off the next: 1 MB/s are written.
const NEWS_NS: i64 = 1_000_000_000;
const NEWS_BYTE_NS: i64 = 1_000;

/// Templates and names that are written between two publications.
const SAVE_ITEMS: usize = 2_048;

/// A clock that is back by more was set.
const STEP_NS: i64 = 1_000_000_000;

/// What others may know about a shard.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// Outcomes.
    pub book: Book,
    /// Batches of datagrams that wait for this shard.
    pub queue: usize,
    /// Sets that await their template.
    pub sets_awaiting: u64,
    /// Fragments that wait for the rest of their packet.
    pub fragments_waiting: u64,
    /// Conversations in the flow table.
    pub conversations: u64,
    /// What packets told of quality since the start.
    pub quality: Quality,
    /// How often rules hit.
    pub hits: HitCounts,
    /// What the rules cost that cost most.
    pub costs: Vec<CostLine>,
    /// Which load of the rules is in force; 0: none.
    pub generation: u64,
    /// Rows that are not handed to the sink yet.
    pub rows_open: u64,
    /// Rows handed to the sink, in all.
    pub rows_sent: u64,
    /// Bundles handed to the sink, in all.
    pub bundles: u64,
    /// Time spent in decoding and what is behind it, nanoseconds.
    pub busy_ns: u64,
    /// Faults of exporters since they were read, for the log; taken by the reader.
    pub faults: Faults,
    /// As of the last snapshot; taken by the reader.
    pub state: Option<State>,
}

/// What outlives a restart.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Templates and options.
    pub decode: Vec<u8>,
    /// Where exporters meter.
    pub sides: Vec<u8>,
}

/// The published state of a shard: written by its thread a few times a second, read by control.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    #[expect(
        clippy::disallowed_types,
        reason = "a cell that control reads; touched a few times a second"
    )]
    stats: Arc<std::sync::Mutex<ShardStats>>,
    #[expect(
        clippy::disallowed_types,
        reason = "written once a bundle, read by control"
    )]
    series: Arc<std::sync::Mutex<Series>>,
    pulse: Arc<Pulse>,
}

/// Whether a shard moves.
#[derive(Debug, Default)]
struct Pulse {
    rounds: AtomicU64,
    waiting: AtomicBool,
}

impl Cell {
    /// How many batches of datagrams, empty ones that only tell the time included, the shard has worked off: some come
    /// each second as long as receive lives.
    pub fn rounds(&self) -> u64 {
        self.pulse.rounds.load(Relaxed)
    }

    /// Whether it waits for the sink to take a bundle: then it stands still because the store does.
    pub fn is_waiting(&self) -> bool {
        self.pulse.waiting.load(Relaxed)
    }

    /// Adds the bandwidth since the start to `all`.
    pub fn add_bandwidth(&self, all: &mut Bandwidth) {
        let series = self.series.lock();
        series
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .add_to(all);
    }

    /// The shard has worked off a batch.
    pub(super) fn count_round(&self) {
        self.pulse.rounds.fetch_add(1, Relaxed);
    }

    /// Hands a bundle over; whoever looks meanwhile sees that the shard waits for that.
    pub(super) fn deliver(&self, bundle: Bundle, output: &mut dyn FnMut(Bundle)) {
        self.pulse.waiting.store(true, Relaxed);
        output(bundle);
        self.pulse.waiting.store(false, Relaxed);
    }

    /// Counts the usage of a bundle for metrics; returns how many rows found no room of their own.
    pub(super) fn count_usage(&self, bundle: &Bundle) -> u64 {
        let series = self.series.lock();
        let mut series = series.unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = |b: &batch::Batch| match &b.content {
            Content::Usage(rows) => series.add(rows, &bundle.names),
            _ => 0,
        };
        bundle.batches.iter().map(count).sum()
    }

    /// Reads or changes the state.
    pub fn with<R>(&self, f: impl FnOnce(&mut ShardStats) -> R) -> R {
        f(&mut self
            .stats
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// What a reload changes in a shard, between two batches of datagrams.
#[derive(Clone, Debug)]
pub struct Change {
    /// Tables fresh from the settings, taught by nobody, and when bundles are sealed; none where that stays as it is.
    pub back: Option<(Arc<Tables>, batch::Settings)>,
    /// Rules, for shards of packets.
    pub rules: RulesChange,
    /// Dropped once the change is in force.
    pub done: Sender<()>,
}

/// A shard with its channels.
#[derive(Debug)]
pub struct Worker {
    shard: ExportShard,
    changes: Receiver<Change>,
    stages: Stages,
    cell: Cell,
    lookout: Option<Lookout>,
    now_ns: i64,
    ticked_ns: i64,
    published_ns: i64,
    saved_ns: i64,
    saving: Option<Snapshot>,
    saved_bytes: usize,
    news: bool,
    batches: u32,
    rows_sent: u64,
    bundles: u64,
    busy_ns: u64,
    queue: usize,
}

impl Worker {
    /// A worker that publishes to `cell`.
    pub fn new(shard: ExportShard, stages: Stages, cell: Cell) -> Self {
        Worker {
            shard,
            changes: never(),
            stages,
            cell,
            lookout: None,
            now_ns: 0,
            ticked_ns: 0,
            published_ns: 0,
            saved_ns: 0,
            saving: None,
            saved_bytes: 0,
            news: false,
            batches: 0,
            rows_sent: 0,
            bundles: 0,
            busy_ns: 0,
            queue: 0,
        }
    }

    /// Listens for changes, too; the next batch of datagrams, or the next word of the time, brings them in force.
    pub fn with_changes(mut self, changes: Receiver<Change>) -> Self {
        self.changes = changes;
        self
    }

    /// Lets detectors see its rows.
    pub fn with_lookout(mut self, lookout: Option<Lookout>) -> Self {
        self.lookout = lookout;
        self
    }

    /// Works until the senders of `input` are gone, seals what is left, and ends. `output` may make it
    /// wait: that is how a slow store is felt here.
    pub fn run(mut self, input: &Receiver<DatagramBatch>, output: &mut dyn FnMut(Bundle)) {
        for batch in input {
            self.clock(batch.now_ns(), output);
            let began = Instant::now();
            while let Ok(change) = self.changes.try_recv() {
                self.change(&change, output);
            }
            self.datagrams(&batch, output);
            drop(batch);
            self.cell.count_round();
            self.queue = input.len();
            self.after_batch(output);
            self.busy_ns += began.elapsed().as_nanos() as u64;
        }
        self.shard.finish();
        self.seal(output, true);
        self.look(true);
        self.publish(true);
    }

    fn change(&mut self, change: &Change, output: &mut dyn FnMut(Bundle)) {
        let Some((tables, batch)) = &change.back else {
            return;
        };
        // rows that wait refer to the names of the tables before
        match self.stages {
            Stages::Full => self.seal(output, false),
            Stages::Decode => self.shard.drop_batch(),
        }
        self.shard.back().reconfigure(tables, batch);
    }

    /// Follows the clock of the data: ahead, or back when it was set. Batches of several listeners may come a little out of
    /// order, which is no reason.
    fn clock(&mut self, now_ns: i64, output: &mut dyn FnMut(Bundle)) {
        if now_ns < self.now_ns - STEP_NS {
            // by the clock as it was; ages are counted anew from here
            self.close_batch();
            self.seal(output, false);
            self.shard.back().set_clock(now_ns);
            (self.ticked_ns, self.published_ns, self.saved_ns) = (now_ns, now_ns, now_ns);
            self.now_ns = now_ns;
        }
        self.now_ns = self.now_ns.max(now_ns);
    }

    fn datagrams(&mut self, batch: &DatagramBatch, output: &mut dyn FnMut(Bundle)) {
        let mut coming = batch.iter();
        let first = coming.by_ref().take(decode::CALLED_AHEAD);
        first.for_each(|d| self.shard.call(&d.source));
        for datagram in batch.iter() {
            if let Some(d) = coming.next() {
                self.shard.call(&d.source);
            }
            self.shard.datagram(&datagram);
            self.make_room(output);
            while self.shard.go_on() {
                self.make_room(output);
            }
        }
    }

    /// Closes a batch that is full, and seals where the bundle is.
    fn make_room(&mut self, output: &mut dyn FnMut(Bundle)) {
        if self.shard.is_full() {
            self.close_batch();
        }
        if self.shard.back().is_crowded() {
            match self.stages {
                Stages::Full => self.seal(output, false),
                Stages::Decode => self.shard.drop_batch(),
            }
        }
    }

    fn close_batch(&mut self) {
        match self.stages {
            Stages::Full => self.shard.close_batch(self.now_ns),
            Stages::Decode => self.shard.drop_batch(),
        }
    }

    fn after_batch(&mut self, output: &mut dyn FnMut(Bundle)) {
        if self.stages == Stages::Decode {
            self.shard.drop_batch();
        } else if self.shard.due(self.now_ns) {
            self.seal(output, false);
        }
        if self.now_ns - self.ticked_ns >= TICK_NS {
            self.ticked_ns = self.now_ns;
            self.shard.tick(self.now_ns);
            self.shard.book().tick(self.now_ns);
            self.look(true);
        }
        self.look(false);
        self.batches += 1;
        if self.batches >= PUBLISH_BATCHES || self.now_ns - self.published_ns >= PUBLISH_NS {
            self.publish(false);
        }
    }

    /// Hands to detectors what there is to see, and the time where that is all.
    fn look(&mut self, always: bool) {
        let Some(lookout) = &self.lookout else { return };
        let sightings = self.shard.take_sightings();
        if always || !sightings.is_empty() {
            let dropped = lookout.tell(Sighted {
                now_ms: self.now_ns.div_euclid(1_000_000),
                of_files: false,
                pauses: false,
                sightings,
            });
            let tally = self.shard.book().other();
            tally.add(Outcome::SightingsDropped, dropped);
            if let Some(spare) = lookout.spare() {
                self.shard.reuse(spare);
            }
        }
    }

    fn seal(&mut self, output: &mut dyn FnMut(Bundle), last: bool) {
        if let Some(bundle) = self.shard.seal(self.now_ns, last) {
            self.rows_sent += bundle.flow_rows() as u64;
            self.bundles += 1;
            let refused = self.cell.count_usage(&bundle);
            self.shard
                .book()
                .other()
                .add(Outcome::SeriesRefused, refused);
            // published before they leave: rows may be counted open twice for a moment, never not at all
            self.publish(false);
            self.cell.deliver(bundle, output);
        }
    }

    fn publish(&mut self, last: bool) {
        self.batches = 0;
        self.published_ns = self.now_ns;
        let state = self.save(last);
        let faults = self.shard.take_faults();
        let (awaiting, rows_open) = (self.shard.decoder().awaiting(), self.shard.rows_open());
        let (rows_sent, bundles, busy_ns, queue) =
            (self.rows_sent, self.bundles, self.busy_ns, self.queue);
        let book = self.shard.book();
        self.cell.with(|stats| {
            stats.book.clone_from(book);
            stats.sets_awaiting = awaiting;
            stats.rows_open = rows_open;
            stats.rows_sent = rows_sent;
            stats.bundles = bundles;
            stats.busy_ns = busy_ns;
            stats.queue = queue;
            stats.faults.merge(faults);
            if state.is_some() {
                stats.state = state;
            }
        });
    }

    /// Writes some more of the state of the decoder, which begins anew every half minute, and soon where there is news; the state
    /// when it is whole.
    fn save(&mut self, last: bool) -> Option<State> {
        self.news |= self.shard.decoder().take_news();
        let pause_ns = match self.news {
            true => SAVE_NS.min(NEWS_NS.max(self.saved_bytes as i64 * NEWS_BYTE_NS)),
            false => SAVE_NS,
        };
        if self.saving.is_none() && self.now_ns - self.saved_ns >= pause_ns {
            self.saved_ns = self.now_ns;
            self.saving = Some(Snapshot::default());
            // what comes from here on may be behind the place that is being written
            self.news = false;
        }
        let decoder = self.shard.decoder();
        let state = match self.saving.take() {
            _ if last => decoder.save(),
            None => return None,
            Some(snapshot) => match decoder.save_some(snapshot, SAVE_ITEMS) {
                Ok(state) => state,
                Err(more) => {
                    self.saving = Some(more);
                    return None;
                }
            },
        };
        let book = self.shard.book();
        book.other().add(Outcome::ExportersUnsaved, state.unsaved);
        self.saved_bytes = state.text.len();
        Some(State {
            decode: state.text,
            sides: self.shard.back().save(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Identity, Sealer};
    use crate::decode::Decoder;
    use crate::enrich::Tables;
    use crate::model::{Addr, Datagram};
    use crate::shard::Back;

    fn worker() -> Worker {
        let identity = Arc::new(Identity {
            collector: "c".into(),
            start: 1,
        });
        let sealer = Sealer::new(Default::default(), identity, Arc::default());
        let tables = Arc::new(Tables::new(&Default::default()).expect("defaults"));
        let usage = crate::aggregate::Usage::new(&Default::default());
        let back = Back::new(tables, usage, sealer);
        let decoder = Decoder::new(Default::default());
        let shard = ExportShard::new(decoder, back, Book::new(10));
        Worker::new(shard, Stages::Full, Cell::default())
    }

    fn datagram(exporter: u8, received_at_ns: i64, payload: &[u8]) -> Datagram<'_> {
        Datagram {
            source: Addr::from_v4([192, 0, 2, exporter]),
            port: 1,
            received_at_ns,
            number: 1,
            frame: 1,
            cut: false,
            payload,
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_seal_all_the_time() {
        let mut worker = worker();
        // a v5 datagram of one flow
        let mut flow = vec![0u8; 72];
        (flow[1], flow[3]) = (5, 1);
        let mut bundles = 0;
        let hour_ns = 3_600_000_000_000;
        let times = (0..10).map(|n| 100 * hour_ns + n);
        for now_ns in times.clone().chain(times.map(|t| t - hour_ns)) {
            let mut output = |_| bundles += 1;
            worker.clock(now_ns, &mut output);
            worker.shard.datagram(&datagram(1, now_ns, &flow));
            worker.after_batch(&mut output);
        }
        // the ledger at the start, and the step
        assert_eq!((bundles, worker.shard.rows_open()), (2, 10));
    }

    #[test]
    fn sealed_usage_is_there_for_metrics() {
        let mut worker = worker();
        let mut flow = vec![0u8; 72];
        (flow[1], flow[3]) = (5, 1);
        // from interface 3 to 4, 2 packets of 300 bytes together
        (flow[24 + 13], flow[24 + 15], flow[24 + 19]) = (3, 4, 2);
        flow[24 + 22..24 + 24].copy_from_slice(&300u16.to_be_bytes());
        for now_ns in [0, 1] {
            worker.shard.datagram(&datagram(1, now_ns, &flow));
        }
        let mut all = Bandwidth::default();
        worker.cell.add_bandwidth(&mut all);
        assert_eq!(all, Bandwidth::default());
        worker.seal(&mut |_| (), true);
        worker.cell.add_bandwidth(&mut all);
        let sides = all
            .classes
            .iter()
            .map(|(k, bytes)| (k.1, k.2.name(), *bytes));
        let expected = [(3, "ingress", 600), (4, "egress", 600)];
        assert_eq!(sides.collect::<Vec<_>>(), expected);
        assert_eq!(all.applications.values().sum::<u64>(), 600);
    }

    /// IPFIX datagrams with the names of `interfaces` interfaces behind a template.
    fn names(interfaces: u32) -> Vec<Vec<u8>> {
        let message = |sets: &[u8]| {
            let mut message = [&[0, 10], &((sets.len() + 16) as u16).to_be_bytes()[..]].concat();
            message.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
            message.extend(sets);
            message
        };
        let words = [3u16, 18, 300, 2, 1, 10, 4, 82, 12];
        let template: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let data = (0..interfaces).step_by(400).map(|first| {
            let record = |n: u32| [&n.to_be_bytes()[..], format!("if{n:010}").as_bytes()].concat();
            let records: Vec<u8> = (first + 1..=first + 400).flat_map(record).collect();
            let head = [300u16, records.len() as u16 + 4].map(u16::to_be_bytes);
            message(&[head.as_flattened(), &records].concat())
        });
        std::iter::once(message(&template)).chain(data).collect()
    }

    #[test]
    fn what_is_learned_is_saved_within_a_second() {
        let (mut worker, ms) = (worker(), 1_000_000);
        let start = 1_000 * SAVE_NS;
        // when, by the clock of the data, a whole state was published
        let mut saved_ms = vec![];
        for at in (0..40_000i64).step_by(50) {
            let now_ns = start + at * ms;
            worker.clock(now_ns, &mut |_| ());
            // a template and then names; each is repeated, which is no news
            for (n, payload) in names(400).iter().enumerate() {
                if at >= 5_020 + 300 * n as i64 {
                    worker.shard.datagram(&datagram(1, now_ns, payload));
                }
            }
            worker.after_batch(&mut |_| ());
            if let Some(state) = worker.cell.with(|s| s.state.take()) {
                saved_ms.push((at, String::from_utf8(state.decode).expect("text")));
            }
        }
        let times: Vec<_> = saved_ms.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 5_100, 6_100, 36_100]);
        let knows = |n: usize, what: &str| saved_ms[n].1.contains(what);
        assert!(!knows(0, r#""id":300"#) && knows(1, r#""id":300"#));
        assert!(!knows(1, "if0000000400") && knows(2, "if0000000400"));
    }

    #[test]
    fn no_name_is_lost_on_its_way_to_the_inventory() {
        let (mut worker, mut told) = (worker(), 0);
        let mut output = |bundle: Bundle| {
            let rows = |b: &batch::Batch| match &b.content {
                batch::Content::Inventory(rows) => rows.len(),
                _ => 0,
            };
            told += bundle.batches.iter().map(rows).sum::<usize>();
        };
        for exporter in 1..=2 {
            for payload in names(50_000) {
                let mut batch = DatagramBatch::with_capacity(1);
                assert!(batch.push(&datagram(exporter, 0, &payload)));
                worker.datagrams(&batch, &mut output);
            }
        }
        worker.seal(&mut output, true);
        // the two templates, too
        assert_eq!(told, 100_002);
        let book = worker.shard.book();
        let refused = [Outcome::NamesRefused, Outcome::FactsRefused].map(|o| book.count(o));
        assert_eq!(refused, [0, 0]);
    }

    #[test]
    fn the_store_is_told_again_what_it_may_have_lost() {
        let mut worker = worker();
        // a v5 datagram of one flow into interface 3
        let mut flow = vec![0u8; 72];
        (flow[1], flow[3], flow[37]) = (5, 1, 3);
        let second = 1_000_000_000;
        let mut told = |now_ns: i64| {
            let (mut interfaces, mut exporters) = (0, 0);
            worker.now_ns = now_ns;
            worker.shard.datagram(&datagram(1, now_ns, &flow));
            let mut output = |bundle: Bundle| {
                for b in &bundle.batches {
                    match &b.content {
                        batch::Content::Inventory(rows) => interfaces += rows.len(),
                        batch::Content::Exporters(rows) => exporters += rows.len(),
                        _ => {}
                    }
                }
            };
            worker.seal(&mut output, false);
            (interfaces, exporters)
        };
        assert_eq!(told(second), (1, 1));
        assert_eq!(told(3_000 * second), (0, 0));
        // the one that makes it due forgets who was announced; the interface comes with its next flow
        assert_eq!(told(3_602 * second), (0, 1));
        assert_eq!(told(3_603 * second), (1, 0));
        assert_eq!(told(3_604 * second), (0, 0));
    }
}
