//! What is known of everything, read from the published cells.

use super::alarms::Lost;
use super::desk::Desk;
use super::findings::Untold;
use super::reconciler::Latest;
use super::{Captured, Pace, Reloader};
use crate::aggregate::{Bandwidth, Histogram, QUALITY_MEASURES, Quality, QualityMeasure};
use crate::control;
use crate::detect::signature::HitCounts;
use crate::detect::signature::engine::CostLine;
use crate::ledger::{Book, Gauges, Law, Outcome, laws};
use crate::model::Addr;
use crate::notify;
use crate::receive::capture::CaptureStats;
use crate::receive::{Intake, Listener, Published, ReceiveStats};
use crate::shard::{Cell, ShardStats};
use crate::sink::{EndpointState, LATENCY_BOUNDS, Snapshot, Stats};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError};

/// The cells of all threads.
#[derive(Debug)]
pub struct View {
    listeners: Vec<Published>,
    shards: Vec<Cell>,
    captured: Captured,
    queue_max: usize,
    intake: Arc<Intake>,
    sink: Arc<Stats>,
    bundles_queued: AtomicU64,
    store_restarts: AtomicU64,
    reloader: Arc<Reloader>,
    reconciliation: OnceLock<Latest>,
    desk: OnceLock<Desk>,
    told: OnceLock<(Untold, Option<Arc<notify::Notifier>>)>,
    beyond: OnceLock<Arc<AtomicU64>>,
    lost: OnceLock<Lost>,
}

/// All counts at one moment. Under load threads publish one after the other, so the laws hold to within what they published
/// last; at rest they hold to the unit.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Outcomes of all threads.
    pub book: Book,
    /// States beside them.
    pub gauges: Gauges,
    /// Whether no thread panicked.
    pub in_order: bool,
}

impl Totals {
    /// The laws with their sides.
    pub fn laws(&self) -> Vec<Law> {
        laws(&self.book.total(), &self.gauges)
    }

    /// The ledger as JSON, as in `ledger.json`.
    pub fn json(&self) -> serde_json::Value {
        crate::sink::ndjson::ledger(&self.book, &self.gauges)
    }
}

impl View {
    /// A view of these threads.
    pub fn new(
        listeners: &[Listener],
        (shards, captured): (Vec<Cell>, Captured),
        queue_max: usize,
        intake: Arc<Intake>,
        sink: Arc<Stats>,
        reloader: Arc<Reloader>,
    ) -> Self {
        let listeners = listeners.iter().map(Listener::published).collect();
        View {
            listeners,
            shards,
            captured,
            queue_max,
            intake,
            sink,
            bundles_queued: AtomicU64::new(0),
            store_restarts: AtomicU64::new(0),
            reloader,
            reconciliation: OnceLock::new(),
            desk: OnceLock::new(),
            told: OnceLock::new(),
            beyond: OnceLock::new(),
            lost: OnceLock::new(),
        }
    }

    /// From here on what flows say beside counters is known.
    pub(super) fn reconcile(&self, latest: Latest) {
        // set once, at the start
        let _ = self.reconciliation.set(latest);
    }

    /// From here on incidents can be asked for.
    pub(super) fn ask_at(&self, desk: Desk) {
        // set once, at the start
        let _ = self.desk.set(desk);
    }

    /// From here on it is known what became of detections.
    pub(super) fn told(&self, untold: Untold, notifier: Option<Arc<notify::Notifier>>) {
        // set once, at the start
        let _ = self.told.set((untold, notifier));
    }

    /// From here on it is known how many incidents were beyond what detectors may find.
    pub(super) fn judged(&self, beyond: Arc<AtomicU64>) {
        // set once, at the start
        let _ = self.beyond.set(beyond);
    }

    /// From here on what the disk refused of alerts is counted.
    pub(super) fn lost(&self, lost: Lost) {
        // set once, at the start
        let _ = self.lost.set(lost);
    }

    /// What rules found.
    fn signatures(&self) -> Option<control::Signatures> {
        let (mut all, mut generation) = (HitCounts::default(), 0);
        for cell in &self.captured.shards {
            cell.with(|s| {
                all.merge(&s.hits);
                generation = generation.max(s.generation);
            });
        }
        let rules = self.reloader.rules().map_or(0, |m| m.program().len());
        if rules == 0 && all.all == 0 {
            return None;
        }
        let top = all.top(TOP_RULES).into_iter();
        let top = top.map(|((gid, sid), n, text)| (format!("{gid}:{sid}"), text.to_owned(), n));
        let top: Vec<_> = top.collect();
        let named: u64 = top.iter().map(|t| t.2).sum();
        Some(control::Signatures {
            generation,
            rules: rules as u64,
            other: all.all.saturating_sub(named),
            top,
            classes: all.classes.into_iter().collect(),
        })
    }

