//! What control wants to know, as plain data.

use super::{Asked, NoAnswer, Step};
use crate::ledger::{Book, Gauges};
use crate::model::{Addr, InterfaceSide};
use serde_json::Value;
use std::collections::BTreeMap;

/// The collector as control sees it. Who builds the threads implements it over the cells they publish.
pub trait Source: Send + Sync + 'static {
    /// The state now. Called a few times a minute; must not wait for the data path.
    fn snapshot(&self) -> Snapshot;

    /// `ledger.json` now.
    fn ledger_json(&self) -> String;

    /// The rules that cost most, a line of JSON each.
    fn rule_costs(&self) -> String {
        String::new()
    }

    /// Reads the configuration again; may take seconds.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn reload(&self) -> Result<String, String> {
        Err("this collector cannot read its configuration again\n".into())
    }

    /// Incidents, those first that ask for somebody: an array of lines of `detections.ndjson` with their state, without evidence. May take
    /// seconds, as all that follow.
    ///
    /// # Errors
    /// Why there is no answer.
    fn incidents(&self, _asked: &Asked) -> Result<Value, NoAnswer> {
        Err(no_store())
    }

    /// What people were told and what was held back, by day and severity: an array.
    ///
    /// # Errors
    /// As [`Source::incidents`].
    fn incident_budget(&self, _last_s: u64) -> Result<Value, NoAnswer> {
        Err(no_store())
    }

    /// One incident by its id, with its evidence.
    ///
    /// # Errors
    /// As [`Source::incidents`].
    fn incident(&self, _id: &str) -> Result<Value, NoAnswer> {
        Err(no_store())
    }

    /// What became of an incident: an array in order of time.
    ///
    /// # Errors
    /// As [`Source::incidents`].
    fn incident_history(&self, _id: &str) -> Result<Value, NoAnswer> {
        Err(no_store())
    }

    /// Writes a step in the life of an incident; the answer is null.
    ///
    /// # Errors
    /// As [`Source::incidents`].
    fn incident_step(&self, _id: &str, _step: &Step) -> Result<Value, NoAnswer> {
        Err(no_store())
    }
}

fn no_store() -> NoAnswer {
    NoAnswer::Away("this collector has no store".into())
}

/// What became of detections.
#[derive(Clone, Debug, Default)]
pub struct Detections {
    /// Suppressions and how often each was hit.
    pub suppressed: Vec<(String, u64)>,
    /// Incidents that the budget of a day held back, by severity.
    pub held_back: Vec<(&'static str, u64)>,
    /// Incidents beyond what detectors may find on a day; `None` where there are no detectors.
    pub beyond: Option<u64>,
    /// Of each target: its name, notices delivered, tries that failed, notices given up, notices that wait.
    pub targets: Vec<(String, [u64; 4])>,
    /// How long it takes, by severity.
    pub times: Vec<LifeTimes>,
}

/// What rules found, since the start.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    /// Which load of the rules is in force.
    pub generation: u64,
    /// Rules in force.
    pub rules: u64,
    /// Hits by severity and category.
    pub classes: Vec<((u32, String), u64)>,
    /// The rules that hit most: group and number, text, hits.
    pub top: Vec<(String, String, u64)>,
    /// Hits of all others.
    pub other: u64,
}

/// How long it took to deal with incidents of one severity lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LifeTimes {
    /// Severity.
    pub severity: String,
    /// Incidents.
    pub incidents: u64,
    /// Those that have not ended.
    pub open: u64,
    /// Mean time from the beginning until it is known, seconds.
    pub to_know_s: Option<f64>,
    /// Mean time from then until somebody looks.
    pub to_look_s: Option<f64>,
    /// Mean time until it is over.
    pub to_end_s: Option<f64>,
}

