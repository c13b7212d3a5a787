//! What is asked of the store, as SQL over the cheapest rows that can answer it.

use super::What;
use super::coverage::{Coverage, Known};
use super::field::Scope;
use super::filter::{Bound, Filter};
use crate::assemble::query::{Reader, number};
use anyhow::{Result, anyhow, ensure};
use std::net::IpAddr;

/// A ranking that is wanted.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is ranked.
    pub what: What,
    /// Over which time.
    pub time: Time,
    /// How much of it.
    pub limit: Limit,
    /// Only this exporter.
    pub exporter: Option<IpAddr>,
    /// Only what fits.
    pub filter: Option<Filter>,
}

/// A time range as it is asked for.
#[derive(Clone, Debug)]
pub enum Time {
    /// The last so many seconds.
    Last(u64),
    /// From a time, and up to another one or now; in any form that ClickHouse reads, UTC where no zone stands.
    Between(String, Option<String>),
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

/// A time range on the store's clock, seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First second.
    pub from: u64,
    /// First second after it, for rates.
    pub to: u64,
    /// Rows are taken up to before this: what is booked a little ahead of now counts.
    until: u64,
    now: u64,
}

impl Range {
    /// The range that is meant, asked of the store: its clock counts.
    ///
    /// # Errors
    /// When the store cannot be asked or does not understand a time.
    pub fn of(time: &Time, reader: &Reader) -> Result<Range> {
        let read =
            |p: &str| format!("toUnixTimestamp(parseDateTimeBestEffort({{{p}:String}}, 'UTC'))");
        let (sql, values) = match time {
            Time::Last(_) => ("SELECT toUnixTimestamp(now()) AS now".to_owned(), vec![]),
            Time::Between(from, None) => {
                let sql = format!(
                    "SELECT toUnixTimestamp(now()) AS now, {} AS from",
                    read("p0")
                );
                (sql, vec![from.clone()])
            }
            Time::Between(from, Some(to)) => {
                let (a, b) = (read("p0"), read("p1"));
                let sql = format!("SELECT toUnixTimestamp(now()) AS now, {a} AS from, {b} AS to");
                (sql, vec![from.clone(), to.clone()])
            }
        };
        let row = reader.bound_rows(&sql, &values).map_err(|e| {
            // what the store says of a text that it cannot read
            match format!("{e:#}").contains("Code: 41") || format!("{e:#}").contains("CANNOT_PARSE") {
                true => anyhow!(
                    "--from or --to is no time: write 2026-11-20T08:00 (UTC), 2026-11-20T08:00:00+02:00 or seconds since 1970"
                ),
                false => e,
            }
        })?;
        let of = |name| row.first().map_or(0, |r| number(r, name) as u64);
        let now = of("now");
        let (from, to, until) = match time {
            Time::Last(seconds) => (now.saturating_sub(*seconds), now, now + AHEAD_S),
            Time::Between(_, None) => (of("from"), now, now + AHEAD_S),
            Time::Between(..) => (of("from"), of("to"), of("to")),
        };
        ensure!(
            from < to,
            "the time range ends before it begins: --from must be before --to, and not in the future"
        );
        Ok(Range {
            from,
            to,
            until,
            now,
        })
    }

    /// The resolution that holds all of the range and answers fast: its suffix and seconds.
    fn resolution(&self) -> (&'static str, u64) {
        let (span, age) = (self.to - self.from, self.now.saturating_sub(self.from));
        if span <= 6 * HOUR_S && age < 29 * 24 * HOUR_S {
            ("1m", 60)
        } else if span <= 7 * 24 * HOUR_S && age < 89 * 24 * HOUR_S {
            ("5m", 300)
        } else {
            ("1h", HOUR_S)
        }
    }
}

/// A question with everything that its SQL needs.
#[derive(Debug)]
pub struct Plan<'a> {
    question: &'a Question,
    range: Range,
    /// Where the rows come from.
    pub source: Source,
    table: String,
    /// First second of the rows.
    pub begin: u64,
    /// Seconds of a step of the sparklines.
    pub step: u64,
}

/// The rows that answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A rollup.
    Rollup(Scope),
    /// All flows one by one.
    RawScan,
}

