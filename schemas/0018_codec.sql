-- The codec of RTP by its name, and lost RTP packets also where the clock of a codec is not known and there is no jitter.

ALTER TABLE flows
    ADD COLUMN IF NOT EXISTS codec LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'RTP: name of the media type (PCMA, opus, H264), of dynamic payload types as SIP described them; other: no usual one';

RENAME TABLE IF EXISTS quality_1m_mv_aside TO quality_1m_mv;

ALTER TABLE quality_1m_mv MODIFY QUERY
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
FROM flows AS f
WHERE f.origin = 'packets'
GROUP BY time, exporter, if_index, app_proto, app, qos_class, dscp, src_net, dst_net;

RENAME TABLE quality_1m_mv TO quality_1m_mv_aside;

RENAME TABLE quality_1m_mv_aside TO quality_1m_mv;
