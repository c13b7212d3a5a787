//! Asks the store and puts a report card together.

use super::advise::advise;
use super::card::*;
use super::layout::{self, Rows as Part, WANTED};
use super::sql;
use super::vendor::Vendor;
use crate::assemble::query::{Bound, Reader, Rows, address, number, text};
use crate::ledger::Outcome;
use crate::model::{Field, RowFlags};
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use std::net::IpAddr;

type Row = Map<String, Value>;

/// Which exporter, when, and what is known beside the store.
#[derive(Debug)]
pub struct Question {
    /// Exporter.
    pub exporter: IpAddr,
    /// First second that the ledger is asked about.
    pub from: i64,
    /// First second after it.
    pub to: i64,
    /// The clock of the store.
    pub now: i64,
    /// Whose configuration language is wanted.
    pub vendor: Option<Vendor>,
    /// What a running collector says of the exporter.
    pub collector: Option<Value>,
}

/// The list of exporters, those with most rows first.
///
/// # Errors
/// When the store cannot be asked.
pub fn list(reader: &Reader, from: i64, to: i64) -> Result<Vec<Value>> {
    let values = [
        ("from", Bound::Number(from as f64)),
        ("to", Bound::Number(to as f64)),
        ("rows", Bound::Number(LIST_MAX)),
    ];
    let rows = reader.rows_with(sql::LIST, &values)?;
    let value = |mut row: Row| {
        let name = address(&row, "name");
        row.remove("name");
        let mut object = Map::new();
        object.insert("exporter".into(), name.into());
        object.extend(row);
        Value::Object(object)
    };
    Ok(rows.into_iter().map(value).collect())
}

/// The report card of an exporter.
///
/// # Errors
/// When the store cannot be asked, and when it knows nothing of the exporter.
pub fn card(reader: &Reader, question: Question) -> Result<Card> {
    let ask = Asking {
        reader,
        question: &question,
    };
    let mut card = Card {
        exporter: question.exporter.to_string(),
        from: question.from,
        to: question.to,
        origins: ask.origins()?,
        ..Card::default()
    };
    ask.ledger(&mut card)?;
    if card.origins.is_empty() && card.ledger.is_empty() && question.collector.is_none() {
        bail!(
            "the store knows no exporter {}: `flowhouse exporters list` shows all; an exporter behind another address counts under the one that its datagrams come from (sFlow: its agent address)",
            question.exporter
        );
    }
    card.templates = ask.templates()?;
    let names = ask.rows(sql::INTERFACES, &[])?.pop().unwrap_or_default();
    card.interfaces = whole(&names, "known");
    card.interfaces_named = whole(&names, "named");
    card.interfaces_fast = whole(&names, "fast");
    let names = ask.rows(sql::APPLICATIONS, &[])?.pop().unwrap_or_default();
    card.applications = whole(&names, "known");
    ask.of_rows(&mut card)?;
    ask.vendor(&mut card);
    card.collector = question.collector.clone();
    advise(&mut card, question.now);
    Ok(card)
}

struct Asking<'a> {
    reader: &'a Reader,
    question: &'a Question,
}

