CREATE DATABASE IF NOT EXISTS flowhouse;
USE flowhouse;

-- Which migrations were applied.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY version;

-- Who applies migrations.
CREATE TABLE IF NOT EXISTS schema_lock
(
    holder String,
    released UInt8,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY at
TTL toDateTime(at) + INTERVAL 1 DAY;

-- 0001_flows.sql

-- One row a flow record and direction. A field that the record did not carry has the default value, and its bit in
-- `present` is not set. Partitioned, ordered and expired by the collector's clock, never by a time that an exporter
-- chooses. The types of the key columns are final.
CREATE TABLE IF NOT EXISTS flows
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
ENGINE = MergeTree
PARTITION BY toDate(received_at)
PRIMARY KEY (toStartOfFiveMinutes(received_at), exporter)
ORDER BY (toStartOfFiveMinutes(received_at), exporter, in_if, out_if)
TTL received_at + INTERVAL 15 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

INSERT INTO schema_migrations (version, name, checksum) VALUES (1, '0001_flows.sql', 'cf0b71d66ec443e2a2500ab47cd1f782');

-- 0002_usage.sql

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

INSERT INTO schema_migrations (version, name, checksum) VALUES (2, '0002_usage.sql', 'a20942426cfdec91a68fbc9d01f8b2ee');

-- 0003_inventory.sql

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

INSERT INTO schema_migrations (version, name, checksum) VALUES (3, '0003_inventory.sql', 'bc3d9f37818259709aa91d15badad025');

-- 0004_ledger.sql

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

INSERT INTO schema_migrations (version, name, checksum) VALUES (4, '0004_ledger.sql', '3c900cccc559d3a404bd84229d440235');

-- 0005_views.sql

-- Views to read from.

-- Each byte once. Every flow is booked on its ingress interface, also when it was metered where it went out (then the
-- row is inferred); only where an exporter meters that ingress itself, the record metered at the egress is not booked
-- there again. So the ingress side holds each byte once, whichever way an exporter meters.
CREATE VIEW IF NOT EXISTS usage_once AS
SELECT *
FROM usage_1m
WHERE direction = 'ingress';

-- Bandwidth per minute by application and QoS class, each byte once; bits per second are averages over the minute,
-- scaled by sampling. Sums over any of the columns are right.
CREATE VIEW IF NOT EXISTS bandwidth AS
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
FROM usage_once AS u
LEFT JOIN (SELECT exporter, if_index, name FROM interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index;

-- Bandwidth per minute of every interface and side, inferred usage included: what a link carried.
CREATE VIEW IF NOT EXISTS interface_bandwidth AS
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
FROM usage_1m AS u
LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index;

INSERT INTO schema_migrations (version, name, checksum) VALUES (5, '0005_views.sql', 'd9343cd1fac382fc34507b5881b8e77f');

-- 0006_names.sql

-- Names for numbers: networks and countries of flows, what is known of interfaces, and the lists by which applications and
-- QoS classes are judged. The lists are written at each start and when they change: read with FINAL, and where rows can go
-- away, only those of the latest writing.

ALTER TABLE flows
    ADD COLUMN IF NOT EXISTS src_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the source',
    ADD COLUMN IF NOT EXISTS dst_net LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'named network of the destination',
    ADD COLUMN IF NOT EXISTS src_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters',
    ADD COLUMN IF NOT EXISTS dst_country LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'ISO 3166, two letters';

ALTER TABLE interfaces
    ADD COLUMN IF NOT EXISTS role String CODEC(ZSTD(1)) COMMENT 'wan, lan, uplink, internet, ...',
    ADD COLUMN IF NOT EXISTS site String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tenant String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS qos_policy String CODEC(ZSTD(1)) COMMENT 'names the classes of its traffic';

-- What kind of application a name is.
CREATE TABLE IF NOT EXISTS application_catalog
(
    app String CODEC(ZSTD(1)) COMMENT 'as in flows.app',
    category String CODEC(ZSTD(1)),
    relevance String CODEC(ZSTD(1)) COMMENT 'critical, business, neutral or leisure',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY app
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Attributes of named networks.
CREATE TABLE IF NOT EXISTS networks
(
    name String CODEC(ZSTD(1)) COMMENT 'as in flows.src_net',
    site String CODEC(ZSTD(1)),
    tenant String CODEC(ZSTD(1)),
    role String CODEC(ZSTD(1)),
    zone String CODEC(ZSTD(1)),
    prefixes UInt32 CODEC(ZSTD(1)) COMMENT 'how many have the name',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY name
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Classes of QoS policies with their budgets. The policy in force where no other one is has its rows under its own name and
-- under the empty one.
CREATE TABLE IF NOT EXISTS qos_classes
(
    policy String CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    budget_percent UInt8 CODEC(ZSTD(1)) COMMENT 'of the speed of the interface; 0: none',
    budget_bits UInt64 CODEC(ZSTD(1)) COMMENT 'bit/s; 0: none',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (policy, class)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- The class of each code point.
CREATE TABLE IF NOT EXISTS qos_code_points
(
    policy String CODEC(ZSTD(1)),
    dscp UInt8 CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (policy, dscp)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- The classes in which a policy expects a category of applications; a category without rows may be in any.
CREATE TABLE IF NOT EXISTS qos_expected
(
    policy String CODEC(ZSTD(1)),
    category String CODEC(ZSTD(1)),
    class String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (policy, category, class)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Usage in classes where the interface's policy does not expect the application: voice in best effort, backup in real time.
CREATE VIEW IF NOT EXISTS qos_misuse AS
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
FROM usage_once AS u
LEFT JOIN (SELECT exporter, if_index, name, qos_policy FROM interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
LEFT JOIN (SELECT app, category, relevance FROM application_catalog FINAL) AS c
    ON u.app = c.app
LEFT JOIN
(
    SELECT policy, category, groupArray(class) AS classes
    FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM qos_expected FINAL)
    WHERE updated_at = latest
    GROUP BY policy, category
) AS e
    ON i.qos_policy = e.policy AND c.category = e.category
WHERE notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);

-- What each class used of its budget, per minute and side of an interface; classes without a budget are not there.
CREATE VIEW IF NOT EXISTS qos_budget AS
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
    FROM usage_1m
    GROUP BY time, exporter, if_index, direction, qos_class
) AS u
LEFT JOIN (SELECT exporter, if_index, name, speed, qos_policy FROM interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
LEFT JOIN
(
    SELECT policy, class, budget_percent, budget_bits
    FROM (SELECT policy, class, budget_percent, budget_bits, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM qos_classes FINAL)
    WHERE updated_at = latest
) AS q
    ON i.qos_policy = q.policy AND u.qos_class = q.class
WHERE q.budget_bits > 0 OR q.budget_percent > 0;

INSERT INTO schema_migrations (version, name, checksum) VALUES (6, '0006_names.sql', 'adede0cc7f27db94b12d8e65ee20b66a');

-- 0007_vrfs.sql

-- Names of VRFs, as exporters tell them in options data.

CREATE TABLE IF NOT EXISTS vrfs
(
    exporter IPv6 CODEC(ZSTD(1)),
    vrf UInt32 CODEC(ZSTD(1)) COMMENT 'as in flows.ingress_vrf and flows.egress_vrf',
    name String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, vrf)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Flows with the names of their VRFs; empty where the exporter told none.
CREATE VIEW IF NOT EXISTS flows_with_vrfs AS
SELECT f.*, i.ingress_vrf_name AS ingress_vrf_name, e.egress_vrf_name AS egress_vrf_name
FROM flows AS f
LEFT JOIN (SELECT exporter AS ingress_exporter, vrf AS ingress_id, name AS ingress_vrf_name FROM vrfs FINAL) AS i
    ON f.exporter = i.ingress_exporter AND f.ingress_vrf = i.ingress_id
LEFT JOIN (SELECT exporter AS egress_exporter, vrf AS egress_id, name AS egress_vrf_name FROM vrfs FINAL) AS e
    ON f.exporter = e.egress_exporter AND f.egress_vrf = e.egress_id;

INSERT INTO schema_migrations (version, name, checksum) VALUES (7, '0007_vrfs.sql', '252a7b6549ab512522d9517c4707ecfc');

-- 0009_talkers.sql

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

INSERT INTO schema_migrations (version, name, checksum) VALUES (9, '0009_talkers.sql', '16ffacdf2a617a4a2422f87a0160d078');
