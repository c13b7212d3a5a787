//! What people were told of, and what the budget of a day held back.

use super::{AskArguments, flag};
use crate::assemble::query::{Bound, Reader, text as field};
use crate::cli::{say, text};
use crate::sink::schema::incidents;
use anyhow::Result;
use serde_json::{Map, Value};

/// By day and severity.
pub fn run(ask: &AskArguments) -> Result<()> {
    let (config, reader) = super::open(&ask.place)?;
    let last = [("last", Bound::Number(ask.last as f64))];
    let rows = reader.rows_with(incidents::BUDGET, &last)?;
    if ask.place.json {
        return say(serde_json::to_string_pretty(&rows)?);
    }
    if rows.is_empty() {
        return say("No incident of that time is in the store.");
    }
    let max = |severity: &str| {
        let all = config.notify.per_day_max.iter();
        let found = all.clone().find(|(l, _)| l.name() == severity);
        found.map_or("-".to_owned(), |(_, n)| n.to_string())
    };
    let line = |r: &Map<String, Value>| {
        let severity = field(r, "severity");
        let max = max(&severity);
        let [told, held, suppressed] = ["told", "held_back", "suppressed"].map(|k| field(r, k));
        vec![field(r, "day"), severity, told, max, held, suppressed]
    };
    let header = [
        "day, UTC",
        "severity",
        "told",
        "at most",
        "held back",
        "suppressed",
    ];
    say(text::table(&header, 2, rows.iter().map(line)))?;
    let held = rows.iter().any(|r| field(r, "held_back") != "0");
    match held {
        true => say("flowhouse detections list --held-back shows what was held back."),
        false => Ok(()),
    }
}

/// Says how many incidents would be in a list if the budget had not held them back.
pub fn remark(reader: &Reader, values: &[(&'static str, Bound)]) -> Result<()> {
    let held = values.iter().map(|(name, value)| match *name {
        "held" => (*name, flag(true)),
        _ => (*name, value.clone()),
    });
    let held: Vec<_> = held.collect();
    match reader.rows_with(incidents::LIST, &held)?.len() {
        0 => Ok(()),
        1 => say("1 more was held back by the budget of the day: --held-back shows it."),
        n => say(format!(
            "{n} more were held back by the budget of the day: --held-back shows them."
        )),
    }
}
