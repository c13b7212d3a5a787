-- Bandwidth: partial sums per interval, interface side, application and QoS class. The collector writes the minutes,
-- views add them up to 5 minutes and hours. Rows of one key are summed when parts merge: always read with sum().
CREATE TABLE IF NOT EXISTS usage_1m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ingress or egress',
    inferred UInt8 CODEC(ZSTD(1)) COMMENT '1: booked on an interface where the record was not metered',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS usage_5m
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ingress or egress',
    inferred UInt8 CODEC(ZSTD(1)) COMMENT '1: booked on an interface where the record was not metered',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS usage_1h
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval',
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ingress or egress',
    inferred UInt8 CODEC(ZSTD(1)) COMMENT '1: booked on an interface where the record was not metered',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'that ended in the interval',
    est_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    est_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'times the sampling interval',
    sampled_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'really seen',
    sampling_known SimpleAggregateFunction(min, UInt8) CODEC(ZSTD(1)) COMMENT '1: every flow had a known sampling interval'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_5m_mv TO usage_5m AS
SELECT
    toStartOfFiveMinutes(s.time) AS time,
    s.exporter AS exporter,
    s.if_index AS if_index,
    s.direction AS direction,
    s.inferred AS inferred,
    s.app_proto AS app_proto,
    s.app AS app,
    s.qos_class AS qos_class,
    s.dscp AS dscp,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known
FROM usage_1m AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_1h_mv TO usage_1h AS
SELECT
    toStartOfHour(s.time) AS time,
    s.exporter AS exporter,
    s.if_index AS if_index,
    s.direction AS direction,
    s.inferred AS inferred,
    s.app_proto AS app_proto,
    s.app AS app,
    s.qos_class AS qos_class,
    s.dscp AS dscp,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.est_bytes) AS est_bytes,
    sum(s.est_packets) AS est_packets,
    sum(s.sampled_packets) AS sampled_packets,
    min(s.sampling_known) AS sampling_known
FROM usage_5m AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;
