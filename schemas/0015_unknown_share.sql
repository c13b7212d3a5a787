-- How much of an estimate nobody can vouch for. `sampling_known` says of a sum only that some flow in it had no known sampling interval; `est_bytes_unknown` are the bytes of
-- such flows and adds up. Rows from before have all or nothing.
--
-- Views that were altered are renamed away and back: why, schemas/0011 says.

ALTER TABLE usage_1m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE usage_5m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE usage_1h
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE talkers_1m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE talkers_5m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE talkers_1h
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE network_usage_1m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE network_usage_5m
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

ALTER TABLE network_usage_1h
    ADD COLUMN IF NOT EXISTS est_bytes_unknown SimpleAggregateFunction(sum, UInt64) DEFAULT if(sampling_known = 0, est_bytes, 0) CODEC(T64, ZSTD(1)) COMMENT 'of est_bytes, those of flows with an unknown sampling interval';

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
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
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
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
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
    sum(s.error_bytes) AS error_bytes,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
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
    sum(s.error_bytes) AS error_bytes,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
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
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
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
    sum(s.variance) AS variance,
    sum(s.est_bytes_unknown) AS est_bytes_unknown
FROM network_usage_5m AS s
GROUP BY time, exporter, src_net, dst_net;

RENAME TABLE network_usage_1h_mv TO network_usage_1h_mv_aside;

RENAME TABLE network_usage_1h_mv_aside TO network_usage_1h_mv;

-- Each byte once for each exporter, on the side that its observation point names.
CREATE OR REPLACE VIEW usage_once AS
SELECT *
FROM usage_1m
WHERE (direction = 'egress') = (exporter GLOBAL IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM observation_points FINAL)
    WHERE updated_at = latest AND side = 'egress'
))
AND exporter GLOBAL NOT IN
(
    SELECT exporter
    FROM (SELECT exporter, side, updated_at, max(updated_at) OVER () AS latest FROM observation_points FINAL)
    WHERE updated_at = latest AND side = 'none'
);

-- Usage in a class where the policy of the interface does not expect the application, on each side of a link: in it with what came,
-- out of it with what left. A flow can be in both, so sums are to be taken for one direction. Rows without a traffic class (`none`) are not judged.
CREATE OR REPLACE VIEW qos_misuse AS
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
FROM usage_1m AS u
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
WHERE u.qos_class != 'none' AND notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);

-- What each class used of its budget, per minute and side of an interface; classes without a budget are not there.
-- A share of a speed that is not known is NULL, and so is what was used of it.
CREATE OR REPLACE VIEW qos_budget AS
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
