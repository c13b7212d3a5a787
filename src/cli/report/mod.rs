//! `flowhouse report`: what links, classes and applications did over a period.
//!
//! Owns: the period, the questions to the store (`sql`, `gather`), the figures, the verdicts on them (`judge`), and their three
//! forms: for a terminal, as a page, as JSON. All three are made of the same [`figures::Report`].
//! Never: builds a query from text that is not ours; asks raw flows for more than an hour.

mod figures;
mod gather;
mod judge;
mod page;
mod period;
mod plot;
mod sections;
mod sql;
mod terminal;

use super::connection::ConnectionArguments;
use crate::assemble::query::{Reader, number};
use anyhow::{Context, Result};
use clap::Args;
use figures::Report;
use gather::Question;
use judge::Limits;
use period::Period;
pub(super) use period::{instant, stamp};
use sql::Scope;
use std::path::PathBuf;

/// Reports on links, QoS classes and applications over a period: utilisation, peaks, 95th percentile, busy hour; links that are
/// over-used and under-used; applications out of proportion or in the wrong class.
///
/// The 95th percentile is that of billing: of the 5-minute averages of a direction the highest 5 % are discarded, the highest of
/// the others counts, and of the two directions the higher one. Samples in which the exporter was not heard are left out. A link is
/// over-used when its 95th percentile reaches --over percent of its speed, under-used when it is below --under percent in
/// both directions. `+-` is the 95 % error that sampling causes (1.96 s + 1.92 s^2, s = sqrt(variance) / bytes); `?`: of 1 % of the bytes or more
/// no exporter says whether they were sampled, so the number may be too small. Times are UTC.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArguments {
    /// How far back from --to: 1h, 24h, 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::duration_seconds)]
    last: u64,
    /// Start, UTC: 2026-01-31, 2026-01-31T08:00 or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "last")]
    from: Option<i64>,
    /// End, UTC; default: now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<i64>,
    /// Only this exporter
    #[arg(long, value_name = "ADDRESS")]
    exporter: Option<std::net::IpAddr>,
    /// Only interfaces with this name, description or ifIndex
    #[arg(long, value_name = "NAME|INDEX")]
    interface: Option<String>,
    /// Over-used from this percentage of the speed on
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0, value_parser = percent)]
    over: f64,
    /// Under-used below this percentage of the speed
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    under: f64,
    /// Rows of each table on the terminal
    #[arg(long, value_name = "ROWS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Links with a plot
    #[arg(long, value_name = "LINKS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=200))]
    plots: u32,
    /// One JSON object with the same data instead of tables
    #[arg(long)]
    json: bool,
    /// Write a page with plots to this file: one file that needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Configuration, for where the store is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "Examples:
  flowhouse report
      the last 24 hours
  flowhouse report --last 30d --html report.html
      a month, as a page with plots
  flowhouse report --from 2026-01-01 --to 2026-02-01 --json
      the bill of January
  flowhouse report --exporter 192.0.2.1 --interface Gi0/0/3
      one link
  flowhouse report --last 7d --over 60 --under 5
      other limits";

/// Runs the subcommand.
///
/// # Errors
/// When the store cannot be asked or has nothing to tell, and when the page cannot be written.
pub fn run(arguments: &ReportArguments) -> Result<()> {
    let config = super::load_config(arguments.config.as_deref())?;
    let connection = arguments
        .connection
        .over(super::default_connection(&config));
    let reader = Reader::new(&connection)?;
    let now = number(&reader.row("SELECT toUnixTimestamp(now()) AS now")?, "now") as i64;
    let question = Question {
        period: Period::new(arguments.last, arguments.from, arguments.to, now)?,
        scope: Scope {
            exporter: arguments.exporter,
            interface: arguments.interface.clone(),
        },
        limits: Limits {
            over_percent: arguments.over,
            under_percent: arguments.under,
        },
        plots: arguments.plots as usize,
    };
    let report = gather::gather(&reader, &question)?;
    if let Some(file) = &arguments.html {
        std::fs::write(file, page::page(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("wrote {}", file.display());
    }
    match (arguments.json, &arguments.html) {
        (true, _) => super::say(serde_json::to_string_pretty(&report)?),
        (false, None) => super::say(terminal::text(&report, arguments.limit as usize)),
        (false, Some(_)) => Ok(()),
    }
}

/// A percentage above 0 up to 100.
fn percent(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.trim_end_matches('%').parse().ok();
    value
        .filter(|p| *p > 0.0 && *p <= 100.0)
        .ok_or_else(|| format!("`{text}` is no percentage above 0 and up to 100"))
}

/// How the numbers were made; the last words of each form.
const METHOD: &[&str] = &[
    "Bytes are layer 3 and booked to the minutes in which they flowed; what a link carried is the sum of its direction, wherever it was metered.",
    "The 95th percentile is that of billing: of the N 5-minute averages in which the exporter was heard, the highest N/20 (cut to a whole number) are discarded, and the highest of the others counts; of the two directions the higher one. A sample without traffic is 0.",
    "The busy hour is the clock hour (UTC) that carried most.",
    "Totals, applications and misplaced classes count each byte once for an exporter: on its ingress side. Several exporters on one path are several observation points.",
    "+- is the 95 % error that sampling causes: 1.96 s + 1.92 s^2, s = sqrt(variance) / bytes. `clear` means that a verdict holds at both ends of it. `?`: of 1 % of the bytes or more no exporter says whether they were sampled, so the number may be too small.",
    "An application is out of proportion on a side of a link of which it takes at least 10 % of the bytes when that is at least 3 times the median of its shares over all sides (of 4 or more; above-median), at least 10 times its share of the flows (few-flows), or when the catalogue calls it leisure.",
    "A class is used above its budget in a sample whose average is higher than the budget of the interface's policy.",
];

fn share_of(report: &Report, samples: u64) -> f64 {
    samples as f64 / report.samples.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_bounds() {
        assert_eq!((percent("80"), percent("5%")), (Ok(80.0), Ok(5.0)));
        assert!(percent("0").is_err() && percent("101").is_err() && percent("x").is_err());
    }
}
