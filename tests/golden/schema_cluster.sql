CREATE DATABASE IF NOT EXISTS flowhouse ON CLUSTER 'main';
USE flowhouse;

-- bookkeeping

CREATE TABLE IF NOT EXISTS flowhouse.schema_migrations_local ON CLUSTER 'main'
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/schema_migrations', '{replica}')
ORDER BY version;

CREATE TABLE IF NOT EXISTS flowhouse.schema_migrations ON CLUSTER 'main' AS flowhouse.schema_migrations_local
ENGINE = Distributed('main', 'flowhouse', 'schema_migrations_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.schema_lock_local ON CLUSTER 'main'
(
    holder String,
    released UInt8,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/schema_lock', '{replica}')
ORDER BY at
TTL toDateTime(at) + INTERVAL 1 DAY;

CREATE TABLE IF NOT EXISTS flowhouse.schema_lock ON CLUSTER 'main' AS flowhouse.schema_lock_local
ENGINE = Distributed('main', 'flowhouse', 'schema_lock_local', rand());

-- 0001_flows.sql

CREATE TABLE IF NOT EXISTS flowhouse.flows_local ON CLUSTER 'main'
(
    received_at DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'collector clock',
    exporter IPv6 CODEC(ZSTD(1)) COMMENT 'UDP source address; for sFlow the agent address',
    exporter_source IPv6 CODEC(ZSTD(1)) COMMENT 'UDP source address where it is another one, else ::',
    exporter_port UInt16 CODEC(ZSTD(1)),
    observation_domain UInt32 CODEC(ZSTD(1)) COMMENT 'v9 source id; v5 engine type x 256 + id; sFlow sub-agent',
    origin LowCardinality(String) CODEC(ZSTD(1)),
    exported_ms Int64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'exporter''s header clock, ms since 1970 UTC; 0 where the protocol has none',
    datagram UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'number of the export datagram since the start of the collector',
    batch UInt64 CODEC(ZSTD(1)) COMMENT 'number of the insert that brought the row',
    present UInt64 CODEC(ZSTD(1)) COMMENT 'which fields the record carried: one bit a field',
    flags UInt32 CODEC(ZSTD(1)) COMMENT 'what was corrected, guessed or is special',
    record UInt16 CODEC(ZSTD(1)) COMMENT 'place of the record in its datagram, from 1',
    half LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'fwd or rev for the rows of a two-way record',
    src_addr IPv6 CODEC(ZSTD(1)),
    dst_addr IPv6 CODEC(ZSTD(1)),
    src_port UInt16 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    proto UInt8 CODEC(ZSTD(1)),
    bytes UInt64 CODEC(T64, ZSTD(1)) COMMENT 'layer 3, as reported',
    packets UInt64 CODEC(T64, ZSTD(1)) COMMENT 'as reported',
    start_ms Int64 CODEC(Delta, ZSTD(1)) COMMENT 'ms since 1970 UTC',
    end_ms Int64 CODEC(Delta, ZSTD(1)) COMMENT 'ms since 1970 UTC',
    in_if UInt32 CODEC(ZSTD(1)),
    out_if UInt32 CODEC(ZSTD(1)),
    tos UInt8 CODEC(ZSTD(1)) COMMENT 'traffic class octet',
    tcp_flags UInt16 CODEC(ZSTD(1)),
    next_hop IPv6 CODEC(ZSTD(1)),
    src_as UInt32 CODEC(ZSTD(1)),
    dst_as UInt32 CODEC(ZSTD(1)),
    src_mask UInt8 CODEC(ZSTD(1)),
    dst_mask UInt8 CODEC(ZSTD(1)),
    vlan UInt16 CODEC(ZSTD(1)),
    direction UInt8 CODEC(ZSTD(1)) COMMENT 'element 61: 0 ingress, 1 egress',
    flow_end_reason UInt8 CODEC(ZSTD(1)),
    forwarding_status UInt8 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    sampling_interval UInt32 CODEC(ZSTD(1)) COMMENT '1 in N; 1 where unknown',
    sampling_source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'record, options, header, config or unknown',
    app_id UInt64 CODEC(ZSTD(1)) COMMENT 'RFC 6759: engine in the top byte, selector below',
    app_proto LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'protocol spoken',
    app LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'application on top',
    app_source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'exporter, packet, name, port, rule or none',
    app_confidence UInt8 CODEC(ZSTD(1)) COMMENT '0 to 100',
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    nat_src_addr IPv6 CODEC(ZSTD(1)),
    nat_dst_addr IPv6 CODEC(ZSTD(1)),
    nat_src_port UInt16 CODEC(ZSTD(1)),
    nat_dst_port UInt16 CODEC(ZSTD(1)),
    nat_event UInt8 CODEC(ZSTD(1)),
    flow_id UInt64 CODEC(ZSTD(1)),
    event_ms Int64 CODEC(Delta, ZSTD(1)),
    fw_ext_event UInt16 CODEC(ZSTD(1)),
    firewall_event UInt8 CODEC(ZSTD(1)),
    src_mac UInt64 CODEC(T64, ZSTD(1)),
    dst_mac UInt64 CODEC(T64, ZSTD(1)),
    post_src_mac UInt64 CODEC(T64, ZSTD(1)),
    post_dst_mac UInt64 CODEC(T64, ZSTD(1)),
    l2_bytes UInt64 CODEC(T64, ZSTD(1)),
    layer2_segment_id UInt64 CODEC(ZSTD(1)),
    ethertype UInt16 CODEC(ZSTD(1)),
    post_vlan UInt16 CODEC(ZSTD(1)),
    dot1q_vlan UInt16 CODEC(ZSTD(1)),
    post_dot1q_vlan UInt16 CODEC(ZSTD(1)),
    dot1q_customer_vlan UInt16 CODEC(ZSTD(1)),
    in_phys_if UInt32 CODEC(ZSTD(1)),
    out_phys_if UInt32 CODEC(ZSTD(1)),
    ingress_vrf UInt32 CODEC(ZSTD(1)),
    egress_vrf UInt32 CODEC(ZSTD(1)),
    ipv6_flow_label UInt32 CODEC(ZSTD(1)),
    icmp_type_code UInt16 CODEC(ZSTD(1)),
    ttl UInt8 CODEC(ZSTD(1)),
    post_tos UInt8 CODEC(ZSTD(1)),
    out_bytes UInt64 CODEC(T64, ZSTD(1)),
    out_packets UInt64 CODEC(T64, ZSTD(1)),
    bytes_total UInt64 CODEC(T64, ZSTD(1)),
    packets_total UInt64 CODEC(T64, ZSTD(1)),
    bgp_next_hop IPv6 CODEC(ZSTD(1)),
    src_peer_as UInt32 CODEC(ZSTD(1)),
    dst_peer_as UInt32 CODEC(ZSTD(1)),
    dst_as_path Array(UInt32) CODEC(ZSTD(1)),
    mpls Array(Tuple(pos UInt8, label UInt32, exp UInt8, bos UInt8)) CODEC(ZSTD(1)),
    user_name String CODEC(ZSTD(1)),
    server_name String CODEC(ZSTD(1)),
    app_name String CODEC(ZSTD(1)),
    if_name String CODEC(ZSTD(1)),
    dscp UInt8 ALIAS bitShiftRight(tos, 2),
    ecn UInt8 ALIAS bitAnd(tos, 3),
    est_bytes UInt64 ALIAS bytes * sampling_interval,
    est_packets UInt64 ALIAS packets * sampling_interval,
    start_time DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC'),
    end_time DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(end_ms, 'UTC'),
    src_mac_text String ALIAS MACNumToString(src_mac),
    dst_mac_text String ALIAS MACNumToString(dst_mac),
    INDEX start_ms_range start_ms TYPE minmax GRANULARITY 1,
    INDEX end_ms_range end_ms TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/flows', '{replica}')
PARTITION BY toDate(received_at)
PRIMARY KEY (toStartOfFiveMinutes(received_at), exporter)
ORDER BY (toStartOfFiveMinutes(received_at), exporter, in_if, out_if)
TTL received_at + INTERVAL 15 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.flows ON CLUSTER 'main' AS flowhouse.flows_local
ENGINE = Distributed('main', 'flowhouse', 'flows_local', rand());

-- 0002_usage.sql

CREATE TABLE IF NOT EXISTS flowhouse.usage_1m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/usage_1m', '{replica}')
PARTITION BY toDate(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.usage_1m ON CLUSTER 'main' AS flowhouse.usage_1m_local
ENGINE = Distributed('main', 'flowhouse', 'usage_1m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.usage_5m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/usage_5m', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.usage_5m ON CLUSTER 'main' AS flowhouse.usage_5m_local
ENGINE = Distributed('main', 'flowhouse', 'usage_5m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.usage_1h_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/usage_1h', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.usage_1h ON CLUSTER 'main' AS flowhouse.usage_1h_local
ENGINE = Distributed('main', 'flowhouse', 'usage_1h_local', rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.usage_5m_mv ON CLUSTER 'main' TO flowhouse.usage_5m_local AS
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
FROM flowhouse.usage_1m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.usage_1h_mv ON CLUSTER 'main' TO flowhouse.usage_1h_local AS
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
FROM flowhouse.usage_5m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

-- 0003_inventory.sql

CREATE TABLE IF NOT EXISTS flowhouse.exporters_local ON CLUSTER 'main'
(
    exporter IPv6 CODEC(ZSTD(1)),
    domain UInt32 CODEC(ZSTD(1)),
    origin LowCardinality(String) CODEC(ZSTD(1)),
    source IPv6 CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/exporters', '{replica}', updated_at)
ORDER BY (exporter, domain, origin, source)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.exporters ON CLUSTER 'main' AS flowhouse.exporters_local
ENGINE = Distributed('main', 'flowhouse', 'exporters_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.interfaces_local ON CLUSTER 'main'
(
    exporter IPv6 CODEC(ZSTD(1)),
    if_index UInt32 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    speed UInt64 CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/interfaces', '{replica}', updated_at)
ORDER BY (exporter, if_index)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.interfaces ON CLUSTER 'main' AS flowhouse.interfaces_local
ENGINE = Distributed('main', 'flowhouse', 'interfaces_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.templates_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/templates', '{replica}', updated_at)
ORDER BY (exporter, port, version, domain, id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.templates ON CLUSTER 'main' AS flowhouse.templates_local
ENGINE = Distributed('main', 'flowhouse', 'templates_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.applications_local ON CLUSTER 'main'
(
    exporter IPv6 CODEC(ZSTD(1)),
    app_id UInt64 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/applications', '{replica}', updated_at)
ORDER BY (exporter, app_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.applications ON CLUSTER 'main' AS flowhouse.applications_local
ENGINE = Distributed('main', 'flowhouse', 'applications_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.interface_counters_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/interface_counters', '{replica}')
PARTITION BY toDate(received_at)
ORDER BY (exporter, if_index, received_at)
TTL received_at + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.interface_counters ON CLUSTER 'main' AS flowhouse.interface_counters_local
ENGINE = Distributed('main', 'flowhouse', 'interface_counters_local', rand());

-- 0004_ledger.sql

CREATE TABLE IF NOT EXISTS flowhouse.ledger_local ON CLUSTER 'main'
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the minute',
    exporter IPv6 CODEC(ZSTD(1)),
    domain UInt32 CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/ledger', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, domain, outcome)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.ledger ON CLUSTER 'main' AS flowhouse.ledger_local
ENGINE = Distributed('main', 'flowhouse', 'ledger_local', rand());

-- 0005_views.sql

CREATE VIEW IF NOT EXISTS flowhouse.usage_once ON CLUSTER 'main' AS
SELECT *
FROM flowhouse.usage_1m
WHERE direction = 'ingress';

CREATE VIEW IF NOT EXISTS flowhouse.bandwidth ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    i.name AS if_name,
    u.app_proto AS app_proto,
    u.app AS app,
    u.qos_class AS qos_class,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows,
    u.est_bytes * 8 / 60 AS bits_per_second
FROM flowhouse.usage_once AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index;

CREATE VIEW IF NOT EXISTS flowhouse.interface_bandwidth ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    i.name AS if_name,
    i.description AS if_description,
    i.speed AS if_speed,
    u.direction AS direction,
    u.inferred AS inferred,
    u.app_proto AS app_proto,
    u.app AS app,
    u.qos_class AS qos_class,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows,
    u.est_bytes * 8 / 60 AS bits_per_second
FROM flowhouse.usage_1m AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index;

-- 0006_names.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    ADD COLUMN IF NOT EXISTS dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    ADD COLUMN IF NOT EXISTS src_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters',
    ADD COLUMN IF NOT EXISTS dst_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters';

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    ADD COLUMN IF NOT EXISTS dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    ADD COLUMN IF NOT EXISTS src_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters',
    ADD COLUMN IF NOT EXISTS dst_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters';

ALTER TABLE flowhouse.interfaces_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS role String CODEC(ZSTD(1)) COMMENT 'wan, lan, uplink, internet, ...',
    ADD COLUMN IF NOT EXISTS site String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tenant String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS qos_policy String CODEC(ZSTD(1)) COMMENT 'names the classes of its traffic';

ALTER TABLE flowhouse.interfaces ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS role String CODEC(ZSTD(1)) COMMENT 'wan, lan, uplink, internet, ...',
    ADD COLUMN IF NOT EXISTS site String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tenant String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS qos_policy String CODEC(ZSTD(1)) COMMENT 'names the classes of its traffic';

CREATE TABLE IF NOT EXISTS flowhouse.application_catalog_local ON CLUSTER 'main'
(
    app String CODEC(ZSTD(1)) COMMENT 'as in flows.app',
    category String CODEC(ZSTD(1)),
    relevance String CODEC(ZSTD(1)) COMMENT 'critical, business, neutral or leisure',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/application_catalog', '{replica}', updated_at)
ORDER BY app
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.application_catalog ON CLUSTER 'main' AS flowhouse.application_catalog_local
ENGINE = Distributed('main', 'flowhouse', 'application_catalog_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.networks_local ON CLUSTER 'main'
(
    name String CODEC(ZSTD(1)) COMMENT 'as in flows.src_net',
    site String CODEC(ZSTD(1)),
    tenant String CODEC(ZSTD(1)),
    role String CODEC(ZSTD(1)),
    zone String CODEC(ZSTD(1)),
    prefixes UInt32 CODEC(ZSTD(1)) COMMENT 'how many have the name',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/networks', '{replica}', updated_at)
ORDER BY name
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.networks ON CLUSTER 'main' AS flowhouse.networks_local
ENGINE = Distributed('main', 'flowhouse', 'networks_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.qos_classes_local ON CLUSTER 'main'
(
    policy String CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    budget_percent UInt8 CODEC(ZSTD(1)) COMMENT 'of the speed of the interface; 0: none',
    budget_bits UInt64 CODEC(ZSTD(1)) COMMENT 'bit/s; 0: none',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/qos_classes', '{replica}', updated_at)
ORDER BY (policy, class)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.qos_classes ON CLUSTER 'main' AS flowhouse.qos_classes_local
ENGINE = Distributed('main', 'flowhouse', 'qos_classes_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.qos_code_points_local ON CLUSTER 'main'
(
    policy String CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/qos_code_points', '{replica}', updated_at)
ORDER BY (policy, dscp)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.qos_code_points ON CLUSTER 'main' AS flowhouse.qos_code_points_local
ENGINE = Distributed('main', 'flowhouse', 'qos_code_points_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.qos_expected_local ON CLUSTER 'main'
(
    policy String CODEC(ZSTD(1)),
    category String CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/qos_expected', '{replica}', updated_at)
ORDER BY (policy, category, class)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.qos_expected ON CLUSTER 'main' AS flowhouse.qos_expected_local
ENGINE = Distributed('main', 'flowhouse', 'qos_expected_local', rand());

CREATE VIEW IF NOT EXISTS flowhouse.qos_misuse ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.app AS app,
    c.category AS category,
    c.relevance AS relevance,
    u.qos_class AS qos_class,
    e.classes AS expected,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows
FROM flowhouse.usage_once AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, qos_policy FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
GLOBAL LEFT JOIN (SELECT app, category, relevance FROM flowhouse.application_catalog FINAL) AS c
    ON u.app = c.app
GLOBAL LEFT JOIN
(
    SELECT policy, category, groupArray(class) AS classes
    FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM flowhouse.qos_expected FINAL)
    WHERE updated_at = latest
    GROUP BY policy, category
) AS e
    ON i.qos_policy = e.policy AND c.category = e.category
WHERE notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);

CREATE VIEW IF NOT EXISTS flowhouse.qos_budget ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.qos_class AS qos_class,
    u.bits_per_second AS bits_per_second,
    if(q.budget_bits > 0, q.budget_bits, intDiv(i.speed * q.budget_percent, 100)) AS budget,
    if(budget > 0, u.bits_per_second / budget, 0) AS used
FROM
(
    SELECT time, exporter, if_index, direction, qos_class, sum(est_bytes) * 8 / 60 AS bits_per_second
    FROM flowhouse.usage_1m
    GROUP BY time, exporter, if_index, direction, qos_class
) AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, speed, qos_policy FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
GLOBAL LEFT JOIN
(
    SELECT policy, class, budget_percent, budget_bits
    FROM (SELECT policy, class, budget_percent, budget_bits, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM flowhouse.qos_classes FINAL)
    WHERE updated_at = latest
) AS q
    ON i.qos_policy = q.policy AND u.qos_class = q.class
WHERE q.budget_bits > 0 OR q.budget_percent > 0;

-- 0007_vrfs.sql

CREATE TABLE IF NOT EXISTS flowhouse.vrfs_local ON CLUSTER 'main'
(
    exporter IPv6 CODEC(ZSTD(1)),
    vrf UInt32 CODEC(ZSTD(1)) COMMENT 'as in flows.ingress_vrf and flows.egress_vrf',
    name String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/vrfs', '{replica}', updated_at)
ORDER BY (exporter, vrf)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.vrfs ON CLUSTER 'main' AS flowhouse.vrfs_local
ENGINE = Distributed('main', 'flowhouse', 'vrfs_local', rand());

CREATE VIEW IF NOT EXISTS flowhouse.flows_with_vrfs ON CLUSTER 'main' AS
SELECT f.*, f.est_bytes AS est_bytes, f.est_packets AS est_packets,
    i.ingress_vrf_name AS ingress_vrf_name, e.egress_vrf_name AS egress_vrf_name
FROM flowhouse.flows AS f
GLOBAL LEFT JOIN (SELECT exporter AS ingress_exporter, vrf AS ingress_id, name AS ingress_vrf_name FROM flowhouse.vrfs FINAL) AS i
    ON f.exporter = i.ingress_exporter AND f.ingress_vrf = i.ingress_id
GLOBAL LEFT JOIN (SELECT exporter AS egress_exporter, vrf AS egress_id, name AS egress_vrf_name FROM flowhouse.vrfs FINAL) AS e
    ON f.exporter = e.egress_exporter AND f.egress_vrf = e.egress_id;

-- 0008_reconciliation.sql

ALTER TABLE flowhouse.interface_counters_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT 'sflow' CODEC(ZSTD(1)) COMMENT 'who counted: sflow or snmp (octets and speed alone)',
    ADD COLUMN IF NOT EXISTS narrow UInt8 CODEC(ZSTD(1)) COMMENT '1: octets of 32 bits, which wrap',
    ADD COLUMN IF NOT EXISTS restarted UInt8 CODEC(ZSTD(1)) COMMENT '1: does not go on from the row before (restart, or another interface of the same number)';

ALTER TABLE flowhouse.interface_counters ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT 'sflow' CODEC(ZSTD(1)) COMMENT 'who counted: sflow or snmp (octets and speed alone)',
    ADD COLUMN IF NOT EXISTS narrow UInt8 CODEC(ZSTD(1)) COMMENT '1: octets of 32 bits, which wrap',
    ADD COLUMN IF NOT EXISTS restarted UInt8 CODEC(ZSTD(1)) COMMENT '1: does not go on from the row before (restart, or another interface of the same number)';

CREATE VIEW IF NOT EXISTS flowhouse.interface_reconciliation ON CLUSTER 'main' AS
WITH
    now() - INTERVAL 26 HOUR AS since,
    now() AS until
SELECT
    j.time AS time,
    j.exporter AS exporter,
    j.if_index AS if_index,
    i.name AS if_name,
    i.description AS if_description,
    i.speed AS if_speed,
    j.direction AS direction,
    j.source AS source,
    toUInt64(j.counted) AS counted_bytes,
    toUInt64(j.flows) AS flow_bytes,
    j.ratio AS ratio,
    j.error AS error,
    j.lost AS lost,
    multiIf(
        greatest(j.counted, j.flows) < 1000000, 'idle',
        abs(j.ratio - 1) <= j.tolerance, 'agrees',
        j.lost > 0.02 AND j.ratio < 1 AND abs(j.ratio - (1 - j.lost)) <= j.tolerance, 'exporter_drops',
        j.flows > 0 AND j.flows_before > 0 AND abs(j.ratio_before - 1) <= j.tolerance AND j.ratio < 1 AND j.age < 7200, 'active_timeout',
        j.flows_around > 0 AND j.flows_around != j.flows AND abs(j.ratio_around - 1) <= j.tolerance, 'active_timeout',
        j.ratio < 0.02 AND j.flows_other > 0 AND j.ratio_other >= 0.3, 'missing_direction',
        j.flows = 0 AND j.flows_other = 0, 'no_flows',
        abs(j.ratio - 2) <= 2 * j.tolerance, 'doubled_export',
        j.ratio > 1, 'too_much',
        j.ratio < 0.6 AND j.flows > 0 AND j.unscaled AND abs(j.ratio_around / j.ratio - 1) <= 0.3, 'missing_sampling',
        'too_little') AS diagnosis,
    if(j.ratio > 0 AND j.ratio < 1, round(1 / j.ratio), round(j.ratio, 2)) AS factor,
    multiIf(
        diagnosis = 'exporter_drops',
            concat('records were lost on their way: ', toString(round(100 * j.lost)), ' % by their sequence numbers; look at kernel drops here, at the network between and at the exporter''s load'),
        diagnosis = 'active_timeout',
            'long flows are reported after the 5 minutes in which they ran: set the exporter''s active time-out to 60 s, and let it send start times',
        diagnosis = 'missing_direction',
            'flows of this side are not exported: meter the other direction, too, or the ingress of the other interfaces',
        diagnosis = 'no_flows',
            'the exporter meters nothing here: switch flow export on for this interface',
        diagnosis = 'doubled_export',
            'everything is exported twice: by two flow monitors, two templates or two processes; switch one off',
        diagnosis = 'too_much',
            concat('flows are ', toString(round(j.ratio, 1)), ' times what was counted: a sampling interval is applied twice, or is too large'),
        diagnosis = 'missing_sampling',
            concat('flows are 1/', toString(factor), ' of what was counted: the exporter samples and does not say so; set decode.sampling for it'),
        diagnosis = 'too_little',
            concat('flows are ', toString(round(100 * j.ratio)), ' % of what was counted, for none of the reasons that leave a mark'),
        '') AS explanation
FROM
(
    SELECT
        c.exporter AS exporter,
        c.if_index AS if_index,
        c.direction AS direction,
        c.time AS time,
        c.source AS source,
        c.counted AS counted,
        toFloat64(u.est_bytes + 18 * u.est_packets) AS flows,
        if(c.counted > 0, flows / c.counted, 0) AS ratio,
        if(u.est_packets > u.packets AND u.sampled_packets > 0, 1.96 / sqrt(u.sampled_packets), 0) AS error,
        least(0.15 + error, 0.5) AS tolerance,
        u.est_packets <= u.packets OR u.sampling_known = 0 AS unscaled,
        1 - (1 - l.lost) * (1 - l.samples_lost) AS lost,
        toUnixTimestamp(until) - toUnixTimestamp(c.time) AS age,
        sum(flows) OVER around AS flows_around,
        flows_around / greatest(sum(c.counted) OVER around, 1) AS ratio_around,
        sum(flows) OVER before AS flows_before,
        flows_before / greatest(sum(c.counted) OVER before, 1) AS ratio_before,
        sum(flows) OVER sides - flows AS flows_other,
        flows_other / greatest(sum(c.counted) OVER sides - c.counted, 1) AS ratio_other
    FROM
    (
        SELECT exporter, if_index, time, best.1 AS source, side.1 AS direction, side.2 * 300 / covered AS counted
        FROM
        (
            SELECT exporter, if_index, time, max(s.covered) AS covered, argMax((s.source, s.octets_in, s.octets_out), (s.covered, s.source)) AS best
            FROM
            (
                SELECT
                    exporter,
                    if_index,
                    source,
                    toDateTime(second, 'UTC') AS time,
                    sum(least(t1, second + 300) - greatest(t0, second)) AS covered,
                    sum(more_in * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_in,
                    sum(more_out * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_out
                FROM
                (
                    SELECT
                        exporter,
                        if_index,
                        source,
                        toUInt32(received_at) AS t1,
                        toUInt32(lagInFrame(received_at) OVER samples) AS t0,
                        toInt64(in_octets - lagInFrame(in_octets) OVER samples) AS in_gained,
                        toInt64(out_octets - lagInFrame(out_octets) OVER samples) AS out_gained,
                        if(narrow, bitAnd(in_gained, 4294967295), in_gained) AS more_in,
                        if(narrow, bitAnd(out_gained, 4294967295), out_gained) AS more_out,
                        restarted
                    FROM flowhouse.interface_counters
                    WHERE received_at >= since - INTERVAL 4 HOUR AND received_at < until
                    WINDOW samples AS (PARTITION BY exporter, if_index, source ORDER BY received_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                )
                ARRAY JOIN flowhouse.range(intDiv(t0, 300) * 300, t1, 300) AS second
                WHERE t0 > 0 AND t1 > t0 AND t1 - t0 <= 900 AND NOT restarted AND more_in >= 0 AND more_out >= 0
                GROUP BY exporter, if_index, source, time
            ) AS s
            GROUP BY exporter, if_index, time
        )
        ARRAY JOIN [('ingress', best.2), ('egress', best.3)] AS side
        WHERE covered >= 240
    ) AS c
    GLOBAL LEFT JOIN
    (
        SELECT
            exporter,
            if_index,
            direction,
            time,
            sum(b.est_bytes) AS est_bytes,
            sum(b.est_packets) AS est_packets,
            sum(b.packets) AS packets,
            sum(b.sampled_packets) AS sampled_packets,
            min(b.sampling_known) AS sampling_known
        FROM flowhouse.usage_5m AS b
        WHERE time >= since - INTERVAL 4 HOUR AND time < until
        GROUP BY exporter, if_index, direction, time
    ) AS u ON c.exporter = u.exporter AND c.if_index = u.if_index AND c.direction = u.direction AND c.time = u.time
    GLOBAL LEFT JOIN
    (
        SELECT
            g.exporter AS exporter,
            g.time AS time,
            sum(g.gaps) OVER later / greatest(sum(g.gaps + if(e.by_record, g.records, g.datagrams)) OVER later, 1) AS lost,
            sum(g.samples_lost) OVER later / greatest(sum(g.samples_lost + g.samples) OVER later, 1) AS samples_lost
        FROM
        (
            SELECT
                exporter,
                toStartOfFiveMinutes(b.time) AS time,
                sumIf(count, outcome = 'sequence_gaps') AS gaps,
                sumIf(count, outcome = 'records_decoded') AS records,
                sumIf(count, outcome = 'datagrams_parsed') AS datagrams,
                sumIf(count, outcome IN ('sample_gaps', 'samples_dropped_by_exporter')) AS samples_lost,
                sumIf(count, outcome = 'records_flow') AS samples
            FROM flowhouse.ledger AS b
            WHERE b.time >= since - INTERVAL 4 HOUR AND b.time < until
            GROUP BY exporter, time
        ) AS g
        GLOBAL LEFT JOIN
        (
            SELECT exporter, max(origin IN ('netflow5', 'netflow7', 'ipfix')) AS by_record
            FROM flowhouse.exporters FINAL
            GROUP BY exporter
        ) AS e ON g.exporter = e.exporter
        WINDOW later AS (PARTITION BY g.exporter ORDER BY toUInt32(g.time) RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING)
    ) AS l ON c.exporter = l.exporter AND c.time = l.time
    WINDOW
        around AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 3600 PRECEDING AND 3600 FOLLOWING),
        before AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 10800 PRECEDING AND 3600 PRECEDING),
        sides AS (PARTITION BY c.exporter, c.if_index, c.time)
) AS j
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM flowhouse.interfaces FINAL) AS i
    ON j.exporter = i.exporter AND j.if_index = i.if_index
WHERE j.time >= since AND j.age >= 600;

-- 0009_talkers.sql

CREATE TABLE IF NOT EXISTS flowhouse.talkers_1m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/talkers_1m', '{replica}')
PARTITION BY toDate(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.talkers_1m ON CLUSTER 'main' AS flowhouse.talkers_1m_local
ENGINE = Distributed('main', 'flowhouse', 'talkers_1m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.talkers_5m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/talkers_5m', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.talkers_5m ON CLUSTER 'main' AS flowhouse.talkers_5m_local
ENGINE = Distributed('main', 'flowhouse', 'talkers_5m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.talkers_1h_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/talkers_1h', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, role, other, address)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.talkers_1h ON CLUSTER 'main' AS flowhouse.talkers_1h_local
ENGINE = Distributed('main', 'flowhouse', 'talkers_1h_local', rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.talkers_5m_mv ON CLUSTER 'main' TO flowhouse.talkers_5m_local AS
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
FROM flowhouse.talkers_1m_local AS s
GROUP BY time, exporter, role, other, address;

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.talkers_1h_mv ON CLUSTER 'main' TO flowhouse.talkers_1h_local AS
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
FROM flowhouse.talkers_5m_local AS s
GROUP BY time, exporter, role, other, address;

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_1m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/network_usage_1m', '{replica}')
PARTITION BY toDate(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_1m ON CLUSTER 'main' AS flowhouse.network_usage_1m_local
ENGINE = Distributed('main', 'flowhouse', 'network_usage_1m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_5m_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/network_usage_5m', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_5m ON CLUSTER 'main' AS flowhouse.network_usage_5m_local
ENGINE = Distributed('main', 'flowhouse', 'network_usage_5m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_1h_local ON CLUSTER 'main'
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
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/network_usage_1h', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, src_net, dst_net)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.network_usage_1h ON CLUSTER 'main' AS flowhouse.network_usage_1h_local
ENGINE = Distributed('main', 'flowhouse', 'network_usage_1h_local', rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.network_usage_5m_mv ON CLUSTER 'main' TO flowhouse.network_usage_5m_local AS
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
FROM flowhouse.network_usage_1m_local AS s
GROUP BY time, exporter, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.network_usage_1h_mv ON CLUSTER 'main' TO flowhouse.network_usage_1h_local AS
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
FROM flowhouse.network_usage_5m_local AS s
GROUP BY time, exporter, src_net, dst_net;

-- 0010_sides.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS egress_class LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'QoS class at out_if, by its policy and the DSCP that left, where it is not qos_class',
    ADD COLUMN IF NOT EXISTS egress_qos_class LowCardinality(String) ALIAS if(egress_class = '', qos_class, egress_class),
    ADD COLUMN IF NOT EXISTS egress_dscp UInt8 ALIAS bitShiftRight(if(bitTest(present, 55), post_tos, tos), 2),
    ADD COLUMN IF NOT EXISTS counts_ingress UInt8 ALIAS NOT bitTest(flags, 18),
    ADD COLUMN IF NOT EXISTS counts_egress UInt8 ALIAS out_if != 0 AND NOT (origin = 'sflow' AND out_if >= 1073741823) AND NOT bitTest(flags, 19);

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS egress_class LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'QoS class at out_if, by its policy and the DSCP that left, where it is not qos_class',
    ADD COLUMN IF NOT EXISTS egress_qos_class LowCardinality(String) ALIAS if(egress_class = '', qos_class, egress_class),
    ADD COLUMN IF NOT EXISTS egress_dscp UInt8 ALIAS bitShiftRight(if(bitTest(present, 55), post_tos, tos), 2),
    ADD COLUMN IF NOT EXISTS counts_ingress UInt8 ALIAS NOT bitTest(flags, 18),
    ADD COLUMN IF NOT EXISTS counts_egress UInt8 ALIAS out_if != 0 AND NOT (origin = 'sflow' AND out_if >= 1073741823) AND NOT bitTest(flags, 19);

CREATE OR REPLACE VIEW flowhouse.flows_with_vrfs ON CLUSTER 'main' AS
SELECT f.*, f.est_bytes AS est_bytes, f.est_packets AS est_packets, f.counts_ingress AS counts_ingress, f.counts_egress AS counts_egress,
    i.ingress_vrf_name AS ingress_vrf_name, e.egress_vrf_name AS egress_vrf_name
FROM flowhouse.flows AS f
GLOBAL LEFT JOIN (SELECT exporter AS ingress_exporter, vrf AS ingress_id, name AS ingress_vrf_name FROM flowhouse.vrfs FINAL) AS i
    ON f.exporter = i.ingress_exporter AND f.ingress_vrf = i.ingress_id
GLOBAL LEFT JOIN (SELECT exporter AS egress_exporter, vrf AS egress_id, name AS egress_vrf_name FROM flowhouse.vrfs FINAL) AS e
    ON f.exporter = e.egress_exporter AND f.egress_vrf = e.egress_id;

CREATE OR REPLACE VIEW flowhouse.qos_misuse ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.app AS app,
    c.category AS category,
    c.relevance AS relevance,
    u.qos_class AS qos_class,
    e.classes AS expected,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows
FROM flowhouse.usage_1m AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, qos_policy FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
GLOBAL LEFT JOIN (SELECT app, category, relevance FROM flowhouse.application_catalog FINAL) AS c
    ON u.app = c.app
GLOBAL LEFT JOIN
(
    SELECT policy, category, groupArray(class) AS classes
    FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM flowhouse.qos_expected FINAL)
    WHERE updated_at = latest
    GROUP BY policy, category
) AS e
    ON i.qos_policy = e.policy AND c.category = e.category
WHERE notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);

-- 0011_variance.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance Float64 ALIAS sampling_interval * (sampling_interval - 1.) * bytes * least(bytes * 2.6 / (greatest(packets, 1) + 1.6), greatest(1500., bytes / greatest(packets, 1)));

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance Float64 ALIAS sampling_interval * (sampling_interval - 1.) * bytes * least(bytes * 2.6 / (greatest(packets, 1) + 1.6), greatest(1500., bytes / greatest(packets, 1)));

ALTER TABLE flowhouse.usage_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.usage_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.usage_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.usage_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.usage_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.usage_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.talkers_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE flowhouse.network_usage_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

RENAME TABLE IF EXISTS flowhouse.usage_5m_mv_aside TO flowhouse.usage_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.usage_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance
FROM flowhouse.usage_1m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE flowhouse.usage_5m_mv TO flowhouse.usage_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.usage_5m_mv_aside TO flowhouse.usage_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.usage_1h_mv_aside TO flowhouse.usage_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.usage_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance
FROM flowhouse.usage_5m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE flowhouse.usage_1h_mv TO flowhouse.usage_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.usage_1h_mv_aside TO flowhouse.usage_1h_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.talkers_5m_mv_aside TO flowhouse.talkers_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.talkers_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    sum(s.variance) AS variance,
    sum(s.error_bytes) AS error_bytes
FROM flowhouse.talkers_1m_local AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE flowhouse.talkers_5m_mv TO flowhouse.talkers_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.talkers_5m_mv_aside TO flowhouse.talkers_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.talkers_1h_mv_aside TO flowhouse.talkers_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.talkers_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    sum(s.variance) AS variance,
    sum(s.error_bytes) AS error_bytes
FROM flowhouse.talkers_5m_local AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE flowhouse.talkers_1h_mv TO flowhouse.talkers_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.talkers_1h_mv_aside TO flowhouse.talkers_1h_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.network_usage_5m_mv_aside TO flowhouse.network_usage_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.network_usage_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance
FROM flowhouse.network_usage_1m_local AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE flowhouse.network_usage_5m_mv TO flowhouse.network_usage_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.network_usage_5m_mv_aside TO flowhouse.network_usage_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.network_usage_1h_mv_aside TO flowhouse.network_usage_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.network_usage_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance
FROM flowhouse.network_usage_5m_local AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE flowhouse.network_usage_1h_mv TO flowhouse.network_usage_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.network_usage_1h_mv_aside TO flowhouse.network_usage_1h_mv ON CLUSTER 'main';

CREATE OR REPLACE VIEW flowhouse.interface_reconciliation ON CLUSTER 'main' AS
WITH
    now() - INTERVAL 26 HOUR AS since,
    now() AS until
SELECT
    j.time AS time,
    j.exporter AS exporter,
    j.if_index AS if_index,
    i.name AS if_name,
    i.description AS if_description,
    i.speed AS if_speed,
    j.direction AS direction,
    j.source AS source,
    toUInt64(j.counted) AS counted_bytes,
    toUInt64(j.flows) AS flow_bytes,
    j.ratio AS ratio,
    j.error AS error,
    j.lost AS lost,
    multiIf(
        greatest(j.counted, j.flows) < 1000000, 'idle',
        abs(j.ratio - 1) <= j.tolerance, 'agrees',
        j.lost > 0.02 AND j.ratio < 1 AND abs(j.ratio - (1 - j.lost)) <= j.tolerance, 'exporter_drops',
        j.flows > 0 AND j.flows_before > 0 AND abs(j.ratio_before - 1) <= j.tolerance AND j.ratio < 1 AND j.age < 7200, 'active_timeout',
        j.flows_around > 0 AND j.flows_around != j.flows AND abs(j.ratio_around - 1) <= j.tolerance, 'active_timeout',
        j.ratio < 0.02 AND j.flows_other > 0 AND j.ratio_other >= 0.3, 'missing_direction',
        j.flows = 0 AND j.flows_other = 0, 'no_flows',
        abs(j.ratio - 2) <= 2 * j.tolerance, 'doubled_export',
        j.ratio > 1, 'too_much',
        j.ratio < 0.6 AND j.flows > 0 AND j.unscaled AND abs(j.ratio_around / j.ratio - 1) <= 0.3, 'missing_sampling',
        'too_little') AS diagnosis,
    if(j.ratio > 0 AND j.ratio < 1, round(1 / j.ratio), round(j.ratio, 2)) AS factor,
    multiIf(
        diagnosis = 'exporter_drops',
            concat('records were lost on their way: ', toString(round(100 * j.lost)), ' % by their sequence numbers; look at kernel drops here, at the network between and at the exporter''s load'),
        diagnosis = 'active_timeout',
            'long flows are reported after the 5 minutes in which they ran: set the exporter''s active time-out to 60 s, and let it send start times',
        diagnosis = 'missing_direction',
            'flows of this side are not exported: meter the other direction, too, or the ingress of the other interfaces',
        diagnosis = 'no_flows',
            'the exporter meters nothing here: switch flow export on for this interface',
        diagnosis = 'doubled_export',
            'everything is exported twice: by two flow monitors, two templates or two processes; switch one off',
        diagnosis = 'too_much',
            concat('flows are ', toString(round(j.ratio, 1)), ' times what was counted: a sampling interval is applied twice, or is too large'),
        diagnosis = 'missing_sampling',
            concat('flows are 1/', toString(factor), ' of what was counted: the exporter samples and does not say so; set decode.sampling for it'),
        diagnosis = 'too_little',
            concat('flows are ', toString(round(100 * j.ratio)), ' % of what was counted, for none of the reasons that leave a mark'),
        '') AS explanation
FROM
(
    SELECT
        c.exporter AS exporter,
        c.if_index AS if_index,
        c.direction AS direction,
        c.time AS time,
        c.source AS source,
        c.counted AS counted,
        toFloat64(u.est_bytes + 18 * u.est_packets) AS flows,
        if(c.counted > 0, flows / c.counted, 0) AS ratio,
        if(u.est_bytes > 0, 1.96 * sqrt(u.variance) / u.est_bytes + 1.92 * u.variance / pow(u.est_bytes, 2), 0) AS error,
        least(0.15 + error, 0.5) AS tolerance,
        u.est_packets <= u.packets OR u.sampling_known = 0 AS unscaled,
        1 - (1 - l.lost) * (1 - l.samples_lost) AS lost,
        toUnixTimestamp(until) - toUnixTimestamp(c.time) AS age,
        sum(flows) OVER around AS flows_around,
        flows_around / greatest(sum(c.counted) OVER around, 1) AS ratio_around,
        sum(flows) OVER before AS flows_before,
        flows_before / greatest(sum(c.counted) OVER before, 1) AS ratio_before,
        sum(flows) OVER sides - flows AS flows_other,
        flows_other / greatest(sum(c.counted) OVER sides - c.counted, 1) AS ratio_other
    FROM
    (
        SELECT exporter, if_index, time, best.1 AS source, side.1 AS direction, side.2 * 300 / covered AS counted
        FROM
        (
            SELECT exporter, if_index, time, max(s.covered) AS covered, argMax((s.source, s.octets_in, s.octets_out), (s.covered, s.source)) AS best
            FROM
            (
                SELECT
                    exporter,
                    if_index,
                    source,
                    toDateTime(second, 'UTC') AS time,
                    sum(least(t1, second + 300) - greatest(t0, second)) AS covered,
                    sum(more_in * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_in,
                    sum(more_out * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_out
                FROM
                (
                    SELECT
                        exporter,
                        if_index,
                        source,
                        toUInt32(received_at) AS t1,
                        toUInt32(lagInFrame(received_at) OVER samples) AS t0,
                        toInt64(in_octets - lagInFrame(in_octets) OVER samples) AS in_gained,
                        toInt64(out_octets - lagInFrame(out_octets) OVER samples) AS out_gained,
                        if(narrow, bitAnd(in_gained, 4294967295), in_gained) AS more_in,
                        if(narrow, bitAnd(out_gained, 4294967295), out_gained) AS more_out,
                        restarted
                    FROM flowhouse.interface_counters
                    WHERE received_at >= since - INTERVAL 4 HOUR AND received_at < until
                    WINDOW samples AS (PARTITION BY exporter, if_index, source ORDER BY received_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                )
                ARRAY JOIN flowhouse.range(intDiv(t0, 300) * 300, t1, 300) AS second
                WHERE t0 > 0 AND t1 > t0 AND t1 - t0 <= 900 AND NOT restarted AND more_in >= 0 AND more_out >= 0
                GROUP BY exporter, if_index, source, time
            ) AS s
            GROUP BY exporter, if_index, time
        )
        ARRAY JOIN [('ingress', best.2), ('egress', best.3)] AS side
        WHERE covered >= 240
    ) AS c
    GLOBAL LEFT JOIN
    (
        SELECT
            exporter,
            if_index,
            direction,
            time,
            sum(b.est_bytes) AS est_bytes,
            sum(b.est_packets) AS est_packets,
            sum(b.packets) AS packets,
            sum(b.variance) AS variance,
            min(b.sampling_known) AS sampling_known
        FROM flowhouse.usage_5m AS b
        WHERE time >= since - INTERVAL 4 HOUR AND time < until
        GROUP BY exporter, if_index, direction, time
    ) AS u ON c.exporter = u.exporter AND c.if_index = u.if_index AND c.direction = u.direction AND c.time = u.time
    GLOBAL LEFT JOIN
    (
        SELECT
            g.exporter AS exporter,
            g.time AS time,
            sum(g.gaps) OVER later / greatest(sum(g.gaps + if(e.by_record, g.records, g.datagrams)) OVER later, 1) AS lost,
            sum(g.samples_lost) OVER later / greatest(sum(g.samples_lost + g.samples) OVER later, 1) AS samples_lost
        FROM
        (
            SELECT
                exporter,
                toStartOfFiveMinutes(b.time) AS time,
                sumIf(count, outcome = 'sequence_gaps') AS gaps,
                sumIf(count, outcome = 'records_decoded') AS records,
                sumIf(count, outcome = 'datagrams_parsed') AS datagrams,
                sumIf(count, outcome IN ('sample_gaps', 'samples_dropped_by_exporter')) AS samples_lost,
                sumIf(count, outcome = 'records_flow') AS samples
            FROM flowhouse.ledger AS b
            WHERE b.time >= since - INTERVAL 4 HOUR AND b.time < until
            GROUP BY exporter, time
        ) AS g
        GLOBAL LEFT JOIN
        (
            SELECT exporter, max(origin IN ('netflow5', 'netflow7', 'ipfix')) AS by_record
            FROM flowhouse.exporters FINAL
            GROUP BY exporter
        ) AS e ON g.exporter = e.exporter
        WINDOW later AS (PARTITION BY g.exporter ORDER BY toUInt32(g.time) RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING)
    ) AS l ON c.exporter = l.exporter AND c.time = l.time
    WINDOW
        around AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 3600 PRECEDING AND 3600 FOLLOWING),
        before AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 10800 PRECEDING AND 3600 PRECEDING),
        sides AS (PARTITION BY c.exporter, c.if_index, c.time)
) AS j
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM flowhouse.interfaces FINAL) AS i
    ON j.exporter = i.exporter AND j.if_index = i.if_index
WHERE j.time >= since AND j.age >= 600;

-- 0012_once.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS community_id String ALIAS concat('1:', base64Encode(SHA1(arrayMap((s, d, icmp, answer) -> arrayMap((sport, dport) ->
        if(answer = 256 OR (s, sport) <= (d, dport),
            concat(char(0, 0), s, d, char(proto, 0), if(proto IN (1, 6, 17, 58, 132), char(bitShiftRight(sport, 8), sport, bitShiftRight(dport, 8), dport), '')),
            concat(char(0, 0), d, s, char(proto, 0), if(proto IN (1, 6, 17, 58, 132), char(bitShiftRight(dport, 8), dport, bitShiftRight(sport, 8), sport), ''))),
        [multiIf(proto IN (1, 58), toUInt16(bitShiftRight(icmp, 8)), proto IN (6, 17, 132), src_port, toUInt16(0))],
        [multiIf(answer = 256, toUInt16(bitAnd(icmp, 255)), proto IN (1, 58), answer, proto IN (6, 17, 132), dst_port, toUInt16(0))])[1],
        [if(startsWith(hex(src_addr), '00000000000000000000FFFF'), substring(unhex(hex(src_addr)), 13), unhex(hex(src_addr)))],
        [if(startsWith(hex(dst_addr), '00000000000000000000FFFF'), substring(unhex(hex(dst_addr)), 13), unhex(hex(dst_addr)))],
        [if(bitTest(present, 51), icmp_type_code, dst_port)],
        [multiIf(
            proto = 1, transform(toUInt16(bitShiftRight(if(bitTest(present, 51), icmp_type_code, dst_port), 8)),
                [0, 8, 9, 10, 13, 14, 15, 16, 17, 18], [8, 0, 10, 9, 14, 13, 16, 15, 18, 17], 256),
            proto = 58, transform(toUInt16(bitShiftRight(if(bitTest(present, 51), icmp_type_code, dst_port), 8)),
                [128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145], [129, 128, 131, 130, 134, 133, 136, 135, 140, 139, 145, 144], 256),
            0)])[1])));

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS community_id String ALIAS concat('1:', base64Encode(SHA1(arrayMap((s, d, icmp, answer) -> arrayMap((sport, dport) ->
        if(answer = 256 OR (s, sport) <= (d, dport),
            concat(char(0, 0), s, d, char(proto, 0), if(proto IN (1, 6, 17, 58, 132), char(bitShiftRight(sport, 8), sport, bitShiftRight(dport, 8), dport), '')),
            concat(char(0, 0), d, s, char(proto, 0), if(proto IN (1, 6, 17, 58, 132), char(bitShiftRight(dport, 8), dport, bitShiftRight(sport, 8), sport), ''))),
        [multiIf(proto IN (1, 58), toUInt16(bitShiftRight(icmp, 8)), proto IN (6, 17, 132), src_port, toUInt16(0))],
        [multiIf(answer = 256, toUInt16(bitAnd(icmp, 255)), proto IN (1, 58), answer, proto IN (6, 17, 132), dst_port, toUInt16(0))])[1],
        [if(startsWith(hex(src_addr), '00000000000000000000FFFF'), substring(unhex(hex(src_addr)), 13), unhex(hex(src_addr)))],
        [if(startsWith(hex(dst_addr), '00000000000000000000FFFF'), substring(unhex(hex(dst_addr)), 13), unhex(hex(dst_addr)))],
        [if(bitTest(present, 51), icmp_type_code, dst_port)],
        [multiIf(
            proto = 1, transform(toUInt16(bitShiftRight(if(bitTest(present, 51), icmp_type_code, dst_port), 8)),
                [0, 8, 9, 10, 13, 14, 15, 16, 17, 18], [8, 0, 10, 9, 14, 13, 16, 15, 18, 17], 256),
            proto = 58, transform(toUInt16(bitShiftRight(if(bitTest(present, 51), icmp_type_code, dst_port), 8)),
                [128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145], [129, 128, 131, 130, 134, 133, 136, 135, 140, 139, 145, 144], 256),
            0)])[1])));

CREATE TABLE IF NOT EXISTS flowhouse.observation_points_local ON CLUSTER 'main'
(
    exporter IPv6 CODEC(ZSTD(1)),
    priority UInt32 CODEC(ZSTD(1)) COMMENT 'of several that saw a conversation the lowest counts',
    side String CODEC(ZSTD(1)) COMMENT 'ingress or egress: where its bytes count, none: nowhere',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/observation_points', '{replica}', updated_at)
ORDER BY exporter
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.observation_points ON CLUSTER 'main' AS flowhouse.observation_points_local
ENGINE = Distributed('main', 'flowhouse', 'observation_points_local', rand());

CREATE VIEW IF NOT EXISTS flowhouse.flow_sightings ON CLUSTER 'main' AS
WITH
    now() - INTERVAL 1 HOUR AS since,
    now() AS until
SELECT
    j.* EXCEPT (begins, lasting, piece, chosen),
    j.listens AND (j.sampling_interval > 1 OR (j.priority, j.exporter) = j.chosen) AS counts,
    if(j.sampling_interval > 1, j.exporter, j.chosen.2) AS counted_at
FROM
(
    SELECT
        *,
        min(if(i.listens AND i.sampling_interval = 1, (i.priority, i.exporter), (4294967295, toIPv6('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')))) OVER (PARTITION BY i.community_id, i.src_addr, i.src_port, i.lasting, i.piece) AS chosen
    FROM
    (
        SELECT
            *,
            intDiv(h.until_ms - min(h.since_ms) OVER (PARTITION BY h.community_id, h.src_addr, h.src_port, h.lasting), 3600000) AS piece
        FROM
        (
            SELECT *, sum(g.begins) OVER (PARTITION BY g.community_id, g.src_addr, g.src_port ORDER BY g.since_ms, g.until_ms) AS lasting
            FROM
            (
                SELECT
                    f.received_at AS received_at,
                    f.exporter AS exporter,
                    f.in_if AS in_if,
                    f.out_if AS out_if,
                    f.src_addr AS src_addr,
                    f.dst_addr AS dst_addr,
                    f.src_port AS src_port,
                    f.dst_port AS dst_port,
                    f.proto AS proto,
                    f.app AS app,
                    f.app_proto AS app_proto,
                    f.bytes AS bytes,
                    f.packets AS packets,
                    f.est_bytes AS est_bytes,
                    f.est_packets AS est_packets,
                    f.sampling_interval AS sampling_interval,
                    f.community_id AS community_id,
                    if(bitTest(f.present, 8), f.end_ms, toInt64(toUnixTimestamp(f.received_at)) * 1000) AS until_ms,
                    if(bitTest(f.present, 7), least(f.start_ms, until_ms), until_ms) AS since_ms,
                    if(p.known, p.priority, 100) AS priority,
                    multiIf(NOT p.known OR p.side = 'ingress', NOT bitTest(f.flags, 18), p.side = 'egress', f.out_if != 0 AND NOT (f.origin = 'sflow' AND f.out_if >= 1073741823) AND NOT bitTest(f.flags, 19), 0) AS listens,
                    since_ms - max(until_ms) OVER (PARTITION BY community_id, src_addr, src_port ORDER BY since_ms, until_ms ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > 60000 AS begins
                FROM flowhouse.flows AS f
                GLOBAL LEFT JOIN
                (
                    SELECT exporter, priority, side, 1 AS known
                    FROM (SELECT exporter, priority, side, updated_at, max(updated_at) OVER () AS latest FROM flowhouse.observation_points FINAL)
                    WHERE updated_at = latest
                ) AS p ON f.exporter = p.exporter
                WHERE f.received_at >= since AND f.received_at < until
            ) AS g
        ) AS h
    ) AS i
) AS j;

CREATE VIEW IF NOT EXISTS flowhouse.flows_once ON CLUSTER 'main' AS
SELECT * EXCEPT (counts, counted_at)
FROM flowhouse.flow_sightings
WHERE counts;

CREATE OR REPLACE VIEW flowhouse.usage_once ON CLUSTER 'main' AS
SELECT *
FROM flowhouse.usage_1m
WHERE (direction = 'egress') = (exporter GLOBAL IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM flowhouse.observation_points FINAL)
    WHERE updated_at = latest AND side = 'egress'
))
AND exporter GLOBAL NOT IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM flowhouse.observation_points FINAL)
    WHERE updated_at = latest AND side = 'none'
);

-- 0013_metered.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS ja4 String CODEC(ZSTD(1)) COMMENT 'fingerprint of the client''s TLS or QUIC hello',
    ADD COLUMN IF NOT EXISTS conversation UInt64 CODEC(ZSTD(1)) COMMENT 'the same in both directions; 0: not metered from packets',
    ADD COLUMN IF NOT EXISTS measured UInt32 CODEC(ZSTD(1)) COMMENT 'which measures were taken: one bit a measure',
    ADD COLUMN IF NOT EXISTS rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'handshake: from the sensor to the destination and back',
    ADD COLUMN IF NOT EXISTS data_rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from data to its acknowledgement, mean',
    ADD COLUMN IF NOT EXISTS ttfb_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from the first byte of the other direction to the first of this one',
    ADD COLUMN IF NOT EXISTS retransmits UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments sent again',
    ADD COLUMN IF NOT EXISTS out_of_order UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments behind later ones',
    ADD COLUMN IF NOT EXISTS dup_acks UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP acknowledgements sent again',
    ADD COLUMN IF NOT EXISTS zero_windows UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments that closed the window',
    ADD COLUMN IF NOT EXISTS resets UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments with RST',
    ADD COLUMN IF NOT EXISTS ce_marks UInt32 CODEC(T64, ZSTD(1)) COMMENT 'packets marked ECN congestion experienced',
    ADD COLUMN IF NOT EXISTS jitter_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'RTP, RFC 3550',
    ADD COLUMN IF NOT EXISTS lost UInt32 CODEC(T64, ZSTD(1)) COMMENT 'RTP packets missing by their sequence numbers',
    ADD COLUMN IF NOT EXISTS dns_rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from the DNS query to its answer',
    ADD COLUMN IF NOT EXISTS cert_expires_s UInt32 CODEC(T64, ZSTD(1)) COMMENT 'end of the certificate''s validity, seconds since 1970 UTC',
    ADD COLUMN IF NOT EXISTS mos_x100 UInt16 CODEC(T64, ZSTD(1)) COMMENT 'mean opinion score times 100, an estimate by the E-model',
    ADD COLUMN IF NOT EXISTS tls_version UInt16 CODEC(T64, ZSTD(1)) COMMENT '772 is TLS 1.3',
    ADD COLUMN IF NOT EXISTS dns_rcode UInt8 CODEC(ZSTD(1)) COMMENT 'response code',
    ADD COLUMN IF NOT EXISTS rtp_payload UInt8 CODEC(ZSTD(1)) COMMENT 'RTP payload type',
    ADD COLUMN IF NOT EXISTS handshake LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'TCP: complete, refused, unanswered, or empty where it was not seen',
    ADD COLUMN IF NOT EXISTS conversation_side LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'who sent: initiator or responder',
    ADD COLUMN IF NOT EXISTS tunnel_src IPv6 CODEC(ZSTD(1)) COMMENT 'of the innermost tunnel',
    ADD COLUMN IF NOT EXISTS tunnel_dst IPv6 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tunnel_id UInt32 CODEC(ZSTD(1)) COMMENT 'VNI, TEID, GRE key, session or label',
    ADD COLUMN IF NOT EXISTS tunnel_kind LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'gre, vxlan, gtp, ...';

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS ja4 String CODEC(ZSTD(1)) COMMENT 'fingerprint of the client''s TLS or QUIC hello',
    ADD COLUMN IF NOT EXISTS conversation UInt64 CODEC(ZSTD(1)) COMMENT 'the same in both directions; 0: not metered from packets',
    ADD COLUMN IF NOT EXISTS measured UInt32 CODEC(ZSTD(1)) COMMENT 'which measures were taken: one bit a measure',
    ADD COLUMN IF NOT EXISTS rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'handshake: from the sensor to the destination and back',
    ADD COLUMN IF NOT EXISTS data_rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from data to its acknowledgement, mean',
    ADD COLUMN IF NOT EXISTS ttfb_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from the first byte of the other direction to the first of this one',
    ADD COLUMN IF NOT EXISTS retransmits UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments sent again',
    ADD COLUMN IF NOT EXISTS out_of_order UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments behind later ones',
    ADD COLUMN IF NOT EXISTS dup_acks UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP acknowledgements sent again',
    ADD COLUMN IF NOT EXISTS zero_windows UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments that closed the window',
    ADD COLUMN IF NOT EXISTS resets UInt32 CODEC(T64, ZSTD(1)) COMMENT 'TCP segments with RST',
    ADD COLUMN IF NOT EXISTS ce_marks UInt32 CODEC(T64, ZSTD(1)) COMMENT 'packets marked ECN congestion experienced',
    ADD COLUMN IF NOT EXISTS jitter_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'RTP, RFC 3550',
    ADD COLUMN IF NOT EXISTS lost UInt32 CODEC(T64, ZSTD(1)) COMMENT 'RTP packets missing by their sequence numbers',
    ADD COLUMN IF NOT EXISTS dns_rtt_us UInt32 CODEC(T64, ZSTD(1)) COMMENT 'from the DNS query to its answer',
    ADD COLUMN IF NOT EXISTS cert_expires_s UInt32 CODEC(T64, ZSTD(1)) COMMENT 'end of the certificate''s validity, seconds since 1970 UTC',
    ADD COLUMN IF NOT EXISTS mos_x100 UInt16 CODEC(T64, ZSTD(1)) COMMENT 'mean opinion score times 100, an estimate by the E-model',
    ADD COLUMN IF NOT EXISTS tls_version UInt16 CODEC(T64, ZSTD(1)) COMMENT '772 is TLS 1.3',
    ADD COLUMN IF NOT EXISTS dns_rcode UInt8 CODEC(ZSTD(1)) COMMENT 'response code',
    ADD COLUMN IF NOT EXISTS rtp_payload UInt8 CODEC(ZSTD(1)) COMMENT 'RTP payload type',
    ADD COLUMN IF NOT EXISTS handshake LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'TCP: complete, refused, unanswered, or empty where it was not seen',
    ADD COLUMN IF NOT EXISTS conversation_side LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'who sent: initiator or responder',
    ADD COLUMN IF NOT EXISTS tunnel_src IPv6 CODEC(ZSTD(1)) COMMENT 'of the innermost tunnel',
    ADD COLUMN IF NOT EXISTS tunnel_dst IPv6 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tunnel_id UInt32 CODEC(ZSTD(1)) COMMENT 'VNI, TEID, GRE key, session or label',
    ADD COLUMN IF NOT EXISTS tunnel_kind LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'gre, vxlan, gtp, ...';

-- 0014_counter_stands_still.sql

CREATE OR REPLACE VIEW flowhouse.interface_reconciliation ON CLUSTER 'main' AS
WITH
    now() - INTERVAL 26 HOUR AS since,
    now() AS until
SELECT
    j.time AS time,
    j.exporter AS exporter,
    j.if_index AS if_index,
    i.name AS if_name,
    i.description AS if_description,
    i.speed AS if_speed,
    j.direction AS direction,
    j.source AS source,
    toUInt64(j.counted) AS counted_bytes,
    toUInt64(j.flows) AS flow_bytes,
    if(j.counted > 0, j.ratio, NULL) AS ratio,
    j.error AS error,
    j.lost AS lost,
    multiIf(
        greatest(j.counted, j.flows) < 1000000, 'idle',
        j.counted = 0, 'counter_stands_still',
        abs(j.ratio - 1) <= j.tolerance, 'agrees',
        j.lost > 0.02 AND j.ratio < 1 AND abs(j.ratio - (1 - j.lost)) <= j.tolerance, 'exporter_drops',
        j.flows > 0 AND j.flows_before > 0 AND abs(j.ratio_before - 1) <= j.tolerance AND j.ratio < 1 AND j.age < 7200, 'active_timeout',
        j.flows_around > 0 AND j.flows_around != j.flows AND abs(j.ratio_around - 1) <= j.tolerance, 'active_timeout',
        j.ratio < 0.02 AND j.flows_other > 0 AND j.ratio_other >= 0.3, 'missing_direction',
        j.flows = 0 AND j.flows_other = 0, 'no_flows',
        abs(j.ratio - 2) <= 2 * j.tolerance, 'doubled_export',
        j.ratio > 1, 'too_much',
        j.ratio < 0.6 AND j.flows > 0 AND j.unscaled AND abs(j.ratio_around / j.ratio - 1) <= 0.3, 'missing_sampling',
        'too_little') AS diagnosis,
    if(j.ratio > 0 AND j.ratio < 1, round(1 / j.ratio), round(j.ratio, 2)) AS factor,
    multiIf(
        diagnosis = 'counter_stands_still',
            'flows passed and the interface counted nothing: its counters stand still, or are those of another interface',
        diagnosis = 'exporter_drops',
            concat('records were lost on their way: ', toString(round(100 * j.lost)), ' % by their sequence numbers; look at kernel drops here, at the network between and at the exporter''s load'),
        diagnosis = 'active_timeout',
            'long flows are reported after the 5 minutes in which they ran: set the exporter''s active time-out to 60 s, and let it send start times',
        diagnosis = 'missing_direction',
            'flows of this side are not exported: meter the other direction, too, or the ingress of the other interfaces',
        diagnosis = 'no_flows',
            'the exporter meters nothing here: switch flow export on for this interface',
        diagnosis = 'doubled_export',
            'everything is exported twice: by two flow monitors, two templates or two processes; switch one off',
        diagnosis = 'too_much',
            concat('flows are ', toString(round(j.ratio, 1)), ' times what was counted: a sampling interval is applied twice, or is too large'),
        diagnosis = 'missing_sampling',
            concat('flows are 1/', toString(factor), ' of what was counted: the exporter samples and does not say so; set decode.sampling for it'),
        diagnosis = 'too_little',
            concat('flows are ', toString(round(100 * j.ratio)), ' % of what was counted, for none of the reasons that leave a mark'),
        '') AS explanation
FROM
(
    SELECT
        c.exporter AS exporter,
        c.if_index AS if_index,
        c.direction AS direction,
        c.time AS time,
        c.source AS source,
        c.counted AS counted,
        toFloat64(u.est_bytes + 18 * u.est_packets) AS flows,
        if(c.counted > 0, flows / c.counted, 0) AS ratio,
        if(u.est_bytes > 0, 1.96 * sqrt(u.variance) / u.est_bytes + 1.92 * u.variance / pow(u.est_bytes, 2), 0) AS error,
        least(0.15 + error, 0.5) AS tolerance,
        u.est_packets <= u.packets OR u.sampling_known = 0 AS unscaled,
        1 - (1 - l.lost) * (1 - l.samples_lost) AS lost,
        toUnixTimestamp(until) - toUnixTimestamp(c.time) AS age,
        sum(flows) OVER around AS flows_around,
        flows_around / greatest(sum(c.counted) OVER around, 1) AS ratio_around,
        sum(flows) OVER before AS flows_before,
        flows_before / greatest(sum(c.counted) OVER before, 1) AS ratio_before,
        sum(flows) OVER sides - flows AS flows_other,
        flows_other / greatest(sum(c.counted) OVER sides - c.counted, 1) AS ratio_other
    FROM
    (
        SELECT exporter, if_index, time, best.1 AS source, side.1 AS direction, side.2 * 300 / covered AS counted
        FROM
        (
            SELECT exporter, if_index, time, max(s.covered) AS covered, argMax((s.source, s.octets_in, s.octets_out), (s.covered, s.source)) AS best
            FROM
            (
                SELECT
                    exporter,
                    if_index,
                    source,
                    toDateTime(second, 'UTC') AS time,
                    sum(least(t1, second + 300) - greatest(t0, second)) AS covered,
                    sum(more_in * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_in,
                    sum(more_out * (least(t1, second + 300) - greatest(t0, second)) / (t1 - t0)) AS octets_out
                FROM
                (
                    SELECT
                        exporter,
                        if_index,
                        source,
                        toUInt32(received_at) AS t1,
                        toUInt32(lagInFrame(received_at) OVER samples) AS t0,
                        toInt64(in_octets - lagInFrame(in_octets) OVER samples) AS in_gained,
                        toInt64(out_octets - lagInFrame(out_octets) OVER samples) AS out_gained,
                        if(narrow, bitAnd(in_gained, 4294967295), in_gained) AS more_in,
                        if(narrow, bitAnd(out_gained, 4294967295), out_gained) AS more_out,
                        restarted
                    FROM flowhouse.interface_counters
                    WHERE received_at >= since - INTERVAL 4 HOUR AND received_at < until
                    WINDOW samples AS (PARTITION BY exporter, if_index, source ORDER BY received_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                )
                ARRAY JOIN flowhouse.range(intDiv(t0, 300) * 300, t1, 300) AS second
                WHERE t0 > 0 AND t1 > t0 AND t1 - t0 <= 900 AND NOT restarted AND more_in >= 0 AND more_out >= 0
                GROUP BY exporter, if_index, source, time
            ) AS s
            GROUP BY exporter, if_index, time
        )
        ARRAY JOIN [('ingress', best.2), ('egress', best.3)] AS side
        WHERE covered >= 240
    ) AS c
    GLOBAL LEFT JOIN
    (
        SELECT
            exporter,
            if_index,
            direction,
            time,
            sum(b.est_bytes) AS est_bytes,
            sum(b.est_packets) AS est_packets,
            sum(b.packets) AS packets,
            sum(b.variance) AS variance,
            min(b.sampling_known) AS sampling_known
        FROM flowhouse.usage_5m AS b
        WHERE time >= since - INTERVAL 4 HOUR AND time < until
        GROUP BY exporter, if_index, direction, time
    ) AS u ON c.exporter = u.exporter AND c.if_index = u.if_index AND c.direction = u.direction AND c.time = u.time
    GLOBAL LEFT JOIN
    (
        SELECT
            g.exporter AS exporter,
            g.time AS time,
            sum(g.gaps) OVER later / greatest(sum(g.gaps + if(e.by_record, g.records, g.datagrams)) OVER later, 1) AS lost,
            sum(g.samples_lost) OVER later / greatest(sum(g.samples_lost + g.samples) OVER later, 1) AS samples_lost
        FROM
        (
            SELECT
                exporter,
                toStartOfFiveMinutes(b.time) AS time,
                sumIf(count, outcome = 'sequence_gaps') AS gaps,
                sumIf(count, outcome = 'records_decoded') AS records,
                sumIf(count, outcome = 'datagrams_parsed') AS datagrams,
                sumIf(count, outcome IN ('sample_gaps', 'samples_dropped_by_exporter')) AS samples_lost,
                sumIf(count, outcome = 'records_flow') AS samples
            FROM flowhouse.ledger AS b
            WHERE b.time >= since - INTERVAL 4 HOUR AND b.time < until
            GROUP BY exporter, time
        ) AS g
        GLOBAL LEFT JOIN
        (
            SELECT exporter, max(origin IN ('netflow5', 'netflow7', 'ipfix')) AS by_record
            FROM flowhouse.exporters FINAL
            GROUP BY exporter
        ) AS e ON g.exporter = e.exporter
        WINDOW later AS (PARTITION BY g.exporter ORDER BY toUInt32(g.time) RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING)
    ) AS l ON c.exporter = l.exporter AND c.time = l.time
    WINDOW
        around AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 3600 PRECEDING AND 3600 FOLLOWING),
        before AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 10800 PRECEDING AND 3600 PRECEDING),
        sides AS (PARTITION BY c.exporter, c.if_index, c.time)
) AS j
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM flowhouse.interfaces FINAL) AS i
    ON j.exporter = i.exporter AND j.if_index = i.if_index
WHERE j.time >= since AND j.age >= 600;

-- 0015_unknown_share.sql

ALTER TABLE flowhouse.usage_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.usage_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.usage_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.usage_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.usage_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.usage_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.talkers_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_1m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_1m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_5m_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_5m ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_1h_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE flowhouse.network_usage_1h ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

RENAME TABLE IF EXISTS flowhouse.usage_5m_mv_aside TO flowhouse.usage_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.usage_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.usage_1m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE flowhouse.usage_5m_mv TO flowhouse.usage_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.usage_5m_mv_aside TO flowhouse.usage_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.usage_1h_mv_aside TO flowhouse.usage_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.usage_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.usage_5m_local AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE flowhouse.usage_1h_mv TO flowhouse.usage_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.usage_1h_mv_aside TO flowhouse.usage_1h_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.talkers_5m_mv_aside TO flowhouse.talkers_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.talkers_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    sum(s.variance) AS variance,
    sum(s.error_bytes) AS error_bytes,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.talkers_1m_local AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE flowhouse.talkers_5m_mv TO flowhouse.talkers_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.talkers_5m_mv_aside TO flowhouse.talkers_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.talkers_1h_mv_aside TO flowhouse.talkers_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.talkers_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    sum(s.variance) AS variance,
    sum(s.error_bytes) AS error_bytes,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.talkers_5m_local AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE flowhouse.talkers_1h_mv TO flowhouse.talkers_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.talkers_1h_mv_aside TO flowhouse.talkers_1h_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.network_usage_5m_mv_aside TO flowhouse.network_usage_5m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.network_usage_5m_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.network_usage_1m_local AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE flowhouse.network_usage_5m_mv TO flowhouse.network_usage_5m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.network_usage_5m_mv_aside TO flowhouse.network_usage_5m_mv ON CLUSTER 'main';

RENAME TABLE IF EXISTS flowhouse.network_usage_1h_mv_aside TO flowhouse.network_usage_1h_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.network_usage_1h_mv ON CLUSTER 'main' MODIFY QUERY
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
    min(s.sampling_known) AS sampling_known,
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM flowhouse.network_usage_5m_local AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE flowhouse.network_usage_1h_mv TO flowhouse.network_usage_1h_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.network_usage_1h_mv_aside TO flowhouse.network_usage_1h_mv ON CLUSTER 'main';

CREATE OR REPLACE VIEW flowhouse.usage_once ON CLUSTER 'main' AS
SELECT *
FROM flowhouse.usage_1m
WHERE (direction = 'egress') = (exporter GLOBAL IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM flowhouse.observation_points FINAL)
    WHERE updated_at = latest AND side = 'egress'
))
AND exporter GLOBAL NOT IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM flowhouse.observation_points FINAL)
    WHERE updated_at = latest AND side = 'none'
);

CREATE OR REPLACE VIEW flowhouse.qos_misuse ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.app AS app,
    c.category AS category,
    c.relevance AS relevance,
    u.qos_class AS qos_class,
    e.classes AS expected,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows
FROM flowhouse.usage_1m AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, qos_policy FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
GLOBAL LEFT JOIN (SELECT app, category, relevance FROM flowhouse.application_catalog FINAL) AS c
    ON u.app = c.app
GLOBAL LEFT JOIN
(
    SELECT policy, category, groupArray(class) AS classes
    FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM flowhouse.qos_expected FINAL)
    WHERE updated_at = latest
    GROUP BY policy, category
) AS e
    ON i.qos_policy = e.policy AND c.category = e.category
WHERE u.qos_class != 'none' AND notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);

CREATE OR REPLACE VIEW flowhouse.qos_budget ON CLUSTER 'main' AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.qos_class AS qos_class,
    u.bits_per_second AS bits_per_second,
    nullIf(if(q.budget_bits > 0, q.budget_bits, intDiv(i.speed * q.budget_percent, 100)), 0) AS budget,
    u.bits_per_second / budget AS used
FROM
(
    SELECT time, exporter, if_index, direction, qos_class, sum(est_bytes) * 8 / 60 AS bits_per_second
    FROM flowhouse.usage_1m
    GROUP BY time, exporter, if_index, direction, qos_class
) AS u
GLOBAL LEFT JOIN (SELECT exporter, if_index, name, speed, qos_policy FROM flowhouse.interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
GLOBAL LEFT JOIN
(
    SELECT policy, class, budget_percent, budget_bits
    FROM (SELECT policy, class, budget_percent, budget_bits, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM flowhouse.qos_classes FINAL)
    WHERE updated_at = latest
) AS q
    ON i.qos_policy = q.policy AND u.qos_class = q.class
WHERE q.budget_bits > 0 OR q.budget_percent > 0;

-- 0016_quality.sql

CREATE TABLE IF NOT EXISTS flowhouse.quality_1m_local ON CLUSTER 'main'
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval in which the last packet of a row was seen',
    exporter IPv6 CODEC(ZSTD(1)) COMMENT 'the sensor',
    if_index UInt32 CODEC(ZSTD(1)) COMMENT 'interface that was captured',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the sender',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the receiver',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'layer 3',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows: directions of conversations, of long ones one a minute',
    tcp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what retransmits are a part of',
    retransmits SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments sent again',
    out_of_order SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments behind later ones',
    dup_acks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP acknowledgements sent again',
    zero_windows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments that closed the window',
    resets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments with RST',
    handshakes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP connections that began: complete, refused or unanswered',
    refused SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, answered by a reset',
    unanswered SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, without an answer',
    ce_marks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'packets marked ECN congestion experienced',
    rtp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what lost ones are missing from',
    rtp_lost SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'RTP packets missing by their sequence numbers',
    rtp_streams SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with a jitter',
    mos_count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with an estimate',
    mos_sum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'mean opinion score times 100, an estimate by the E-model',
    dns_answers SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    dns_failures SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'answers with another code than none and no such name',
    rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'handshake: from the sensor to the destination and back: median, 95th and 99th percentile, by rows',
    data_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from data to its acknowledgement: median, 95th and 99th percentile, by rows',
    ttfb_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the first byte of the other direction to the first of this one: median, 95th and 99th percentile, by rows',
    jitter_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'RTP, RFC 3550: median, 95th and 99th percentile, by rows',
    dns_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the DNS query to its answer: median, 95th and 99th percentile, by rows',
    mos_min SimpleAggregateFunction(min, UInt16) CODEC(ZSTD(1)) COMMENT 'of those with an estimate; 65535: there is none'
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/quality_1m', '{replica}')
PARTITION BY toDate(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.quality_1m ON CLUSTER 'main' AS flowhouse.quality_1m_local
ENGINE = Distributed('main', 'flowhouse', 'quality_1m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.quality_5m_local ON CLUSTER 'main'
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval in which the last packet of a row was seen',
    exporter IPv6 CODEC(ZSTD(1)) COMMENT 'the sensor',
    if_index UInt32 CODEC(ZSTD(1)) COMMENT 'interface that was captured',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the sender',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the receiver',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'layer 3',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows: directions of conversations, of long ones one a minute',
    tcp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what retransmits are a part of',
    retransmits SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments sent again',
    out_of_order SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments behind later ones',
    dup_acks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP acknowledgements sent again',
    zero_windows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments that closed the window',
    resets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments with RST',
    handshakes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP connections that began: complete, refused or unanswered',
    refused SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, answered by a reset',
    unanswered SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, without an answer',
    ce_marks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'packets marked ECN congestion experienced',
    rtp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what lost ones are missing from',
    rtp_lost SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'RTP packets missing by their sequence numbers',
    rtp_streams SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with a jitter',
    mos_count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with an estimate',
    mos_sum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'mean opinion score times 100, an estimate by the E-model',
    dns_answers SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    dns_failures SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'answers with another code than none and no such name',
    rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'handshake: from the sensor to the destination and back: median, 95th and 99th percentile, by rows',
    data_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from data to its acknowledgement: median, 95th and 99th percentile, by rows',
    ttfb_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the first byte of the other direction to the first of this one: median, 95th and 99th percentile, by rows',
    jitter_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'RTP, RFC 3550: median, 95th and 99th percentile, by rows',
    dns_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the DNS query to its answer: median, 95th and 99th percentile, by rows',
    mos_min SimpleAggregateFunction(min, UInt16) CODEC(ZSTD(1)) COMMENT 'of those with an estimate; 65535: there is none'
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/quality_5m', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.quality_5m ON CLUSTER 'main' AS flowhouse.quality_5m_local
ENGINE = Distributed('main', 'flowhouse', 'quality_5m_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.quality_1h_local ON CLUSTER 'main'
(
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'start of the interval in which the last packet of a row was seen',
    exporter IPv6 CODEC(ZSTD(1)) COMMENT 'the sensor',
    if_index UInt32 CODEC(ZSTD(1)) COMMENT 'interface that was captured',
    app_proto LowCardinality(String) CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    qos_class LowCardinality(String) CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the sender',
    dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'network of the receiver',
    bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'layer 3',
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    flows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows: directions of conversations, of long ones one a minute',
    tcp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what retransmits are a part of',
    retransmits SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments sent again',
    out_of_order SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments behind later ones',
    dup_acks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP acknowledgements sent again',
    zero_windows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments that closed the window',
    resets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP segments with RST',
    handshakes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'TCP connections that began: complete, refused or unanswered',
    refused SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, answered by a reset',
    unanswered SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'of these, without an answer',
    ce_marks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'packets marked ECN congestion experienced',
    rtp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'what lost ones are missing from',
    rtp_lost SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'RTP packets missing by their sequence numbers',
    rtp_streams SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with a jitter',
    mos_count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'rows with an estimate',
    mos_sum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'mean opinion score times 100, an estimate by the E-model',
    dns_answers SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    dns_failures SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) COMMENT 'answers with another code than none and no such name',
    rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'handshake: from the sensor to the destination and back: median, 95th and 99th percentile, by rows',
    data_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from data to its acknowledgement: median, 95th and 99th percentile, by rows',
    ttfb_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the first byte of the other direction to the first of this one: median, 95th and 99th percentile, by rows',
    jitter_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'RTP, RFC 3550: median, 95th and 99th percentile, by rows',
    dns_rtt_us AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)) COMMENT 'from the DNS query to its answer: median, 95th and 99th percentile, by rows',
    mos_min SimpleAggregateFunction(min, UInt16) CODEC(ZSTD(1)) COMMENT 'of those with an estimate; 65535: there is none'
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/quality_1h', '{replica}')
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.quality_1h ON CLUSTER 'main' AS flowhouse.quality_1h_local
ENGINE = Distributed('main', 'flowhouse', 'quality_1h_local', rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.quality_1m_mv ON CLUSTER 'main' TO flowhouse.quality_1m_local AS
SELECT
    toStartOfMinute(toDateTime(intDiv(if(f.end_ms BETWEEN (toInt64(toUnixTimestamp(f.received_at)) - 172800) * 1000 AND (toInt64(toUnixTimestamp(f.received_at)) + 60) * 1000, f.end_ms, toInt64(toUnixTimestamp(f.received_at)) * 1000), 1000), 'UTC')) AS time,
    f.exporter AS exporter,
    f.in_if AS if_index,
    f.app_proto AS app_proto,
    f.app AS app,
    f.qos_class AS qos_class,
    bitShiftRight(f.tos, 2) AS dscp,
    f.src_net AS src_net,
    f.dst_net AS dst_net,
    sum(f.bytes) AS bytes,
    sum(f.packets) AS packets,
    count() AS flows,
    sumIf(f.packets, f.proto = 6) AS tcp_packets,
    sum(f.retransmits) AS retransmits,
    sum(f.out_of_order) AS out_of_order,
    sum(f.dup_acks) AS dup_acks,
    sum(f.zero_windows) AS zero_windows,
    sum(f.resets) AS resets,
    countIf(f.handshake != '') AS handshakes,
    countIf(f.handshake = 'refused') AS refused,
    countIf(f.handshake = 'unanswered') AS unanswered,
    sum(f.ce_marks) AS ce_marks,
    sumIf(f.packets, bitTest(f.measured, 9)) AS rtp_packets,
    sumIf(f.lost, bitTest(f.measured, 9)) AS rtp_lost,
    countIf(bitTest(f.measured, 9)) AS rtp_streams,
    countIf(bitTest(f.measured, 11)) AS mos_count,
    sumIf(f.mos_x100, bitTest(f.measured, 11)) AS mos_sum,
    countIf(bitTest(f.measured, 13)) AS dns_answers,
    countIf(bitTest(f.measured, 14) AND f.dns_rcode NOT IN (0, 3)) AS dns_failures,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.rtt_us, bitTest(f.measured, 0)) AS rtt_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.data_rtt_us, bitTest(f.measured, 1)) AS data_rtt_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.ttfb_us, bitTest(f.measured, 2)) AS ttfb_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.jitter_us, bitTest(f.measured, 9)) AS jitter_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.dns_rtt_us, bitTest(f.measured, 13)) AS dns_rtt_us,
    min(if(bitTest(f.measured, 11), f.mos_x100, 65535)) AS mos_min
FROM flowhouse.flows_local AS f
WHERE f.origin = 'packets'
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.quality_5m_mv ON CLUSTER 'main' TO flowhouse.quality_5m_local AS
SELECT
    toStartOfFiveMinutes(s.time) AS time,
    s.exporter AS exporter,
    s.if_index AS if_index,
    s.app_proto AS app_proto,
    s.app AS app,
    s.qos_class AS qos_class,
    s.dscp AS dscp,
    s.src_net AS src_net,
    s.dst_net AS dst_net,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.tcp_packets) AS tcp_packets,
    sum(s.retransmits) AS retransmits,
    sum(s.out_of_order) AS out_of_order,
    sum(s.dup_acks) AS dup_acks,
    sum(s.zero_windows) AS zero_windows,
    sum(s.resets) AS resets,
    sum(s.handshakes) AS handshakes,
    sum(s.refused) AS refused,
    sum(s.unanswered) AS unanswered,
    sum(s.ce_marks) AS ce_marks,
    sum(s.rtp_packets) AS rtp_packets,
    sum(s.rtp_lost) AS rtp_lost,
    sum(s.rtp_streams) AS rtp_streams,
    sum(s.mos_count) AS mos_count,
    sum(s.mos_sum) AS mos_sum,
    sum(s.dns_answers) AS dns_answers,
    sum(s.dns_failures) AS dns_failures,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.rtt_us) AS rtt_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.data_rtt_us) AS data_rtt_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.ttfb_us) AS ttfb_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.jitter_us) AS jitter_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.dns_rtt_us) AS dns_rtt_us,
    min(s.mos_min) AS mos_min
FROM flowhouse.quality_1m_local AS s
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.quality_1h_mv ON CLUSTER 'main' TO flowhouse.quality_1h_local AS
SELECT
    toStartOfHour(s.time) AS time,
    s.exporter AS exporter,
    s.if_index AS if_index,
    s.app_proto AS app_proto,
    s.app AS app,
    s.qos_class AS qos_class,
    s.dscp AS dscp,
    s.src_net AS src_net,
    s.dst_net AS dst_net,
    sum(s.bytes) AS bytes,
    sum(s.packets) AS packets,
    sum(s.flows) AS flows,
    sum(s.tcp_packets) AS tcp_packets,
    sum(s.retransmits) AS retransmits,
    sum(s.out_of_order) AS out_of_order,
    sum(s.dup_acks) AS dup_acks,
    sum(s.zero_windows) AS zero_windows,
    sum(s.resets) AS resets,
    sum(s.handshakes) AS handshakes,
    sum(s.refused) AS refused,
    sum(s.unanswered) AS unanswered,
    sum(s.ce_marks) AS ce_marks,
    sum(s.rtp_packets) AS rtp_packets,
    sum(s.rtp_lost) AS rtp_lost,
    sum(s.rtp_streams) AS rtp_streams,
    sum(s.mos_count) AS mos_count,
    sum(s.mos_sum) AS mos_sum,
    sum(s.dns_answers) AS dns_answers,
    sum(s.dns_failures) AS dns_failures,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.rtt_us) AS rtt_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.data_rtt_us) AS data_rtt_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.ttfb_us) AS ttfb_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.jitter_us) AS jitter_us,
    quantilesTDigestMergeState(0.5, 0.95, 0.99)(s.dns_rtt_us) AS dns_rtt_us,
    min(s.mos_min) AS mos_min
FROM flowhouse.quality_5m_local AS s
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

CREATE VIEW IF NOT EXISTS flowhouse.quality ON CLUSTER 'main' AS
SELECT
    q.time AS time,
    q.exporter AS exporter,
    q.if_index AS if_index,
    q.app_proto AS app_proto,
    q.app AS app,
    q.qos_class AS qos_class,
    q.dscp AS dscp,
    q.src_net AS src_net,
    q.dst_net AS dst_net,
    sum(q.bytes) AS bytes,
    sum(q.packets) AS packets,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(q.rtt_us)[2] / 1000 AS rtt_p95_ms,
    sum(q.retransmits) / nullIf(sum(q.tcp_packets), 0) AS retransmit_share,
    (sum(q.refused) + sum(q.unanswered)) / nullIf(sum(q.handshakes), 0) AS handshake_failure_share,
    sum(q.rtp_lost) / nullIf(sum(q.rtp_packets) + sum(q.rtp_lost), 0) AS rtp_loss_share,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(q.jitter_us)[2] / 1000 AS jitter_p95_ms,
    sum(q.mos_sum) / nullIf(sum(q.mos_count), 0) / 100 AS mos,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(q.dns_rtt_us)[2] / 1000 AS dns_p95_ms,
    sum(q.dns_failures) / nullIf(sum(q.dns_answers), 0) AS dns_failure_share
FROM flowhouse.quality_1m AS q
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

-- 0017_detections.sql

CREATE TABLE IF NOT EXISTS flowhouse.detection_events_local ON CLUSTER 'main'
(
    id UInt64 CODEC(ZSTD(1)) COMMENT 'from the content: the same incident keeps it',
    version UInt32 CODEC(ZSTD(1)) COMMENT 'grows with each change',
    engine LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'signature, anomaly or policy',
    kind LowCardinality(String) CODEC(ZSTD(1)),
    detector String CODEC(ZSTD(1)),
    sid UInt32 CODEC(ZSTD(1)) COMMENT 'of the rule, for signatures',
    severity Enum8('low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4) DEFAULT 'low' CODEC(ZSTD(1)),
    confidence UInt8 CODEC(ZSTD(1)) COMMENT 'percent',
    title String CODEC(ZSTD(1)),
    entity_type LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'host, pair, network, interface, exporter or collector',
    entity String CODEC(ZSTD(1)) COMMENT 'what it is about',
    entity_addr IPv6 CODEC(ZSTD(1)) COMMENT 'first address of the entity',
    entity_role LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'source or victim',
    peers Array(IPv6) CODEC(ZSTD(1)) COMMENT 'who else takes part, the first 100',
    peers_total UInt64 CODEC(ZSTD(1)),
    first_at DateTime64(3, 'UTC') CODEC(ZSTD(1)) COMMENT 'when it began, by the clock of the data',
    last_at DateTime64(3, 'UTC') CODEC(ZSTD(1)) COMMENT 'when it was seen last',
    detected_at DateTime64(3, 'UTC') CODEC(ZSTD(1)) COMMENT 'when it was known first, by the same clock',
    count UInt64 CODEC(ZSTD(1)) COMMENT 'flows, packets or messages that belong to it',
    evidence String CODEC(ZSTD(3)) COMMENT 'JSON: figures, facts, flows, community_ids, counterfactual, blind',
    attack Array(String) CODEC(ZSTD(1)) COMMENT 'techniques of MITRE ATT&CK, of a chain in their order',
    hidden_by String CODEC(ZSTD(1)) COMMENT 'the suppression that keeps it from people; empty: none',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1)) COMMENT 'when this version was written, by the clock of the collector'
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/detection_events', '{replica}')
ORDER BY (id, version)
TTL toDateTime(updated_at) + INTERVAL 2 YEAR
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.detection_events ON CLUSTER 'main' AS flowhouse.detection_events_local
ENGINE = Distributed('main', 'flowhouse', 'detection_events_local', rand());

CREATE TABLE IF NOT EXISTS flowhouse.detections_local ON CLUSTER 'main'
(
    id UInt64 CODEC(ZSTD(1)),
    version UInt32 CODEC(ZSTD(1)),
    engine LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    detector String CODEC(ZSTD(1)),
    sid UInt32 CODEC(ZSTD(1)),
    severity Enum8('low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4) DEFAULT 'low' CODEC(ZSTD(1)),
    confidence UInt8 CODEC(ZSTD(1)),
    title String CODEC(ZSTD(1)),
    entity_type LowCardinality(String) CODEC(ZSTD(1)),
    entity String CODEC(ZSTD(1)),
    entity_addr IPv6 CODEC(ZSTD(1)),
    entity_role LowCardinality(String) CODEC(ZSTD(1)),
    peers Array(IPv6) CODEC(ZSTD(1)),
    peers_total UInt64 CODEC(ZSTD(1)),
    first_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    last_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    detected_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    count UInt64 CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(3)),
    attack Array(String) CODEC(ZSTD(1)),
    hidden_by String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/detections', '{replica}', version)
ORDER BY id
TTL toDateTime(updated_at) + INTERVAL 2 YEAR
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS flowhouse.detections ON CLUSTER 'main' AS flowhouse.detections_local
ENGINE = Distributed('main', 'flowhouse', 'detections_local', rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS flowhouse.detections_mv ON CLUSTER 'main' TO flowhouse.detections_local AS
SELECT * FROM flowhouse.detection_events_local;

CREATE TABLE IF NOT EXISTS flowhouse.detection_states_local ON CLUSTER 'main'
(
    id UInt64 CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    who String CODEC(ZSTD(1)),
    why String CODEC(ZSTD(1)),
    via LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'cli, api or escalation'
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/detection_states', '{replica}')
ORDER BY (id, at)
TTL toDateTime(at) + INTERVAL 2 YEAR;

CREATE TABLE IF NOT EXISTS flowhouse.detection_states ON CLUSTER 'main' AS flowhouse.detection_states_local
ENGINE = Distributed('main', 'flowhouse', 'detection_states_local', rand());

CREATE VIEW IF NOT EXISTS flowhouse.incidents ON CLUSTER 'main' AS
SELECT
    lower(leftPad(hex(d.id), 16, '0')) AS incident,
    d.id AS id,
    d.version AS version,
    d.engine AS engine,
    d.kind AS kind,
    d.detector AS detector,
    d.sid AS sid,
    d.severity AS severity,
    d.confidence AS confidence,
    d.title AS title,
    d.entity_type AS entity_type,
    d.entity AS entity,
    d.entity_addr AS entity_addr,
    d.entity_role AS entity_role,
    d.peers AS peers,
    d.peers_total AS peers_total,
    d.first_at AS first_at,
    d.last_at AS last_at,
    d.detected_at AS detected_at,
    d.count AS count,
    d.evidence AS evidence,
    d.attack AS attack,
    d.hidden_by AS hidden_by,
    d.updated_at AS updated_at,
    e.told_at AS told_at,
    if(s.state = '', 'new', s.state) AS state,
    s.state NOT IN ('benign', 'false', 'closed') AS is_open,
    s.who AS who,
    s.why AS why,
    s.changed_at AS changed_at,
    s.seen_at AS seen_at,
    s.changes AS changes,
    s.state IN ('benign', 'false', 'closed') AND d.updated_at > s.changed_at AS grew_since
FROM (SELECT * FROM flowhouse.detections FINAL) AS d
GLOBAL LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM flowhouse.detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
GLOBAL LEFT JOIN
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes
    FROM flowhouse.detection_states AS t
    GROUP BY t.id
) AS s ON d.id = s.id;

CREATE VIEW IF NOT EXISTS flowhouse.detection_times ON CLUSTER 'main' AS
SELECT
    toDate(i.told_at) AS day,
    i.severity AS severity,
    count() AS incidents,
    countIf(i.changes > 0 AND i.seen_at > toDateTime64(0, 6)) AS seen,
    countIf(NOT i.is_open) AS ended,
    avg(greatest(0, toUnixTimestamp64Milli(i.detected_at) - toUnixTimestamp64Milli(i.first_at)) / 1000) AS mttd_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.seen_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, i.seen_at > toDateTime64(0, 6)) AS mtta_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.changed_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, NOT i.is_open) AS mttr_s
FROM flowhouse.incidents AS i
WHERE i.hidden_by = ''
GROUP BY day, severity;

-- 0018_codec.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS codec LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'RTP: name of the media type (PCMA, opus, H264), of dynamic payload types as SIP described them; other: no usual one';

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS codec LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'RTP: name of the media type (PCMA, opus, H264), of dynamic payload types as SIP described them; other: no usual one';

RENAME TABLE IF EXISTS flowhouse.quality_1m_mv_aside TO flowhouse.quality_1m_mv ON CLUSTER 'main';

ALTER TABLE flowhouse.quality_1m_mv ON CLUSTER 'main' MODIFY QUERY
SELECT
    toStartOfMinute(toDateTime(intDiv(if(f.end_ms BETWEEN (toInt64(toUnixTimestamp(f.received_at)) - 172800) * 1000 AND (toInt64(toUnixTimestamp(f.received_at)) + 60) * 1000, f.end_ms, toInt64(toUnixTimestamp(f.received_at)) * 1000), 1000), 'UTC')) AS time,
    f.exporter AS exporter,
    f.in_if AS if_index,
    f.app_proto AS app_proto,
    f.app AS app,
    f.qos_class AS qos_class,
    bitShiftRight(f.tos, 2) AS dscp,
    f.src_net AS src_net,
    f.dst_net AS dst_net,
    sum(f.bytes) AS bytes,
    sum(f.packets) AS packets,
    count() AS flows,
    sumIf(f.packets, f.proto = 6) AS tcp_packets,
    sum(f.retransmits) AS retransmits,
    sum(f.out_of_order) AS out_of_order,
    sum(f.dup_acks) AS dup_acks,
    sum(f.zero_windows) AS zero_windows,
    sum(f.resets) AS resets,
    countIf(f.handshake != '') AS handshakes,
    countIf(f.handshake = 'refused') AS refused,
    countIf(f.handshake = 'unanswered') AS unanswered,
    sum(f.ce_marks) AS ce_marks,
    sumIf(f.packets, bitTest(f.measured, 10)) AS rtp_packets,
    sumIf(f.lost, bitTest(f.measured, 10)) AS rtp_lost,
    countIf(bitTest(f.measured, 9)) AS rtp_streams,
    countIf(bitTest(f.measured, 11)) AS mos_count,
    sumIf(f.mos_x100, bitTest(f.measured, 11)) AS mos_sum,
    countIf(bitTest(f.measured, 13)) AS dns_answers,
    countIf(bitTest(f.measured, 14) AND f.dns_rcode NOT IN (0, 3)) AS dns_failures,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.rtt_us, bitTest(f.measured, 0)) AS rtt_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.data_rtt_us, bitTest(f.measured, 1)) AS data_rtt_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.ttfb_us, bitTest(f.measured, 2)) AS ttfb_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.jitter_us, bitTest(f.measured, 9)) AS jitter_us,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(f.dns_rtt_us, bitTest(f.measured, 13)) AS dns_rtt_us,
    min(if(bitTest(f.measured, 11), f.mos_x100, 65535)) AS mos_min
FROM flowhouse.flows_local AS f
WHERE f.origin = 'packets'
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

RENAME TABLE flowhouse.quality_1m_mv TO flowhouse.quality_1m_mv_aside ON CLUSTER 'main';

RENAME TABLE flowhouse.quality_1m_mv_aside TO flowhouse.quality_1m_mv ON CLUSTER 'main';

-- 0019_flow_detections.sql

ALTER TABLE flowhouse.flows_local ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS detections Array(UInt64) CODEC(ZSTD(1)) COMMENT 'ids of detections of rules that the flow belongs to, the first four; rows that were stored before the hit have none';

ALTER TABLE flowhouse.flows ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS detections Array(UInt64) CODEC(ZSTD(1)) COMMENT 'ids of detections of rules that the flow belongs to, the first four; rows that were stored before the hit have none';

-- 0020_chains.sql

CREATE OR REPLACE VIEW flowhouse.incidents ON CLUSTER 'main' AS
SELECT
    lower(leftPad(hex(d.id), 16, '0')) AS incident,
    d.id AS id,
    d.version AS version,
    d.engine AS engine,
    d.kind AS kind,
    d.detector AS detector,
    d.sid AS sid,
    d.severity AS severity,
    d.confidence AS confidence,
    d.title AS title,
    d.entity_type AS entity_type,
    d.entity AS entity,
    d.entity_addr AS entity_addr,
    d.entity_role AS entity_role,
    d.peers AS peers,
    d.peers_total AS peers_total,
    d.first_at AS first_at,
    d.last_at AS last_at,
    d.detected_at AS detected_at,
    d.count AS count,
    d.evidence AS evidence,
    d.attack AS attack,
    if(d.hidden_by = '' AND c.chain != 0, concat('(part of ', lower(leftPad(hex(c.chain), 16, '0')), ')'), d.hidden_by) AS hidden_by,
    if(c.chain = 0, '', lower(leftPad(hex(c.chain), 16, '0'))) AS part_of,
    d.updated_at AS updated_at,
    e.told_at AS told_at,
    if(s.state = '', 'new', s.state) AS state,
    s.state NOT IN ('benign', 'false', 'closed') AS is_open,
    s.who AS who,
    s.why AS why,
    s.changed_at AS changed_at,
    s.seen_at AS seen_at,
    s.changes AS changes,
    s.state IN ('benign', 'false', 'closed') AND d.updated_at > s.changed_at AS grew_since
FROM (SELECT * FROM flowhouse.detections FINAL) AS d
GLOBAL LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM flowhouse.detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
GLOBAL LEFT JOIN
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes
    FROM flowhouse.detection_states AS t
    GROUP BY t.id
) AS s ON d.id = s.id
GLOBAL LEFT JOIN
(
    SELECT
        reinterpretAsUInt64(reverse(unhex(JSONExtractString(t.step, 'id')))) AS id,
        argMax(t.chain, t.updated_at) AS chain
    FROM
    (
        SELECT x.id AS chain, x.updated_at AS updated_at, arrayJoin(JSONExtractArrayRaw(x.evidence, 'steps')) AS step
        FROM flowhouse.detections AS x FINAL
        WHERE x.kind = 'attack_chain' AND x.hidden_by = ''
    ) AS t
    GROUP BY id
) AS c ON d.id = c.id;

-- 0021_steps_gone.sql

CREATE OR REPLACE VIEW flowhouse.incidents ON CLUSTER 'main' AS
SELECT
    lower(leftPad(hex(d.id), 16, '0')) AS incident,
    d.id AS id,
    d.version AS version,
    d.engine AS engine,
    d.kind AS kind,
    d.detector AS detector,
    d.sid AS sid,
    d.severity AS severity,
    d.confidence AS confidence,
    d.title AS title,
    d.entity_type AS entity_type,
    d.entity AS entity,
    d.entity_addr AS entity_addr,
    d.entity_role AS entity_role,
    d.peers AS peers,
    d.peers_total AS peers_total,
    d.first_at AS first_at,
    d.last_at AS last_at,
    d.detected_at AS detected_at,
    d.count AS count,
    d.evidence AS evidence,
    d.attack AS attack,
    if(d.hidden_by = '' AND c.chain != 0, concat('(part of ', lower(leftPad(hex(c.chain), 16, '0')), ')'), d.hidden_by) AS hidden_by,
    if(c.chain = 0, '', lower(leftPad(hex(c.chain), 16, '0'))) AS part_of,
    d.updated_at AS updated_at,
    e.told_at AS told_at,
    if(s.state = '', 'new', s.state) AS state,
    s.state NOT IN ('benign', 'false', 'closed') AS is_open,
    s.who AS who,
    s.why AS why,
    s.changed_at AS changed_at,
    s.seen_at AS seen_at,
    s.changes AS changes,
    s.state IN ('benign', 'false', 'closed') AND d.updated_at > s.changed_at AS grew_since
FROM (SELECT * FROM flowhouse.detections FINAL) AS d
GLOBAL LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM flowhouse.detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
GLOBAL LEFT JOIN
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes
    FROM flowhouse.detection_states AS t
    GROUP BY t.id
) AS s ON d.id = s.id
GLOBAL LEFT JOIN
(
    SELECT
        reinterpretAsUInt64(reverse(unhex(t.step))) AS id,
        argMax(t.chain, t.updated_at) AS chain
    FROM
    (
        SELECT x.id AS chain, x.updated_at AS updated_at,
            arrayJoin(arrayConcat(
                arrayMap(s -> JSONExtractString(s, 'id'), JSONExtractArrayRaw(x.evidence, 'steps')),
                JSONExtract(x.evidence, 'steps_gone', 'Array(String)'))) AS step
        FROM flowhouse.detections AS x FINAL
        WHERE x.kind = 'attack_chain' AND x.hidden_by = ''
    ) AS t
    GROUP BY id
) AS c ON d.id = c.id;

