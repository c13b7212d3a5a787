//! `flowhouse exporters`: who exports, and how well: a report card with what to change on the router.
//!
//! Owns: the questions to the store (`sql`, `gather`), what a good template has (`layout`), what follows from all that
//! (`advise`), and the lines of configuration (`vendor`).
//! Never: asks an exporter anything, or changes one.

mod advise;
mod card;
mod gather;
mod layout;
mod sql;
mod terminal;
mod vendor;

use super::connection::ConnectionArguments;
use super::report::instant;
use crate::assemble::query::{Reader, number};
use crate::config::Config;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use vendor::Vendor;

/// Shows who exports, and how well: templates, missing elements, sampling, clock, time-outs, losses, and what to change.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportersArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All exporters, those with most rows first
    List(AskArguments),
    /// The report card of one exporter
    Show {
        /// Its address: that from which its datagrams come; of sFlow its agent address
        exporter: IpAddr,
        /// Print lines in this configuration language [default: told by the templates, where they do]
        #[arg(long, value_enum)]
        vendor: Option<Vendor>,
        #[command(flatten)]
        ask: AskArguments,
    },
}

#[derive(Debug, Args)]
struct AskArguments {
    /// How far back from --to the ledger is asked: 1h, 24h, 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::duration_seconds)]
    last: u64,
    /// See it as it was at this time, UTC: 2026-01-31T08:00 or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<i64>,
    /// JSON with the same data instead of text
    #[arg(long)]
    json: bool,
    /// Configuration, for where the store and the collector are
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "Examples:
  flowhouse exporters list
  flowhouse exporters show 192.0.2.1
  flowhouse exporters show 192.0.2.1 --vendor juniper --last 7d
  flowhouse exporters show 192.0.2.1 --json";

/// Most bytes of the running collector's list that are read.
const COLLECTOR_BYTES_MAX: u64 = 32 << 20;

/// Runs the subcommand.
///
/// # Errors
/// When the store cannot be asked or does not know the exporter.
pub fn run(arguments: &ExportersArguments) -> Result<()> {
    let (Action::List(ask) | Action::Show { ask, .. }) = &arguments.action;
    let config = super::load_config(ask.config.as_deref())?;
    let reader = Reader::new(&ask.connection.over(super::default_connection(&config)))?;
    let now = match ask.to {
        Some(to) => to,
        None => number(&reader.row("SELECT toUnixTimestamp(now()) AS now")?, "now") as i64,
    };
    let from = now.saturating_sub_unsigned(ask.last).max(0);
    // the minute that runs belongs to it
    let to = now + 60;
    let (exporter, vendor) = match arguments.action {
        Action::List(_) => {
            let mut rows = gather::list(&reader, from, to)?;
            if ask.to.is_none() {
                heard_since(&mut rows, &collectors(&config));
            }
            return match ask.json {
                true => super::say(serde_json::to_string_pretty(&rows)?),
                false if rows.is_empty() => super::say(NOBODY),
                false => super::say(terminal::list(&rows, now)),
            };
        }
        Action::Show {
            exporter, vendor, ..
        } => (exporter, vendor),
    };
    let question = gather::Question {
        exporter,
        from,
        to,
        now,
        vendor,
        // it knows of now alone
        collector: match ask.to {
            Some(_) => None,
            None => collector(&config, exporter),
        },
    };
    let card = gather::card(&reader, question)?;
    match ask.json {
        true => super::say(serde_json::to_string_pretty(&card)?),
        false => super::say(terminal::card(&card, now)),
    }
}

/// What a collector that runs on this machine says of an exporter. That none answers is no fault: the store has the rest.
fn collector(config: &Config, exporter: IpAddr) -> Option<Value> {
    let exporter = exporter.to_string();
    (collectors(config).into_iter()).find(|e| e["exporter"] == exporter.as_str())
}

/// What it says of all.
fn collectors(config: &Config) -> Vec<Value> {
    let page = super::health::page_of(config, "/exporters", COLLECTOR_BYTES_MAX);
    page.ok()
        .and_then(|p| serde_json::from_str(&p).ok())
        .unwrap_or_default()
}

/// The ledger has whole minutes and comes late; who hears an exporter knows better when that was last.
fn heard_since(rows: &mut [Value], collectors: &[Value]) {
    let exporter = |e: &Value| e["exporter"].as_str().unwrap_or_default().to_owned();
    let active = |e: &Value| Some((exporter(e), e["last_active_ms"].as_i64()? / 1000));
    let active: BTreeMap<String, i64> = collectors.iter().filter_map(active).collect();
    for row in rows {
        let told = row["heard"].as_f64().unwrap_or(0.0) as i64;
        if let Some(&at) = active.get(&exporter(row)).filter(|at| **at > told) {
            row["heard"] = at.into();
        }
    }
}

const NOBODY: &str = "Nobody has exported yet. Point a router at the collector's UDP 2055 (NetFlow), 4739 (IPFIX) or 6343 (sFlow), or try `flowhouse demo`.";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_list_knows_what_the_collector_heard() {
        let row = |e: &str, heard: i64| json!({"exporter": e, "heard": heard, "rows": 1});
        let mut rows = [
            row("192.0.2.1", 60),
            row("192.0.2.2", 180),
            row("192.0.2.3", 60),
        ];
        let at = |e: &str, ms: i64| json!({"exporter": e, "last_active_ms": ms});
        heard_since(
            &mut rows,
            &[at("192.0.2.1", 125_400), at("192.0.2.2", 9_000)],
        );
        let expected = [
            row("192.0.2.1", 125),
            row("192.0.2.2", 180),
            row("192.0.2.3", 60),
        ];
        assert_eq!(rows, expected);
    }
}
