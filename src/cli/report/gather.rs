//! Asks the store and puts the answers together.

use super::figures::*;
use super::judge::{self, Limits};
use super::period::{Period, SAMPLE_SECONDS};
use super::sql::{self, Scope};
use crate::assemble::query::{Bound, Reader, Rows, address, number, text};
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What is asked, and how.
#[derive(Debug)]
pub struct Question {
    /// Time.
    pub period: Period,
    /// To what it is limited.
    pub scope: Scope,
    /// What is judged how.
    pub limits: Limits,
    /// How many links get a plot.
    pub plots: usize,
}

type Row = Map<String, Value>;
type SideKey = (String, u32, String);

/// A report.
///
/// # Errors
/// When the store cannot be asked, and when it has no usage in the period: what it does have.
pub fn gather(reader: &Reader, question: &Question) -> Result<Report> {
    let ask = Asking { reader, question };
    let period = question.period;
    let links = ask.links()?;
    if links.is_empty() {
        bail!("{}", ask.why_nothing()?);
    }
    let known = ask.one(sql::LINKS, &[])?;
    let mut report = Report {
        from: period.from,
        to: period.to,
        samples: period.samples(),
        exporter: question.scope.exporter.map(|e| e.to_string()),
        interface: question.scope.interface.clone(),
        over_percent: question.limits.over_percent,
        under_percent: question.limits.under_percent,
        total: ask.total()?,
        links_left_out: (number(&known, "links") as u64).saturating_sub(links.len() as u64),
        links,
        ..Report::default()
    };
    report.silent = ask.silent()?;
    report.applications = ask.applications(&report.total)?;
    report.disproportionate = ask.disproportionate()?;
    report.misplaced = ask.misplaced()?;
    report.remarking = ask.remarking()?;
    report.exporters = ask.trust()?;
    judge::judge(&mut report, &question.limits);
    report.course = ask.course(&report.applications)?;
    ask.courses(&mut report.links)?;
    Ok(report)
}

struct Asking<'a> {
    reader: &'a Reader,
    question: &'a Question,
}

