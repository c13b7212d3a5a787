//! What control wants to know, as plain data.

use crate::ledger::{Book, Gauges};
use std::collections::BTreeMap;

/// The collector as control sees it. Who builds the threads implements it over the cells they publish.
pub trait Source: Send + Sync + 'static {
    /// The state now. Called a few times a minute; must not wait for the data path.
    fn snapshot(&self) -> Snapshot;

    /// `ledger.json` now.
    fn ledger_json(&self) -> String;
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
    /// The sink.
    pub sink: Sink,
    /// Why nothing can be delivered now; `None` when all is well.
    pub not_ready: Option<String>,
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
    /// Endpoints of the store.
    pub endpoints: Vec<Endpoint>,
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
