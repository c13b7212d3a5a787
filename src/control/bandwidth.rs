//! Metrics of bandwidth, with a bounded number of series.
#![expect(
    clippy::disallowed_types,
    reason = "which applications have a series; read and changed where metrics are asked for"
)]

use super::families::Page;
use super::settings::{APPLICATIONS_SHOWN_MAX, APPLICATIONS_TOP};
use super::{Bandwidth, Inventory};
use crate::model::InterfaceSide;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Bytes of each side of an interface by class. Exporters without labels of their own are `other`, whatever the interface.
pub(super) fn classes(page: &mut Page, b: &Bandwidth, inventory: &Inventory, labels_max: usize) {
    let mut rows: BTreeMap<(String, String, InterfaceSide, &str), u64> = BTreeMap::new();
    for ((exporter, if_index, side, class), bytes) in &b.classes {
        let own = inventory.number(exporter).is_some_and(|n| n < labels_max);
        let (exporter, interface) = match own {
            true => (exporter.to_string(), if_index.to_string()),
            false => (OTHER.to_owned(), OTHER.to_owned()),
        };
        let sum = rows.entry((exporter, interface, *side, class)).or_default();
        *sum = sum.saturating_add(*bytes);
    }
    let rows = rows
        .into_iter()
        .map(|((exporter, interface, side, class), bytes)| {
            let labels = [
                ("exporter", exporter),
                ("if", interface),
                ("direction", side.name().to_owned()),
                ("class", class.to_owned()),
            ];
            (labels, bytes as f64)
        });
    let rows: Vec<_> = rows.collect();
    page.counter(
        "flowhouse_interface_class_bytes_total",
        "Layer 3 bytes by flows, scaled by sampling, of each side of an interface and QoS class; counted when a bundle is sealed.",
        rows.iter().map(|(l, bytes)| (&l[..], *bytes)),
    );
}

/// Bytes of the applications that are shown, and of all others.
pub(super) fn applications(page: &mut Page, b: &Bandwidth, shown: &Shown) {
    let rows = shown.rows(&b.applications, APPLICATIONS_TOP, APPLICATIONS_SHOWN_MAX);
    let rows: Vec<_> = (rows.into_iter())
        .map(|(app, bytes)| ([("app", app)], bytes as f64))
        .collect();
    page.counter(
        "flowhouse_application_bytes_total",
        "Layer 3 bytes by flows, scaled by sampling, each once for an exporter, of the applications that were among the 50 largest at \
         some time; `other` has the rest, and what they had before.",
        rows.iter().map(|(l, bytes)| (&l[..], *bytes)),
    );
}

/// The applications that have a series. Who has one keeps it, and begins with what it gained since the metrics were asked for last:
/// what it had before stays in `other`, so no counter ever falls.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Applications>);

#[derive(Debug, Default)]
struct Applications {
    /// What each had when it got its series.
    before: BTreeMap<String, u64>,
    /// What all had when they were asked for last.
    last: BTreeMap<String, u64>,
}

impl Shown {
    /// Counters by application, the last one `other`, if there is any; of those that have none yet, the `top` get one while there are less
    /// than `max`.
    fn rows(&self, totals: &BTreeMap<String, u64>, top: usize, max: usize) -> Vec<(String, u64)> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = &mut *guard;
        let mut ranked: Vec<_> = totals.iter().filter(|(n, _)| *n != OTHER).collect();
        ranked.sort_by_key(|(name, bytes)| (std::cmp::Reverse(**bytes), *name));
        for (name, _) in ranked.into_iter().take(top) {
            if all.before.len() < max && !all.before.contains_key(name) {
                let before = all.last.get(name).copied().unwrap_or(0);
                all.before.insert(name.clone(), before);
            }
        }
        all.last.clone_from(totals);
        let mut other = 0u64;
        let mut rows = vec![];
        for (name, bytes) in totals {
            match all.before.get(name) {
                Some(before) => {
                    other = other.saturating_add(*before);
                    rows.push((name.clone(), bytes.saturating_sub(*before)));
                }
                None => other = other.saturating_add(*bytes),
            }
        }
        if !rows.is_empty() {
            rows.push((OTHER.to_owned(), other));
        }
        rows
    }
}

/// All that have no name of their own.
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Snapshot, render};
    use crate::ledger::{Book, Outcome};
    use crate::model::Addr;

    fn totals(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(n, b)| ((*n).to_owned(), *b)).collect()
    }

    #[test]
    fn no_counter_falls_and_nothing_is_lost_when_an_application_comes_up() {
        let shown = Shown::default();
        let rows = |of: &[(&str, u64)]| shown.rows(&totals(of), 1, 2);
        let text = |rows: Vec<(String, u64)>| {
            let all = rows.iter().map(|(n, b)| format!("{n} {b}"));
            all.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(text(rows(&[])), "");
        assert_eq!(text(rows(&[("a", 10), ("b", 5)])), "a 10, other 5");
        // b overtakes: its first 5 stay where they were counted
        assert_eq!(text(rows(&[("a", 10), ("b", 25)])), "a 10, b 20, other 5");
        // no third series
        let three = [("a", 10), ("b", 25), ("c", 99), ("other", 1)];
        assert_eq!(text(rows(&three)), "a 10, b 20, other 105");
    }

    #[test]
    fn exporters_without_labels_are_one() {
        let mut book = Book::new(10);
        let mut s = Snapshot::default();
        for n in 1..=3 {
            let exporter = Addr::from_v4([10, 0, 0, n]);
            book.account((exporter.0, 0)).one(Outcome::DatagramsParsed);
            let key = (exporter, 7, InterfaceSide::Egress, "voice".to_owned());
            s.bandwidth.classes.insert(key, 100);
        }
        s.bandwidth.applications = totals(&[("dns", 300)]);
        let inventory = Inventory::default();
        inventory.observe(&book, 0);
        let text = render(&s, &inventory, 1).expect("renders");
        let rows: Vec<&str> = (text.lines())
            .filter(|l| {
                l.starts_with("flowhouse_interface_class") || l.starts_with("flowhouse_app")
            })
            .collect();
        let class = "flowhouse_interface_class_bytes_total";
        let app = "flowhouse_application_bytes_total";
        let own = |e: &str, i: &str, n| {
            format!(
                "{class}{{exporter=\"{e}\",if=\"{i}\",direction=\"egress\",class=\"voice\"}} {n}"
            )
        };
        let expected = [
            own("10.0.0.1", "7", 100),
            own("other", "other", 200),
            format!("{app}{{app=\"dns\"}} 300"),
            format!("{app}{{app=\"other\"}} 0"),
        ];
        assert_eq!(rows, expected, "{text}");
    }
}
