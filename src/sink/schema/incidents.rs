//! What is asked of incidents, and what is written of their life. Everything that is not ours is bound to placeholders.

use serde_json::{Map, Value, json};

/// States of an incident, in the order of a usual life.
pub const STATES: [&str; 7] = [
    "new",
    "acknowledged",
    "escalated",
    "true",
    "benign",
    "false",
    "closed",
];

/// In place of the name of a suppression: enough people were told of that day. No suppression can be called so.
pub const HELD_BACK: &str = "(daily budget)";

/// How the hiding of a step by its chain begins: the id of the chain and a bracket follow. No suppression can be called so.
pub const PART_OF: &str = "(part of ";

/// Most incidents of one answer.
pub const LISTED_MAX: u32 = 100_000;

macro_rules! row {
    ($more:literal) => {
        concat!(
            "SELECT incident AS id, version, engine, kind, detector, sid, toString(severity) AS severity, confidence, title, \
             entity_type, entity, entity_role, \
             arrayMap(p -> replaceRegexpOne(toString(p), '^::ffff:([0-9.]+)$', '\\\\1'), peers) AS peers, peers_total, \
             toUnixTimestamp64Milli(first_at) AS first_ms, toUnixTimestamp64Milli(last_at) AS last_ms, \
             toUnixTimestamp64Milli(detected_at) AS detected_ms, count, attack, hidden_by, \
             toUnixTimestamp64Milli(told_at) AS told_ms, state, is_open, who, why, \
             intDiv(toUnixTimestamp64Micro(changed_at), 1000) AS changed_ms, grew_since, part_of",
            $more,
            " FROM incidents WHERE "
        )
    };
}

macro_rules! list {
    ($more:literal) => {
        concat!(
            row!(""),
            "updated_at >= now64(3) - toIntervalSecond({last:UInt64})
    AND (is_open OR {open:UInt8} = 0)
    AND (hidden_by = '' OR {hidden:UInt8} = 1 OR {held:UInt8} = 1)
    AND (hidden_by = '(daily budget)' OR {held:UInt8} = 0)
    AND (empty({states:Array(String)}) OR has({states:Array(String)}, incidents.state))
    AND (empty({kinds:Array(String)}) OR has({kinds:Array(String)}, toString(incidents.kind)))
    AND toInt8(incidents.severity) >= {severity:Int8}
    AND ({network:String} = '' OR arrayExists(
        a -> isIPAddressInRange(replaceRegexpOne(toString(a), '^::ffff:([0-9.]+)$', '\\\\1'), if({network:String} = '', '::/0', {network:String})),
        arrayPushBack(incidents.peers, entity_addr)))",
            $more,
            "
ORDER BY is_open DESC, incidents.severity DESC, incidents.confidence DESC, last_ms DESC, id
LIMIT {rows:UInt32}"
        )
    };
}

/// Incidents, those first that ask for somebody; steps of a chain are hidden by it. Placeholders: `last` (seconds), `open` and `hidden` (0 or 1), `held` (1: only what the
/// budget of a day held back), `states` and `kinds` (empty for all), `severity` (the least), `network` (of the entity or a peer, empty for all), `rows`.
pub const LIST: &str = list!("");

/// The same without those of a past that was replayed ([`REPLAYED`]), which are nobody's to look at in time.
pub const LIVE: &str = list!("\n    AND NOT JSONHas(incidents.evidence, 'facts', 'replayed')");

/// The fact of an incident that says that it is of a past that was replayed: it is not escalated, and counts in no mean time.
pub const REPLAYED: &str = "replayed";

/// One incident with its evidence: placeholder `id`, the digits with which it begins.
pub const ONE: &str = concat!(
    row!(", evidence"),
    "startsWith(incident, {id:String}) ORDER BY id LIMIT 2"
);