-- 0022_replayed.sql

CREATE OR REPLACE VIEW flowhouse.detection_times ON CLUSTER 'main' AS
SELECT
    toDate(i.told_at) AS day,
    i.severity AS severity,
    count() AS incidents,
    countIf(i.changes > 0 AND i.seen_at > toDateTime64(0, 6)) AS seen,
    countIf(NOT i.is_open) AS ended,
    avg(greatest(0, toUnixTimestamp64Milli(i.detected_at) - toUnixTimestamp64Milli(i.first_at)) / 1000) AS mttd_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.seen_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, i.seen_at > toDateTime64(0, 6)) AS mtta_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.changed_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, NOT i.is_open) AS mttr_s
FROM flowhouse.incidents AS i
WHERE i.hidden_by = '' AND NOT JSONHas(i.evidence, 'facts', 'replayed')
GROUP BY day, severity;

-- 0023_verdicts.sql

CREATE OR REPLACE VIEW flowhouse.incidents ON CLUSTER 'main' AS
WITH
states AS
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes,
        argMaxIf(t.state, t.at, t.state IN ('true', 'benign', 'false')) AS verdict,
        maxIf(t.at, t.state IN ('true', 'benign', 'false')) AS verdict_at
    FROM flowhouse.detection_states AS t
    GROUP BY t.id
),
c.state IN ('true', 'benign', 'false') AND c.changed_at > s.changed_at AS by_chain
SELECT
    lower(leftPad(hex(d.id), 16, '0')) AS incident,
    d.id AS id,
    d.version AS version,
    d.engine AS engine,
    d.kind AS kind,
    d.detector AS detector,
    d.sid AS sid,
    d.severity AS severity,
    d.confidence AS confidence,
    d.title AS title,
    d.entity_type AS entity_type,
    d.entity AS entity,
    d.entity_addr AS entity_addr,
    d.entity_role AS entity_role,
    d.peers AS peers,
    d.peers_total AS peers_total,
    d.first_at AS first_at,
    d.last_at AS last_at,
    d.detected_at AS detected_at,
    d.count AS count,
    d.evidence AS evidence,
    d.attack AS attack,
    multiIf(
        d.hidden_by != '' OR c.chain = 0 OR startsWith(c.hidden_by, '('), d.hidden_by,
        c.hidden_by != '', c.hidden_by,
        concat('(part of ', lower(leftPad(hex(c.chain), 16, '0')), ')')) AS hidden_by,
    if(c.chain = 0, '', lower(leftPad(hex(c.chain), 16, '0'))) AS part_of,
    d.updated_at AS updated_at,
    e.told_at AS told_at,
    multiIf(by_chain, c.state, s.state = '', 'new', s.state) AS state,
    if(by_chain, c.state, s.state) NOT IN ('benign', 'false', 'closed') AS is_open,
    if(by_chain, c.who, s.who) AS who,
    if(by_chain, c.why, s.why) AS why,
    if(by_chain, c.changed_at, s.changed_at) AS changed_at,
    s.seen_at AS seen_at,
    s.changes AS changes,
    if(by_chain, c.state, s.state) IN ('benign', 'false', 'closed') AND d.updated_at > if(by_chain, c.changed_at, s.changed_at) AS grew_since,
    if(c.verdict_at > s.verdict_at, c.verdict, s.verdict) AS verdict
