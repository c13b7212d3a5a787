//! What a sink did, readable while it works.

#![expect(
    clippy::disallowed_types,
    reason = "errors are rare and read by control; no row passes this lock"
)]

use super::fate::{Cells, Fate};
use super::spool::{Gauges, Reading, positions};
use crate::batch::{Bundle, Crowding, Table};
use crate::ledger::{Outcome, Tally};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency buckets, seconds; a last bucket has no bound.
pub const LATENCY_BOUNDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The published cell of a sink. Written by its threads, read by control and at the end.
#[derive(Debug, Default)]
pub struct Stats {
    taken: AtomicU64,
    /// What this process did.
    ended: Cells,
    /// What the table `ledger` has to tell, over all processes: of rows in a file that their end is noted in it, of all others
    /// that `positions` has it. So nothing is here that a later process could not find again.
    booked: Cells,
    /// What sealed rows of the table tell of that.
    told: Cells,
    pub(super) spool: Arc<Gauges>,
    inserts: AtomicU64,
    retries: AtomicU64,
    bytes_raw: AtomicU64,
    bytes_sent: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_ns: AtomicU64,
    ready: AtomicBool,
    database_gone: AtomicBool,
    beats: AtomicU64,
    crowding: Arc<Crowding>,
    errors: Mutex<Errors>,
    endpoints: Mutex<Vec<EndpointState>>,
}

/// An endpoint of the store as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointState {
    /// Number of its shard, from 1.
    pub shard: u32,
    /// Its address.
    pub url: String,
    /// `up`, `down`, `aside` (answers, but lately refused an INSERT for a reason of its own), `refused` (shares no
    /// deduplication log with the first endpoint of the shard) or `unknown` (not asked yet).
    pub state: &'static str,
    /// Why it is not up.
    pub why: Option<String>,
}

#[derive(Debug, Default)]
struct Errors {
    by_code: BTreeMap<String, u64>,
    last: Option<String>,
}

/// What [`Stats`] said at one moment. Rows are flow rows: those of law (e).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Rows that the sink was given.
    pub rows_taken: u64,
    /// Rows that the store acknowledged (or that a file took).
    pub rows_acknowledged: u64,
    /// Rows that the store refuses for good.
    pub rows_quarantined: u64,
    /// Rows given up because the process had to end.
    pub rows_lost_shutdown: u64,
    /// Rows given up by policy: the spool was full, or they were too old.
    pub rows_shed: u64,
    /// Rows whose bytes in the spool are torn or changed.
    pub rows_damaged: u64,
    /// Rows found in the spool at the start.
    pub rows_recovered: u64,
    /// Rows replayed from the quarantine.
    pub rows_replayed: u64,
    /// All of these, and the same of the other tables, as outcomes.
    pub outcomes: Tally,
    /// The spool.
    pub spool: Reading,
    /// Rows queued, encoded, spooled or in flight: the sink's part of the gauge in law (e).
    pub rows_open: u64,
    /// INSERTs acknowledged, all tables.
    pub inserts: u64,
    /// Attempts after the first one.
    pub retries: u64,
    /// Bytes of the acknowledged blocks.
    pub bytes_raw: u64,
    /// Bytes of the acknowledged bodies as sent.
    pub bytes_sent: u64,
    /// Acknowledged INSERTs by the time they took, in the buckets of [`LATENCY_BOUNDS`]; not cumulative.
    pub latency: [u64; LATENCY_BOUNDS.len() + 1],
    /// Their sum, seconds.
    pub latency_seconds: f64,
    /// Failed attempts by code of the store, or `network`, `timeout`, `http`, `other`.
    pub errors: BTreeMap<String, u64>,
    /// The last of them.
    pub last_error: Option<String>,
    /// The endpoints of the store, in the order of the configuration.
    pub endpoints: Vec<EndpointState>,
    /// Whether the last attempt was a success.
    pub ready: bool,
}

impl Stats {
    /// Reads everything.
    pub fn snapshot(&self) -> Snapshot {
        // ends before beginnings: what is open can then only seem larger, never negative
        let ends = [
            Outcome::RowsAcknowledged,
            Outcome::RowsQuarantined,
            Outcome::RowsLostShutdown,
            Outcome::RowsShed,
            Outcome::RowsDamaged,
        ];
        let ended: u64 = ends.map(|o| self.ended.count(o)).iter().sum();
        let outcomes = self.ended.read();
        let taken = self.taken.load(Relaxed);
        let count = |o| outcomes.count(o);
        let (recovered, replayed) = (count(Outcome::RowsRecovered), count(Outcome::RowsReplayed));
        let errors = self.errors();
        Snapshot {
            rows_taken: taken,
            rows_acknowledged: count(Outcome::RowsAcknowledged),
            rows_quarantined: count(Outcome::RowsQuarantined),
            rows_lost_shutdown: count(Outcome::RowsLostShutdown),
            rows_shed: count(Outcome::RowsShed),
            rows_damaged: count(Outcome::RowsDamaged),
            rows_recovered: recovered,
            rows_replayed: replayed,
            spool: self.spool.read(),
            rows_open: (taken + recovered + replayed).saturating_sub(ended),
            outcomes,
            inserts: self.inserts.load(Relaxed),
            retries: self.retries.load(Relaxed),
            bytes_raw: self.bytes_raw.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            latency: self.latency.each_ref().map(|n| n.load(Relaxed)),
            latency_seconds: self.latency_ns.load(Relaxed) as f64 / 1e9,
            errors: errors.by_code.clone(),
            last_error: errors.last.clone(),
            endpoints: self.endpoints().clone(),
            ready: self.is_ready(),
        }
    }

