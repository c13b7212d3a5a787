//! What a report asks. `$PERIOD` and `$SCOPE` stand for conditions, `$ROLLUP` for a table; everything that is not ours is
//! bound to placeholders.

use super::period::Period;
use crate::assemble::query::Bound;

/// To what a report is limited.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this exporter.
    pub exporter: Option<std::net::IpAddr>,
    /// Only interfaces with this name, description or ifIndex.
    pub interface: Option<String>,
}

impl Scope {
    /// A query for this scope and period.
    pub fn fill(&self, sql: &str, period: &Period) -> String {
        let mut scope = String::new();
        if self.exporter.is_some() {
            scope += EXPORTER;
        }
        // the ledger and raw flows have no column for it
        let narrow = match self.interface {
            Some(_) => scope.clone() + INTERFACE,
            None => scope.clone(),
        };
        sql.replace("$PERIOD", PERIOD)
            .replace("$SCOPE", &narrow)
            .replace("$EXPORTER", &scope)
            .replace("$HEARD", &scope.replace("exporter =", "o.heard ="))
            .replace("$OBSERVED", OBSERVED)
            .replace("$SAMPLES", SAMPLES)
            .replace("$ROLLUP", period.rollup())
    }

    /// The values of its placeholders.
    pub fn values(&self, period: &Period) -> Vec<(&'static str, Bound)> {
        let mut values = vec![
            ("from", Bound::Number(period.from as f64)),
            ("to", Bound::Number(period.to as f64)),
        ];
        if let Some(exporter) = self.exporter {
            values.push(("exporter", Bound::Text(exporter.to_string())));
        }
        if let Some(interface) = &self.interface {
            values.push(("interface", Bound::Text(interface.clone())));
        }
        values
    }
}

const PERIOD: &str = "time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})";
const EXPORTER: &str = " AND exporter = toIPv6({exporter:String})";
const INTERFACE: &str = " AND (toString(if_index) = {interface:String} OR (exporter, if_index) IN \
    (SELECT exporter, if_index FROM interfaces FINAL WHERE name = {interface:String} OR description = {interface:String}))";

/// The samples in which each exporter was heard: the ledger has a datagram of it that was understood, or a row that a sensor metered. Usage does not tell: long
/// flows reach back into time in which nobody listened.
const SAMPLES: &str = "SELECT DISTINCT exporter AS heard, toStartOfFiveMinutes(time) AS sample FROM ledger
    WHERE time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32}) AND outcome IN ('datagrams_parsed', 'rows_added_metered') AND count > 0";
const OBSERVED: &str = "SELECT heard, count() AS samples FROM ($SAMPLES) GROUP BY heard";

/// Whether there is anything, and since when.
pub const ANYTHING: &str = "SELECT count() AS parts, toUnixTimestamp(min(time)) AS first, toUnixTimestamp(max(time)) AS last FROM usage_1h";

/// One row a side of a link. The samples in which the exporter was heard and the side has no row are zeros: they stand behind
/// the end of the sorted array. Bytes are all of the period, what is judged is of the samples in which the exporter was heard.
pub const SIDES: &str = "SELECT t.exporter AS exporter, t.if_index AS if_index, t.direction AS direction, t.bytes AS bytes, t.heard_bytes AS heard_bytes, t.packets AS packets, t.flows AS flows, t.variance AS variance,
    t.reported AS reported, t.unknown AS unknown, t.inferred AS inferred, t.peak AS peak, t.peak_at AS peak_at, t.peak_variance AS peak_variance,
    o.samples AS samples, i.name AS name, i.description AS description, i.speed AS speed,
    i.role AS role, i.site AS site, i.qos_policy AS policy,
    arrayReverseSort(t.all)[intDiv(o.samples, 20) + 1] AS p95,
    p95.1 AS p95_bytes, p95.2 AS p95_variance, p95.3 AS p95_unknown,
    arrayCount(x -> i.speed > 0 AND x.1 * 8 * 100 >= i.speed * {over:Float64} * 300, t.all) AS samples_over
