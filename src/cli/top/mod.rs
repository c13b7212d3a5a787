//! `flowhouse top`: who and what uses the bandwidth.
//!
//! Owns: the language of `--where`, the choice between rollups and raw flows, the table on the terminal. Never: text of a
//! user inside SQL: every value is a bound parameter. Why: one question with one answer, whether it is printed, redrawn or
//! read by a program.

mod answer;
mod coverage;
mod empty;
mod field;
mod filter;
mod question;
mod screen;

use super::connection::ConnectionArguments;
use super::reconciled;
use crate::assemble::query::{Reader, Rows, number};
use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};

use coverage::Known;

pub use answer::Answer;
pub use question::{Limit, Question, Time};

/// Shows what uses the bandwidth, read from ClickHouse.
///
/// Rates are averages over the time that the collector was there for (what flows carried before it counts as bytes alone), estimated from sampled counters where exporters sample; `+-` is the 95 %
/// error that sampling alone causes (1.96 s + 1.92 s^2, s = sqrt(variance) / bytes), `?` behind the share of which an exporter does not say whether it samples. Each byte counts once for an exporter, where it comes in, whatever `enrich.observation_points` says (the view `usage_once` goes by that), and once more for each exporter on its way; `interfaces` shows
/// both sides of every link, and a condition on a direction, or on the interfaces that are meant (`if`, `interface`, `role`), counts the sides that fit it. `course` is the bandwidth over the time range, the largest value of the line full.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse top apps --last 1h\n  flowhouse top interfaces --last 10m --limit 5 --watch\n  \
                  flowhouse top classes --exporter 192.0.2.1 --json\n  \
                  flowhouse top hosts --where 'app = microsoft-teams and dscp = ef and src in 10.0.0.0/8'\n  \
                  flowhouse top apps --from 2026-11-20T08:00 --to 2026-11-20T18:00 --where 'site = berlin'\n\n\
                  Fields of --where:\n  app, app_proto, category, relevance, class, dscp, exporter, if, interface, direction, role,\n  \
                  site, tenant, host, src, dst, port, src_port, dst_port, proto, in_if, out_if, as, src_as,\n  \
                  dst_as, net, src_net, dst_net, country, vlan; of named networks src_site, src_tenant,\n  \
                  src_role, src_zone and the same with dst_ (site, tenant and role alone are the interface's)\n\
                  Comparisons:\n  = != < <= > >= in, not in, ~ and !~ (regular expressions); joined by and, or, not, brackets\n\n\
                  Fields that no rollup has (host or port with apps, ...) make it read raw flows; the answer says so."
)]
pub struct TopArguments {
    /// What to rank.
    #[arg(value_enum)]
    pub what: What,
    /// How far back: 30s, 10m, 1h, 7d.
    #[arg(long, visible_alias = "last", value_name = "TIME", default_value = "1h", value_parser = super::duration_seconds)]
    pub since: u64,
    /// From this time on, as 2026-11-20T08:00 (UTC), 2026-11-20T08:00:00+02:00 or seconds since 1970.
    #[arg(long, value_name = "WHEN", conflicts_with = "since")]
    pub from: Option<String>,
    /// Up to this time [default: now]
    #[arg(long, value_name = "WHEN", requires = "from")]
    pub to: Option<String>,
    /// Rows to show.
    #[arg(long, value_name = "ROWS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Only this exporter.
    #[arg(long, value_name = "ADDRESS")]
    pub exporter: Option<std::net::IpAddr>,
    /// Only what fits, as 'app = dns and not class = voice'.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
    /// Asks again every so many seconds and shows the answer in place, on a terminal; Ctrl-C ends it.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub watch: Option<u64>,
    /// One JSON object with the same data instead of a table.
    #[arg(long, conflicts_with = "watch")]
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
    /// Addresses, sent and received together: those that were among the first of an exporter in some ten seconds.
    Hosts,
    /// Named networks, from one to another; the shares are of what has a name on either side.
    Networks,
    /// AS numbers, sent and received together (a scan of raw flows).
    As,
    /// Exporters.
    Exporters,
}

/// Runs the subcommand.
///
/// # Errors
/// When the condition cannot be read or the store cannot be asked.
pub fn run(arguments: &TopArguments) -> Result<()> {
    let question = question(arguments)?;
    let config = super::load_config(arguments.config.as_deref())?;
    let connection = arguments
        .connection
        .over(super::default_connection(&config));
    let asked = |reader: &Reader| -> Result<(Answer, Option<Rows>)> {
        Ok((ask(reader, &question)?, differing(reader, arguments)?))
    };
    let table = |answer: &Answer, differ: &Option<Rows>, width| {
        let section = differ.as_ref().map_or(String::new(), reconciled::section);
        answer.table_in(width) + &section
    };
    if let Some(seconds) = arguments.watch {
        let drawn = |reader: &Reader, width: usize| {
            let (answer, differ) = asked(reader)?;
            Ok(table(&answer, &differ, width))
        };
        return screen::watch(seconds, drawn, || Reader::new(&connection));
    }
    let (answer, differ) = asked(&Reader::new(&connection)?)?;
    if !arguments.json {
        return super::say(table(&answer, &differ, usize::MAX));
    }
    let mut json = answer.json();
    if let Some(differ) = &differ {
        json["reconciliation"] = reconciled::json(differ);
    }
    super::say(serde_json::to_string_pretty(&json)?)
}

/// What interfaces counted themselves is known of whole intervals up to now.
fn differing(reader: &Reader, arguments: &TopArguments) -> Result<Option<Rows>> {
    if arguments.what != What::Interfaces
        || arguments.from.is_some()
        || arguments.condition.is_some()
    {
        return Ok(None);
    }
    let (since, limit) = (arguments.since, arguments.limit);
    reconciled::ask(reader, since, limit, arguments.exporter).map(Some)
}

fn question(arguments: &TopArguments) -> Result<Question> {
    let condition = arguments.condition.as_deref();
    let filter = condition.map(filter::Filter::parse).transpose();
    Ok(Question {
        what: arguments.what,
        time: match &arguments.from {
            Some(from) => Time::Between(from.clone(), arguments.to.clone()),
            None => Time::Last(arguments.since),
        },
        limit: Limit::Rows(arguments.limit),
        exporter: arguments.exporter,
        filter: filter.map_err(|fault| anyhow!("--where, {fault}"))?,
    })
}

/// Asks for a ranking.
///
/// # Errors
/// When the store cannot be asked.
pub fn ask(reader: &Reader, question: &Question) -> Result<Answer> {
    let range = question::Range::of(&question.time, reader)?;
    let plan = question::Plan::new(question, range);
    let one = |sql: &str, values: &[String]| -> Result<_> {
        Ok(reader.bound_rows(sql, values)?.pop().unwrap_or_default())
    };
    let (known, total) = (plan.known(), plan.total());
    let coverage = plan.coverage(&Known::of(&one(&known.sql, &known.values)?));
    let start_ms = match coverage.is_short {
        true => Some(number(&one(&plan.first_start(&coverage), &[])?, "start_ms") as u64),
        false => None,
    };
    let total = number(&one(&total.sql, &total.values)?, "bytes");
    let ranking = plan.ranking(coverage.from);
    let rows = reader.bound_rows(&ranking.sql, &ranking.values)?;
    let empty = rows.is_empty();
    let time = (coverage.from, coverage.seconds(start_ms));
    let answer = Answer::new(question.what, &plan, time, total, rows);
    match empty {
        true => Ok(answer.because(empty::why(reader, question, &plan)?)),
        false => Ok(answer),
    }
}
