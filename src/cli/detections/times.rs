//! How long things take.

use super::AskArguments;
use crate::assemble::query::{Bound, number, text as field};
use crate::cli::{say, text};
use crate::sink::schema::incidents;
use anyhow::Result;
use serde_json::{Map, Value};

/// Until an incident is known, looked at, and over, by severity.
pub fn run(ask: &AskArguments) -> Result<()> {
    let (_, reader) = super::open(&ask.place)?;
    let last = ("last", Bound::Number(ask.last as f64));
    let rows = reader.rows_with(incidents::TIMES, &[last])?;
    if ask.place.json {
        return say(serde_json::to_string_pretty(&rows)?);
    }
    let seconds = |r: &Map<String, Value>, key: &str| match &r[key] {
        Value::Null => "-".into(),
        _ => text::seconds(number(r, key)),
    };
    let line = |r: &Map<String, Value>| {
        let counts = ["incidents", "seen", "ended"].map(|k| field(r, k));
        let times = ["mttd_s", "mtta_s", "mttr_s"].map(|k| seconds(r, k));
        [vec![field(r, "severity")], counts.into(), times.into()].concat()
    };
    let header = [
        "severity",
        "incidents",
        "looked at",
        "ended",
        "to know",
        "to look",
        "to end",
    ];
    say(text::table(&header, 1, rows.iter().map(line)))
}