FROM
(
    SELECT exporter, if_index, direction, sum(b) AS bytes, sum(p) AS packets, sum(f) AS flows, sum(v) AS variance, sum(r) AS reported, sum(u) AS unknown,
        sum(n) AS inferred, sumIf(b, h) AS heard_bytes, maxIf(b, h) AS peak,
        toUnixTimestamp(argMaxIf(time, (b, -toInt64(toUnixTimestamp(time))), h)) AS peak_at,
        argMaxIf(v, (b, -toInt64(toUnixTimestamp(time))), h) AS peak_variance, groupArrayIf((b, v, u), h) AS all
    FROM
    (
        SELECT time, exporter, if_index, direction, sum(est_bytes) AS b, sum(est_packets) AS p, sum(packets) AS r, sum(flows) AS f,
            sum(variance) AS v, sum(est_bytes_unknown) AS u, sumIf(est_bytes, inferred = 1) AS n,
            (exporter, time) GLOBAL IN ($SAMPLES) AS h
        FROM usage_5m WHERE $PERIOD$SCOPE
        GROUP BY time, exporter, if_index, direction
    )
    GROUP BY exporter, if_index, direction
) AS t
LEFT JOIN ($OBSERVED) AS o ON t.exporter = o.heard
LEFT JOIN (SELECT exporter, if_index, name, description, speed, role, site, qos_policy FROM interfaces FINAL) AS i
    ON t.exporter = i.exporter AND t.if_index = i.if_index
ORDER BY t.bytes DESC, t.exporter, t.if_index, t.direction
LIMIT {sides:UInt32}
SETTINGS optimize_aggregation_in_order = 1";

/// How many links there are.
pub const LINKS: &str =
    "SELECT uniqExact(exporter, if_index) AS links FROM $ROLLUP WHERE $PERIOD$SCOPE";

/// The clock hour of each side that carried most, with the samples of it in which the exporter was heard.
pub const BUSY_HOURS: &str = "SELECT exporter, if_index, direction, max(u.b) AS bytes,
    argMax(u.hour_at, (u.b, -toInt64(u.hour_at))) AS hour, argMax(o.heard_in, (u.b, -toInt64(u.hour_at))) AS samples
FROM
(
    SELECT toUnixTimestamp(toStartOfHour(time)) AS hour_at, exporter, if_index, direction, sum(est_bytes) AS b
    FROM usage_5m WHERE $PERIOD$SCOPE AND (exporter, time) GLOBAL IN ($SAMPLES)
    GROUP BY hour_at, exporter, if_index, direction
) AS u
INNER JOIN (SELECT heard, toUnixTimestamp(toStartOfHour(sample)) AS heard_at, count() AS heard_in FROM ($SAMPLES) GROUP BY heard, heard_at) AS o
    ON u.exporter = o.heard AND u.hour_at = o.heard_at
GROUP BY exporter, if_index, direction
ORDER BY bytes DESC, exporter, if_index, direction
LIMIT {sides:UInt32}";

/// Classes of each side beside the budgets of the interface's policy.
pub const CLASSES: &str = "SELECT t.exporter AS exporter, t.if_index AS if_index, t.direction AS direction, t.qos_class AS class, t.bytes AS bytes,
    t.heard_bytes AS heard_bytes, t.peak AS peak, arrayReverseSort(t.all)[intDiv(o.samples, 20) + 1] AS p95,
    if(q.budget_bits > 0, toFloat64(q.budget_bits), i.speed * q.budget_percent / 100) AS budget,
    arrayCount(x -> budget > 0 AND x * 8 / 300 > budget, t.all) AS samples_over
FROM
(
    SELECT exporter, if_index, direction, qos_class, sum(b) AS bytes, sumIf(b, h) AS heard_bytes, maxIf(b, h) AS peak, groupArrayIf(b, h) AS all
    FROM
    (
        SELECT time, exporter, if_index, direction, qos_class, sum(est_bytes) AS b, (exporter, time) GLOBAL IN ($SAMPLES) AS h
        FROM usage_5m WHERE $PERIOD$SCOPE
        GROUP BY time, exporter, if_index, direction, qos_class
    )
    GROUP BY exporter, if_index, direction, qos_class
) AS t
LEFT JOIN ($OBSERVED) AS o ON t.exporter = o.heard
LEFT JOIN (SELECT exporter, if_index, speed, qos_policy FROM interfaces FINAL) AS i ON t.exporter = i.exporter AND t.if_index = i.if_index
LEFT JOIN
(
    SELECT policy, class, budget_percent, budget_bits
    FROM (SELECT policy, class, budget_percent, budget_bits, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM qos_classes FINAL)
    WHERE updated_at = latest
) AS q ON i.qos_policy = q.policy AND t.qos_class = q.class
ORDER BY bytes DESC, exporter, if_index, direction, class
LIMIT {rows:UInt32}
SETTINGS optimize_aggregation_in_order = 1";

