//! Ships sealed batches: ClickHouse, NDJSON, nothing.
//!
//! Owns: the row definitions and the Native encoder ([`native`]), the tables ([`schema`], `schemas/`), delivery with
//! retry ([`clickhouse`]), the files of `replay` ([`ndjson`]), the sinks that keep nothing ([`null`]).
//! Never: changes a sealed bundle, discards without counting. Why: a retry must send the same bytes under the same
//! token, or rows are lost or doubled (contracts section 6).

mod error;
pub mod native;
pub mod schema;

pub use error::Error;