    /// Whether the store took what it was sent last.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    pub(super) fn set_ready(&self) {
        self.ready.store(true, Relaxed);
    }

    pub(super) fn take(&self, rows: u64) {
        self.taken.fetch_add(rows, Relaxed);
    }

    /// Rows have ended, or are taken back.
    pub(super) fn end(&self, table: Table, fate: Fate, rows: u64) {
        self.ended.add(fate.outcome(table), rows);
    }

    /// The rows of a bundle are lost because the process has to end.
    pub(super) fn lose(&self, bundle: &Bundle) {
        for batch in &bundle.batches {
            self.end(batch.table, Fate::Lost, batch.content.rows() as u64);
        }
    }

    pub(super) fn recover(&self, rows: u64) {
        self.ended.add(Outcome::RowsRecovered, rows);
    }

    /// The table `ledger` has to tell it from here on.
    pub(super) fn book(&self, table: Table, fate: Fate, rows: u64) {
        self.booked.add(fate.outcome(table), rows);
    }

    /// The same of many.
    pub(super) fn book_all(&self, tally: &Tally) {
        self.booked.merge(tally);
    }

    /// What an earlier process told.
    pub(super) fn set_told(&self, tally: &Tally) {
        self.told.merge(tally);
    }

    /// What became of rows and no sealed ledger row tells, and the entries of
    /// [`positions`](super::spool::positions) that have to go with the rows that tell it now. To be called by one thread only.
    pub fn tell(&self) -> (Tally, Vec<u8>) {
        let (booked, told) = (self.booked.read(), self.told.read());
        // where a power cut undid the end of a section it will end again, and is told already
        let news = booked.since(&told);
        self.told.merge(&news);
        let mut entries = vec![];
        for (outcome, n) in news.iter() {
            positions::put_told(&mut entries, outcome, told.count(outcome) + n);
        }
        (news, entries)
    }

    pub(super) fn inserted(&self, raw: u64, sent: u64, took: Duration) {
        self.inserts.fetch_add(1, Relaxed);
        self.bytes_raw.fetch_add(raw, Relaxed);
        self.bytes_sent.fetch_add(sent, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_BOUNDS.partition_point(|&b| b < seconds);
        self.latency[bucket].fetch_add(1, Relaxed);
        self.latency_ns.fetch_add(took.as_nanos() as u64, Relaxed);
        self.set_ready();
    }

    /// Grows a few times a second while the sink lives, whether the store answers or not; 0 before it starts.
    pub fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    /// Says that the sink lives.
    pub(super) async fn beat(self: std::sync::Arc<Self>) {
        loop {
            let beat = self.beats.fetch_add(1, Relaxed);
            self.crowding.ease(beat);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// How much later bundles have to be sealed: for every sealer.
    pub fn crowding(&self) -> &Arc<Crowding> {
        &self.crowding
    }

    /// There are too many bundles for the store or the spool: larger ones.
    pub(super) fn crowded(&self, why: &str) {
        if self.crowding.grow(self.beats()) {
            tracing::warn!(
                factor = self.crowding.factor(),
                "{why}: bundles are sealed at so many times batch.seal_age_ms"
            );
        }
    }

    /// Tells why nothing can be sent yet.
    pub fn not_ready(&self, why: &str) {
        self.ready.store(false, Relaxed);
        self.errors().last = Some(why.to_owned());
    }

    pub(super) fn failed(&self, code: &str, text: &str) {
        self.ready.store(false, Relaxed);
        let mut errors = self.errors();
        // codes come from the store: there are some hundreds of them
        if errors.by_code.len() < CODES_MAX || errors.by_code.contains_key(code) {
            *errors.by_code.entry(code.to_owned()).or_default() += 1;
        }
        errors.last = Some(text.to_owned());
    }

    /// The store says that it has no such database.
    pub(super) fn lose_database(&self) {
        self.database_gone.store(true, Relaxed);
    }

    /// Whether the store said that it has no such database, since the last call.
    pub fn take_database_gone(&self) -> bool {
        self.database_gone.swap(false, Relaxed)
    }

    /// Counts failures of these codes from 0 on, not from the first one: a counter that begins at 1 shows no increase.
    pub(super) fn expect(&self, codes: impl Iterator<Item = String>) {
        let mut errors = self.errors();
        for code in codes {
            errors.by_code.entry(code).or_default();
        }
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Publishes the states of all endpoints; what they were before.
    pub(super) fn set_endpoints(&self, states: Vec<EndpointState>) -> Vec<EndpointState> {
        std::mem::replace(&mut *self.endpoints(), states)
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<EndpointState>> {
        let endpoints = self.endpoints.lock();
        endpoints.unwrap_or_else(PoisonError::into_inner)
    }

    fn errors(&self) -> MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CODES_MAX: usize = 256;

/// Well below any watchdog worth setting.
const BEAT: Duration = Duration::from_millis(200);