FROM (SELECT * FROM flowhouse.detections FINAL) AS d
GLOBAL LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM flowhouse.detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
GLOBAL LEFT JOIN flowhouse.states AS s ON d.id = s.id
GLOBAL LEFT JOIN
(
    SELECT
        p.step AS id,
        p.chain AS chain,
        p.hidden_by AS hidden_by,
        k.state AS state,
        k.who AS who,
        k.why AS why,
        k.changed_at AS changed_at,
        k.verdict AS verdict,
        k.verdict_at AS verdict_at
    FROM
    (
        SELECT
            reinterpretAsUInt64(reverse(unhex(t.step_id))) AS step,
            argMax(t.chain, t.updated_at) AS chain,
            argMax(t.hidden_by, t.updated_at) AS hidden_by
        FROM
        (
            SELECT x.id AS chain, x.hidden_by AS hidden_by, x.updated_at AS updated_at,
                arrayJoin(arrayConcat(
                    arrayMap(s -> JSONExtractString(s, 'id'), JSONExtractArrayRaw(x.evidence, 'steps')),
                    JSONExtract(x.evidence, 'steps_gone', 'Array(String)'))) AS step_id
            FROM flowhouse.detections AS x FINAL
            WHERE x.kind = 'attack_chain'
        ) AS t
        GROUP BY step
    ) AS p
    GLOBAL LEFT JOIN flowhouse.states AS k ON p.chain = k.id
) AS c ON d.id = c.id;

