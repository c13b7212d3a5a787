-- The same conversation at several exporters. Community ID (version 1, seed 0) names a conversation by its addresses, protocol and ports,
-- whichever way a flow runs; observation points say which exporter counts where several saw one.

-- The hash is taken over the seed, the lower address, the other one, the protocol, a zero, and of TCP, UDP, SCTP and ICMP the ports in the
-- order of their addresses. ICMP has its type as port and on the other side the type of the answer; a type without an answer has its code
-- there and is not put in order. Exporters that have no field for type and code send them as destination port.
ALTER TABLE flows
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

-- Which exporter counts. The row of `::` is for all that have none; it is always there, so the latest writing tells what holds.
CREATE TABLE IF NOT EXISTS observation_points
(
    exporter IPv6 CODEC(ZSTD(1)),
    priority UInt32 CODEC(ZSTD(1)) COMMENT 'of several that saw a conversation the lowest counts',
    side String CODEC(ZSTD(1)) COMMENT 'ingress or egress: where its bytes count, none: nowhere',
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY exporter
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Flows of the last hour with the judgement which of them count: `counts` is 1 for each byte once over all exporters. A scan of raw flows. Queries
-- of other times put theirs in place of the first two lines behind WITH.
-- Of an exporter those count that count for its side. Of several exporters that saw the same direction of a conversation at the same time, the one
-- of the lowest priority counts, of equal ones that of the lowest address. A conversation is over when nobody saw it for a minute, and is
-- judged anew each hour of its life, for routes change. Sampled flows all count: two samplers see different packets of a conversation.
CREATE VIEW IF NOT EXISTS flow_sightings AS
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
                FROM flows AS f
                LEFT JOIN
                (
                    SELECT exporter, priority, side, 1 AS known
                    FROM (SELECT exporter, priority, side, updated_at, max(updated_at) OVER () AS latest FROM observation_points FINAL)
                    WHERE updated_at = latest
                ) AS p ON f.exporter = p.exporter
                WHERE f.received_at >= since AND f.received_at < until
            ) AS g
        ) AS h
    ) AS i
) AS j;

-- Each byte once over all exporters, flow by flow.
CREATE VIEW IF NOT EXISTS flows_once AS
SELECT * EXCEPT (counts, counted_at)
FROM flow_sightings
WHERE counts;

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