    fn detections(&self) -> control::Detections {
        let (untold, notifier) = match self.told.get() {
            Some((untold, notifier)) => (Some(untold), notifier.as_ref()),
            None => (None, None),
        };
        let untold = untold.map(|h| h.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let untold = untold.unwrap_or_default();
        let targets = notifier.map_or(vec![], |n| n.counts()).into_iter();
        control::Detections {
            suppressed: untold.suppressed,
            held_back: untold.held_back,
            beyond: self.beyond.get().map(|n| n.load(Relaxed)),
            targets: targets
                .map(|c| (c.target, [c.sent, c.failed, c.dropped, c.waiting]))
                .collect(),
            times: self.desk.get().map_or(vec![], Desk::times),
        }
    }

    fn desk(&self) -> Result<&Desk, control::NoAnswer> {
        let none = || control::NoAnswer::Away("this collector has no store".into());
        self.desk.get().ok_or_else(none)
    }

    /// What reads the configuration again.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// How far every thread of the data path has come.
    pub fn paces(&self) -> Vec<Pace> {
        let pace = |thread: String, rounds, excused| Pace {
            thread,
            rounds,
            excused,
        };
        let receive = self.listeners.iter().enumerate().map(|(n, l)| {
            let rounds = l.with(|r| r.rounds);
            pace(format!("receive-{n}"), rounds, false)
        });
        let shards = (self.shards.iter().enumerate())
            .map(|(n, s)| pace(format!("shard-{n}"), s.rounds(), s.is_waiting()));
        let readers = (self.captured.readers.iter().enumerate()).map(|(n, r)| {
            let rounds = r.with(|r| r.rounds);
            pace(format!("capture-{n}"), rounds, false)
        });
        let meters = (self.captured.shards.iter().enumerate())
            .map(|(n, s)| pace(format!("meter-{n}"), s.rounds(), s.is_waiting()));
        let beats = self.sink.beats();
        // no beat yet: nothing is sent before the schema is there
        let sink = pace("sink".into(), beats, beats == 0);
        let captured = readers.chain(meters);
        receive
            .chain(shards)
            .chain(captured)
            .chain([sink])
            .collect()
    }

    /// Notes how many bundles wait for the sink.
    pub fn set_bundles_queued(&self, n: usize) {
        self.bundles_queued.store(n as u64, Relaxed);
    }

    /// Notes that the embedded store was started again.
    pub fn count_store_restart(&self) {
        self.store_restarts.fetch_add(1, Relaxed);
    }

    /// All counts.
    pub fn totals(&self) -> Totals {
        // from the end of the pipeline to its start: what moves on between two readings is seen on its way, not past it
        let sink = self.sink();
        let mut book = Book::new(usize::MAX);
        let mut gauges = Gauges {
            rows_open: sink.rows_open,
            ..Gauges::default()
        };
        for cell in self.shards.iter().chain(&self.captured.shards) {
            cell.with(|s| {
                book.merge(&s.book);
                gauges.sets_awaiting += s.sets_awaiting;
                gauges.fragments_waiting += s.fragments_waiting;
                gauges.rows_open += s.rows_open;
            });
        }
        gauges.datagrams_queued = self.intake.queued();
        for listener in &self.listeners {
            listener.with(|r| book.merge(&r.book));
        }
        gauges.frames_queued = self.captured.queued.load(Relaxed);
        for reader in &self.captured.readers {
            reader.with(|r| {
                book.merge(&r.book);
                gauges.frames_queued += r.open;
            });
        }
        book.other().merge(&sink.outcomes);
        if let Some(lost) = self.lost.get() {
            lost.book(book.other());
        }
        Totals {
            book,
            gauges,
            in_order: true,
        }
    }

    fn meters(&self) -> Vec<control::Meter> {
        let queue_max = self.captured.queue_max as u64;
        let meter = |s: &mut ShardStats| control::Meter {
            shard: shard(s, queue_max),
            conversations: s.conversations,
            rows: s.book.count(Outcome::RowsAddedMetered),
        };
        let cells = self.captured.shards.iter();
        cells.map(|cell| cell.with(meter)).collect()
    }

    /// Histograms by measure and class; what was never measured is left out.
    fn quality(&self) -> Vec<control::Histogram> {
        let mut all = Quality::default();
        for cell in &self.captured.shards {
            cell.with(|s| all.merge(&s.quality));
        }
        let measures = QUALITY_MEASURES.iter().enumerate();
        let of_measure = |(n, m): (usize, &'static QualityMeasure)| {
            let classes = all.classes().filter(move |(_, h)| h[n].count > 0);
            let one = move |(class, h): (&str, &[Histogram])| histogram(m, class, &h[n]);
            classes.map(one).collect::<Vec<_>>()
        };
        measures.flat_map(of_measure).collect()
    }

    fn bandwidth(&self) -> control::Bandwidth {
        let mut all = Bandwidth::default();
        for cell in self.shards.iter().chain(&self.captured.shards) {
            cell.add_bandwidth(&mut all);
        }
        control::Bandwidth {
            classes: all.classes,
            applications: all.applications,
        }
    }

    /// State of each listener.
    pub fn listeners(&self) -> Vec<ReceiveStats> {
        self.listeners.iter().map(Published::read).collect()
    }

    /// State of each interface that is captured.
    pub fn captures(&self) -> Vec<CaptureStats> {
        self.captured.readers.iter().map(Published::read).collect()
    }

    /// Looks at the state of each shard for exports.
    pub fn shards<R>(&self, mut look: impl FnMut(usize, &mut ShardStats) -> R) -> Vec<R> {
        self.shards
            .iter()
            .enumerate()
            .map(|(n, cell)| cell.with(|s| look(n, s)))
            .collect()
    }

    /// Exporters that have sent something, each once.
    pub fn exporters(&self) -> Vec<Addr> {
        let of_shard = |s: &mut ShardStats| -> Vec<Addr> {
            let accounts = s.book.accounts().map(|((a, _), _)| Addr(*a));
            accounts.filter(|a| !a.is_unspecified()).collect()
        };
        let mut all: Vec<Addr> = self.shards(|_, s| of_shard(s)).concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The published cell of the sink.
    pub fn sink_cell(&self) -> &Stats {
        &self.sink
    }

    /// State of the sink.
    pub fn sink(&self) -> Snapshot {
        self.sink.snapshot()
    }
}

impl control::Source for View {
    fn snapshot(&self) -> control::Snapshot {
        let totals = self.totals();
        let sink = self.sink();
        let can_spool = sink.spool.enabled && !sink.spool.failing;
        let away = (!sink.ready).then(|| {
            sink.last_error
                .clone()
                .unwrap_or_else(|| "the store has not answered yet".into())
        });
        let (spooling, not_ready) = match can_spool {
            true => (away, None),
            false => (None, away),
        };
        let spool = spool(&sink);
        control::Snapshot {
            book: totals.book,
            gauges: totals.gauges,
            listeners: self.listeners().iter().map(listener).collect(),
            shards: self.shards(|_, s| shard(s, self.queue_max as u64)),
            captures: self.captures().iter().map(capture).collect(),
            meters: self.meters(),
            quality: self.quality(),
            sink: control::Sink {
                queue: self.bundles_queued.load(Relaxed),
                rows_open: sink.rows_open,
                other_rows_shed: sink.outcomes.count(Outcome::UsageRowsShed)
                    + sink.outcomes.count(Outcome::OtherRowsShed),
                inserts: sink.inserts,
                retries: sink.retries,
                bytes_raw: sink.bytes_raw,
                bytes_sent: sink.bytes_sent,
                errors: sink.errors,
                latency: LATENCY_BOUNDS.iter().copied().zip(sink.latency).collect(),
                latency_seconds: sink.latency_seconds,
                delivering: sink.ready,
                spool,
                endpoints: sink.endpoints.into_iter().map(endpoint).collect(),
            },
            detections: self.detections(),
            signatures: self.signatures(),
            bandwidth: self.bandwidth(),
            store_restarts: self.store_restarts.load(Relaxed),
            not_ready,
            reconciliation: self.reconciliation.get().map(Latest::read),
            snmp: self.reloader.poller().map(|p| snmp(p.stats())),
            reloads: self.reloader.stats(),
            spooling,
        }
    }

    fn reload(&self) -> Result<String, String> {
        self.reloader.reload()
    }

    fn rule_costs(&self) -> String {
        let mut all: BTreeMap<(u32, u32), CostLine> = BTreeMap::new();
        for cell in &self.captured.shards {
            cell.with(|s| {
                for line in &s.costs {
                    let rule = (line.gid, line.sid);
                    match all.get_mut(&rule) {
                        Some(known) => known.add(line),
                        None => {
                            all.insert(rule, line.clone());
                        }
                    }
                }
            });
        }
        let mut lines: Vec<_> = all.into_values().collect();
        lines.sort_by_key(|l| std::cmp::Reverse((l.work, l.candidates)));
        let text = lines.iter().filter_map(|l| serde_json::to_string(l).ok());
        text.map(|line| line + "\n").collect()
    }

    fn ledger_json(&self) -> String {
        format!("{:#}\n", self.totals().json())
    }

    fn incidents(&self, asked: &control::Asked) -> Result<Value, control::NoAnswer> {
        self.desk()?.list(asked)
    }

    fn incident_budget(&self, last_s: u64) -> Result<Value, control::NoAnswer> {
        self.desk()?.budget(last_s)
    }

    fn incident(&self, id: &str) -> Result<Value, control::NoAnswer> {
        self.desk()?.one(id)
    }

    fn incident_history(&self, id: &str) -> Result<Value, control::NoAnswer> {
        self.desk()?.history(id)
    }

    fn incident_step(&self, id: &str, step: &control::Step) -> Result<Value, control::NoAnswer> {
        self.desk()?.step(id, step)
    }
}

/// Rules that have a metric of their own.
const TOP_RULES: usize = 20;

fn listener(r: &ReceiveStats) -> control::Listener {
    control::Listener {
        address: r.listener.to_string(),
        datagrams: r.datagrams,
        bytes: r.bytes,
        kernel_drops: r.kernel_drops,
        receive_buffer_bytes: r.receive_buffer as u64,
    }
}

fn histogram(m: &'static QualityMeasure, class: &str, h: &Histogram) -> control::Histogram {
    let unit = m.per_unit as f64;
    let bounds = m.bounds.iter().map(|b| *b as f64 / unit);
    control::Histogram {
        name: m.name,
        help: m.help,
        class: class.to_owned(),
        buckets: bounds.zip(h.buckets).collect(),
        count: h.count,
        sum: h.sum as f64 / unit,
    }
}

fn capture(c: &CaptureStats) -> control::Capture {
    control::Capture {
        interface: c.interface.clone(),
        frames: c.frames,
        bytes: c.bytes,
        kernel_drops: c.kernel_drops,
        interface_drops: c.interface_drops,
        is_up: c.is_up,
        reopened: c.reopened,
        files: c.files.map_or(vec![], |f| {
            vec![
                ("read", f.read),
                ("torn", f.torn),
                ("bad", f.bad),
                ("changed", f.changed),
                ("interrupted", f.interrupted),
            ]
        }),
        files_waiting: c.files.map_or(0, |f| f.waiting),
    }
}

fn spool(sink: &Snapshot) -> Option<control::Spool> {
    let s = &sink.spool;
    let age_ms = crate::sink::spool::now_ms().saturating_sub(s.oldest_ms);
    s.enabled.then(|| control::Spool {
        bytes: s.bytes,
        files: s.files,
        max_bytes: s.max_bytes,
        max_files: s.max_files,
        oldest_seconds: match s.oldest_ms {
            0 => 0.0,
            _ => age_ms.max(0) as f64 / 1e3,
        },
        in_doubt: s.in_doubt,
        quarantined: s.quarantined,
        corrupt: s.corrupt,
        forgotten: s.forgotten,
        bundles: s.bundles,
        written: s.written,
        commits: s.commits,
        write_errors: s.write_errors,
        fsyncs: s.fsyncs,
        fsync_seconds: s.fsync_ns as f64 / 1e9,
        failing: s.failing,
    })
}

fn snmp(s: crate::snmp::Stats) -> control::Snmp {
    let kinds = crate::snmp::Error::KINDS;
    control::Snmp {
        exporters: s.exporters as u64,
        exporters_refused: s.exporters_refused as u64,
        open: s.open as u64,
        asked: s.asked as u64,
        interfaces: s.interfaces as u64,
        up: s
            .up
            .into_iter()
            .map(|(e, up)| (e.to_string(), up))
            .collect(),
        polls: s.polls,
        failures: (kinds.iter())
            .map(|k| (*k, s.failures.get(k).copied().unwrap_or(0)))
            .collect(),
        seconds: s.seconds,
        counters: s.counters,
        counters_dropped: s.counters_dropped,
        interfaces_refused: s.interfaces_refused,
        columns_full: s.columns_full,
        texts_cut: s.texts_cut,
        values_odd: s.values_odd,
        restarts: s.restarts,
    }
}

fn endpoint(e: EndpointState) -> control::Endpoint {
    control::Endpoint {
        shard: e.shard,
        url: e.url,
        state: e.state,
    }
}

fn shard(s: &ShardStats, queue_max: u64) -> control::Shard {
    control::Shard {
        queue: s.queue as u64,
        queue_max,
        sets_awaiting: s.sets_awaiting,
        rows_open: s.rows_open,
        bundles: s.bundles,
        records: s.book.count(Outcome::RecordsDecoded),
        busy_ns: s.busy_ns,
    }
}
