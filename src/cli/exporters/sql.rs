//! What the report cards ask. Everything that is not ours is bound to placeholders.

/// One row an exporter: those with rows, and those of which the ledger has more than that.
pub const LIST: &str = "SELECT toString(e.exporter) AS name, e.origins AS origins, e.domains AS domains, l.heard AS heard, l.datagrams AS datagrams,
    l.rows AS rows, l.gaps AS gaps, l.lost AS lost, l.sampling_unknown AS sampling_unknown, l.clock_skewed AS clock_skewed, l.rejected AS rejected,
    t.templates AS templates
FROM
(
    SELECT exporter, arraySort(groupUniqArrayIf(origin, origin != '')) AS origins, uniqExactIf(domain, origin != '') AS domains
    FROM
    (
        SELECT exporter, toString(origin) AS origin, domain FROM exporters FINAL
        UNION ALL
        SELECT DISTINCT exporter, '' AS origin, toUInt32(0) AS domain FROM ledger
        WHERE time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32}) AND exporter != toIPv6('::') AND count > 0
    )
    GROUP BY exporter
) AS e
LEFT JOIN
(
    SELECT exporter, toUnixTimestamp(maxIf(time, outcome IN ('datagrams_parsed', 'datagrams_rejected_header', 'datagrams_rejected_short'))) AS heard,
        sumIf(s.count, outcome = 'datagrams_parsed') AS datagrams,
        sumIf(s.count, outcome = 'rows') AS rows,
        sumIf(s.count, outcome = 'sequence_gaps') AS gaps,
        sumIf(s.count, outcome IN ('lost_crash', 'lost_stopped')) AS lost,
        sumIf(s.count, outcome = 'sampling_unknown') AS sampling_unknown,
        sumIf(s.count, outcome = 'clock_skewed') AS clock_skewed,
        sumIf(s.count, outcome IN ('sets_rejected_template', 'sets_rejected_record', 'sets_rejected_length', 'sets_expired_template', 'datagrams_rejected_header', 'datagrams_rejected_short')) AS rejected
    FROM ledger AS s WHERE time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32}) GROUP BY exporter
) AS l ON e.exporter = l.exporter
LEFT JOIN (SELECT exporter, count() AS templates FROM templates FINAL GROUP BY exporter) AS t ON e.exporter = t.exporter
ORDER BY l.rows DESC, e.exporter
LIMIT {rows:UInt32}";

/// In which protocols, domains and from which addresses it exports.
pub const ORIGINS: &str = "SELECT origin, domain, toString(source) AS source, toUnixTimestamp(updated_at) AS since FROM exporters FINAL
WHERE exporter = toIPv6({exporter:String}) ORDER BY origin, domain, source LIMIT 100";

/// Its templates, those in use first.
pub const TEMPLATES: &str = "SELECT id, port, version, domain, options, planned, layout, toUnixTimestamp(updated_at) AS learned FROM templates FINAL
WHERE exporter = toIPv6({exporter:String}) ORDER BY updated_at DESC, domain, port, id LIMIT 200";

/// What the ledger has of it.
pub const OUTCOMES: &str = "SELECT outcome, sum(count) AS n, toUnixTimestamp(min(time)) AS first, toUnixTimestamp(max(time)) AS last FROM ledger
WHERE exporter = toIPv6({exporter:String}) AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
GROUP BY outcome HAVING n > 0 ORDER BY outcome";

/// Its interfaces, and how many of them have a name and a speed.
pub const INTERFACES: &str = "SELECT count() AS known, countIf(name != '') AS named, countIf(speed > 0) AS fast FROM interfaces FINAL
WHERE exporter = toIPv6({exporter:String}) AND if_index != 0";

/// Names of applications that it told.
pub const APPLICATIONS: &str =
    "SELECT count() AS known FROM applications FINAL WHERE exporter = toIPv6({exporter:String})";

/// When the latest rows came.
pub const LATEST: &str = "SELECT toUnixTimestamp(max(received_at)) AS latest FROM flows
WHERE exporter = toIPv6({exporter:String}) AND received_at >= toDateTime({from:UInt32}) AND received_at < toDateTime({to:UInt32})";

/// A part of its rows: an hour, at most a million.
const ROWS: &str = "(
    SELECT * FROM flows WHERE exporter = toIPv6({exporter:String}) AND received_at > toDateTime({latest:UInt32}) - 3600
        AND received_at <= toDateTime({latest:UInt32}) LIMIT 1000000
)";

/// A query about a part of its rows.
pub fn of_rows(sql: &str) -> String {
    sql.replace("$ROWS", ROWS)
}

/// Which fields the rows have, what was flagged, how far the clock is off: seconds by which the collector is ahead,
/// half a second off at most, because the time of receipt has whole ones.
pub const FIELDS: &str = "SELECT count() AS rows, sumForEach(arrayMap(b -> toUInt64(bitTest(present, b)), range(64))) AS fields,
    sumForEach(arrayMap(b -> toUInt64(bitTest(flags, b)), range(32))) AS marks, countIf(app_source = 'exporter') AS named_apps,
    countIf(proto IN (6, 17, 132)) AS with_ports, countIf(proto = 6) AS tcp,
    quantilesIf(0.05, 0.5, 0.95)((toInt64(toUnixTimestamp(received_at)) * 1000 + 500 - exported_ms) / 1000, exported_ms > 0) AS clock,
    countIf(exported_ms > 0) AS clocks
FROM $ROWS";

/// Where its sampling intervals come from.
pub const SAMPLING: &str =
    "SELECT sampling_source AS source, sampling_interval AS n, count() AS rows FROM $ROWS
GROUP BY source, n ORDER BY rows DESC, source, n LIMIT 20";

/// How long its flows live, as far as they say: by the limits of the histogram, ends by active time-out, and how many pile up at
/// usual time-outs.
pub const LIVES: &str = "SELECT count() AS rows, max(life) AS longest, countIf(reason = 2) AS timed_out, quantileIf(0.5)(life, reason = 2) AS timed_out_at,
    arraySort(sumMap([toUInt32(edge)], [toUInt64(1)]).1) AS edges, sumMap([toUInt32(edge)], [toUInt64(1)]).2 AS counts,
    sumForEach(arrayMap(t -> toUInt64(life >= 0.9 * t), {usual:Array(UInt32)})) AS above,
    sumForEach(arrayMap(t -> toUInt64(life >= 0.9 * t AND life <= 1.05 * t + 2), {usual:Array(UInt32)})) AS near,
    sumForEach(arrayMap(t -> toUInt64(life >= 0.75 * t AND life < 0.9 * t), {usual:Array(UInt32)})) AS below
FROM
(
    SELECT (end_ms - start_ms) / 1000 AS life, if(bitTest(present, 20), flow_end_reason, 0) AS reason,
        arrayFirst(e -> life < e, arrayConcat({edges:Array(UInt32)}, [4294967295])) AS edge
    FROM $ROWS WHERE bitTest(present, 7) AND bitTest(present, 8) AND NOT bitTest(flags, 3)
)";
