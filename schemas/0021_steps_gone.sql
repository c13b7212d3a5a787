-- Incidents as they stand: the newest version of each, and its state. One that was closed and was seen again since has `grew_since`. Those that
-- are steps of a chain say so in `part_of`, and are hidden by it as long as nothing hides the chain: people are told of one thing. Steps that gave way
-- to later ones of a long chain (`steps_gone`) are part of it as well.
CREATE OR REPLACE VIEW incidents AS
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
    if(d.hidden_by = '' AND c.chain != 0, concat('(part of ', lower(leftPad(hex(c.chain), 16, '0')), ')'), d.hidden_by) AS hidden_by,
    if(c.chain = 0, '', lower(leftPad(hex(c.chain), 16, '0'))) AS part_of,
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
) AS s ON d.id = s.id
LEFT JOIN
(
    SELECT
        reinterpretAsUInt64(reverse(unhex(t.step))) AS id,
        argMax(t.chain, t.updated_at) AS chain
    FROM
    (
        SELECT x.id AS chain, x.updated_at AS updated_at,
            arrayJoin(arrayConcat(
                arrayMap(s -> JSONExtractString(s, 'id'), JSONExtractArrayRaw(x.evidence, 'steps')),
                JSONExtract(x.evidence, 'steps_gone', 'Array(String)'))) AS step
        FROM detections AS x FINAL
        WHERE x.kind = 'attack_chain' AND x.hidden_by = ''
    ) AS t
    GROUP BY id
) AS c ON d.id = c.id;