/// The first applications of each side.
pub const SIDE_APPLICATIONS: &str =
    "SELECT exporter, if_index, direction, app, sum(est_bytes) AS bytes
FROM $ROLLUP WHERE $PERIOD$SCOPE
GROUP BY exporter, if_index, direction, app
ORDER BY bytes DESC, exporter, if_index, direction, app
LIMIT 5 BY exporter, if_index, direction
LIMIT {rows:UInt32}";

/// Everything once.
pub const TOTAL: &str = "SELECT sum(est_bytes) AS bytes, sum(est_packets) AS est_packets, sum(u.packets) AS reported, sum(u.flows) AS all_flows,
    sum(u.variance) AS variance, sum(u.est_bytes_unknown) AS unknown,
    (SELECT sum(est_bytes) FROM usage_5m WHERE $PERIOD$SCOPE AND direction = 'ingress' AND (exporter, time) GLOBAL IN ($SAMPLES)) AS heard_bytes,
    (SELECT uniqExact(sample) FROM ($SAMPLES) WHERE heard GLOBAL IN (SELECT exporter FROM usage_5m WHERE $PERIOD$SCOPE)) AS samples
FROM $ROLLUP AS u WHERE $PERIOD$SCOPE AND direction = 'ingress'";

/// The clock hour with most bytes, each once, and the samples of it in which somebody was heard.
pub const HOURS: &str = "SELECT toUnixTimestamp(u.hour) AS hour, u.b AS bytes, o.samples AS samples
FROM
(
    SELECT toStartOfHour(time) AS hour, sum(est_bytes) AS b FROM usage_5m
    WHERE $PERIOD$SCOPE AND direction = 'ingress' AND (exporter, time) GLOBAL IN ($SAMPLES) GROUP BY hour
) AS u
INNER JOIN
(
    SELECT toStartOfHour(sample) AS hour, uniqExact(sample) AS samples FROM ($SAMPLES)
    WHERE heard GLOBAL IN (SELECT exporter FROM usage_5m WHERE $PERIOD$SCOPE) GROUP BY hour
) AS o ON u.hour = o.hour
ORDER BY bytes DESC, hour LIMIT 1";

/// Applications, each byte once.
pub const APPLICATIONS: &str = "SELECT t.app AS app, t.bytes AS bytes, t.est_packets AS est_packets, t.reported AS reported, t.all_flows AS all_flows, t.variance AS variance, t.unknown AS unknown, t.links AS links,
    c.category AS category, c.relevance AS relevance
FROM
(
    SELECT app, sum(u.est_bytes) AS bytes, sum(u.est_packets) AS est_packets, sum(u.packets) AS reported, sum(u.flows) AS all_flows,
        sum(u.variance) AS variance, sum(u.est_bytes_unknown) AS unknown, uniqExact(exporter, if_index) AS links
    FROM $ROLLUP AS u WHERE $PERIOD$SCOPE AND direction = 'ingress'
    GROUP BY app ORDER BY bytes DESC, app LIMIT {rows:UInt32}
) AS t
LEFT JOIN (SELECT app, category, relevance FROM application_catalog FINAL) AS c ON t.app = c.app
ORDER BY t.bytes DESC, t.app";

