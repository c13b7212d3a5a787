//! The section of `top interfaces` on flows that are not what the interface counted itself.

use super::text;
use crate::assemble::query::{Reader, Rows, address, number, text as cell};
use crate::sink::schema::reconciliation_summary;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Sides of interfaces whose flows and counters differ, the busiest first. Those without any flow are left out: most ports of most
/// exporters are not metered, and nobody expects it.
///
/// # Errors
/// When the store cannot be asked.
pub fn ask(reader: &Reader, since: u64, limit: u32, exporter: Option<IpAddr>) -> Result<Rows> {
    let all = reconciliation_summary(&format!("now() - {since}"), "now()");
    let only = exporter.map_or(String::new(), |e| format!(" AND exporter = toIPv6('{e}')"));
    reader.rows(&format!(
        "SELECT * FROM ({all}) WHERE diagnosis NOT IN ('agrees', 'idle', 'no_flows'){only} LIMIT {limit}"
    ))
}

/// The section as text; empty where all agree, or nothing counts.
pub fn section(rows: &Rows) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        "exporter",
        "interface",
        "direction",
        "diagnosis",
        "counted",
        "by flows",
        "ratio",
    ];
    let lines = rows.iter().map(|r| {
        vec![
            address(r, "exporter"),
            name(r),
            cell(r, "direction"),
            cell(r, "diagnosis"),
            text::bytes(number(r, "counted_bytes")),
            text::bytes(number(r, "flow_bytes")),
            match r.get("ratio") {
                Some(Value::Null) | None => "-".into(),
                _ => format!("{:.3}", number(r, "ratio")),
            },
        ]
    });
    let mut out = format!(
        "\nInterfaces that counted something else themselves (SNMP, sFlow):\n{}",
        text::table(&header, 4, lines)
    );
    let mut said: Vec<(String, String)> = vec![];
    for r in rows {
        let pair = (cell(r, "diagnosis"), cell(r, "explanation"));
        if !said.iter().any(|s| s.0 == pair.0) {
            said.push(pair);
        }
    }
    for (diagnosis, explanation) in said {
        out += &format!("\n{diagnosis}: {explanation}");
    }
    out
}

/// The rows for programs.
pub fn json(rows: &Rows) -> Value {
    let row = |r: &Map<String, Value>| {
        let mut r = r.clone();
        r.insert("exporter".into(), json!(address(&r, "exporter")));
        Value::Object(r)
    };
    rows.iter().map(row).collect()
}

fn name(row: &Map<String, Value>) -> String {
    match cell(row, "if_name") {
        name if name.is_empty() => cell(row, "if_index"),
        name => name,
    }
}
