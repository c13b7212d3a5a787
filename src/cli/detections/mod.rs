//! `flowhouse detections`: incidents, why somebody was told, and what became of them.
//!
//! Owns: the questions to the store for people (`show`), the steps of a life, what a suppression would hide.
//! Never: finds anything: detectors do.

mod budget;
mod pcap;
mod show;
mod suppressing;
mod times;

use super::connection::ConnectionArguments;
use super::text;
use crate::assemble::query::{Bound, Reader, Rows, number, text as field};
use crate::config::Config;
use crate::model::{DetectionKind, Severity};
use crate::sink::schema::incidents;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Shows what was found in the traffic and why, and keeps what people made of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DetectionsArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Incidents, those first that ask for somebody: open ones, by severity
    List(ListArguments),
    /// One incident: figures and thresholds, what is usual, flows, what would silence it, and the SQL to go on with
    Show(OneArguments),
    /// The packets of a detection of a rule, from where the collector keeps them: a capture file
    Pcap(pcap::PcapArguments),
    /// What became of an incident, step by step
    History(OneArguments),
    /// Somebody looks at it
    Ack(ChangeArguments),
    /// It is what it looks like, and nothing bad; ends it
    Benign(ChangeArguments),
    /// It is not what it looks like; ends it
    False(ChangeArguments),
    /// It is one, and work goes on
    True(ChangeArguments),
    /// Somebody else has to look at it
    Escalate(ChangeArguments),
    /// It is over
    Close(ChangeArguments),
    /// It is new again
    Reopen(ChangeArguments),
    /// Which stored incidents a suppression would have hidden; RULE, or the name of one of the configuration
    WouldHide(WouldHideArguments),
    /// The suppressions of the configuration: what each has hidden, and until when
    Suppressions(AskArguments),
    /// What people were told of each day, and what the budget of the day held back
    Budget(AskArguments),
    /// How long it takes to know, to look, and to end, by severity
    Times(AskArguments),
}

#[derive(Debug, Args)]
struct AskArguments {
    /// How far back: 1h, 7d, 90d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = super::duration_seconds)]
    last: u64,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Args)]
struct PlaceArguments {
    /// JSON with the same data instead of text
    #[arg(long)]
    json: bool,
    /// Configuration, for where the store is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Those that have ended, too
    #[arg(long)]
    all: bool,
    /// Those that suppressions keep from people, too
    #[arg(long)]
    hidden: bool,
    /// Only those that the budget of a day held back
    #[arg(long)]
    held_back: bool,
    /// Only in this state; may be given several times
    #[arg(long, value_name = "STATE", value_parser = incidents::STATES)]
    state: Vec<String>,
    /// Only of this severity and higher
    #[arg(long, value_name = "SEVERITY", value_parser = severity, default_value = "low")]
    severity: Severity,
    /// Only of these kinds: with commas between, or given several times
    #[arg(long, value_name = "KIND", value_parser = kind, value_delimiter = ',')]
    kind: Vec<DetectionKind>,
    /// Only about, or with, this address or network
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    entity: Option<String>,
    /// Incidents to show
    #[arg(long, value_name = "ROWS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    ask: AskArguments,
}

#[derive(Debug, Args)]
struct OneArguments {
    /// Its id, or the digits with which that begins
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Args)]
struct ChangeArguments {
    /// Ids, or the digits with which they begin
    #[arg(required = true, value_name = "ID", value_parser = id)]
    ids: Vec<String>,
    /// Why, for those who come later
    #[arg(long, value_name = "TEXT", value_parser = said)]
    why: Option<String>,
    /// Who says so [default: the account]
    #[arg(long, value_name = "NAME", value_parser = said)]
    who: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Args)]
struct WouldHideArguments {
    /// `KEY=VALUE[,VALUE...]` with spaces between; keys: kind, detector, sid, severity, entity, peer
    #[arg(value_name = "RULE")]
    rule: String,
    /// How far back: 1h, 7d, 90d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = super::duration_seconds)]
    last: u64,
    #[command(flatten)]
    place: PlaceArguments,
}

const EXAMPLES: &str = "Examples:
  flowhouse detections list
  flowhouse detections list --severity high --entity 10.1.0.0/16 --last 1d
  flowhouse detections show 3fa9
  flowhouse detections pcap 3fa9 -c /etc/flowhouse/flowhouse.toml -o 3fa9.pcap
  flowhouse detections ack 3fa9 --why 'looking at the host'
  flowhouse detections benign 3fa9 --why 'scanner of the security team, ticket 4711'
  flowhouse detections would-hide 'kind=port_scan entity=10.1.2.3'
  flowhouse detections budget --last 30d
  flowhouse detections times --last 30d";

