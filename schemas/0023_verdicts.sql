-- Incidents as they stand: the newest version of each, and its state. One that was closed and was seen again since has `grew_since`; `verdict` is what
-- people said last of whether it is one (true, benign, false), whatever became of it then. Those that are steps of a chain say so in `part_of`, and
-- are hidden by it, or by what hides the chain, but where that is the budget of the day alone; steps that gave way to later ones of a long chain
-- (`steps_gone`) as well. What people say of a chain (true, benign, false) holds for its steps, until they say something else of one.
CREATE OR REPLACE VIEW incidents AS
WITH
states AS
(
    SELECT
        t.id AS id,
        argMax(t.state, t.at) AS state,
        argMax(t.who, t.at) AS who,
        argMax(t.why, t.at) AS why,
        max(t.at) AS changed_at,
        minIf(t.at, t.via != 'escalation' AND t.state != 'new') AS seen_at,
        count() AS changes,
        argMaxIf(t.state, t.at, t.state IN ('true', 'benign', 'false')) AS verdict,
        maxIf(t.at, t.state IN ('true', 'benign', 'false')) AS verdict_at
    FROM detection_states AS t
    GROUP BY t.id
),
c.state IN ('true', 'benign', 'false') AND c.changed_at > s.changed_at AS by_chain
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
    multiIf(
        d.hidden_by != '' OR c.chain = 0 OR startsWith(c.hidden_by, '('), d.hidden_by,
        c.hidden_by != '', c.hidden_by,
        concat('(part of ', lower(leftPad(hex(c.chain), 16, '0')), ')')) AS hidden_by,
    if(c.chain = 0, '', lower(leftPad(hex(c.chain), 16, '0'))) AS part_of,
    d.updated_at AS updated_at,
    e.told_at AS told_at,
    multiIf(by_chain, c.state, s.state = '', 'new', s.state) AS state,
    if(by_chain, c.state, s.state) NOT IN ('benign', 'false', 'closed') AS is_open,
    if(by_chain, c.who, s.who) AS who,
    if(by_chain, c.why, s.why) AS why,
    if(by_chain, c.changed_at, s.changed_at) AS changed_at,
    s.seen_at AS seen_at,
    s.changes AS changes,
    if(by_chain, c.state, s.state) IN ('benign', 'false', 'closed') AND d.updated_at > if(by_chain, c.changed_at, s.changed_at) AS grew_since,
    if(c.verdict_at > s.verdict_at, c.verdict, s.verdict) AS verdict
FROM (SELECT * FROM detections FINAL) AS d
LEFT JOIN (SELECT t.id AS id, min(t.updated_at) AS told_at FROM detection_events AS t GROUP BY t.id) AS e ON d.id = e.id
LEFT JOIN states AS s ON d.id = s.id
LEFT JOIN
(
    SELECT
        p.step AS id,
        p.chain AS chain,
        p.hidden_by AS hidden_by,
        k.state AS state,
        k.who AS who,
        k.why AS why,
        k.changed_at AS changed_at,
        k.verdict AS verdict,
        k.verdict_at AS verdict_at
    FROM
    (
        SELECT
            reinterpretAsUInt64(reverse(unhex(t.step_id))) AS step,
            argMax(t.chain, t.updated_at) AS chain,
            argMax(t.hidden_by, t.updated_at) AS hidden_by
        FROM
        (
            SELECT x.id AS chain, x.hidden_by AS hidden_by, x.updated_at AS updated_at,
                arrayJoin(arrayConcat(
                    arrayMap(s -> JSONExtractString(s, 'id'), JSONExtractArrayRaw(x.evidence, 'steps')),
                    JSONExtract(x.evidence, 'steps_gone', 'Array(String)'))) AS step_id
            FROM detections AS x FINAL
            WHERE x.kind = 'attack_chain'
        ) AS t
        GROUP BY step
    ) AS p
    LEFT JOIN states AS k ON p.chain = k.id
) AS c ON d.id = c.id;
