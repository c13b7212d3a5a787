//! What was sent against what the store holds: to the datagram, to the record, to the byte.

use super::exporters::{BYTES, RECORDS, Sent};
use crate::harness::Sql;
use std::collections::BTreeMap;
use std::fmt;

/// What became of what one exporter sent, in the unit of its sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub sent: u64,
    pub stored: u64,
    pub lost_crash: u64,
    pub lost_stopped: u64,
    pub lost_damaged: u64,
    pub lost_unknown: u64,
    pub gaps: u64,
    /// Rows of the stored datagrams.
    pub rows: u64,
    /// Datagrams that are not in the store, first and last of each run of them.
    pub missing: Vec<(u32, u32)>,
}

/// The equation of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Equation(pub BTreeMap<String, Line>);

impl Equation {
    /// Sum of a column.
    pub fn sum(&self, of: impl Fn(&Line) -> u64) -> u64 {
        self.0.values().map(of).sum()
    }

    /// Rows of all datagrams that are not stored.
    pub fn rows_missing(&self) -> u64 {
        let datagrams = |l: &Line| {
            let runs = l.missing.iter().map(|(a, b)| u64::from(b - a + 1));
            runs.sum::<u64>()
        };
        self.sum(datagrams) * u64::from(RECORDS)
    }

    /// Asserts that nothing is unaccounted for, and prints it.
    pub fn assert_closed(&self, title: &str) {
        println!("{title}\n{self}");
        for (exporter, l) in &self.0 {
            let right = l.stored + l.lost_crash + l.lost_stopped + l.lost_damaged + l.gaps;
            let missing = &l.missing;
            assert_eq!(
                (l.sent, l.lost_unknown),
                (right, 0),
                "{title}: {exporter}, missing {missing:?}"
            );
        }
    }
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (exporter, l) in &self.0 {
            writeln!(
                f,
                "  {exporter}: sent {} = stored {} + lost_crash {} + lost_stopped {} + lost_damaged {} + gaps {} ({} rows)",
                l.sent, l.stored, l.lost_crash, l.lost_stopped, l.lost_damaged, l.gaps, l.rows
            )?;
        }
        Ok(())
    }
}

/// Reads the store: no row twice, no datagram in part.
pub fn audit(sql: &Sql, sent: &[Sent]) -> Equation {
    let last = sql.numbers("SELECT max(packets) FROM flows")[0] / u64::from(RECORDS);
    let mut stored: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for from in (0..=last).step_by(SLICE as usize) {
        slice(sql, from, &mut stored);
    }
    let mut equation = Equation::default();
    for s in sent {
        let exporter = s.address.to_string();
        let datagrams = stored.remove(&exporter).unwrap_or_default();
        let line = equation.0.entry(exporter).or_default();
        line.sent = (0..s.datagrams).map(|n| s.units(n)).sum();
        line.stored = datagrams.iter().map(|&n| s.units(n)).sum();
        line.rows = datagrams.len() as u64 * u64::from(RECORDS);
        assert!(datagrams.last().is_none_or(|&n| n < s.datagrams));
        let bounds = datagrams.into_iter().chain([s.datagrams]);
        let mut next = 0;
        for n in bounds {
            if n > next {
                line.missing.push((next, n - 1));
            }
            next = n + 1;
        }
    }
    assert!(stored.is_empty(), "nobody sent that: {stored:?}");
    ledger(sql, &mut equation);
    equation
}

/// Takes in the datagrams that are stored, from one on.
fn slice(sql: &Sql, from: u64, stored: &mut BTreeMap<String, Vec<u32>>) {
    let records = u64::from(RECORDS);
    let (first, end) = (from * records + 1, (from + SLICE) * records);
    let rows = sql.rows(&format!(
        "SELECT replaceOne(IPv6NumToString(exporter), '::ffff:', '') AS e, intDiv(packets - 1, {records}) AS d,
                count(), uniqExact(packets), sum(bytes) FROM flows
         WHERE packets BETWEEN {first} AND {end} GROUP BY e, d ORDER BY e, d"
    ));
    for r in &rows {
        let n: Vec<u64> = r[1..].iter().map(|n| n.parse().expect("number")).collect();
        let d = n[0];
        let packets = records * (records * d + 1) + records * (records - 1) / 2;
        let whole = [records, records, packets * BYTES];
        assert_eq!(
            n[1..],
            whole,
            "{}: datagram {d}: rows, distinct, bytes",
            r[0]
        );
        stored.entry(r[0].clone()).or_default().push(d as u32);
    }
}

/// Datagrams of each exporter that are asked for at once: the store of a test has little memory.
const SLICE: u64 = 50_000;