/// The state of a collector at one moment. Counters count from the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Outcomes of all rooms.
    pub book: Book,
    /// The states in the laws.
    pub gauges: Gauges,
    /// UDP listeners.
    pub listeners: Vec<Listener>,
    /// Export shards, in order of their numbers.
    pub shards: Vec<Shard>,
    /// Interfaces that are captured.
    pub captures: Vec<Capture>,
    /// Shards for packets, in order of their numbers.
    pub meters: Vec<Meter>,
    /// What packets tell of quality, those of one name together.
    pub quality: Vec<Histogram>,
    /// The sink.
    pub sink: Sink,
    /// How often the embedded store had to be started again.
    pub store_restarts: u64,
    /// Exporters asked for their interfaces.
    pub snmp: Option<Snmp>,
    /// What flows say of interfaces beside what those counted themselves.
    pub reconciliation: Option<Reconciliation>,
    /// What became of detections.
    pub detections: Detections,
    /// What rules found; none without rules.
    pub signatures: Option<Signatures>,
    /// Bandwidth since the start.
    pub bandwidth: Bandwidth,
    /// Reloads of the configuration.
    pub reloads: Reloads,
    /// Why nothing can be delivered or spooled now; `None` when one of them can be.
    pub not_ready: Option<String>,
    /// Why rows are spooled and not delivered; `None` when they are delivered.
    pub spooling: Option<String>,
}

/// Reloads of the configuration since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// Those that were carried out.
    pub succeeded: u64,
    /// Those that changed nothing because of a fault.
    pub failed: u64,
    /// Whether the last one was one of the latter.
    pub last_failed: bool,
    /// When the configuration in force was read, seconds since 1970 UTC.
    pub read_at_s: u64,
}

/// Estimated bytes since the start.
#[derive(Clone, Debug, Default)]
pub struct Bandwidth {
    /// By exporter, ifIndex, side and QoS class; under the unspecified exporter what found no room. Some ten thousand a shard.
    pub classes: BTreeMap<(Addr, u32, InterfaceSide, String), u64>,
    /// By application, each byte once; some thousands a shard, `other` for the rest.
    pub applications: BTreeMap<String, u64>,
}

/// Exporters asked for their interfaces. Counts are since the start.
#[derive(Clone, Debug, Default)]
pub struct Snmp {
    /// Exporters that are asked.
    pub exporters: u64,
    /// Exporters that are not asked for want of room.
    pub exporters_refused: u64,
    /// Exporters asked more seldom after failures.
    pub open: u64,
    /// Polls on their way.
    pub asked: u64,
    /// Interfaces that are known.
    pub interfaces: u64,
    /// Whether an exporter answered the last time; the first ones by address.
    pub up: Vec<(String, bool)>,
    /// Polls that gave everything.
    pub polls: u64,
    /// Polls that gave nothing, by the word for it.
    pub failures: Vec<(&'static str, u64)>,
    /// Time that all polls took, seconds.
    pub seconds: f64,
    /// Rows of counters.
    pub counters: u64,
    /// Rows of counters given up.
    pub counters_dropped: u64,
    /// Interfaces that found no room.
    pub interfaces_refused: u64,
    /// Columns cut short.
    pub columns_full: u64,
    /// Names cut.
    pub texts_cut: u64,
    /// Values of a wrong kind.
    pub values_odd: u64,
    /// Exporters found restarted.
    pub restarts: u64,
}

/// What flows say of interfaces beside what those counted themselves, as the store told last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconciliation {
    /// Sides of interfaces with their latest 5 minutes, the busiest first.
    pub sides: Vec<Reconciled>,
    /// Sides by diagnosis.
    pub diagnoses: BTreeMap<String, u64>,
    /// When the store was asked, seconds since 1970 UTC; 0: it has not answered yet.
    pub at_s: u64,
    /// Times that it gave no answer.
    pub failures: u64,
}

/// One side of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconciled {
    /// Exporter.
    pub exporter: String,
    /// ifIndex.
    pub if_index: u32,
    /// Name.
    pub interface: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Bytes by flows over bytes counted.
    pub ratio: f64,
}

/// A UDP listener.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// Address and port.
    pub address: String,
    /// Datagrams read.
    pub datagrams: u64,
    /// Payload bytes read.
    pub bytes: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: u64,
    /// Receive buffer in force, bytes.
    pub receive_buffer_bytes: u64,
}

