//! `flowhouse top`: who and what uses the bandwidth.

use super::connection::ConnectionArguments;
use super::query::{Reader, Rows, address, number, text as cell};
use super::{reconciled, text};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

/// Shows what uses the bandwidth, read from ClickHouse.
///
/// Rates are averages over the time that has data, estimated from sampled counters where exporters sample; `+-` is the 95 %
/// error that sampling alone causes (1.96 / sqrt(sampled packets)), `?` where an exporter does not say whether it samples. Each byte counts once for an exporter; `interfaces` shows
/// both sides of every link.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse top apps --since 1h\n  flowhouse top interfaces --since 10m --limit 5\n  flowhouse top classes --exporter 192.0.2.1 --json"
)]
pub struct TopArguments {
    /// What to rank.
    #[arg(value_enum)]
    pub what: What,
    /// How far back: 30s, 10m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = super::duration_seconds)]
    pub since: u64,
    /// Rows to show.
    #[arg(long, value_name = "ROWS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Only this exporter.
    #[arg(long, value_name = "ADDRESS")]
    pub exporter: Option<std::net::IpAddr>,
    /// One JSON object with the same data instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Configuration, for where the store is
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Applications.
    Apps,
    /// QoS classes.
    Classes,
    /// Interfaces and their direction.
    Interfaces,
    /// Addresses (a scan of raw flows).
    Hosts,
    /// Exporters.
    Exporters,
}

/// Runs the subcommand.
///
/// # Errors
/// When the store cannot be asked.
pub fn run(arguments: &TopArguments) -> Result<()> {
    let config = super::load_config(arguments.config.as_deref())?;
    let connection = arguments
        .connection
        .over(super::default_connection(&config));
    let reader = Reader::new(&connection)?;
    let answer = ask(
        &reader,
        arguments.what,
        arguments.since,
        Limit::Rows(arguments.limit),
        arguments.exporter,
    )?;
    let (mut json, mut table) = (answer.json(), answer.table());
    if arguments.what == What::Interfaces {
        let (since, limit) = (arguments.since, arguments.limit);
        let differ = reconciled::ask(&reader, since, limit, arguments.exporter)?;
        json["reconciliation"] = reconciled::json(&differ);
        table += &reconciled::section(&differ);
    }
    match arguments.json {
        true => super::say(serde_json::to_string_pretty(&json)?),
        false => super::say(table),
    }
}

/// How much of a ranking is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// The first of all.
    Rows(u32),
    /// The first of each exporter; for what is ranked by exporter.
    RowsByExporter(u32),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Rows(n) => write!(f, "LIMIT {n}"),
            Limit::RowsByExporter(n) => write!(f, "LIMIT {n} BY exporter"),
        }
    }
}

/// A ranking with what it is measured against.
#[derive(Debug)]
pub struct Answer {
    what: What,
    seconds: f64,
    total_bytes: f64,
    rows: Rows,
}

/// Asks for a ranking over the last `since` seconds.
///
/// # Errors
/// When the store cannot be asked.
pub fn ask(
    reader: &Reader,
    what: What,
    since: u64,
    limit: Limit,
    exporter: Option<std::net::IpAddr>,
) -> Result<Answer> {
    let filter = exporter.map_or(String::new(), |e| format!(" AND exporter = toIPv6('{e}')"));
    let span = reader.row(&span_sql(what, since, &filter))?;
    let rows = reader.rows(&ranking_sql(what, since, limit, &filter))?;
    Ok(Answer {
        what,
        seconds: number(&span, "seconds").max(1.0),
        total_bytes: number(&span, "bytes"),
        rows,
    })
}

impl Answer {
    /// The same over a time that the caller knows better than the minutes in the store tell.
    pub fn over(mut self, seconds: f64) -> Self {
        self.seconds = seconds.max(1.0);
        self
    }

    /// The ranking as an aligned table.
    pub fn table(&self) -> String {
        let keys = self.what.keys();
        let mut header: Vec<&str> = keys.iter().map(|k| k.1).collect();
        let left = header.len();
        header.extend(["rate", "share", "bytes", "packets", "flows", "+-"]);
        if self.what == What::Interfaces {
            header.push("used");
        }
        let rows = self.rows.iter().map(|r| {
            let bytes = number(r, "est_bytes");
            let mut line: Vec<String> = keys.iter().map(|k| key_text(r, k.0)).collect();
            line.extend([
                text::bit_rate(bytes * 8.0 / self.seconds),
                if self.total_bytes > 0.0 {
                    text::percent(bytes / self.total_bytes)
                } else {
                    "-".into()
                },
                text::bytes(bytes),
                text::count(number(r, "est_packets")),
                text::count(number(r, "flows")),
                certainty(r),
            ]);
            if self.what == What::Interfaces {
                line.push(used(r, self.seconds).map_or("-".into(), text::percent));
            }
            line
        });
        text::table(&header, left, rows)
    }

    /// The ranking as JSON.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|r| self.json_row(r)).collect();
        json!({ "top": self.what.name(), "seconds": self.seconds, "total_est_bytes": self.total_bytes, "rows": rows })
    }

    fn json_row(&self, r: &Map<String, Value>) -> Value {
        let mut row: Map<String, Value> = self
            .what
            .keys()
            .iter()
            .map(|k| (k.0.into(), key_json(r, k.0)))
            .collect();
        for name in [
            "bytes",
            "packets",
            "flows",
            "est_bytes",
            "est_packets",
            "sampled_packets",
        ] {
            row.insert(name.into(), r.get(name).cloned().unwrap_or(Value::Null));
        }
        row.insert(
            "bits_per_second".into(),
            json!(number(r, "est_bytes") * 8.0 / self.seconds),
        );
        let share = number(r, "est_bytes") / self.total_bytes.max(1.0);
        row.insert("share".into(), json!(share));
        let known = number(r, "sampling_known") != 0.0;
        row.insert("sampling_known".into(), json!(known));
        let error = known.then(|| error(r).unwrap_or(0.0));
        row.insert("relative_error".into(), json!(error));
        if let Some(used) = used(r, self.seconds) {
            row.insert("utilisation".into(), json!(used));
        }
        row.into()
    }
}