impl<'a> Plan<'a> {
    /// Chooses where to read.
    pub fn new(question: &'a Question, range: Range) -> Plan<'a> {
        let rollup = question.what.rollup();
        let fits = |scope| question.filter.as_ref().is_none_or(|f| f.fits(scope));
        let (suffix, bucket) = range.resolution();
        let (source, table, bucket) = match rollup.filter(|(scope, _)| fits(*scope)) {
            Some((scope, name)) => (Source::Rollup(scope), format!("{name}_{suffix}"), bucket),
            None => (Source::RawScan, "flows".to_owned(), 60),
        };
        let begin = match source {
            Source::Rollup(_) => range.from / bucket * bucket,
            Source::RawScan => range.from,
        };
        let span = range.to.saturating_sub(begin).max(1);
        Plan {
            question,
            range,
            source,
            table,
            begin,
            step: span.div_ceil(STEPS_MAX).next_multiple_of(bucket),
        }
    }

    /// How many steps the sparklines have.
    pub fn steps(&self) -> usize {
        (self.range.to.saturating_sub(self.begin))
            .div_ceil(self.step)
            .max(1) as usize
    }

    /// Why flows are read one by one.
    pub fn why_raw(&self) -> Option<String> {
        let of_flows = "raw scan of flows".to_owned();
        match (self.source, self.question.what.rollup()) {
            (Source::Rollup(_), _) => None,
            (Source::RawScan, None) => Some(of_flows),
            (Source::RawScan, Some((scope, _))) => {
                let missing = self.question.filter.as_ref().map(|f| f.missing(scope));
                Some(format!(
                    "{of_flows}: no rollup has {}",
                    missing.unwrap_or_default().join(", ")
                ))
            }
        }
    }

    /// What there is in the range, for [`Known`](super::coverage::Known).
    pub fn known(&self) -> Bound {
        let mut out = Bound::default();
        let (suffix, bucket) = self.range.resolution();
        let (from, to, until) = (self.begin, self.range.to, self.range.until);
        let mut also = String::new();
        self.of_exporter("u", &mut also, &mut out);
        let minutes = format!(
            "FROM ledger WHERE time >= toStartOfMinute(toDateTime({from})) AND time < toDateTime({to})"
        );
        out.sql = format!(
            "WITH (SELECT toUnixTimestamp(min(time)) {minutes}) AS first SELECT first AS ledger_first, \
             (SELECT toUnixTimestamp(max(time)) {minutes}) AS ledger_last, \
             toUnixTimestamp(min(u.time)) AS usage_first, toUnixTimestamp(max(u.time)) AS usage_last, \
             sumIf(u.est_bytes, first > 0 AND toUnixTimestamp(u.time) + {bucket} > first) AS ledger_bytes, sum(u.est_bytes) AS bytes \
             FROM usage_{suffix} AS u WHERE u.time >= toDateTime({from}) AND u.time < toDateTime({until}) AND u.direction = 'ingress'{also}"
        );
        out
    }

    /// The time that rates are averages over.
    pub fn coverage(&self, known: &Known) -> Coverage {
        let (_, bucket) = self.range.resolution();
        Coverage::new((self.begin, self.range.to), bucket, known)
    }

    /// When the first flow began that was received in a time.
    pub fn first_start(&self, coverage: &Coverage) -> String {
        let (from, until) = (coverage.from, self.range.until);
        format!(
            "SELECT min(start_ms) AS start_ms FROM flows WHERE received_at >= toDateTime({from}) AND received_at < toDateTime({until})"
        )
    }

    /// Bytes of all rows.
    pub fn total(&self) -> Bound {
        let mut out = Bound::default();
        let rows = self.rows(&mut out, true);
        out.sql = format!("SELECT sum(u.est_bytes) AS bytes FROM {rows}");
        out
    }

    /// The ranking. `rate_bytes`: those from `from` on.
    pub fn ranking(&self, from: u64) -> Bound {
        let mut out = Bound::default();
        let rows = self.rows(&mut out, false);
        let (begin, step, limit) = (self.begin, self.step, self.question.limit);
        let keys = self.question.what.sql_keys();
        let missing = match self.source {
            Source::Rollup(Scope::Talkers) => ", sum(u.error_bytes) AS error_bytes",
            _ => "",
        };
        let steps = format!(
            "sumMap([toUInt32(intDiv(greatest(toUnixTimestamp(u.time), {begin}) - {begin}, {step}))], [toUInt64(u.est_bytes)]) AS steps"
        );
        let ranked = format!(
            "SELECT {keys}, {SUMS}{missing}, sumIf(u.est_bytes, u.time >= toDateTime({from})) AS rate_bytes, {steps} FROM {rows} GROUP BY {keys} ORDER BY est_bytes DESC, {keys} {limit}"
        );
        out.sql = match self.question.what {
            What::Interfaces => format!(
                "SELECT t.*, i.name AS name, i.speed AS speed FROM ({ranked}) AS t \
                 LEFT JOIN (SELECT exporter, if_index, name, speed FROM interfaces FINAL) AS i USING (exporter, if_index) \
                 ORDER BY est_bytes DESC, exporter, if_index, direction"
            ),
            _ => ranked,
        };
        out
    }

    /// What was booked in the time at all, of the exporter that is asked for: `booked` rows, their `bytes`, and when there was
    /// something `last`, seconds since 1970 UTC, 0 for never.
    pub fn booked(&self) -> Bound {
        let mut out = Bound::default();
        let (from, until) = (self.begin, self.range.until);
        let (suffix, bucket) = self.range.resolution();
        let from = from / bucket * bucket;
        let mut also = String::new();
        self.of_exporter("u", &mut also, &mut out);
        let ever = also.replace("u.exporter", "exporter");
        out.sql = format!(
            "SELECT count() AS booked, sum(u.est_bytes) AS bytes, (SELECT toUnixTimestamp(max(time)) FROM usage_1h WHERE 1{ever}) AS last \
             FROM usage_{suffix} AS u WHERE u.time >= toDateTime({from}) AND u.time < toDateTime({until}) AND u.direction = 'ingress'{also}"
        );
        out
    }

    /// Whether sides of links count, and not each byte once: that is what is ranked, or the condition says which are meant.
    fn by_sides(&self) -> bool {
        let filter = self.question.filter.as_ref();
        self.question.what == What::Interfaces || filter.is_some_and(Filter::names_sides)
    }

    /// The rows as `FROM`: alias `u`, with a time, the keys and the sums. `once`: each flow a single time, for the total.
    fn rows(&self, out: &mut Bound, once: bool) -> String {
        let sides = self.by_sides();
        let (from, until) = (self.begin, self.range.until);
        let what = self.question.what;
        let mut also = String::new();
        match self.source {
            Source::Rollup(scope) => {
                let table = &self.table;
                self.conditions(scope, "u", &mut also, out);
                also += match scope {
                    Scope::Usage if !sides => " AND u.direction = 'ingress'",
                    Scope::Talkers if once => " AND u.role = 'source'",
                    Scope::Talkers => " AND u.other = 0",
                    _ => "",
                };
                format!(
                    "{table} AS u WHERE u.time >= toDateTime({from}) AND u.time < toDateTime({until}){also}"
                )
            }
            Source::RawScan => {
                // of links both sides count, else each flow once
                let (scope, each) = match sides {
                    true => (Scope::Sides, format!(" ARRAY JOIN {SIDES} AS side")),
                    false => (Scope::Flows, String::new()),
                };
                self.conditions(scope, "f", &mut also, out);
                if !sides {
                    also += " AND f.counts_ingress";
                }
                if what == What::Networks {
                    also += " AND (f.src_net != '' OR f.dst_net != '')";
                }
                let keys = if once { "" } else { what.flow_keys(sides) };
                format!(
                    "(SELECT f.received_at AS time, {keys} f.bytes AS bytes, f.packets AS packets, toUInt64(1) AS flows, \
                     f.bytes * f.sampling_interval AS est_bytes, f.packets * f.sampling_interval AS est_packets, \
                     f.packets AS sampled_packets, f.variance AS variance, if(f.sampling_source = 'unknown', est_bytes, 0) AS est_bytes_unknown FROM flows AS f{each} \
                     WHERE f.received_at >= toDateTime({from}) AND f.received_at < toDateTime({until}) AND NOT bitTest(f.flags, 20){also}) AS u"
                )
            }
        }
    }

    fn conditions(&self, scope: Scope, alias: &str, also: &mut String, out: &mut Bound) {
        self.of_exporter(alias, also, out);
        if let Some(filter) = &self.question.filter {
            *also += &format!(" AND {}", filter.write(scope, out));
        }
    }

    fn of_exporter(&self, alias: &str, also: &mut String, out: &mut Bound) {
        if let Some(exporter) = self.question.exporter {
            let address = match exporter {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            *also += &format!(" AND {alias}.exporter = {}", out.bind(address, "IPv6"));
        }
    }
}

impl What {
    /// The rollup that has it, and the beginning of its tables' names.
    fn rollup(self) -> Option<(Scope, &'static str)> {
        match self {
            What::Apps | What::Classes | What::Interfaces | What::Exporters => {
                Some((Scope::Usage, "usage"))
            }
            What::Hosts => Some((Scope::Talkers, "talkers")),
            What::Networks => Some((Scope::Networks, "network_usage")),
            What::As => None,
        }
    }

    fn sql_keys(self) -> &'static str {
        match self {
            What::Apps => "app, app_proto",
            What::Classes => "qos_class",
            What::Interfaces => "exporter, if_index, direction",
            What::Hosts => "address",
            What::Networks => "src_net, dst_net",
            What::As => "as_number",
            What::Exporters => "exporter",
        }
    }

    /// The keys as columns of flows, or of their `sides`. Hosts and AS numbers of a flow are two.
    fn flow_keys(self, sides: bool) -> &'static str {
        match self {
            What::Apps => "f.app AS app, f.app_proto AS app_proto,",
            What::Classes if sides => {
                "if(side.2 = 'egress', f.egress_qos_class, f.qos_class) AS qos_class,"
            }
            What::Classes => "f.qos_class AS qos_class,",
            What::Interfaces => "f.exporter AS exporter, side.1 AS if_index, side.2 AS direction,",
            What::Hosts => "arrayJoin(arrayDistinct([f.src_addr, f.dst_addr])) AS address,",
            What::Networks => "f.src_net AS src_net, f.dst_net AS dst_net,",
            What::As => "arrayJoin(arrayDistinct([f.src_as, f.dst_as])) AS as_number,",
            What::Exporters => "f.exporter AS exporter,",
        }
    }
}

