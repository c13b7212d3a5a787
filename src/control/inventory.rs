//! Which exporters there are, since when, and which of them have metrics of their own.
#![expect(
    clippy::disallowed_types,
    reason = "the inventory is the one shared map; requests read it, no datagram passes it"
)]

use super::bandwidth::Shown;
use crate::ledger::{Book, Outcome, Tally};
use crate::model::Addr;
use dashmap::DashMap;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Exporters in the order in which control saw them first. An exporter keeps its number, so a metric never moves from
/// one label to another.
#[derive(Debug, Default)]
pub struct Inventory {
    exporters: DashMap<Addr, Entry>,
    next: AtomicUsize,
    applications: Shown,
    unlisted: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Entry {
    number: usize,
    first_seen_ms: i64,
    last_active_ms: i64,
    counted: Tally,
    domains: Vec<u32>,
}

impl Inventory {
    /// Takes in what the exporters of a book have counted up to `now_ms`.
    pub fn observe(&self, book: &Book, now_ms: i64) {
        let mut unlisted = 0;
        for (addr, (tally, domains)) in exporters(book) {
            if self.exporters.len() >= EXPORTERS_MAX && !self.exporters.contains_key(&addr) {
                unlisted += 1;
                continue;
            }
            let mut entry = self.exporters.entry(addr).or_insert_with(|| Entry {
                number: self.next.fetch_add(1, Relaxed),
                first_seen_ms: now_ms,
                last_active_ms: now_ms,
                counted: Tally::default(),
                domains: Vec::new(),
            });
            if entry.counted != tally {
                entry.last_active_ms = now_ms;
                entry.counted = tally;
            }
            entry.domains = domains;
        }
        self.unlisted.store(unlisted, Relaxed);
    }

    /// How many of the last book found no room.
    pub fn unlisted(&self) -> usize {
        self.unlisted.load(Relaxed)
    }

    /// The applications with metrics of their own.
    pub(super) fn applications(&self) -> &Shown {
        &self.applications
    }

    /// How many exporters were seen.
    pub fn len(&self) -> usize {
        self.exporters.len()
    }

    /// Whether none was seen.
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty()
    }

    /// The number of an exporter, from 0 in the order of first sight.
    pub fn number(&self, exporter: &Addr) -> Option<usize> {
        self.exporters.get(exporter).map(|e| e.number)
    }

    /// The page `/exporters`: one object an exporter, in order of address, with its domains (at most 64 are listed),
    /// when it was seen first and active last (ms since 1970 UTC), and what it counted.
    pub fn json(&self) -> Value {
        let mut list: Vec<(Addr, Entry)> = (self.exporters.iter())
            .map(|e| (*e.key(), e.value().clone()))
            .collect();
        list.sort_unstable_by_key(|(addr, _)| *addr);
        let rows = list.into_iter().map(|(addr, e)| {
            let counted: Map<String, Value> = (e.counted.iter())
                .map(|(o, n)| (o.name().to_owned(), n.into()))
                .collect();
            json!({
                "exporter": addr.to_string(),
                "domains": e.domains,
                "first_seen_ms": e.first_seen_ms,
                "last_active_ms": e.last_active_ms,
                "counted": counted,
            })
        });
        Value::Array(rows.collect())
    }
}

/// The tallies of a book by exporter, its domains merged; domains that only receive knows (0) are not listed.
pub fn exporters(book: &Book) -> BTreeMap<Addr, (Tally, Vec<u32>)> {
    let mut out = BTreeMap::<Addr, (Tally, Vec<u32>)>::new();
    for ((addr, domain), tally) in book.accounts() {
        let (sum, domains) = out.entry(Addr(*addr)).or_default();
        sum.merge(tally);
        if tally.count(Outcome::DatagramsParsed) > 0 && domains.len() < DOMAINS_MAX {
            domains.push(*domain);
        }
    }
    out
}

/// Most exporters that are listed.
pub const EXPORTERS_MAX: usize = 65_536;
/// Most domains that are listed of an exporter.
const DOMAINS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn book(counts: &[(u8, u32, u64)]) -> Book {
        let mut book = Book::new(100);
        for &(last, domain, n) in counts {
            let account = book.account((Addr::from_v4([10, 0, 0, last]).0, domain));
            account.add(Outcome::DatagramsParsed, n);
        }
        book
    }

    #[test]
    fn numbers_stay_and_activity_is_dated() {
        let inventory = Inventory::default();
        inventory.observe(&book(&[(9, 1, 5), (9, 2, 5)]), 1_000);
        inventory.observe(&book(&[(1, 0, 1), (9, 1, 5), (9, 2, 5)]), 2_000);
        inventory.observe(&book(&[(1, 0, 2), (9, 1, 5), (9, 2, 5)]), 3_000);
        assert_eq!(inventory.number(&Addr::from_v4([10, 0, 0, 9])), Some(0));
        assert_eq!(inventory.number(&Addr::from_v4([10, 0, 0, 1])), Some(1));
        let expected = json!([
            {"exporter": "10.0.0.1", "domains": [0], "first_seen_ms": 2_000, "last_active_ms": 3_000,
             "counted": {"datagrams_parsed": 2}},
            {"exporter": "10.0.0.9", "domains": [1, 2], "first_seen_ms": 1_000, "last_active_ms": 1_000,
             "counted": {"datagrams_parsed": 10}},
        ]);
        assert_eq!(inventory.json(), expected);
    }
}