/// Runs the subcommand.
///
/// # Errors
/// When the store cannot be asked, and when it knows no such incident.
pub fn run(arguments: &DetectionsArguments) -> Result<()> {
    match &arguments.action {
        Action::List(list) => self::list(list),
        Action::Show(one) => {
            let (config, reader) = open(&one.place)?;
            let mut incident = find(&reader, &one.id)?;
            let link = |url: &String| crate::notify::link(url, &incident);
            if let Some(link) = config.notify.grafana_url.as_ref().and_then(link) {
                incident["link"] = link.into();
            }
            match one.place.json {
                true => super::say(serde_json::to_string_pretty(&incident)?),
                false => super::say(show::text(&incident, &show::flows(&reader, &incident))),
            }
        }
        Action::Pcap(p) => pcap::run(p),
        Action::History(one) => history(one),
        Action::Ack(c) => change(c, "acknowledged"),
        Action::Benign(c) => change(c, "benign"),
        Action::False(c) => change(c, "false"),
        Action::True(c) => change(c, "true"),
        Action::Escalate(c) => change(c, "escalated"),
        Action::Close(c) => change(c, "closed"),
        Action::Reopen(c) => change(c, "new"),
        Action::WouldHide(w) => suppressing::would_hide(w),
        Action::Suppressions(ask) => suppressing::list(ask),
        Action::Budget(ask) => budget::run(ask),
        Action::Times(ask) => times::run(ask),
    }
}

fn open(place: &PlaceArguments) -> Result<(Config, Reader)> {
    let config = super::load_config(place.config.as_deref())?;
    let connection = place.connection.over(super::default_connection(&config));
    Ok((config, Reader::new(&connection)?))
}

fn list(list: &ListArguments) -> Result<()> {
    let (_, reader) = open(&list.ask.place)?;
    let values = [
        ("last", Bound::Number(list.ask.last as f64)),
        ("open", flag(!list.all && list.state.is_empty())),
        ("hidden", flag(list.hidden)),
        ("held", flag(list.held_back)),
        ("states", Bound::Texts(list.state.clone())),
        (
            "kinds",
            Bound::Texts(list.kind.iter().map(|k| k.name().to_owned()).collect()),
        ),
        ("severity", Bound::Number(f64::from(list.severity as u8))),
        (
            "network",
            Bound::Text(list.entity.clone().unwrap_or_default()),
        ),
        ("rows", Bound::Number(f64::from(list.limit))),
    ];
    let rows = reader.rows_with(incidents::LIST, &values)?;
    if list.ask.place.json {
        let all: Vec<Value> = rows.iter().map(incidents::incident).collect();
        return super::say(serde_json::to_string_pretty(&all)?);
    }
    match rows.is_empty() {
        true => super::say(
            "No incident fits (--all shows those that have ended, --hidden those that are suppressed).",
        )?,
        false => super::say(table(&rows))?,
    }
    match list.held_back || list.hidden {
        true => Ok(()),
        false => budget::remark(&reader, &values),
    }
}

fn table(rows: &Rows) -> String {
    let line = |r: &Map<String, Value>| {
        let grew = if number(r, "grew_since") > 0.0 {
            " (grew since)"
        } else {
            ""
        };
        vec![
            field(r, "id"),
            field(r, "severity"),
            field(r, "confidence") + " %",
            field(r, "state") + grew,
            field(r, "kind"),
            field(r, "entity"),
            show::instant(number(r, "last_ms")),
            field(r, "title"),
            field(r, "count"),
        ]
    };
    let header = [
        "id",
        "severity",
        "sure",
        "state",
        "kind",
        "about",
        "last seen, UTC",
        "what",
        "count",
    ];
    text::table(&header, 8, rows.iter().map(line))
}

/// The one incident whose id begins so, in the form of `detections.ndjson` with its life.
fn find(reader: &Reader, id: &str) -> Result<Value> {
    let rows = reader.rows_with(incidents::ONE, &[("id", Bound::Text(id.to_owned()))])?;
    match &rows[..] {
        [row] => Ok(incidents::incident(row)),
        [] => bail!(
            "the store knows no incident {id}: `flowhouse detections list --all --hidden --last 90d` shows them"
        ),
        _ => bail!("more than one incident begins with {id}: give more of its digits"),
    }
}