impl Asking<'_> {
    fn rows(&self, sql: &str, values: &[(&'static str, Bound)]) -> Result<Rows> {
        let Question { period, scope, .. } = self.question;
        let mut all = scope.values(period);
        all.extend_from_slice(values);
        self.reader.rows_with(&scope.fill(sql, period), &all)
    }

    fn one(&self, sql: &str, values: &[(&'static str, Bound)]) -> Result<Row> {
        Ok(self
            .rows(sql, values)?
            .into_iter()
            .next()
            .unwrap_or_default())
    }

    /// Why there is nothing to tell, and what to do.
    fn why_nothing(&self) -> Result<String> {
        let row = self.reader.row(sql::ANYTHING)?;
        if number(&row, "parts") == 0.0 {
            return Ok("the store has no usage yet: let exporters send to `flowhouse run`, or try `flowhouse demo` or \
                       `flowhouse replay CAPTURE --store URL`"
                .into());
        }
        let Question { period, scope, .. } = self.question;
        let at = |name| super::period::stamp(number(&row, name) as i64);
        let limited = if scope.exporter.is_some() || scope.interface.is_some() {
            " of that exporter and interface"
        } else {
            ""
        };
        Ok(format!(
            "no usage{limited} from {}: the store has some from the hour of {} to that of {}; give another --last, --from or --to{}",
            period.text(),
            at("first"),
            at("last"),
            if limited.is_empty() {
                ""
            } else {
                ", or another filter"
            }
        ))
    }

    fn links(&self) -> Result<Vec<Link>> {
        let over = Bound::Number(self.question.limits.over_percent);
        let sides = ("sides", Bound::Number(2.0 * LINKS_MAX));
        let rows = self.rows(sql::SIDES, &[("over", over), sides.clone()])?;
        let mut extra = Extra {
            hours: keyed(self.rows(sql::BUSY_HOURS, &[sides])?),
            classes: keyed(self.rows(sql::CLASSES, &[("rows", Bound::Number(ROWS_MAX))])?),
            apps: keyed(self.rows(sql::SIDE_APPLICATIONS, &[("rows", Bound::Number(ROWS_MAX))])?),
        };
        let mut links: Vec<Link> = vec![];
        let mut places: HashMap<(String, u32), usize> = HashMap::new();
        for row in &rows {
            let name = link_name(row);
            let key = (name.exporter.clone(), name.if_index);
            let at = *places.entry(key).or_insert(links.len());
            if at == links.len() {
                links.push(link(name, row));
            }
            let side = side(row, &links[at], &mut extra);
            links[at].sides.push(side);
        }
        for link in &mut links {
            link.sides.sort_by_key(|s| s.direction == "egress");
            link.billing = judge::billing(link);
        }
        Ok(links)
    }

    fn total(&self) -> Result<Total> {
        let row = self.one(sql::TOTAL, &[])?;
        let hour = self.rows(sql::HOURS, &[])?.first().map(|h| Hour {
            from: number(h, "hour") as i64,
            bits_per_second: six(number(h, "bytes") * 8.0 / heard(h)),
        });
        Ok(Total {
            bytes: whole(&row, "bytes"),
            packets: whole(&row, "est_packets"),
            flows: whole(&row, "all_flows"),
            bits_per_second: six(number(&row, "heard_bytes") * 8.0 / heard(&row)),
            busy_hour: hour,
            certainty: certainty(&row),
        })
    }

    fn applications(&self, total: &Total) -> Result<Vec<Application>> {
        let rows = self.rows(sql::APPLICATIONS, &[("rows", Bound::Number(100.0))])?;
        let average = total.bits_per_second / (total.bytes as f64).max(1.0);
        let application = |r: &Row| Application {
            app: text(r, "app"),
            category: text(r, "category"),
            relevance: text(r, "relevance"),
            bytes: whole(r, "bytes"),
            share: ratio(number(r, "bytes"), total.bytes as f64),
            flows: whole(r, "all_flows"),
            flow_share: ratio(number(r, "all_flows"), total.flows as f64),
            bits_per_second: six(number(r, "bytes") * average),
            links: whole(r, "links"),
            certainty: certainty(r),
        };
        Ok(rows.iter().map(application).collect())
    }

    fn disproportionate(&self) -> Result<Vec<Disproportion>> {
        let values = [
            ("share", Bound::Number(judge::LARGE_SHARE)),
            ("rows", Bound::Number(ROWS_MAX)),
        ];
        let rows = self.rows(sql::DISPROPORTIONATE, &values)?;
        let found = rows.iter().filter_map(|r| {
            let mut d = Disproportion {
                name: link_name(r),
                direction: text(r, "direction"),
                app: text(r, "app"),
                relevance: text(r, "relevance"),
                bytes: whole(r, "bytes"),
                share: six(number(r, "share")),
                flow_share: six(number(r, "flow_share")),
                median_share: six(number(r, "median")),
                reasons: vec![],
            };
            d.reasons = judge::reasons(&d, whole(r, "sides"));
            (!d.reasons.is_empty()).then_some(d)
        });
        Ok(found.take(200).collect())
    }

    fn misplaced(&self) -> Result<Vec<Misplaced>> {
        let rows = self.rows(sql::MISPLACED, &[("rows", Bound::Number(100.0))])?;
        let misplaced = |r: &Row| Misplaced {
            policy: text(r, "policy"),
            app: text(r, "app"),
            category: text(r, "category"),
            relevance: text(r, "relevance"),
            class: text(r, "class"),
            expected: texts(r, "expected"),
            bytes: whole(r, "bytes"),
            share_of_app: six(number(r, "share_of_app")),
            share_of_class: six(number(r, "share_of_class")),
            side: text(r, "side"),
            links: whole(r, "links"),
            most_on: LinkName {
                exporter: address(r, "most_exporter"),
                if_index: whole(r, "most_index") as u32,
                name: text(r, "most_name"),
                description: text(r, "most_description"),
            },
        };
        Ok(rows.iter().map(misplaced).collect())
    }

    fn remarking(&self) -> Result<Remarking> {
        let Question { period, scope, .. } = self.question;
        let looked = Period {
            from: period.from.max(period.to - REMARKING_SECONDS),
            to: period.to,
        };
        let mut values = scope.values(&looked);
        values.push(("rows", Bound::Number(100.0)));
        let rows = self
            .reader
            .rows_with(&scope.fill(sql::REMARKED, &looked), &values)?;
        let rows = rows.iter().map(|r| Remarked {
            exporter: address(r, "exporter"),
            in_if: whole(r, "in_if") as u32,
            out_if: whole(r, "out_if") as u32,
            before: whole(r, "before") as u8,
            after: whole(r, "after") as u8,
            bytes: whole(r, "est"),
            flows: whole(r, "flows"),
            app: text(r, "app"),
        });
        Ok(Remarking {
            from: looked.from,
            to: looked.to,
            rows: rows.collect(),
        })
    }

    fn trust(&self) -> Result<Vec<Trust>> {
        let rows = self.rows(sql::TRUST, &[("rows", Bound::Number(1_000.0))])?;
        let trust = |r: &Row| Trust {
            exporter: address(r, "name"),
            samples: whole(r, "samples"),
            datagrams: whole(r, "datagrams"),
            rows: whole(r, "rows"),
            sequence_gaps: whole(r, "sequence_gaps"),
            lost: whole(r, "lost"),
            sampling_unknown: whole(r, "sampling_unknown"),
            clock_skewed: whole(r, "clock_skewed"),
            times_impossible: whole(r, "times_impossible"),
            sets_expired: whole(r, "sets_expired"),
            rows_lost: whole(r, "rows_lost"),
        };
        Ok(rows.iter().map(trust).collect())
    }

    fn silent(&self) -> Result<Vec<Silent>> {
        let rows = self.rows(sql::SILENT, &[("rows", Bound::Number(200.0))])?;
        let silent = |r: &Row| Silent {
            name: link_name(r),
            speed: speed(r),
        };
        Ok(rows.iter().map(silent).collect())
    }

    fn course(&self, applications: &[Application]) -> Result<Course> {
        let (period, step) = (self.question.period, self.question.period.step());
        let mut names: Vec<String> = applications.iter().map(|a| a.app.clone()).collect();
        names.truncate(LINES_MAX);
        let values = [
            ("apps", Bound::Texts(names.clone())),
            ("step", Bound::Number(step as f64)),
        ];
        let points = points(&period, step);
        let line = |name: &str| Line {
            name: name.into(),
            bits_per_second: vec![0.0; points],
        };
        let mut lines: Vec<Line> = names.iter().map(|n| line(n)).collect();
        lines.push(line("other"));
        for r in self.rows(sql::APPLICATION_COURSE, &values)? {
            let nth = whole(&r, "line") as usize;
            let nth = nth.checked_sub(1).unwrap_or(names.len());
            let line = lines.get_mut(nth).map(|l| &mut l.bits_per_second);
            if let Some(point) = line.and_then(|l| l.get_mut(whole(&r, "at") as usize)) {
                *point = average(&r, "bytes", &period, step, whole(&r, "at"));
            }
        }
        Ok(Course { step, lines })
    }

    fn courses(&self, links: &mut [Link]) -> Result<()> {
        let (period, step) = (self.question.period, self.question.period.step());
        let plots = self.question.plots.min(links.len());
        let links = &mut links[..plots];
        let values = [
            ("step", Bound::Number(step as f64)),
            (
                "exporters",
                Bound::Texts(links.iter().map(|l| l.name.exporter.clone()).collect()),
            ),
            (
                "indexes",
                Bound::Numbers(links.iter().map(|l| l.name.if_index).collect()),
            ),
        ];
        if plots == 0 {
            return Ok(());
        }
        let rows = self.rows(sql::COURSES, &values)?;
        let empty = vec![0.0; points(&period, step)];
        for link in links {
            link.course = Some(SideCourse {
                step,
                ingress: empty.clone(),
                egress: empty.clone(),
                ingress_peak: empty.clone(),
                egress_peak: empty.clone(),
            });
            let of_link = |r: &&Row| {
                whole(r, "if_index") == u64::from(link.name.if_index)
                    && address(r, "exporter") == link.name.exporter
            };
            let Some(course) = &mut link.course else {
                continue;
            };
            for r in rows.iter().filter(of_link) {
                let (mean, peak) = match text(r, "direction").as_str() {
                    "egress" => (&mut course.egress, &mut course.egress_peak),
                    _ => (&mut course.ingress, &mut course.ingress_peak),
                };
                let at = whole(r, "at");
                if let (Some(mean), Some(peak)) =
                    (mean.get_mut(at as usize), peak.get_mut(at as usize))
                {
                    *mean = average(r, "bytes", &period, step, at);
                    *peak = six(number(r, "peak") * 8.0 / SAMPLE_SECONDS as f64);
                }
            }
        }
        Ok(())
    }
}

/// Rows that belong to sides, by side, in order.
struct Extra {
    hours: HashMap<SideKey, Vec<Row>>,
    classes: HashMap<SideKey, Vec<Row>>,
    apps: HashMap<SideKey, Vec<Row>>,
}

fn keyed(rows: Rows) -> HashMap<SideKey, Vec<Row>> {
    let mut by_side: HashMap<SideKey, Vec<Row>> = HashMap::new();
    for row in rows {
        by_side.entry(side_key(&row)).or_default().push(row);
    }
    by_side
}

fn side_key(row: &Row) -> SideKey {
    let exporter = address(row, "exporter");
    (
        exporter,
        whole(row, "if_index") as u32,
        text(row, "direction"),
    )
}

fn link(name: LinkName, row: &Row) -> Link {
    Link {
        name,
        speed: speed(row),
        role: text(row, "role"),
        site: text(row, "site"),
        policy: text(row, "policy"),
        samples: whole(row, "samples"),
        ..Link::default()
    }
}

fn side(row: &Row, link: &Link, extra: &mut Extra) -> Side {
    let key = side_key(row);
    let bytes = number(row, "bytes");
    let over_time =
        |bytes: f64, seconds: f64| Rate::new(bytes * 8.0 / seconds.max(1.0), link.speed);
    let sample = |bytes: f64| over_time(bytes, SAMPLE_SECONDS as f64);
    let observed = link.samples as f64 * SAMPLE_SECONDS as f64;
    let p95 = number(row, "p95_bytes");
    let of_p95 = |what: &str| number(row, what);
    let hour = extra.hours.remove(&key).and_then(|h| h.into_iter().next());
    let hour = hour.unwrap_or_default();
    let class = |r: &Row| {
        let budget = Some(number(r, "budget")).filter(|b| *b > 0.0);
        let p95 = sample(number(r, "p95"));
        ClassUse {
            class: text(r, "class"),
            bytes: whole(r, "bytes"),
            share: ratio(number(r, "bytes"), bytes),
            average: over_time(number(r, "heard_bytes"), observed),
            p95,
            peak: sample(number(r, "peak")),
            budget,
            budget_used: budget.map(|b| six(p95.bits_per_second / b)),
            samples_over: whole(r, "samples_over"),
        }
    };
    let app = |r: &Row| AppUse {
        app: text(r, "app"),
        bytes: whole(r, "bytes"),
        share: ratio(number(r, "bytes"), bytes),
    };
    let classes = extra.classes.remove(&key).unwrap_or_default();
    let apps = extra.apps.remove(&key).unwrap_or_default();
    Side {
        direction: key.2,
        bytes: bytes as u64,
        packets: whole(row, "packets"),
        flows: whole(row, "flows"),
        inferred: ratio(number(row, "inferred"), bytes),
        certainty: certainty(row),
        average: over_time(number(row, "heard_bytes"), observed),
        p95: sample(p95),
        // a sample without traffic is what it is
        p95_certainty: match p95 > 0.0 {
            true => Certainty::new(
                of_p95("p95_variance"),
                p95,
                ratio(of_p95("p95_unknown"), p95),
            ),
            false if observed > 0.0 => Certainty::new(0.0, 0.0, 0.0),
            // nobody listened
            false => Certainty::new(0.0, 0.0, 1.0),
        },
        peak: sample(number(row, "peak")),
        peak_at: number(row, "peak_at") as i64,
        peak_certainty: Certainty::new(
            number(row, "peak_variance"),
            number(row, "peak"),
            ratio(number(row, "unknown"), bytes),
        ),
        busy_hour: over_time(number(&hour, "bytes"), heard(&hour)),
        busy_hour_at: number(&hour, "hour") as i64,
        samples_over: whole(row, "samples_over"),
        classes: classes.iter().map(class).collect(),
        applications: apps.iter().map(app).collect(),
    }
}

/// The seconds of a row's samples in which somebody was heard.
fn heard(row: &Row) -> f64 {
    (number(row, "samples") * SAMPLE_SECONDS as f64).max(1.0)
}

fn certainty(row: &Row) -> Certainty {
    let bytes = number(row, "bytes");
    let unknown = ratio(number(row, "unknown"), bytes);
    Certainty::new(number(row, "variance"), bytes, unknown)
}

fn link_name(row: &Row) -> LinkName {
    LinkName {
        exporter: address(row, "exporter"),
        if_index: whole(row, "if_index") as u32,
        name: text(row, "name"),
        description: text(row, "description"),
    }
}

fn speed(row: &Row) -> Option<u64> {
    Some(whole(row, "speed")).filter(|s| *s > 0)
}

/// How many points a plot has.
fn points(period: &Period, step: i64) -> usize {
    ((period.seconds() + step - 1) / step) as usize
}

/// Average over a step, the last of which may be shorter.
fn average(row: &Row, name: &str, period: &Period, step: i64, at: u64) -> f64 {
    let left = period
        .seconds()
        .saturating_sub(step.saturating_mul(at as i64));
    six(number(row, name) * 8.0 / left.clamp(1, step) as f64)
}

fn whole(row: &Row, name: &str) -> u64 {
    row.get(name)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| number(row, name) as u64)
}

fn texts(row: &Row, name: &str) -> Vec<String> {
    let list = row.get(name).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn ratio(part: f64, of: f64) -> f64 {
    if of > 0.0 { six(part / of) } else { 0.0 }
}

/// Most links of a report.
const LINKS_MAX: f64 = 5_000.0;
/// Most rows of an answer about sides of links.
const ROWS_MAX: f64 = 50_000.0;
/// Most applications with a line of their own.
const LINES_MAX: usize = 7;
/// How much of the period is looked at for remarking, from its end: that is a scan of raw flows.
const REMARKING_SECONDS: i64 = 3_600;
