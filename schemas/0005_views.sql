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
