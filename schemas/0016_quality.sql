-- Quality of what was metered from packets, per minute, interface, application, QoS class and pair of networks, added up to 5 minutes and
-- hours. All of it is of the direction of its sender. Rows of one key are merged when parts are: read with sum(), min() and
-- quantilesTDigestMerge(0.5, 0.95, 0.99)(), or the views below, which have done it.
CREATE TABLE IF NOT EXISTS quality_1m
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
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS quality_5m
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
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS quality_1h
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
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net)
TTL time + INTERVAL 2 YEAR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_1m_mv TO quality_1m AS
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
FROM flows AS f
WHERE f.origin = 'packets'
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_5m_mv TO quality_5m AS
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
FROM quality_1m AS s
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_1h_mv TO quality_1h AS
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
FROM quality_5m AS s
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

-- Quality per minute in numbers that people read; NULL or nan where nothing was measured.
CREATE VIEW IF NOT EXISTS quality AS
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
FROM quality_1m AS q
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;
