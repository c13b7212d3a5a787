//! What flows say of interfaces beside what those counted: the query of the view, for other times than the view's.

use super::MIGRATIONS;

/// The query of the view `interface_reconciliation` for the windows of 5 minutes from `since` on that ended 5 minutes before
/// `until`: both are SQL expressions of type DateTime, such as `now() - 3600` or `toDateTime(1700000000, 'UTC')`.
pub fn reconciliation(since: &str, until: &str) -> String {
    let all = MIGRATIONS.iter().rev().find_map(|m| m.sql.split_once(HEAD));
    // a test finds the view and both bounds in it
    let (_, query) = all.unwrap_or_default();
    let query = query.split(";\n").next().unwrap_or_default();
    let query = query.replacen(SINCE, &format!("{since} AS since"), 1);
    query.replacen(UNTIL, &format!("{until} AS until"), 1)
}

/// One row for each side of an interface over a time (bounds as in [`reconciliation`]): `exporter, if_index, if_name, direction,
/// source, counted_bytes, flow_bytes, ratio, windows, diagnosis, diagnosed, explanation`; the ratio is NULL where nothing was counted. The diagnosis is that of most of the
/// `windows`, which `diagnosed` of them share; what agrees is there, too. The busiest come first.
pub fn reconciliation_summary(since: &str, until: &str) -> String {
    let query = reconciliation(since, until);
    format!(
        "SELECT exporter, if_index, any(a.if_name) AS if_name, direction, any(a.source) AS source, \
         sum(a.counted) AS counted_bytes, sum(a.flows) AS flow_bytes, if(counted_bytes > 0, flow_bytes / counted_bytes, NULL) AS ratio, \
         sum(a.n) AS windows, argMax(a.diagnosis, a.n) AS diagnosis, max(a.n) AS diagnosed, argMax(a.explanation, a.n) AS explanation \
         FROM (SELECT exporter, if_index, direction, diagnosis, any(w.if_name) AS if_name, any(w.source) AS source, \
         sum(counted_bytes) AS counted, sum(flow_bytes) AS flows, count() AS n, argMax(w.explanation, w.time) AS explanation \
         FROM ({query}) AS w GROUP BY exporter, if_index, direction, diagnosis) AS a \
         GROUP BY exporter, if_index, direction ORDER BY counted_bytes DESC, exporter, if_index, direction"
    )
}

const HEAD: &str = " VIEW interface_reconciliation AS\n";
const SINCE: &str = "now() - INTERVAL 26 HOUR AS since";
const UNTIL: &str = "now() AS until";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_found_and_its_bounds_are_replaced() {
        let query = reconciliation("a", "b");
        let head = "WITH\n    a AS since,\n    b AS until\nSELECT\n    j.time AS time,";
        assert!(query.starts_with(head), "{query}");
        assert!(query.ends_with("j.age >= 600"), "{query}");
        // the client takes it for a placeholder
        assert!(!query.contains('?') && !query.contains("now()"));
    }
}
