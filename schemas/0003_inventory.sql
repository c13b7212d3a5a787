-- What exporters tell about themselves, written on change. Read with FINAL.

-- Who exports: one row for each combination that was seen.
CREATE TABLE IF NOT EXISTS exporters
(
    exporter IPv6 CODEC(ZSTD(1)),
    domain UInt32 CODEC(ZSTD(1)),
    origin LowCardinality(String) CODEC(ZSTD(1)),
    source IPv6 CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, domain, origin, source)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Names and speeds (bit/s) of interfaces.
CREATE TABLE IF NOT EXISTS interfaces
(
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    speed UInt64 CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, if_index)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Layouts of NetFlow 9 and IPFIX templates.
CREATE TABLE IF NOT EXISTS templates
(
    exporter IPv6 CODEC(ZSTD(1)),
    port UInt16 CODEC(ZSTD(1)),
    version UInt8 CODEC(ZSTD(1)),
    domain UInt32 CODEC(ZSTD(1)),
    id UInt16 CODEC(ZSTD(1)),
    options UInt8 CODEC(ZSTD(1)),
    layout String CODEC(ZSTD(1)),
    planned UInt8 CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, port, version, domain, id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Names that exporters give to application ids (RFC 6759).
CREATE TABLE IF NOT EXISTS applications
(
    exporter IPv6 CODEC(ZSTD(1)),
    app_id UInt64 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, app_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Interface counters from sFlow counter samples: running totals as sent.
CREATE TABLE IF NOT EXISTS interface_counters
(
    received_at DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    if_type UInt32 CODEC(ZSTD(1)),
    if_speed UInt64 CODEC(ZSTD(1)),
    if_direction UInt32 CODEC(ZSTD(1)),
    if_status UInt32 CODEC(ZSTD(1)),
    in_octets UInt64 CODEC(Delta, ZSTD(1)),
    in_unicast_packets UInt32 CODEC(ZSTD(1)),
    in_multicast_packets UInt32 CODEC(ZSTD(1)),
    in_broadcast_packets UInt32 CODEC(ZSTD(1)),
    in_discards UInt32 CODEC(ZSTD(1)),
    in_errors UInt32 CODEC(ZSTD(1)),
    in_unknown_protocols UInt32 CODEC(ZSTD(1)),
    out_octets UInt64 CODEC(Delta, ZSTD(1)),
    out_unicast_packets UInt32 CODEC(ZSTD(1)),
    out_multicast_packets UInt32 CODEC(ZSTD(1)),
    out_broadcast_packets UInt32 CODEC(ZSTD(1)),
    out_discards UInt32 CODEC(ZSTD(1)),
    out_errors UInt32 CODEC(ZSTD(1)),
    promiscuous UInt32 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (exporter, if_index, received_at)
TTL received_at + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;
