-- What detectors, signatures and policies found, and what people made of it. An incident grows: every version of it is a row of
-- `detection_events`, its newest one is in `detections`, and each step of its life is a row of `detection_states`. Nothing is ever changed in
-- place. Read `incidents`, where all of it is together.

CREATE TABLE IF NOT EXISTS detection_events
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
ENGINE = MergeTree
ORDER BY (id, version)
TTL toDateTime(updated_at) + INTERVAL 2 YEAR
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS detections
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
ENGINE = ReplacingMergeTree(version)
ORDER BY id
TTL toDateTime(updated_at) + INTERVAL 2 YEAR
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS detections_mv TO detections AS
SELECT * FROM detection_events;

-- What people, and rules of escalation, said of an incident: new, acknowledged, escalated, true (it is one, and open), benign (it is what it
-- looks like, and nothing bad), false (it is not what it looks like), closed.
CREATE TABLE IF NOT EXISTS detection_states
(
    id UInt64 CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    who String CODEC(ZSTD(1)),
    why String CODEC(ZSTD(1)),
    via LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'cli, api or escalation'
)
ENGINE = MergeTree
ORDER BY (id, at)
TTL toDateTime(at) + INTERVAL 2 YEAR;

-- Incidents as they stand: the newest version of each, and its state. One that was closed and was seen again since has `grew_since`.
CREATE VIEW IF NOT EXISTS incidents AS
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
FROM (SELECT * FROM detections FINAL) AS d
LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
LEFT JOIN
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes
    FROM detection_states AS t
    GROUP BY t.id
) AS s ON d.id = s.id;

-- How long it takes, by day and severity, in seconds: from the beginning of an incident until it is known (mttd), from then until somebody
-- looks at it (mtta), and until it is over (mttr). Suppressed incidents are left out.
CREATE VIEW IF NOT EXISTS detection_times AS
SELECT
    toDate(i.told_at) AS day,
    i.severity AS severity,
    count() AS incidents,
    countIf(i.changes > 0 AND i.seen_at > toDateTime64(0, 6)) AS seen,
    countIf(NOT i.is_open) AS ended,
    avg(greatest(0, toUnixTimestamp64Milli(i.detected_at) - toUnixTimestamp64Milli(i.first_at)) / 1000) AS mttd_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.seen_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, i.seen_at > toDateTime64(0, 6)) AS mtta_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.changed_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, NOT i.is_open) AS mttr_s
FROM incidents AS i
WHERE i.hidden_by = ''
GROUP BY day, severity;