/// The sides of links on which a flow counts: interface and direction.
const SIDES: &str = "arrayFilter(s -> s.3 != 0, [(f.in_if, 'ingress', f.counts_ingress), (f.out_if, 'egress', f.counts_egress)])";
const SUMS: &str = "sum(u.bytes) AS bytes, sum(u.packets) AS packets, sum(u.flows) AS flows, sum(u.est_bytes) AS est_bytes, \
                    sum(u.est_packets) AS est_packets, sum(u.sampled_packets) AS sampled_packets, sum(u.variance) AS variance, sum(u.est_bytes_unknown) AS unknown_bytes";
/// Most steps of a sparkline.
const STEPS_MAX: u64 = 24;
/// How far ahead of the store's clock rows are still taken.
const AHEAD_S: u64 = 3_600;
const HOUR_S: u64 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(what: What, condition: &str) -> String {
        let filter = Filter::parse(condition).expect("read");
        let question = Question {
            what,
            time: Time::Last(3_600),
            limit: Limit::Rows(10),
            exporter: None,
            filter: Some(filter),
        };
        let range = Range {
            from: 1_800_000_000,
            to: 1_800_003_600,
            until: 1_800_007_200,
            now: 1_800_003_600,
        };
        let plan = Plan::new(&question, range);
        assert!(
            !plan.booked().sql.contains("{p"),
            "no exporter is asked for"
        );
        plan.ranking(0).sql + &plan.total().sql
    }

    #[test]
    fn a_condition_on_sides_is_not_undone() {
        let ingress = "u.direction = 'ingress'";
        for what in [What::Apps, What::Classes, What::Exporters] {
            assert!(!sql(what, "direction = egress and if = 7").contains(ingress));
            assert!(!sql(what, "interface = wan1").contains(ingress));
            assert_eq!(sql(what, "app = dns").matches(ingress).count(), 2);
        }
        // the same from flows one by one
        for what in [What::Apps, What::Hosts, What::As, What::Networks] {
            let text = sql(what, "direction = egress and port = 53");
            let sides = text.matches("AS side WHERE").count();
            assert_eq!(
                (sides, text.contains("AND f.counts_ingress")),
                (2, false),
                "{text}"
            );
            let text = sql(what, "port = 53");
            let once = text.matches("AND f.counts_ingress").count();
            assert_eq!((once, text.contains("AS side")), (2, false), "{text}");
        }
        let classes = sql(What::Classes, "direction = egress and port = 53");
        assert!(classes.contains("f.egress_qos_class"), "{classes}");
    }
}
