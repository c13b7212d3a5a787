//! Sequence numbers: gaps, reordering and restarts told apart.

use crate::ledger::{Outcome, Tally};
use serde::{Deserialize, Serialize};

/// The expectation of one exporter and domain.
///
/// A gap is booked only after [`PATIENCE`] more datagrams, so that reordering does not look like loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    next: Option<u32>,
    uptime_ms: u32,
    missing: Vec<Missing>,
}

/// A range that has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    from: u32,
    len: u32,
    left: u32,
    age: u8,
}

/// Where a datagram stands in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    sequence: u32,
    behind: bool,
}

impl Sequence {
    /// A header has come. `uptime_ms` tells a restart where the protocol has one; a number behind the expectation by
    /// at most `window` units is reordering.
    pub fn arrive(
        &mut self,
        sequence: u32,
        uptime_ms: Option<u32>,
        window: u32,
        tally: &mut Tally,
    ) -> Arrival {
        let rebooted = uptime_ms.is_some_and(|now| self.rebooted(now));
        self.age(tally);
        let mut arrival = Arrival {
            sequence,
            behind: false,
        };
        if let Some(next) = self.next {
            let ahead = sequence.wrapping_sub(next) as i32;
            let restarts = ahead != 0 && (rebooted || self.leaps(sequence, ahead, window));
            if restarts {
                self.flush(tally);
                tally.one(Outcome::SequenceRestarts);
            } else if ahead > 0 {
                self.miss(next, ahead as u32, tally);
            } else if ahead < 0 {
                tally.one(Outcome::SequenceReordered);
                arrival.behind = true;
            }
        }
        if !arrival.behind {
            self.uptime_ms = uptime_ms.unwrap_or(0);
            self.next = Some(sequence);
        }
        arrival
    }

    /// The datagram held `units`.
    pub fn advance(&mut self, arrival: Arrival, units: u32) {
        if arrival.behind {
            self.fill(arrival.sequence, units);
        } else {
            self.next = Some(arrival.sequence.wrapping_add(units));
        }
    }

    /// It is not known how many units the datagram held: the next header starts the expectation anew.
    pub fn suspend(&mut self) {
        self.next = None;
    }

    /// Books all gaps that are still open.
    pub fn flush(&mut self, tally: &mut Tally) {
        let left: u64 = self.missing.drain(..).map(|m| u64::from(m.left)).sum();
        tally.add(Outcome::SequenceGaps, left);
    }

    /// What came from a file, made sound again.
    pub(super) fn bounded(mut self) -> Self {
        self.missing.truncate(MISSING_MAX);
        for m in &mut self.missing {
            m.age = m.age.min(PATIENCE);
            m.left = m.left.min(m.len);
        }
        self
    }

    fn rebooted(&self, now: u32) -> bool {
        let back = self.uptime_ms.wrapping_sub(now);
        self.next.is_some() && (UPTIME_BACK_MS..1 << 31).contains(&back)
    }

    fn leaps(&self, sequence: u32, ahead: i32, window: u32) -> bool {
        let expected = |m: &Missing| sequence.wrapping_sub(m.from) < m.len;
        ahead > GAP_MAX
            || ahead < 0 && ahead.unsigned_abs() > window
            || ahead < 0 && sequence == 0 && !self.missing.iter().any(expected)
    }

    fn miss(&mut self, from: u32, len: u32, tally: &mut Tally) {
        if self.missing.len() >= MISSING_MAX {
            let oldest = self.missing.remove(0);
            tally.add(Outcome::SequenceGaps, u64::from(oldest.left));
        }
        self.missing.push(Missing {
            from,
            len,
            left: len,
            age: 0,
        });
    }

    fn fill(&mut self, from: u32, units: u32) {
        for m in &mut self.missing {
            let at = from.wrapping_sub(m.from);
            if at < m.len {
                m.left = m.left.saturating_sub(units.min(m.len - at));
            }
        }
    }

    fn age(&mut self, tally: &mut Tally) {
        if self.missing.is_empty() {
            return;
        }
        self.missing.retain_mut(|m| {
            m.age += 1;
            let keep = m.age <= PATIENCE && m.left > 0;
            if !keep {
                tally.add(Outcome::SequenceGaps, u64::from(m.left));
            }
            keep
        });
    }
}

/// Datagrams after which a gap is taken for lost.
const PATIENCE: u8 = 32;

/// Ranges that may be open at once.
const MISSING_MAX: usize = 8;

/// A leap ahead of more units is a restart, not a loss.
const GAP_MAX: i32 = 1 << 24;

/// An uptime that goes back by less is reordering.
const UPTIME_BACK_MS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[(u32, u32)]) -> Tally {
        let (mut s, mut tally) = (Sequence::default(), Tally::default());
        for &(sequence, units) in steps {
            let a = s.arrive(sequence, None, 64, &mut tally);
            s.advance(a, units);
        }
        s.flush(&mut tally);
        tally
    }

    fn counts(t: &Tally) -> [u64; 3] {
        [
            t.count(Outcome::SequenceGaps),
            t.count(Outcome::SequenceReordered),
            t.count(Outcome::SequenceRestarts),
        ]
    }

    #[test]
    fn loss_is_not_reordering() {
        assert_eq!(counts(&run(&[(1, 10), (11, 10), (31, 10)])), [10, 0, 0]);
        assert_eq!(
            counts(&run(&[(1, 10), (21, 10), (11, 10), (31, 10)])),
            [0, 1, 0]
        );
        // a duplicate
        assert_eq!(counts(&run(&[(1, 10), (1, 10), (11, 10)])), [0, 1, 0]);
    }

    #[test]
    fn restarts_are_neither() {
        assert_eq!(counts(&run(&[(500_000, 10), (3, 10), (13, 1)])), [0, 0, 1]);
        assert_eq!(counts(&run(&[(20, 10), (0, 10), (10, 1)])), [0, 0, 1]);
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        for (sequence, uptime) in [(40, 1_000_000), (41, 1_000_100), (2, 500)] {
            let a = s.arrive(sequence, Some(uptime), 64, &mut t);
            s.advance(a, 1);
        }
        assert_eq!(counts(&t), [0, 0, 1]);
    }

    #[test]
    fn the_counter_wraps() {
        assert_eq!(counts(&run(&[(u32::MAX - 4, 10), (5, 10)])), [0, 0, 0]);
        assert_eq!(counts(&run(&[(u32::MAX - 4, 5), (5, 10)])), [5, 0, 0]);
    }

    #[test]
    fn a_suspended_expectation_starts_anew() {
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        let a = s.arrive(10, None, 64, &mut t);
        s.advance(a, 5);
        s.suspend();
        s.arrive(900, None, 64, &mut t);
        s.flush(&mut t);
        assert_eq!(counts(&t), [0, 0, 0]);
    }
}
