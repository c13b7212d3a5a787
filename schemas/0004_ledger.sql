-- What became of every datagram, set, record and row, per exporter, domain and minute. The exporter :: stands for what
-- belongs to none. Read with sum(count).
CREATE TABLE IF NOT EXISTS ledger
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the minute',
    exporter IPv6 CODEC(ZSTD(1)),
    domain UInt32 CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, domain, outcome)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;