/// Closed incidents that go on, but for what a replay stored: seen a minute and more after they were closed, or, where an exporter's clock is behind, an hour by
/// that of the collector. Placeholder `last` (seconds).
pub const GOES_ON: &str = "SELECT incident AS id FROM incidents
WHERE state = 'closed' AND hidden_by = '' AND NOT JSONHas(evidence, 'facts', 'replayed') AND updated_at >= now64(3) - toIntervalSecond({last:UInt64})
    AND updated_at > changed_at AND (last_at > changed_at + INTERVAL 1 MINUTE OR updated_at > changed_at + INTERVAL 1 HOUR)
ORDER BY id LIMIT 1000";

/// What became of an incident, in order of time: placeholder `id`, all digits.
pub const HISTORY: &str = "SELECT DISTINCT at_ms, what, who, why, via, count FROM
(
    SELECT intDiv(toUnixTimestamp64Micro(t.at), 1000) AS at_ms, toUnixTimestamp64Micro(t.at) AS at, toString(t.state) AS what, t.who AS who, t.why AS why,
        toString(t.via) AS via, toUInt64(0) AS count
    FROM detection_states AS t WHERE t.id = reinterpretAsUInt64(reverse(unhex({id:String})))
    UNION ALL
    SELECT toUnixTimestamp64Milli(e.updated_at) AS at_ms, at_ms * 1000 AS at, if(e.version = min(e.version) OVER (PARTITION BY e.id), 'found', 'grown') AS what, '' AS who, e.title AS why,
        e.detector AS via, e.count AS count
    FROM detection_events AS e WHERE e.id = reinterpretAsUInt64(reverse(unhex({id:String})))
)
ORDER BY at, what";

/// A step in the life of an incident: placeholders `id` (all digits), `state`, `who`, `why` and `via`.
pub const CHANGE: &str = "INSERT INTO detection_states (id, state, who, why, via) SELECT reinterpretAsUInt64(reverse(unhex({id:String}))), \
     {state:String}, {who:String}, {why:String}, {via:String}";

/// How often a version of an incident was not hidden, so that people may have been told of it: placeholder `id`, all digits.
pub const SHOWN: &str = "SELECT count() AS shown FROM detection_events AS e WHERE e.id = reinterpretAsUInt64(reverse(unhex({id:String}))) AND e.hidden_by = ''";

/// Whether the same person said the same of an incident last, and nothing came since: said again it would change nothing.
pub fn is_said(incident: &Value, (state, who, why): (&str, &str, &str)) -> bool {
    let same = |key: &str, value: &str| incident[key].as_str().unwrap_or_default() == value;
    same("state", state)
        && same("who", who)
        && (why.is_empty() || same("why", why))
        && incident["grew_since"] != true
}

/// Why an incident cannot take a step: one that has ended is opened again before work on it goes on.
pub fn refusal(id: &str, was: &str, state: &str) -> Option<String> {
    let has_ended = |state: &str| ["benign", "false", "closed"].contains(&state);
    let goes_on = !has_ended(state) && state != "new";
    (has_ended(was) && goes_on).then(|| {
        format!("{id} has ended ({was}): open it again first, with `flowhouse detections reopen {id}` or the state new")
    })
}

/// Steps that people took after `after_us` (microseconds of the store's clock, as text), the oldest first. The newest ones are left for the next
/// time: of two that are written at once the later one may be seen first.
pub const STEPS: &str = "SELECT lower(leftPad(hex(t.id), 16, '0')) AS id, toUnixTimestamp64Micro(t.at) AS at_us, toString(t.state) AS state, t.who AS who,
    t.why AS why
FROM detection_states AS t
WHERE t.via != 'escalation' AND toUnixTimestamp64Micro(t.at) > toInt64({after_us:String}) AND t.at <= now64(6) - toIntervalSecond(2)
ORDER BY t.at, id LIMIT 1000";

/// What people were told, what the budget of the day held back, and what suppressions hid, by day and severity, over the last seconds (`last`).
pub const BUDGET: &str = "SELECT toString(toDate(i.told_at)) AS day, toString(i.severity) AS severity, countIf(i.hidden_by = '') AS told,
    countIf(i.hidden_by = '(daily budget)') AS held_back, countIf(i.hidden_by != '' AND NOT startsWith(i.hidden_by, '(')) AS suppressed