impl Asking<'_> {
    fn rows(&self, sql: &str, more: &[(&'static str, Bound)]) -> Result<Rows> {
        let mut values = vec![
            ("exporter", Bound::Text(self.question.exporter.to_string())),
            ("from", Bound::Number(self.question.from as f64)),
            ("to", Bound::Number(self.question.to as f64)),
        ];
        values.extend_from_slice(more);
        self.reader.rows_with(sql, &values)
    }

    fn origins(&self) -> Result<Vec<OriginSeen>> {
        let rows = self.rows(sql::ORIGINS, &[])?;
        let origin = |r: &Row| OriginSeen {
            origin: text(r, "origin"),
            domain: whole(r, "domain") as u32,
            source: address(r, "source"),
            since: number(r, "since") as i64,
        };
        Ok(rows.iter().map(origin).collect())
    }

    fn ledger(&self, card: &mut Card) -> Result<()> {
        for row in self.rows(sql::OUTCOMES, &[])? {
            let outcome = text(&row, "outcome");
            if outcome == Outcome::DatagramsParsed.name() {
                card.first_heard = Some(number(&row, "first") as i64);
                card.last_heard = Some(number(&row, "last") as i64);
            }
            card.ledger.insert(outcome, whole(&row, "n").into());
        }
        Ok(())
    }

    fn templates(&self) -> Result<Vec<Template>> {
        let template = |r: &Row| {
            let layout = text(r, "layout");
            let options = whole(r, "options") != 0;
            let learned = number(r, "learned") as i64;
            let elements = layout::elements(&layout).map(|(n, field)| layout::name(n, field));
            Template {
                id: whole(r, "id") as u16,
                port: whole(r, "port") as u16,
                version: whole(r, "version") as u8,
                domain: whole(r, "domain") as u32,
                options,
                planned: whole(r, "planned") != 0,
                learned,
                age_seconds: (self.question.now - learned).max(0),
                elements: elements.collect(),
                missing: match !options && layout::is_of_flows(&layout) {
                    true => layout::missing(&layout),
                    false => vec![],
                },
            }
        };
        Ok(self
            .rows(sql::TEMPLATES, &[])?
            .iter()
            .map(template)
            .collect())
    }

    /// What the rows themselves say.
    fn of_rows(&self, card: &mut Card) -> Result<()> {
        let latest = self.rows(sql::LATEST, &[])?.pop().unwrap_or_default();
        let latest = number(&latest, "latest");
        if latest == 0.0 {
            return Ok(());
        }
        let at = [("latest", Bound::Number(latest))];
        let row = self
            .rows(&sql::of_rows(sql::FIELDS), &at)?
            .pop()
            .unwrap_or_default();
        card.latest = Some(latest as i64);
        card.rows = whole(&row, "rows");
        card.fields = fields(card, &row);
        card.quirks = quirks(card, &row);
        if number(&row, "clocks") > 0.0 {
            let clock = numbers(&row, "clock");
            let of = |n: usize| clock.get(n).copied().unwrap_or(0.0);
            card.clock = Some(ClockSeen {
                p5: of(0),
                median: of(1),
                p95: of(2),
            });
        }
        let rows = self.rows(&sql::of_rows(sql::SAMPLING), &at)?;
        let sampling = |r: &Row| SamplingSeen {
            source: text(r, "source"),
            interval: whole(r, "n"),
            share: share(number(r, "rows"), card.rows as f64),
        };
        card.sampling = rows.iter().map(sampling).collect();
        let at = [
            at[0].clone(),
            ("usual", Bound::Numbers(USUAL_TIMEOUTS.to_vec())),
            ("edges", Bound::Numbers(EDGES.to_vec())),
        ];
        let lives = self.rows(&sql::of_rows(sql::LIVES), &at)?.pop();
        card.lives = lives
            .filter(|r| number(r, "rows") > 0.0)
            .map(|r| lives_of(&r));
        Ok(())
    }

    /// The vendor that was asked for, else the one that enterprise elements tell.
    fn vendor(&self, card: &mut Card) {
        card.vendor = self.question.vendor;
        if card.vendor.is_none() {
            let pens = card.templates.iter().flat_map(|t| &t.elements);
            let pens = pens.filter_map(|e| e.split_once('.')?.0.parse().ok());
            card.vendor = pens.filter_map(Vendor::of_enterprise).next();
            card.vendor_guessed = card.vendor.is_some();
        }
    }
}

fn fields(card: &Card, row: &Row) -> Vec<FieldSeen> {
    let counts = numbers(row, "fields");
    let sflow = card.is_sflow();
    let wanted = WANTED.iter().filter(|w| w.sampled_packets || !sflow);
    wanted
        .map(|w| {
            let count = |f: &Field| counts.get(*f as usize).copied().unwrap_or(0.0);
            let have = match w.bits {
                [] => number(row, "named_apps"),
                bits => bits.iter().map(count).fold(0.0, f64::max),
            };
            let of = match w.of {
                Part::All => card.rows as f64,
                Part::WithPorts => number(row, "with_ports"),
                Part::Tcp => number(row, "tcp"),
            };
            FieldSeen {
                field: w.field,
                elements: w.elements,
                share: if of > 0.0 {
                    share(have.min(of), of)
                } else {
                    1.0
                },
                weight: w.weight,
                cost: w.cost,
            }
        })
        .collect()
}

/// Flags of rows, and outcomes of the ledger that are no everyday thing.
fn quirks(card: &Card, row: &Row) -> Vec<Quirk> {
    let marks = numbers(row, "marks");
    let mut quirks = vec![];
    for (mask, name) in RowFlags::NAMES {
        let count = marks
            .get(mask.trailing_zeros() as usize)
            .copied()
            .unwrap_or(0.0);
        if count > 0.0 {
            quirks.push(Quirk {
                name: (*name).into(),
                count: count as u64,
                meaning: flag_meaning(*mask).into(),
            });
        }
    }
    for outcome in Outcome::ALL.iter().filter(|o| !EVERYDAY.contains(o)) {
        let count = card.ledger.get(outcome.name()).and_then(Value::as_u64);
        if let Some(count) = count.filter(|n| *n > 0) {
            quirks.push(Quirk {
                name: outcome.name().into(),
                count,
                meaning: outcome.help().trim().replace('\n', ""),
            });
        }
    }
    quirks
}

fn flag_meaning(mask: u32) -> &'static str {
    match mask {
        RowFlags::SAMPLING_UNKNOWN => "nothing says whether it samples: 1 in 1 was taken",
        RowFlags::SAMPLING_REFUSED => {
            "a sampling interval above decode.sampling_max was not applied"
        }
        RowFlags::TEMPLATE_FALLBACK => {
            "templates and data come from different ports: another session's template was used"
        }
        RowFlags::TIME_IMPOSSIBLE => "ends before it starts, lies in the future, or is too long",
        RowFlags::CLOCK_CORRECTED => "its clock was wrong and was corrected",
        RowFlags::COUNTERS_IMPLAUSIBLE => {
            "more bytes or packets than usage.flow_estimate_max: not booked in usage"
        }
        RowFlags::SEGMENTS_CONFLICT => "octets of a TCP stream came twice with different data",
        RowFlags::DUPLICATE => "of datagrams that seem to have come twice",
        RowFlags::DSCP_ONLY => "of the traffic class octet only the DSCP was sent",
        RowFlags::USAGE_CLAMPED => "too old or too new to be booked to its own minutes",
        RowFlags::PRORATE_CUT => "lived longer than usage.prorate_max_s: booked to its last hours",
        RowFlags::L4_BYTES => "bytes are layer-4 payload (firewall events)",
        RowFlags::TOTAL_UNKNOWN => "a total without what was counted before it: 0 was booked",
        RowFlags::FROM_TOTAL => "counters are differences of running totals",
        RowFlags::FROM_POST => "counters are those after the device (elements 23, 24)",
        RowFlags::FROM_HEADER => "counters are of one sampled packet",
        RowFlags::TEXT_CUT => "a text was cut",
        RowFlags::DECODED_LATE => "came before its template and waited for it",
        RowFlags::HEADER_CUT => "the sampled header ended before all fields",
        RowFlags::NOT_IP => "no IP packet",
        RowFlags::AS_LOOKED_UP => "AS numbers are those of a database",
        RowFlags::REMARKED => "the exporter changed the DSCP",
        RowFlags::INGRESS_ELSEWHERE => "another record counts for the ingress interface",
        RowFlags::EGRESS_ELSEWHERE => "another record counts for the egress interface",
        _ => "",
    }
}

