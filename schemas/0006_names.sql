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