impl What {
    /// Columns that name a row, with their headings.
    fn keys(self) -> &'static [(&'static str, &'static str)] {
        match self {
            What::Apps => &[("app", "application"), ("app_proto", "protocol")],
            What::Classes => &[("qos_class", "class")],
            What::Interfaces => &[
                ("exporter", "exporter"),
                ("if_index", "ifIndex"),
                ("name", "interface"),
                ("direction", "direction"),
            ],
            What::Hosts => &[("address", "address")],
            What::Exporters => &[("exporter", "exporter")],
        }
    }

    fn name(self) -> &'static str {
        match self {
            What::Apps => "apps",
            What::Classes => "classes",
            What::Interfaces => "interfaces",
            What::Hosts => "hosts",
            What::Exporters => "exporters",
        }
    }
}

fn key_text(row: &Map<String, Value>, name: &str) -> String {
    if ["exporter", "address"].contains(&name) {
        address(row, name)
    } else {
        cell(row, name)
    }
}

fn key_json(row: &Map<String, Value>, name: &str) -> Value {
    match row.get(name) {
        Some(n @ Value::Number(_)) => n.clone(),
        _ => key_text(row, name).into(),
    }
}

/// `exact`, the error that sampling causes, or `?` where an exporter does not say whether it samples.
fn certainty(row: &Map<String, Value>) -> String {
    if number(row, "sampling_known") == 0.0 {
        return "?".into();
    }
    error(row).map_or("exact".into(), text::percent)
}

/// The relative error of an estimate; `None` where nothing was scaled.
fn error(row: &Map<String, Value>) -> Option<f64> {
    let sampled = number(row, "sampled_packets");
    (number(row, "est_packets") > number(row, "packets") && sampled > 0.0)
        .then(|| 1.96 / sampled.sqrt())
}

fn used(row: &Map<String, Value>, seconds: f64) -> Option<f64> {
    let speed = number(row, "speed");
    (speed > 0.0).then(|| number(row, "est_bytes") * 8.0 / seconds / speed)
}

const SUMS: &str = "sum(u.bytes) AS bytes, sum(u.packets) AS packets, sum(u.flows) AS flows, sum(u.est_bytes) AS est_bytes, \
                    sum(u.est_packets) AS est_packets, sum(u.sampled_packets) AS sampled_packets, min(u.sampling_known) AS sampling_known";

fn span_sql(what: What, since: u64, filter: &str) -> String {
    if what == What::Hosts {
        return format!(
            "SELECT dateDiff('second', min(received_at), now()) + 1 AS seconds, sum(f.bytes * f.sampling_interval) AS bytes \
             FROM flows AS f WHERE received_at >= now() - {since}{filter}"
        );
    }
    let table = table_of(what);
    // long flows reach back to before the collector ran, the ledger does not
    format!(
        "SELECT dateDiff('second', greatest(toStartOfMinute(now() - {since}), \
         (SELECT min(time) FROM ledger WHERE time >= toStartOfMinute(now() - {since}))), now()) AS seconds, sum(u.est_bytes) AS bytes FROM {table} AS u WHERE time >= toStartOfMinute(now() - {since}){filter}"
    )
}

fn ranking_sql(what: What, since: u64, limit: Limit, filter: &str) -> String {
    let from = format!("time >= toStartOfMinute(now() - {since}){filter}");
    let keys = match what {
        What::Apps => "app, app_proto",
        What::Classes => "qos_class",
        What::Exporters => "exporter",
        What::Interfaces => {
            return format!(
                "SELECT t.*, i.name AS name, i.speed AS speed FROM (SELECT exporter, if_index, direction, {SUMS} FROM usage_1m AS u \
                 WHERE {from} GROUP BY exporter, if_index, direction ORDER BY est_bytes DESC {limit}) AS t \
                 LEFT JOIN (SELECT exporter, if_index, name, speed FROM interfaces FINAL) AS i USING (exporter, if_index) \
                 ORDER BY est_bytes DESC"
            );
        }
        What::Hosts => {
            return format!(
                "SELECT address, sum(f.bytes) AS bytes, sum(f.packets) AS packets, count() AS flows, \
                 sum(f.bytes * f.sampling_interval) AS est_bytes, sum(f.packets * f.sampling_interval) AS est_packets, \
                 sum(f.packets) AS sampled_packets, min(f.sampling_source != 'unknown') AS sampling_known FROM flows AS f ARRAY JOIN [src_addr, dst_addr] AS address \
                 WHERE received_at >= now() - {since}{filter} GROUP BY address ORDER BY est_bytes DESC {limit}"
            );
        }
    };
    let table = table_of(what);
    format!(
        "SELECT {keys}, {SUMS} FROM {table} AS u WHERE {from} GROUP BY {keys} ORDER BY est_bytes DESC {limit}"
    )
}

/// Links carry what they carry; everything else counts each byte once.
fn table_of(what: What) -> &'static str {
    if what == What::Interfaces {
        "usage_1m"
    } else {
        "usage_once"
    }
}
