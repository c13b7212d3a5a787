-- Views to read from.

-- Each byte once. Usage is booked on both sides of a flow; rows on the side where the record was not metered are
-- inferred and left out here, and of what is left the ingress side counts. Exporters that meter on egress only are
-- taken from that side: they have no ingress usage at all.
CREATE VIEW IF NOT EXISTS usage_once AS
SELECT *
FROM usage_1m
WHERE inferred = 0
    AND (direction = 'ingress' OR exporter NOT IN
        (SELECT exporter FROM usage_1h WHERE inferred = 0 AND direction = 'ingress'));

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
