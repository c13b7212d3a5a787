//! A report card, as data: the terminal and the JSON show the same.

use super::vendor::{Topic, Vendor};
use serde::Serialize;
use serde_json::Value;

/// What is known of an exporter. Times are seconds since 1970 UTC, shares fractions of 1.
#[derive(Debug, Default, Serialize)]
pub struct Card {
    /// Exporter.
    pub exporter: String,
    /// First second of the period that the ledger was asked about.
    pub from: i64,
    /// First second after it.
    pub to: i64,
    /// Protocols, domains and source addresses.
    pub origins: Vec<OriginSeen>,
    /// First minute of the period in which it was heard.
    pub first_heard: Option<i64>,
    /// Last one.
    pub last_heard: Option<i64>,
    /// What a collector that runs on this machine says of it now; counters are since that started.
    pub collector: Option<Value>,
    /// Templates, those learned last first.
    pub templates: Vec<Template>,
    /// Rows that were looked at: of one hour, at most a million.
    pub rows: u64,
    /// When the last of them came.
    pub latest: Option<i64>,
    /// Fields that a good template would have, and how many of the rows do.
    pub fields: Vec<FieldSeen>,
    /// Where sampling intervals come from.
    pub sampling: Vec<SamplingSeen>,
    /// How far the clock is off.
    pub clock: Option<ClockSeen>,
    /// How long flows live.
    pub lives: Option<Lives>,
    /// Interfaces that flows or options data named.
    pub interfaces: u64,
    /// Those with a name.
    pub interfaces_named: u64,
    /// Those with a speed.
    pub interfaces_fast: u64,
    /// Application names that it told.
    pub applications: u64,
    /// Counters of the ledger in the period.
    pub ledger: serde_json::Map<String, Value>,
    /// What is special about its rows.
    pub quirks: Vec<Quirk>,
    /// What is wrong or could be better, the worst first.
    pub findings: Vec<Finding>,
    /// Whose configuration language the lines are in.
    pub vendor: Option<Vendor>,
    /// Whether that was concluded from enterprise elements.
    pub vendor_guessed: bool,
    /// What to write into its configuration.
    pub configuration: Vec<Lines>,
}

impl Card {
    /// Whether it speaks sFlow and nothing else.
    pub fn is_sflow(&self) -> bool {
        !self.origins.is_empty() && self.origins.iter().all(|o| o.origin == "sflow")
    }
}

/// A way in which it exports.
#[derive(Debug, Serialize)]
pub struct OriginSeen {
    /// Protocol.
    pub origin: String,
    /// Observation domain.
    pub domain: u32,
    /// UDP source address.
    pub source: String,
    /// When that was seen first, or again after a restart of the collector.
    pub since: i64,
}

/// A template.
#[derive(Debug, Serialize)]
pub struct Template {
    /// Template id.
    pub id: u16,
    /// UDP source port of its session.
    pub port: u16,
    /// 9 or 10.
    pub version: u8,
    /// Observation domain.
    pub domain: u32,
    /// Whether it describes options data.
    pub options: bool,
    /// Whether a compiled plan decodes it.
    pub planned: bool,
    /// When this layout was learned.
    pub learned: i64,
    /// Since then, seconds.
    pub age_seconds: i64,
    /// Its elements, by the names of our columns where there is one.
    pub elements: Vec<String>,
    /// What a good template would have and this one has not.
    pub missing: Vec<&'static str>,
}

/// A field that a good template has.
#[derive(Debug, Serialize)]
pub struct FieldSeen {
    /// What it is.
    pub field: &'static str,
    /// Its information elements.
    pub elements: &'static str,
    /// Share of the rows that have it.
    pub share: f64,
    /// How much it matters.
    pub weight: Weight,
    /// What it costs not to have it.
    pub cost: &'static str,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Numbers are wrong or missing.
    Fault,
    /// Numbers are worse than they could be.
    Warning,
    /// Worth knowing.
    Hint,
}

/// A source of sampling intervals.
#[derive(Debug, Serialize)]
pub struct SamplingSeen {
    /// `record`, `options`, `header`, `config` or `unknown`.
    pub source: String,
    /// 1 in N.
    pub interval: u64,
    /// Share of the rows.
    pub share: f64,
}

/// The clock in its headers; seconds by which the collector's is ahead, the way of the datagram included.
#[derive(Debug, Serialize)]
pub struct ClockSeen {
    /// 5 % are below.
    pub p5: f64,
    /// Half are below.
    pub median: f64,
    /// 95 % are below.
    pub p95: f64,
}

/// Lives of flows.
#[derive(Debug, Default, Serialize)]
pub struct Lives {
    /// How many are below each limit, and not below the one before, seconds; the last one has no limit.
    pub histogram: Vec<(Option<u32>, u64)>,
    /// Longest, seconds.
    pub longest: f64,
    /// Flows that ended by active time-out, as they say (element 136).
    pub timed_out: u64,
    /// The active time-out as it looks, seconds.
    pub active_timeout: Option<f64>,
    /// From what that was concluded: `end-reason` or `pile`.
    pub concluded_from: Option<&'static str>,
}

/// Something special about its data.
#[derive(Debug, Serialize)]
pub struct Quirk {
    /// The flag of rows, or the outcome in the ledger.
    pub name: String,
    /// How often.
    pub count: u64,
    /// What it means.
    pub meaning: String,
}

/// Something to change.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How bad.
    pub weight: Weight,
    /// What was found.
    pub what: String,
    /// What it does to the numbers.
    pub why: String,
    /// What to do.
    pub cure: String,
    /// What of the configuration it is about.
    pub topic: Option<Topic>,
}

/// Lines of a configuration.
#[derive(Debug, Serialize)]
pub struct Lines {
    /// What they are about.
    pub topic: Topic,
    /// The lines.
    pub lines: &'static str,
}
