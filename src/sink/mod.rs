//! Ships sealed batches: ClickHouse, NDJSON, nothing.