/// An interface that is captured, or a folder of captures.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Its name, or its path.
    pub interface: String,
    /// Frames read.
    pub frames: u64,
    /// Their bytes, as far as they were captured.
    pub bytes: u64,
    /// Frames that the kernel dropped because its buffer was full.
    pub kernel_drops: u64,
    /// Frames that the interface dropped before.
    pub interface_drops: u64,
    /// Whether it is there and up.
    pub is_up: bool,
    /// Times that it was opened again.
    pub reopened: u64,
    /// Of a folder: files by what became of them.
    pub files: Vec<(&'static str, u64)>,
    /// Of a folder: files that are not complete or not read yet.
    pub files_waiting: u64,
}

/// How often a measure was at most each bound and above the one before, of one QoS class.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Name of the measure with its unit.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// QoS class.
    pub class: String,
    /// Upper bounds and counts.
    pub buckets: Vec<(f64, u64)>,
    /// How often it was taken.
    pub count: u64,
    /// Sum of its values.
    pub sum: f64,
}

/// A shard for packets.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// What it has of a shard for exports, too.
    pub shard: Shard,
    /// Conversations in its table.
    pub conversations: u64,
    /// Rows made of packets.
    pub rows: u64,
}

/// An export shard.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// Batches of datagrams that wait for the shard.
    pub queue: u64,
    /// Batches that may wait.
    pub queue_max: u64,
    /// Sets that await their template.
    pub sets_awaiting: u64,
    /// Rows not handed to the sink yet.
    pub rows_open: u64,
    /// Bundles sealed.
    pub bundles: u64,
    /// Records decoded.
    pub records: u64,
    /// Time spent in decoding and what is behind it, nanoseconds.
    pub busy_ns: u64,
}

/// The sink.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// Bundles that wait for the sink.
    pub queue: u64,
    /// Rows queued, encoded or in flight.
    pub rows_open: u64,
    /// Rows of other tables than `flows` given up by policy.
    pub other_rows_shed: u64,
    /// INSERTs acknowledged.
    pub inserts: u64,
    /// Attempts after the first one.
    pub retries: u64,
    /// Bytes of the acknowledged blocks.
    pub bytes_raw: u64,
    /// Bytes of the acknowledged bodies as sent.
    pub bytes_sent: u64,
    /// Failed attempts by the store's code, or a word for what never reached it. At most some hundreds.
    pub errors: BTreeMap<String, u64>,
    /// Acknowledged INSERTs by the time they took: (upper bound in seconds, how many up to it and above the one
    /// before). What took longer than the last bound is in `inserts` only.
    pub latency: Vec<(f64, u64)>,
    /// Seconds they took together.
    pub latency_seconds: f64,
    /// Whether the store took what it was sent last.
    pub delivering: bool,
    /// The spool, if there is one.
    pub spool: Option<Spool>,
    /// Endpoints of the store.
    pub endpoints: Vec<Endpoint>,
}

/// Bundles on disk.
#[derive(Clone, Debug, Default)]
pub struct Spool {
    /// Bytes of the bundle files.
    pub bytes: u64,
    /// Bundle files.
    pub files: u64,
    /// Bytes that bundle files can take now.
    pub max_bytes: u64,
    /// Bundle files that there may be.
    pub max_files: u64,
    /// Age of the oldest bundle that is not delivered, seconds; 0: there is none.
    pub oldest_seconds: f64,
    /// Sections that were sent and have no answer.
    pub in_doubt: u64,
    /// Files in the quarantine.
    pub quarantined: u64,
    /// Files set aside because they are damaged.
    pub corrupt: u64,
    /// Entries of positions that found no room or gave way.
    pub forgotten: u64,
    /// Bundles made durable.
    pub bundles: u64,
    /// Bytes made durable.
    pub written: u64,
    /// Commits.
    pub commits: u64,
    /// Bundles that could not be written.
    pub write_errors: u64,
    /// Waits for the disk.
    pub fsyncs: u64,
    /// How long they took together, seconds.
    pub fsync_seconds: f64,
    /// Whether the disk refused the last bundle.
    pub failing: bool,
}

/// An endpoint of the store.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Number of its shard, from 1.
    pub shard: u32,
    /// Its address.
    pub url: String,
    /// `up`, `down`, `aside`, `refused` or `unknown`.
    pub state: &'static str,
}