fn history(one: &OneArguments) -> Result<()> {
    let (_, reader) = open(&one.place)?;
    let incident = find(&reader, &one.id)?;
    let id = show::of(&incident, "id");
    let rows = reader.rows_with(incidents::HISTORY, &[("id", Bound::Text(id))])?;
    if one.place.json {
        return super::say(serde_json::to_string_pretty(&rows)?);
    }
    let line = |r: &Map<String, Value>| {
        let said = match field(r, "who") {
            who if who.is_empty() => format!("{}, {} in all", field(r, "why"), field(r, "count")),
            _ => field(r, "why"),
        };
        let at = show::instant(number(r, "at_ms"));
        vec![at, field(r, "what"), field(r, "who"), field(r, "via"), said]
    };
    let header = ["at, UTC", "what", "who", "by", "why"];
    super::say(text::table(&header, 5, rows.iter().map(line)))
}

fn change(change: &ChangeArguments, state: &str) -> Result<()> {
    let (_, reader) = open(&change.place)?;
    let who = match &change.who {
        Some(who) => who.clone(),
        None => account(),
    };
    // nothing is changed unless all are known
    let found = change.ids.iter().map(|id| find(&reader, id));
    let found = found.collect::<Result<Vec<_>>>()?;
    let refused = |i: &Value| incidents::refusal(&show::of(i, "id"), &show::of(i, "state"), state);
    let refused: Vec<String> = found.iter().filter_map(refused).collect();
    if !refused.is_empty() {
        bail!("{}", refused.join("\n"));
    }
    let why = change.why.clone().unwrap_or_default();
    let is_said = |i: &&Value| incidents::is_said(i, (state, &who, &why));
    for incident in found.iter().filter(|i| !is_said(i)) {
        let values = [
            ("id", show::of(incident, "id")),
            ("state", state.to_owned()),
            ("who", who.clone()),
            ("why", why.clone()),
            ("via", "cli".to_owned()),
        ];
        let values = values.map(|(name, value)| (name, Bound::Text(value)));
        reader.run_with(incidents::CHANGE, &values)?;
    }
    if change.place.json {
        let all: Vec<Value> = found
            .iter()
            .map(|i| json!({"id": i["id"], "was": i["state"], "state": state, "who": who, "why": why}))
            .collect();
        return super::say(serde_json::to_string_pretty(&all)?);
    }
    for i in &found {
        let [id, was, title] = ["id", "state", "title"].map(|k| show::of(i, k));
        let step = match is_said(&i) {
            true => format!("is {state} already"),
            false => format!("{was} -> {state}"),
        };
        super::say(format!("{id} {step} ({who}): {}", text::printable(&title)))?;
    }
    if state == "benign" {
        suppressing::propose(&reader, &found[0], &why)?;
    }
    Ok(())
}

/// Who is at the keyboard, also behind sudo.
fn account() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let known = names.filter_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
    known
        .into_iter()
        .next()
        .unwrap_or_else(|| format!("uid {}", nix::unistd::getuid()))
}

fn flag(is: bool) -> Bound {
    Bound::Number(f64::from(u8::from(is)))
}

fn severity(text: &str) -> Result<Severity, String> {
    let found = Severity::ALL.iter().find(|s| s.name() == text);
    found
        .copied()
        .ok_or_else(|| "write low, medium, high or critical".into())
}

fn kind(text: &str) -> Result<DetectionKind, String> {
    let found = DetectionKind::ALL.iter().find(|k| k.name() == text);
    let names = || {
        DetectionKind::ALL
            .iter()
            .map(|k| k.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    found
        .copied()
        .ok_or_else(|| format!("write one of {}", names()))
}

/// An address or a network as the store compares it.
fn network(text: &str) -> Result<String, String> {
    let fault = || format!("`{text}` is no address and no network");
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let ip: std::net::IpAddr = address.parse().map_err(|_| fault())?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match text.contains('/') {
        true => bits.parse::<u8>().map_err(|_| fault())?,
        false => width,
    };
    match bits <= width {
        true => Ok(format!("{ip}/{bits}")),
        false => Err(fault()),
    }
}

/// A name or a reason.
fn said(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("it says nothing".into()),
        false => Ok(text.to_owned()),
    }
}

/// Digits of an id.
fn id(text: &str) -> Result<String, String> {
    incidents::digits(text).ok_or_else(|| "an id has up to 16 digits 0 to 9 and a to f".into())
}