fn ledger(sql: &Sql, equation: &mut Equation) {
    let rows = sql.rows(
        "SELECT replaceOne(IPv6NumToString(exporter), '::ffff:', '') AS e, outcome, sum(count)
         FROM ledger WHERE outcome IN ('lost_crash', 'lost_stopped', 'lost_damaged', 'lost_unknown', 'sequence_gaps') GROUP BY e, outcome",
    );
    for r in rows {
        let Some(line) = equation.0.get_mut(&r[0]) else {
            panic!("the ledger names {r:?}");
        };
        let count = r[2].parse().expect("number");
        match r[1].as_str() {
            "lost_crash" => line.lost_crash = count,
            "lost_stopped" => line.lost_stopped = count,
            "lost_damaged" => line.lost_damaged = count,
            "lost_unknown" => line.lost_unknown = count,
            _ => line.gaps = count,
        }
    }
}

/// Every rollup has the sums of the flows, on each side of the exporter.
pub fn usage(sql: &Sql) {
    let flows = sql.rows(
        "SELECT exporter, sum(bytes), sum(packets), count(), sum(est_bytes), sum(est_packets)
         FROM flows GROUP BY exporter ORDER BY exporter",
    );
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        for side in ["ingress", "egress"] {
            let usage = sql.rows(&format!(
                "SELECT exporter, sum(bytes), sum(packets), sum(flows), sum(est_bytes), sum(est_packets)
                 FROM {table} WHERE direction = '{side}' GROUP BY exporter ORDER BY exporter"
            ));
            assert_eq!(usage, flows, "{table}, {side}");
        }
    }
}

/// Sums of a table by exporter.
fn sums(sql: &Sql, table: &str, flows: &str, only: &str) -> BTreeMap<String, Vec<u64>> {
    let rows = sql.rows(&format!(
        "SELECT exporter, sum(bytes), sum(packets), {flows}, sum(est_bytes), sum(est_packets)
         FROM {table} WHERE {only} GROUP BY exporter"
    ));
    let number = |n: &String| n.parse().expect("a number");
    let sums = |r: Vec<String>| (r[0].clone(), r[1..].iter().map(number).collect());
    rows.into_iter().map(sums).collect()
}

/// So have those between networks, and talkers with all others. Those of the ten seconds before a kill of the collector went with it, of
/// sources and destinations alike: then there is less of them, the same at every resolution.
pub fn talkers(sql: &Sql, killed: bool) {
    let flows = sums(sql, "flows", "count()", "1");
    for resolution in ["1m", "5m", "1h"] {
        let between = sums(
            sql,
            &format!("network_usage_{resolution}"),
            "sum(flows)",
            "1",
        );
        assert_eq!(between, flows, "network_usage_{resolution}");
    }
    let role = |resolution: &str, role: &str| {
        let only = format!("role = '{role}'");
        sums(sql, &format!("talkers_{resolution}"), "sum(flows)", &only)
    };
    let talkers = role("1m", "source");
    for resolution in ["1m", "5m", "1h"] {
        for side in ["source", "destination"] {
            assert_eq!(
                role(resolution, side),
                talkers,
                "talkers_{resolution}, {side}"
            );
        }
    }
    if !killed {
        assert_eq!(talkers, flows, "talkers");
    }
    let none = vec![0; 5];
    let mut missing = BTreeMap::new();
    for (exporter, all) in &flows {
        let talked = talkers.get(exporter).unwrap_or(&none);
        let within = talked.iter().zip(all).all(|(t, f)| t <= f);
        assert!(within, "{exporter}: {talked:?} of {all:?}");
        missing.insert(exporter.clone(), all[0] - talked[0]);
    }
    // as `docs/delivery.md` asks for it
    let asked = sql.sums(
        "SELECT u.exporter, u.bytes - t.bytes AS missing
         FROM (SELECT exporter, sum(bytes) AS bytes FROM flowhouse.usage_once GROUP BY exporter) AS u
         LEFT JOIN (SELECT exporter, sum(bytes) AS bytes FROM flowhouse.talkers_1m WHERE role = 'source' GROUP BY exporter) AS t
         ON t.exporter = u.exporter",
    );
    assert_eq!(asked, missing);
}

/// What the table `ledger` says became of rows.
pub fn told(sql: &Sql) -> BTreeMap<String, u64> {
    let rows = sql.rows(
        "SELECT outcome, sum(count) FROM ledger WHERE outcome LIKE '%rows%' GROUP BY outcome",
    );
    let told = |r: Vec<String>| (r[0].clone(), r[1].parse().expect("number"));
    rows.into_iter().map(told).collect()
}