fn lives_of(row: &Row) -> Lives {
    let (edges, counts) = (numbers(row, "edges"), numbers(row, "counts"));
    let seen = |edge: u32| {
        let at = edges.iter().position(|e| *e == f64::from(edge));
        at.and_then(|n| counts.get(n)).copied().unwrap_or(0.0) as u64
    };
    let mut histogram: Vec<(Option<u32>, u64)> =
        EDGES.iter().map(|e| (Some(*e), seen(*e))).collect();
    histogram.push((None, seen(u32::MAX)));
    let mut lives = Lives {
        histogram,
        longest: number(row, "longest"),
        timed_out: whole(row, "timed_out"),
        ..Lives::default()
    };
    if lives.timed_out >= ENOUGH as u64 {
        lives.active_timeout = Some(number(row, "timed_out_at").round());
        lives.concluded_from = Some("end-reason");
        return lives;
    }
    let (above, near) = (numbers(row, "above"), numbers(row, "near"));
    let below = numbers(row, "below");
    let counts = above.iter().zip(&near).zip(&below);
    let mut piled = USUAL_TIMEOUTS.iter().zip(counts);
    // lives that thin out evenly up to the longest are no pile
    let found = piled.find(|(_, ((above, near), below))| {
        **above >= ENOUGH && **near >= PILE * **above && **near >= STEEP * **below
    });
    if let Some((timeout, _)) = found {
        lives.active_timeout = Some(f64::from(*timeout));
        lives.concluded_from = Some("pile");
    }
    lives
}

