-- How large the error of sampling is. `variance` is that of the estimated bytes (bytes squared): each sampled packet of b bytes, 1 in N, stands for N b bytes and gives
-- N (N - 1) b^2. The squares are estimated from bytes and packets: lengths within a flow vary by 1.6 squares of their mean, and packets are not longer than 1500 bytes, but where
-- their mean is (src/model/flow_row.rs has the same). It adds up like the bytes: with s = sqrt(sum(variance)) / sum(est_bytes), the 95 % error of any sum is 1.96 s + 1.92 s^2.
-- Rows from before have what their own sums say.
--
-- A view that was altered deduplicates under another identity until it is renamed or the store starts again (engine 26.9): an INSERT sent before and again after that would count twice.
-- So each is renamed away and back; what a crash left renamed comes back first.

ALTER TABLE flows
    ADD COLUMN IF NOT EXISTS variance Float64 ALIAS sampling_interval * (sampling_interval - 1.) * bytes * least(bytes * 2.6 / (greatest(packets, 1) + 1.6), greatest(1500., bytes / greatest(packets, 1)));

ALTER TABLE usage_1m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE usage_5m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE usage_1h
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE talkers_1m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE talkers_5m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE talkers_1h
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE network_usage_1m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE network_usage_5m
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

ALTER TABLE network_usage_1h
    ADD COLUMN IF NOT EXISTS variance SimpleAggregateFunction(sum, Float64) DEFAULT toFloat64(est_bytes) * (est_bytes - bytes) * 2.6 / (greatest(packets, 1) + 1.6) CODEC(ZSTD(1)) COMMENT 'of est_bytes, that sampling causes';

RENAME TABLE IF EXISTS usage_5m_mv_aside TO usage_5m_mv;

ALTER TABLE usage_5m_mv MODIFY QUERY
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
FROM usage_1m AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE usage_5m_mv TO usage_5m_mv_aside;

RENAME TABLE usage_5m_mv_aside TO usage_5m_mv;

RENAME TABLE IF EXISTS usage_1h_mv_aside TO usage_1h_mv;

ALTER TABLE usage_1h_mv MODIFY QUERY
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
FROM usage_5m AS s
GROUP BY time, exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp;

RENAME TABLE usage_1h_mv TO usage_1h_mv_aside;

RENAME TABLE usage_1h_mv_aside TO usage_1h_mv;

RENAME TABLE IF EXISTS talkers_5m_mv_aside TO talkers_5m_mv;

ALTER TABLE talkers_5m_mv MODIFY QUERY
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
FROM talkers_1m AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE talkers_5m_mv TO talkers_5m_mv_aside;

RENAME TABLE talkers_5m_mv_aside TO talkers_5m_mv;

RENAME TABLE IF EXISTS talkers_1h_mv_aside TO talkers_1h_mv;

ALTER TABLE talkers_1h_mv MODIFY QUERY
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
FROM talkers_5m AS s
GROUP BY time, exporter, role, other, address;

RENAME TABLE talkers_1h_mv TO talkers_1h_mv_aside;

RENAME TABLE talkers_1h_mv_aside TO talkers_1h_mv;

RENAME TABLE IF EXISTS network_usage_5m_mv_aside TO network_usage_5m_mv;

ALTER TABLE network_usage_5m_mv MODIFY QUERY
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
FROM network_usage_1m AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE network_usage_5m_mv TO network_usage_5m_mv_aside;

RENAME TABLE network_usage_5m_mv_aside TO network_usage_5m_mv;

RENAME TABLE IF EXISTS network_usage_1h_mv_aside TO network_usage_1h_mv;

ALTER TABLE network_usage_1h_mv MODIFY QUERY
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
FROM network_usage_5m AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE network_usage_1h_mv TO network_usage_1h_mv_aside;

RENAME TABLE network_usage_1h_mv_aside TO network_usage_1h_mv;

-- What flows say of an interface beside what it counted itself, per side and 5 minutes, with a diagnosis where the two differ.
-- A view and no table: flows that come late, or were long, still change past minutes, and so must this. It looks back 26 hours;
-- queries of other times put theirs in place of the first two lines behind WITH.
-- `flow_bytes` are the estimated layer 3 bytes with 18 bytes of Ethernet a packet, for interfaces count whole frames.
-- `error` is the relative error that sampling alone causes. `lost` is the share of the exporter's records that never came.
CREATE OR REPLACE VIEW interface_reconciliation AS
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
                    FROM interface_counters
                    WHERE received_at >= since - INTERVAL 4 HOUR AND received_at < until
                    WINDOW samples AS (PARTITION BY exporter, if_index, source ORDER BY received_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                )
                ARRAY JOIN range(intDiv(t0, 300) * 300, t1, 300) AS second
                WHERE t0 > 0 AND t1 > t0 AND t1 - t0 <= 900 AND NOT restarted AND more_in >= 0 AND more_out >= 0
                GROUP BY exporter, if_index, source, time
            ) AS s
            GROUP BY exporter, if_index, time
        )
        ARRAY JOIN [('ingress', best.2), ('egress', best.3)] AS side
        WHERE covered >= 240
    ) AS c
    LEFT JOIN
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
        FROM usage_5m AS b
        WHERE time >= since - INTERVAL 4 HOUR AND time < until
        GROUP BY exporter, if_index, direction, time
    ) AS u ON c.exporter = u.exporter AND c.if_index = u.if_index AND c.direction = u.direction AND c.time = u.time
    LEFT JOIN
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
            FROM ledger AS b
            WHERE b.time >= since - INTERVAL 4 HOUR AND b.time < until
            GROUP BY exporter, time
        ) AS g
        LEFT JOIN
        (
            SELECT exporter, max(origin IN ('netflow5', 'netflow7', 'ipfix')) AS by_record
            FROM exporters FINAL
            GROUP BY exporter
        ) AS e ON g.exporter = e.exporter
        WINDOW later AS (PARTITION BY g.exporter ORDER BY toUInt32(g.time) RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING)
    ) AS l ON c.exporter = l.exporter AND c.time = l.time
    WINDOW
        around AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 3600 PRECEDING AND 3600 FOLLOWING),
        before AS (PARTITION BY c.exporter, c.if_index, c.direction ORDER BY toUInt32(c.time) RANGE BETWEEN 10800 PRECEDING AND 3600 PRECEDING),
        sides AS (PARTITION BY c.exporter, c.if_index, c.time)
) AS j
LEFT JOIN (SELECT exporter, if_index, name, description, speed FROM interfaces FINAL) AS i
    ON j.exporter = i.exporter AND j.if_index = i.if_index
WHERE j.time >= since AND j.age >= 600;
