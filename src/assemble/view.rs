//! What is known of everything, read from the published cells.

use crate::control;
use crate::ledger::{Book, Gauges, Law, Outcome, laws};
use crate::receive::{Intake, Listener, Published, ReceiveStats};
use crate::shard::{Cell, ShardStats};
use crate::sink::{EndpointState, LATENCY_BOUNDS, Snapshot, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The cells of all threads.
#[derive(Debug)]
pub struct View {
    listeners: Vec<Published>,
    shards: Vec<Cell>,
    queue_max: usize,
    intake: Arc<Intake>,
    sink: Arc<Stats>,
    bundles_queued: AtomicU64,
}

/// All counts at one moment. Under load threads publish one after the other, so the laws hold to within what they published
/// last; at rest they hold to the unit.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Outcomes of all threads.
    pub book: Book,
    /// States beside them.
    pub gauges: Gauges,
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
        shards: Vec<Cell>,
        queue_max: usize,
        intake: Arc<Intake>,
        sink: Arc<Stats>,
    ) -> Self {
        let listeners = listeners.iter().map(Listener::published).collect();
        View {
            listeners,
            shards,
            queue_max,
            intake,
            sink,
            bundles_queued: AtomicU64::new(0),
        }
    }

    /// Notes how many bundles wait for the sink.
    pub fn set_bundles_queued(&self, n: usize) {
        self.bundles_queued.store(n as u64, Relaxed);
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
        for cell in &self.shards {
            cell.with(|s| {
                book.merge(&s.book);
                gauges.sets_awaiting += s.sets_awaiting;
                gauges.rows_open += s.rows_open;
            });
        }
        gauges.datagrams_queued = self.intake.queued();
        for listener in &self.listeners {
            listener.with(|r| book.merge(&r.book));
        }
        let other = book.other();
        other.add(Outcome::RowsAcknowledged, sink.rows_acknowledged);
        other.add(Outcome::RowsQuarantined, sink.rows_quarantined);
        other.add(Outcome::RowsLostShutdown, sink.rows_lost_shutdown);
        Totals { book, gauges }
    }

    /// State of each listener.
    pub fn listeners(&self) -> Vec<ReceiveStats> {
        self.listeners.iter().map(Published::read).collect()
    }

    /// Looks at the state of each shard.
    pub fn shards<R>(&self, mut look: impl FnMut(usize, &mut ShardStats) -> R) -> Vec<R> {
        self.shards
            .iter()
            .enumerate()
            .map(|(n, cell)| cell.with(|s| look(n, s)))
            .collect()
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
        let not_ready = (!sink.ready).then(|| {
            sink.last_error
                .clone()
                .unwrap_or_else(|| "the store has not answered yet".into())
        });
        control::Snapshot {
            book: totals.book,
            gauges: totals.gauges,
            listeners: self.listeners().iter().map(listener).collect(),
            shards: self.shards(|_, s| shard(s, self.queue_max as u64)),
            sink: control::Sink {
                queue: self.bundles_queued.load(Relaxed),
                rows_open: sink.rows_open,
                inserts: sink.inserts,
                retries: sink.retries,
                bytes_raw: sink.bytes_raw,
                bytes_sent: sink.bytes_sent,
                errors: sink.errors,
                latency: LATENCY_BOUNDS.iter().copied().zip(sink.latency).collect(),
                latency_seconds: sink.latency_seconds,
                endpoints: sink.endpoints.into_iter().map(endpoint).collect(),
            },
            not_ready,
        }
    }

    fn ledger_json(&self) -> String {
        format!("{:#}\n", self.totals().json())
    }
}

fn listener(r: &ReceiveStats) -> control::Listener {
    control::Listener {
        address: r.listener.to_string(),
        datagrams: r.datagrams,
        bytes: r.bytes,
        kernel_drops: r.kernel_drops,
        receive_buffer_bytes: r.receive_buffer as u64,
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