fn whole(row: &Row, name: &str) -> u64 {
    number(row, name) as u64
}

fn numbers(row: &Row, name: &str) -> Vec<f64> {
    let list = row.get(name).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|v| v.as_f64().unwrap_or(0.0))
        .collect()
}

fn share(part: f64, of: f64) -> f64 {
    if of > 0.0 {
        (part / of * 1e6).round() / 1e6
    } else {
        0.0
    }
}

/// Most exporters of a list.
const LIST_MAX: f64 = 20_000.0;
/// Limits of the histogram of lives, seconds.
const EDGES: &[u32] = &[
    1, 5, 10, 15, 30, 45, 65, 90, 125, 185, 310, 620, 930, 1_860, 3_720,
];
/// Active time-outs that people set, seconds.
const USUAL_TIMEOUTS: &[u32] = &[15, 30, 60, 120, 180, 300, 600, 900, 1_800, 3_600];
/// Fewer flows say nothing about a time-out.
const ENOUGH: f64 = 20.0;
/// Part of the flows at or above a time-out that lie at it, when it is one.
const PILE: f64 = 0.8;
/// How many times as many end at a time-out as in as long a time before it.
const STEEP: f64 = 3.0;
/// Outcomes that say nothing special about an exporter.
const EVERYDAY: &[Outcome] = &[
    Outcome::DatagramsReceived,
    Outcome::DatagramsRouted,
    Outcome::DatagramsParsed,
    Outcome::Sets,
    Outcome::SetsDecoded,
    Outcome::TemplatesLearned,
    Outcome::RecordsDecoded,
    Outcome::RecordsOptions,
    Outcome::RecordsCounters,
    Outcome::RecordsFlow,
    Outcome::Rows,
    Outcome::RowsAcknowledged,
    Outcome::RowsAddedReverse,
    Outcome::RowsAddedMetered,
    Outcome::RowsRecovered,
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn timeouts_are_told_by_reason_or_by_the_pile() {
        let zeros = vec![0; USUAL_TIMEOUTS.len()];
        let told = row(
            json!({"timed_out": 25, "timed_out_at": 119.6, "above": zeros, "near": zeros, "below": zeros}),
        );
        let lives = lives_of(&told);
        assert_eq!(
            (lives.active_timeout, lives.concluded_from),
            (Some(120.0), Some("end-reason"))
        );
        let (mut above, mut near) = (zeros.clone(), zeros.clone());
        (above[0], near[0], above[1], near[1], above[2], near[2]) = (900, 100, 500, 90, 300, 290);
        let lives = lives_of(&row(
            json!({"above": above, "near": near, "below": zeros, "edges": [65, 90], "counts": [7, 8]}),
        ));
        let mut evenly = zeros.clone();
        evenly[2] = 290;
        let even =
            json!({"above": above, "near": near, "below": evenly, "edges": [65], "counts": [7]});
        assert_eq!(
            lives_of(&row(even)).active_timeout,
            None,
            "lives of all lengths"
        );
        assert_eq!(
            (lives.active_timeout, lives.concluded_from),
            (Some(60.0), Some("pile"))
        );
        assert_eq!(lives.histogram[6..8], [(Some(65), 7), (Some(90), 8)]);
        near[2] = 100;
        assert_eq!(
            lives_of(&row(json!({"above": above, "near": near}))).active_timeout,
            None
        );
    }

    #[test]
    fn every_flag_has_a_meaning() {
        for (mask, name) in RowFlags::NAMES {
            assert!(!flag_meaning(*mask).is_empty(), "{name}");
        }
    }
}
