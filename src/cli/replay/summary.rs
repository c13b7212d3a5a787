//! What a replay without files and store says.

use super::super::{law_lines, text};
use crate::ledger::{Book, Gauges, Outcome, laws};
use crate::model::{Detection, Names, UsageRow};
use crate::sink::ndjson::{detection, ledger};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Usage of a shard, with the names that it refers to.
pub(super) type ShardUsage = (Vec<UsageRow>, Arc<Names>);

/// Totals, the largest applications and classes, and the laws.
pub(super) struct Summary<'a> {
    book: &'a Book,
    apps: Vec<Largest>,
    classes: Vec<Largest>,
    found: &'a [Detection],
}

/// A name and what it had of everything.
struct Largest {
    name: String,
    bytes: u64,
    share: f64,
    flows: u64,
}

/// Names in a summary.
const NAMES_MAX: usize = 10;

/// Detections in a summary for people.
const FOUND_MAX: usize = 20;

impl Summary<'_> {
    pub(super) fn of<'a>(
        book: &'a Book,
        usage: &[ShardUsage],
        found: &'a [Detection],
    ) -> Summary<'a> {
        Summary {
            book,
            found,
            apps: largest(usage, |r, n| n.apps.name(r.app).to_owned()),
            classes: largest(usage, |r, n| n.classes.name(r.qos_class.into()).to_owned()),
        }
    }

    pub(super) fn text(&self) -> String {
        let rows = |all: &[Largest]| -> Vec<Vec<String>> {
            let row = |l: &Largest| {
                let (bytes, share) = (text::bytes(l.bytes as f64), text::percent(l.share));
                vec![l.name.clone(), bytes, share, l.flows.to_string()]
            };
            all.iter().map(row).collect()
        };
        let total = self.book.total();
        let counted = |(o, n): (Outcome, u64)| vec![o.name().replace('_', " "), n.to_string()];
        let totals: Vec<Vec<String>> = total.iter().map(counted).collect();
        format!(
            "{}{}\n\n{}\n\n{}\n\n{}",
            self.detections(),
            text::table(
                &["application", "bytes", "share", "flows"],
                1,
                rows(&self.apps)
            ),
            text::table(
                &["QoS class", "bytes", "share", "flows"],
                1,
                rows(&self.classes)
            ),
            text::table(&["what happened", "count"], 1, totals),
            law_lines(&laws(&total, &Gauges::default()))
        )
    }

    /// A table of what was found, a chain in place of its steps; nothing where nothing was.
    fn detections(&self) -> String {
        let told = self.found.iter().filter(|d| d.evidence.part_of.is_none());
        let told: Vec<&Detection> = told.collect();
        if told.is_empty() {
            return String::new();
        }
        let row = |d: &&Detection| {
            vec![
                d.severity.name().to_owned(),
                d.kind.name().to_owned(),
                d.title.clone(),
                format!("{} %", d.confidence),
            ]
        };
        let rows: Vec<Vec<String>> = told.iter().take(FOUND_MAX).map(row).collect();
        let table = text::table(&["severity", "detection", "what", "confidence"], 3, rows);
        match told.len().saturating_sub(FOUND_MAX) {
            0 => format!("{table}\n\n"),
            more => format!("{table}\n{more} more are not shown\n\n"),
        }
    }

    /// What `ledger.json` says, with the largest applications and classes; shares are from 0 to 1.
    pub(super) fn json(&self) -> Value {
        let rows = |all: &[Largest]| -> Value {
            let row = |l: &Largest| {
                let share = (l.share * 1e6).round() / 1e6;
                json!({"name": l.name, "bytes": l.bytes, "share": share, "flows": l.flows})
            };
            all.iter().map(row).collect()
        };
        let mut value = ledger(self.book, &Gauges::default());
        value["applications"] = rows(&self.apps);
        value["qos_classes"] = rows(&self.classes);
        value["detections"] = self.found.iter().map(detection).collect();
        value
    }
}

/// The names with most bytes, each byte counted once. Counters come from a file and may be anything: what is more than a
/// number can say is told as the largest, and shares are right all the same.
fn largest(usage: &[ShardUsage], name: fn(&UsageRow, &Names) -> String) -> Vec<Largest> {
    let mut sums = BTreeMap::<String, (u128, u64)>::new();
    for (row, names) in usage
        .iter()
        .flat_map(|(rows, names)| rows.iter().map(move |r| (r, names)))
        .filter(|(row, _)| row.counts_once())
    {
        let (bytes, flows) = sums.entry(name(row, names)).or_default();
        *bytes += u128::from(row.est_bytes);
        *flows = flows.saturating_add(row.flows);
    }
    let all: u128 = sums.values().map(|s| s.0).sum();
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|s| std::cmp::Reverse(s.1.0));
    sums.truncate(NAMES_MAX);
    let of_all = |(name, (bytes, flows))| Largest {
        name,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        share: bytes as f64 / all.max(1) as f64,
        flows,
    };
    sums.into_iter().map(of_all).collect()
}