/// Applications with a large share of a side, beside their share of its flows and the median of their shares over all sides:
/// sides without the application count as zeros, of an even number the lower of the two in the middle is taken. What has no name is no application.
pub const DISPROPORTIONATE: &str = "WITH
    uses AS (SELECT exporter, if_index, direction, app, sum(est_bytes) AS b, sum(flows) AS f FROM $ROLLUP WHERE $PERIOD
        GROUP BY exporter, if_index, direction, app),
    sides AS (SELECT exporter, if_index, direction, sum(b) AS b, sum(f) AS f FROM uses GROUP BY exporter, if_index, direction HAVING b > 0),
    shares AS (SELECT u.exporter AS exporter, u.if_index AS if_index, u.direction AS direction, u.app AS app, u.b AS bytes,
            u.b / s.b AS share, if(s.f > 0, u.f / s.f, 0) AS flow_share
        FROM uses AS u INNER JOIN sides AS s ON u.exporter = s.exporter AND u.if_index = s.if_index AND u.direction = s.direction),
    medians AS (SELECT app, arrayReverseSort(groupArray(share))[intDiv((SELECT count() FROM sides), 2) + 1] AS median FROM shares GROUP BY app)
SELECT t.exporter AS exporter, t.if_index AS if_index, t.direction AS direction, t.app AS app, t.bytes AS bytes, t.share AS share, t.flow_share AS flow_share,
    m.median AS median, (SELECT count() FROM sides) AS sides, c.relevance AS relevance, i.name AS name, i.description AS description
FROM (SELECT * FROM shares WHERE share >= {share:Float64} AND app != 'unknown'$SCOPE) AS t
INNER JOIN medians AS m ON t.app = m.app
LEFT JOIN (SELECT app, relevance FROM application_catalog FINAL) AS c ON t.app = c.app
LEFT JOIN (SELECT exporter, if_index, name, description FROM interfaces FINAL) AS i ON t.exporter = i.exporter AND t.if_index = i.if_index
ORDER BY bytes DESC, exporter, if_index, direction, app
LIMIT {rows:UInt32}";

/// Applications in classes where the interface's policy does not expect them; the rule of the view `qos_misuse` on the rollup; what has no class (`none`) is not judged. What passes
/// two interfaces of one policy is there on both sides: the side with more of it counts.
pub const MISPLACED: &str = "SELECT policy, app, category, relevance, class, expected, bytes, side, if(side = 'egress', links_out, links_in) AS links,
    if(side = 'egress', most_out, most_in) AS most, toString(most.1) AS most_exporter, most.2 AS most_index, most.3 AS most_name, most.4 AS most_description,
    share_of_app, share_of_class
FROM
(
    SELECT policy, app, category, relevance, class, expected, sumIf(b, direction = 'ingress') AS came, sumIf(b, direction = 'egress') AS went,
        greatest(came, went) AS bytes, if(went > came, 'egress', 'ingress') AS side,
        uniqExactIf(exporter, if_index, direction = 'ingress') AS links_in, uniqExactIf(exporter, if_index, direction = 'egress') AS links_out,
        argMaxIf((exporter, if_index, name, description), (b, exporter, if_index), direction = 'ingress') AS most_in,
        argMaxIf((exporter, if_index, name, description), (b, exporter, if_index), direction = 'egress') AS most_out,
        class != 'none' AND notEmpty(expected) AND NOT has(expected, class) AS wrong,
        bytes / if(side = 'egress', sum(went) OVER (PARTITION BY app), sum(came) OVER (PARTITION BY app)) AS share_of_app,
        bytes / if(side = 'egress', sum(went) OVER (PARTITION BY policy, class), sum(came) OVER (PARTITION BY policy, class)) AS share_of_class
    FROM
    (
        SELECT u.exporter AS exporter, u.if_index AS if_index, u.direction AS direction, u.app AS app, u.qos_class AS class, u.b AS b,
            i.qos_policy AS policy, i.name AS name, i.description AS description, c.category AS category, c.relevance AS relevance,
            arraySort(e.classes) AS expected
        FROM (SELECT exporter, if_index, direction, app, qos_class, sum(est_bytes) AS b FROM $ROLLUP
            WHERE $PERIOD$SCOPE GROUP BY exporter, if_index, direction, app, qos_class) AS u
        LEFT JOIN (SELECT exporter, if_index, name, description, qos_policy FROM interfaces FINAL) AS i
            ON u.exporter = i.exporter AND u.if_index = i.if_index
        LEFT JOIN (SELECT app, category, relevance FROM application_catalog FINAL) AS c ON u.app = c.app
        LEFT JOIN
        (
            SELECT policy, category, groupArray(class) AS classes
            FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM qos_expected FINAL)
            WHERE updated_at = latest
            GROUP BY policy, category
        ) AS e ON i.qos_policy = e.policy AND c.category = e.category
    )
    GROUP BY policy, app, category, relevance, class, expected
)
WHERE wrong AND bytes > 0
ORDER BY bytes DESC, policy, app, class
LIMIT {rows:UInt32}";

