//! The time that rates are averages over: what a collector was there for, as the ledger tells it.
//!
//! Flows that began before the collector did reach back further. What they carried then counts as bytes and not towards rates, unless
//! it is most of what there is (a capture of few long flows that was replayed): then all of the time with usage counts.

use crate::assemble::query::number;
use serde_json::{Map, Value};

/// What the store has in a range, times in seconds since 1970 UTC; 0 where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// First and last minute of the ledger.
    pub ledger: (u64, u64),
    /// First and last bucket of usage.
    pub usage: (u64, u64),
    /// Estimated bytes from the first minute of the ledger on, and in all.
    pub bytes: (f64, f64),
}

impl Known {
    /// What the row of [`Plan::known`](super::question::Plan::known) says.
    pub fn of(row: &Map<String, Value>) -> Known {
        let at = |name| number(row, name) as u64;
        Known {
            ledger: (at("ledger_first"), at("ledger_last")),
            usage: (at("usage_first"), at("usage_last")),
            bytes: (number(row, "ledger_bytes"), number(row, "bytes")),
        }
    }
}

/// From when on bytes count towards rates, and up to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// First second: the beginning of a bucket, or of the range.
    pub from: u64,
    /// First second after it.
    pub to: u64,
    /// The first bucket is known in part, and is too large a part of it to be left out.
    pub is_short: bool,
}

impl Coverage {
    /// Of a range with buckets of so many seconds.
    pub fn new((begin, to): (u64, u64), bucket: u64, known: &Known) -> Coverage {
        let is_there = known.ledger.0 > 0 && 2.0 * known.bytes.0 >= known.bytes.1;
        let (first, end) = match is_there {
            true => (known.ledger.0 / bucket * bucket, known.ledger.1 + MINUTE_S),
            false if known.usage.0 > 0 => (known.usage.0, known.usage.1 + bucket),
            false => (begin, to),
        };
        let (from, to) = (first.max(begin), end.min(to).max(first.max(begin) + 1));
        let is_partial = first > begin;
        let is_short = is_partial && to < from + LEFT_OUT_BELOW * bucket;
        let left_out = u64::from(is_partial && !is_short) * bucket;
        Coverage {
            from: from + left_out,
            to,
            is_short,
        }
    }

    /// Seconds of it, where the first flow began at `start_ms` (ms since 1970 UTC).
    pub fn seconds(&self, start_ms: Option<u64>) -> f64 {
        let from = start_ms.map_or(self.from, |ms| self.from.max(ms / 1_000));
        self.to.saturating_sub(from).max(1) as f64
    }
}

const MINUTE_S: u64 = 60;
/// From so many buckets on the first one, which may be known in part, is left out.
const LEFT_OUT_BELOW: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: (u64, u64) = (6_000, 9_610);

    #[test]
    fn a_collector_that_ran_all_the_time_covers_all() {
        let known = Known {
            ledger: (6_000, 9_600),
            usage: (6_000, 9_600),
            bytes: (1e9, 1e9),
        };
        let all = Coverage::new(RANGE, 60, &known);
        assert_eq!((all.from, all.to, all.is_short), (6_000, 9_610, false));
        assert_eq!(all.seconds(None), 3_610.0);
    }

    #[test]
    fn what_was_before_the_collector_counts_towards_no_rate() {
        let mut known = Known {
            ledger: (9_000, 9_600),
            usage: (7_200, 9_600),
            bytes: (8e8, 1e9),
        };
        let later = Coverage::new(RANGE, 60, &known);
        assert_eq!((later.from, later.to), (9_060, 9_610));
        // in its first minutes its first flow says when it began
        known.ledger.0 = 9_540;
        let young = Coverage::new(RANGE, 60, &known);
        assert_eq!((young.from, young.is_short), (9_540, true));
        assert_eq!(young.seconds(Some(9_595_000)), 15.0);
        assert_eq!(young.seconds(Some(9_000_000)), 70.0);
        // a flow of half an hour is nearly all there is: it is measured by its own time
        known.bytes.0 = 1e8;
        let long = Coverage::new(RANGE, 60, &known);
        assert_eq!((long.from, long.to, long.is_short), (7_260, 9_610, false));
    }

    #[test]
    fn the_time_ends_with_the_collector() {
        let known = Known {
            ledger: (6_000, 7_200),
            usage: (6_000, 7_200),
            bytes: (1e9, 1e9),
        };
        assert_eq!(Coverage::new(RANGE, 60, &known).seconds(None), 1_260.0);
        let none = Coverage::new(RANGE, 60, &Known::default());
        assert_eq!((none.from, none.to), RANGE);
        // usage alone, far ahead of the range's end
        let ahead = Known {
            usage: (9_660, 9_720),
            bytes: (0.0, 1.0),
            ..Known::default()
        };
        assert_eq!(Coverage::new(RANGE, 60, &ahead).seconds(None), 1.0);
    }
}
