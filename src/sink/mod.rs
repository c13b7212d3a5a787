//! Ships sealed batches: ClickHouse, NDJSON, nothing.
pub mod native;