/// Changed markings; a scan of raw flows. Where an exporter meters both sides of a flow, one of its records may have both markings, or both.
pub const REMARKED: &str = "SELECT exporter, in_if, out_if, bitShiftRight(tos, 2) AS before, bitShiftRight(post_tos, 2) AS after,
    greatest(sumIf(bytes * sampling_interval, counts_ingress), sumIf(bytes * sampling_interval, counts_egress)) AS est,
    greatest(countIf(counts_ingress), countIf(counts_egress)) AS flows, topKWeighted(1)(app, bytes * sampling_interval)[1] AS app
FROM flows
WHERE received_at >= toDateTime({from:UInt32}) AND received_at < toDateTime({to:UInt32}) AND bitTest(flags, 17)$EXPORTER
GROUP BY exporter, in_if, out_if, before, after
ORDER BY est DESC, exporter, in_if, out_if, before, after
LIMIT {rows:UInt32}";

/// What the ledger says of each exporter.
pub const TRUST: &str = "SELECT toString(o.heard) AS name, t.* EXCEPT exporter, o.samples AS samples
FROM ($OBSERVED) AS o
LEFT JOIN
(
    SELECT exporter,
        sumIf(l.count, outcome = 'datagrams_parsed') AS datagrams,
        sumIf(l.count, outcome = 'rows') AS rows,
        sumIf(l.count, outcome = 'sequence_gaps') AS sequence_gaps,
        sumIf(l.count, outcome IN ('lost_crash', 'lost_stopped')) AS lost,
        sumIf(l.count, outcome = 'sampling_unknown') AS sampling_unknown,
        sumIf(l.count, outcome = 'clock_skewed') AS clock_skewed,
        sumIf(l.count, outcome = 'times_impossible') AS times_impossible,
        sumIf(l.count, outcome = 'sets_expired_template') AS sets_expired,
        sumIf(l.count, outcome IN ('rows_shed', 'rows_quarantined')) AS rows_lost
    FROM ledger AS l WHERE $PERIOD GROUP BY exporter
) AS t ON o.heard = t.exporter
WHERE 1$HEARD
ORDER BY sequence_gaps + lost + sampling_unknown + clock_skewed + times_impossible + sets_expired + rows_lost DESC, o.heard
LIMIT {rows:UInt32}";

/// Interfaces that are known and had no flows, of exporters that were heard.
pub const SILENT: &str = "SELECT exporter, if_index, name, description, speed FROM interfaces FINAL
WHERE exporter IN (SELECT heard FROM ($OBSERVED)) AND if_index != 0
    AND (exporter, if_index) NOT IN (SELECT exporter, if_index FROM $ROLLUP WHERE $PERIOD)$SCOPE
ORDER BY exporter, if_index
LIMIT {rows:UInt32}";

/// Some links over time.
pub const COURSES: &str = "SELECT exporter, if_index, direction, intDiv(toUnixTimestamp(time) - {from:UInt32}, {step:UInt32}) AS at, sum(b) AS bytes, max(b) AS peak
FROM
(
    SELECT time, exporter, if_index, direction, sum(est_bytes) AS b FROM usage_5m
    WHERE $PERIOD AND (exporter, if_index) IN
        (SELECT toIPv6(x.1), x.2 FROM (SELECT arrayJoin(arrayZip({exporters:Array(String)}, {indexes:Array(UInt32)})) AS x))
    GROUP BY time, exporter, if_index, direction
)
GROUP BY exporter, if_index, direction, at
ORDER BY exporter, if_index, direction, at";

/// Some applications over time, the others together.
pub const APPLICATION_COURSE: &str =
    "SELECT if(has({apps:Array(String)}, app), indexOf({apps:Array(String)}, app), 0) AS line,
    intDiv(toUnixTimestamp(time) - {from:UInt32}, {step:UInt32}) AS at, sum(est_bytes) AS bytes
FROM usage_5m WHERE $PERIOD$SCOPE AND direction = 'ingress'
GROUP BY line, at ORDER BY line, at";
