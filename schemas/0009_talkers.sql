-- Who talks: the addresses that sent and received most of what an exporter saw, and all others together. For each exporter,
-- interval and role the rows add up to the usage of the exporter (usage_once). What an address has is certain; at most
-- `error_bytes` more of its own may be among `other`. Partial sums: always read with sum().
CREATE TABLE IF NOT EXISTS talkers_1m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'source: it sent; destination: it received',
    other UInt8 CODEC(ZSTD(1)) COMMENT '1: all addresses without a row of their own',
    address IPv6 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval',
    error_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'estimated bytes that may be missing here; of other: most that an address without a row can have'
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS talkers_5m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'source: it sent; destination: it received',
    other UInt8 CODEC(ZSTD(1)) COMMENT '1: all addresses without a row of their own',
    address IPv6 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval',
    error_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'estimated bytes that may be missing here; of other: most that an address without a row can have'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS talkers_1h
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'source: it sent; destination: it received',
    other UInt8 CODEC(ZSTD(1)) COMMENT '1: all addresses without a row of their own',
    address IPv6 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval',
    error_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'estimated bytes that may be missing here; of other: most that an address without a row can have'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS talkers_5m_mv TO talkers_5m AS
SELECT
    toStartOfFiveMinutes(s.time) AS time,
    s.exporter AS exporter,
    s.role AS role,
    s.other AS other,
    s.address AS address,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known,
    sum(s.error_bytes) AS error_bytes
FROM talkers_1m AS s
GROUP BY time, exporter, role, other, address;

CREATE MATERIALIZED VIEW IF NOT EXISTS talkers_1h_mv TO talkers_1h AS
SELECT
    toStartOfHour(s.time) AS time,
    s.exporter AS exporter,
    s.role AS role,
    s.other AS other,
    s.address AS address,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known,
    sum(s.error_bytes) AS error_bytes
FROM talkers_5m AS s
GROUP BY time, exporter, role, other, address;

-- Traffic from one named network to another, each byte once; the empty name is everything else. Flows of which neither end is in
-- a named network are not here.
CREATE TABLE IF NOT EXISTS network_usage_1m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS network_usage_5m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS network_usage_1h
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported, each once',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS network_usage_5m_mv TO network_usage_5m AS
SELECT
    toStartOfFiveMinutes(s.time) AS time,
    s.exporter AS exporter,
    s.src_net AS src_net,
    s.dst_net AS dst_net,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known
FROM network_usage_1m AS s
GROUP BY time, exporter, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS network_usage_1h_mv TO network_usage_1h AS
SELECT
    toStartOfHour(s.time) AS time,
    s.exporter AS exporter,
    s.src_net AS src_net,
    s.dst_net AS dst_net,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known
FROM network_usage_5m AS s
GROUP BY time, exporter, src_net, dst_net;