FROM incidents AS i WHERE i.told_at >= now64(3) - toIntervalSecond({last:UInt64})
GROUP BY toDate(i.told_at), i.severity ORDER BY day DESC, i.severity DESC";

/// Ids of incidents that somebody once said are true ones, or of which somebody said so of their chain.
pub const CONFIRMED: &str = "SELECT id FROM
(
    SELECT lower(leftPad(hex(t.id), 16, '0')) AS id FROM detection_states AS t WHERE t.state = 'true'
    UNION DISTINCT SELECT i.incident AS id FROM incidents AS i WHERE i.verdict = 'true'
) LIMIT 1000000";

/// How long it took, by severity, over the last seconds (placeholder `last`), those first that matter most.
pub const TIMES: &str = "SELECT toString(t.severity) AS severity, sum(t.incidents) AS incidents, sum(t.seen) AS seen, sum(t.ended) AS ended,
    sumIf(t.mttd_s * t.incidents, t.incidents > 0) / sum(t.incidents) AS mttd_s,
    if(sum(t.seen) = 0, NULL, sumIf(t.mtta_s * t.seen, t.seen > 0) / sum(t.seen)) AS mtta_s,
    if(sum(t.ended) = 0, NULL, sumIf(t.mttr_s * t.ended, t.ended > 0) / sum(t.ended)) AS mttr_s
FROM detection_times AS t WHERE t.day >= toDate(now() - toIntervalSecond({last:UInt64})) GROUP BY t.severity ORDER BY t.severity DESC";

/// The first digits of an id, or all of them, as [`ONE`] compares them: up to 16 digits 0 to 9 and a to f.
pub fn digits(text: &str) -> Option<String> {
    let is_id = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase())
}

/// A row of [`LIST`] or [`ONE`] in the form of a line of `detections.ndjson`, with its life behind it.
pub fn incident(row: &Map<String, Value>) -> Value {
    let mut o = Map::new();
    for (key, value) in row {
        match key.as_str() {
            "sid" if value == 0 => {}
            "entity_role" | "hidden_by" | "told_ms" | "state" | "is_open" | "who" | "why"
            | "changed_ms" | "grew_since" | "part_of" => {}
            "entity_type" => {
                let entity =
                    json!({"type": value, "value": row["entity"], "role": row["entity_role"]});
                o.insert("entity".into(), entity);
            }
            "entity" => {}
            "evidence" => {
                let text = value.as_str().unwrap_or_default();
                let evidence = serde_json::from_str(text).unwrap_or(Value::Null);
                o.insert("evidence".into(), evidence);
            }
            _ => {
                o.insert(key.clone(), value.clone());
            }
        }
    }
    for key in ["told_ms", "state"] {
        o.insert(key.into(), row[key].clone());
    }
    for key in ["is_open", "grew_since"] {
        o.insert(key.into(), (row[key] == 1 || row[key] == true).into());
    }
    for key in ["part_of", "hidden_by", "who", "why"] {
        if row[key] != "" {
            o.insert(key.into(), row[key].clone());
        }
    }
    if row["changed_ms"] != 0 {
        o.insert("changed_ms".into(), row["changed_ms"].clone());
    }
    Value::Object(o)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_called_the_same_in_queries() {
        let name = format!("'{HELD_BACK}'");
        assert_eq!(BUDGET.matches(&name).count(), 1);
        assert_eq!(LIST.matches(&name).count(), 1);
    }

    #[test]
    fn what_has_ended_is_opened_again_before_work_on_it_goes_on() {
        for was in STATES {
            let ended = ["benign", "false", "closed"].contains(&was);
            for state in STATES {
                let works = ["acknowledged", "escalated", "true"].contains(&state);
                let said = refusal("0a", was, state);
                assert_eq!(said.is_some(), ended && works, "{was} {state}");
                assert!(said.is_none_or(|s| s.contains("detections reopen 0a")));
            }
        }
    }
}