-- what was applied

INSERT INTO schema_migrations_local (version, name, checksum) VALUES (1, '0001_flows.sql', 'cf0b71d66ec443e2a2500ab47cd1f782');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (2, '0002_usage.sql', 'a20942426cfdec91a68fbc9d01f8b2ee');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (3, '0003_inventory.sql', 'bc3d9f37818259709aa91d15badad025');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (4, '0004_ledger.sql', '3c900cccc559d3a404bd84229d440235');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (5, '0005_views.sql', 'd9343cd1fac382fc34507b5881b8e77f');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (6, '0006_names.sql', 'adede0cc7f27db94b12d8e65ee20b66a');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (7, '0007_vrfs.sql', '8117a49c30a6c7e9ef1261045933dc3f');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (8, '0008_reconciliation.sql', '17586d4dc6a93bb3e3571781139c6d91');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (9, '0009_talkers.sql', '16ffacdf2a617a4a2422f87a0160d078');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (10, '0010_sides.sql', '8a68a0d10b0a164c8403cb4437424591');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (11, '0011_variance.sql', '20643257a23c46ac02cf460486e3af65');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (12, '0012_once.sql', '154725cb8710091f32f57668fd224329');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (13, '0013_metered.sql', '7dd5be8e95d73852230f9f628f4888f2');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (14, '0014_counter_stands_still.sql', '70630dd26f3c8bb228ee9392f9b45a4d');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (15, '0015_unknown_share.sql', 'a98b3aed4d61f1effd048533583a1627');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (16, '0016_quality.sql', '65e139aca536267a3cc3ad6258e44f9a');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (17, '0017_detections.sql', 'a2b16ecadc1e526b4d7bc7ca5c7ad18f');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (18, '0018_codec.sql', '5117ebe0c6da4a37b08892948dc6c782');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (19, '0019_flow_detections.sql', '6971fbf907a1ec820a98e9ed767c2af2');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (20, '0020_chains.sql', '7ac90dc93fcf0a3060be87f4e1221351');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (21, '0021_steps_gone.sql', 'b90f12f18c36f51c5904995eb5ff6032');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (22, '0022_replayed.sql', '409ed9d91ac2d241a32c0a252eccd9fd');
INSERT INTO schema_migrations_local (version, name, checksum) VALUES (23, '0023_verdicts.sql', '580fae5aa06dfbacfba9116f214a48c3');
