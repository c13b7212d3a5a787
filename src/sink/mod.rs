//! Ships sealed batches: ClickHouse, NDJSON, nothing.
//!
//! Owns: the row definitions and the Native encoder ([`native`]), the tables ([`schema`], `schemas/`), hop 2
//! ([`hop`]), bundles on disk ([`spool`]), delivery with retry ([`clickhouse`]), the files of `replay` ([`ndjson`]), the sinks that keep nothing
//! ([`null`]). Never: changes a sealed bundle, discards without counting. Why: a retry must send the same bytes under
//! the same token, or rows are lost or doubled (contracts section 6).

mod blocks;
pub mod clickhouse;
mod error;
mod fate;
pub mod native;
pub mod ndjson;
pub mod null;
mod outbox;
pub mod schema;
mod settings;
pub mod spool;
mod stats;

pub use error::Error;
pub use outbox::{Inbox, Outbox, hop};
pub use settings::{Kind, Settings};
pub use stats::{EndpointState, LATENCY_BOUNDS, Snapshot, Stats};
