//! Suppressions, for people: what one would have hidden, those of the configuration, and one to begin with.

use super::super::{say, text};
use super::{AskArguments, WouldHideArguments, field, flag, open, severity, show, table};
use crate::assemble::query::{Bound, Reader, Rows, number};
use crate::detect::suppression::{self, Facts, Rule};
use crate::model::{Addr, Severity};
use crate::sink::schema::incidents;
use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The suppression that would keep what is harmless from people, ready for the configuration, and how to see what it would hide.
pub(super) fn propose(reader: &Reader, incident: &Value, why: &str) -> Result<()> {
    let rule = show::rule(incident);
    let until = reader.row("SELECT toString(toDate(now()) + 90) AS until")?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = rule
        .split_whitespace()
        .filter_map(|part| part.split_once('='))
        .map(|(_, value)| value.chars().map(plain).collect::<String>())
        .collect::<Vec<_>>()
        .join("-");
    let name: String = name.chars().take(NAME_MAX).collect();
    let why = if why.is_empty() { "?" } else { why };
    let quoted = |text: &str| toml::Value::from(text::printable(text)).to_string();
    say(format!(
        "What it would have hidden: flowhouse detections would-hide '{rule}'\nA suppression of it:\n\n[[suppressions]]\nname = {}\nrule = {}\nwhy = {}\nuntil = {}",
        quoted(&name),
        quoted(&rule),
        quoted(why),
        quoted(&field(&until, "until"))
    ))
}

/// Which stored incidents a rule would have hidden.
pub(super) fn would_hide(w: &WouldHideArguments) -> Result<()> {
    let (config, reader) = open(&w.place)?;
    let named = config.suppressions.iter().find(|s| s.name == w.rule);
    if named.is_none() && !w.rule.contains('=') {
        bail!("{}", no_such(&w.rule, &config.suppressions));
    }
    let rule = named.map_or(w.rule.as_str(), |s| s.rule.as_str());
    let parsed = Rule::parse(rule).map_err(|fault| anyhow::anyhow!("the rule: {fault}"))?;
    let values = all_of(w.last);
    let rows = reader.rows_with(incidents::LIST, &values)?;
    let hides = |r: &&Map<String, Value>| parsed.hides(&facts(r));
    let hidden = rows.iter().filter(hides);
    let chains: BTreeSet<String> = hidden.map(|r| field(r, "id")).collect();
    // what hides a chain hides its steps
    let hidden: Rows = rows
        .iter()
        .filter(|r| hides(r) || chains.contains(&field(r, "part_of")))
        .cloned()
        .collect();
    let confirmed: BTreeSet<String> = reader
        .rows(incidents::CONFIRMED)?
        .iter()
        .map(|r| field(r, "id"))
        .collect();
    let lost = (hidden.iter())
        .filter(|r| confirmed.contains(&field(r, "id")))
        .count();
    if w.place.json {
        let all: Vec<Value> = hidden.iter().map(incidents::incident).collect();
        return say(serde_json::to_string_pretty(&json!({
            "rule": rule, "of": rows.len(), "hidden": all, "confirmed": lost,
        }))?);
    }
    if !hidden.is_empty() {
        say(table(&hidden))?;
    }
    say(format!(
        "`{rule}` would have hidden {} of {} incidents, of which {lost} were true ones.",
        hidden.len(),
        rows.len()
    ))
}

/// Says which suppressions there are.
fn no_such(name: &str, all: &[suppression::Settings]) -> String {
    let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
    let there = match names.is_empty() {
        true => "the configuration has none".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    format!(
        "no such suppression: {name:?}; {there}; a rule is written as `kind=port_scan entity=10.1.2.3`"
    )
}

/// Every incident of the last seconds.
fn all_of(last: u64) -> [(&'static str, Bound); 9] {
    [
        ("last", Bound::Number(last as f64)),
        ("open", flag(false)),
        ("hidden", flag(true)),
        ("held", flag(false)),
        ("states", Bound::Texts(vec![])),
        ("kinds", Bound::Texts(vec![])),
        ("severity", Bound::Number(0.0)),
        ("network", Bound::Text(String::new())),
        ("rows", Bound::Number(f64::from(incidents::LISTED_MAX))),
    ]
}

/// What a stored incident says to a rule.
fn facts(row: &Map<String, Value>) -> Facts {
    let addresses = |text: &str| -> Vec<Addr> {
        let parts = text
            .split(" -> ")
            .map(|p| p.split(['/', ' ']).next().unwrap_or(p));
        parts
            .filter_map(|p| p.parse::<std::net::IpAddr>().ok())
            .map(Addr::from)
            .collect()
    };
    let peers = row
        .get("peers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Facts {
        kind: field(row, "kind"),
        detector: field(row, "detector"),
        sid: number(row, "sid") as u32,
        severity: severity(&field(row, "severity")).unwrap_or(Severity::Critical),
        entity: addresses(&field(row, "entity")),
        peers: peers
            .filter_map(Value::as_str)
            .flat_map(addresses)
            .collect(),
    }
}

/// The suppressions of the configuration.
pub(super) fn list(ask: &AskArguments) -> Result<()> {
    let (config, reader) = open(&ask.place)?;
    let now = number(
        &reader.row("SELECT toUnixTimestamp64Milli(now64(3)) AS now")?,
        "now",
    );
    let hit = reader.rows_with(
        "SELECT hidden_by AS name, count() AS hits, toUnixTimestamp64Milli(max(last_at)) AS last_ms FROM incidents
        WHERE hidden_by != '' AND updated_at >= now64(3) - toIntervalSecond({last:UInt64}) GROUP BY name ORDER BY name",
        &[("last", Bound::Number(ask.last as f64))],
    )?;
    let of = |name: &str, what: &str| {
        let row = hit.iter().find(|r| field(r, "name") == name);
        row.map_or(0.0, |r| number(r, what))
    };
    let all: Vec<Value> = config
        .suppressions
        .iter()
        .map(|s| {
            let over = now >= s.until_ms() as f64;
            json!({"name": s.name, "rule": s.rule, "why": s.why, "until": s.until, "expired": over,
                "hits": of(&s.name, "hits") as u64, "last_ms": of(&s.name, "last_ms") as i64})
        })
        .collect();
    if ask.place.json {
        return say(serde_json::to_string_pretty(&all)?);
    }
    if all.is_empty() {
        return say("The configuration has no [[suppressions]].");
    }
    let line = |s: &Value| {
        let over = if s["expired"] == true {
            " (expired)"
        } else {
            ""
        };
        let of = |key| show::of(s, key);
        vec![
            of("name"),
            of("until") + over,
            of("rule"),
            of("why"),
            of("hits"),
        ]
    };
    let header = ["name", "until", "rule", "why", "hidden"];
    say(text::table(&header, 4, all.iter().map(line)))
}

/// Longest name that is proposed for a suppression.
const NAME_MAX: usize = 60;
