//! Sequence numbers: gaps, reordering and restarts told apart.

use crate::ledger::{Outcome, Tally};
use serde::{Deserialize, Serialize};

/// The expectation of one sender.
///
/// A gap is booked only after [`PATIENCE`] more datagrams, so that reordering does not look like loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    next: Option<u32>,
    /// Where the expectation began: what is before it was never seen.
    since: u32,
    uptime_ms: u32,
    missing: Vec<Missing>,
}

/// A range that has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    from: u32,
    len: u32,
    age: u8,
}

/// Where a datagram stands in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    sequence: u32,
    /// Before what is expected next: late, or seen before.
    pub behind: bool,
    /// The sender started anew.
    pub restarted: bool,
    /// Units that are now taken for lost.
    pub lost: u64,
}

impl Sequence {
    /// A header has come, and what it says is booked. `uptime_ms` tells a restart where the protocol has one; a number
    /// behind the expectation by at most `window` units is late.
    pub fn arrive(
        &mut self,
        sequence: u32,
        uptime_ms: Option<u32>,
        window: u32,
        tally: &mut Tally,
    ) -> Arrival {
        let arrival = self.step(sequence, uptime_ms, window);
        tally.add(Outcome::SequenceGaps, arrival.lost);
        if arrival.restarted {
            tally.one(Outcome::SequenceRestarts);
        }
        arrival
    }

    /// The same without booking.
    pub fn step(&mut self, sequence: u32, uptime_ms: Option<u32>, window: u32) -> Arrival {
        let rebooted = uptime_ms.is_some_and(|now| self.rebooted(now));
        let mut arrival = Arrival {
            sequence,
            behind: false,
            restarted: false,
            lost: self.age(),
        };
        if let Some(next) = self.next {
            let ahead = sequence.wrapping_sub(next) as i32;
            arrival.restarted = ahead != 0 && (rebooted || self.leaps(sequence, ahead, window));
            if arrival.restarted {
                arrival.lost += self.open();
                self.since = sequence;
            } else if ahead > 0 {
                arrival.lost += self.miss(next, ahead as u32, 0);
            }
            arrival.behind = ahead < 0 && !arrival.restarted;
        } else {
            self.since = sequence;
        }
        if !arrival.behind {
            self.uptime_ms = uptime_ms.unwrap_or(0);
            self.next = Some(sequence);
        }
        if sequence.wrapping_sub(self.since) as i32 > SINCE_MAX {
            self.since = sequence.wrapping_sub(SINCE_MAX as u32);
        }
        arrival
    }

    /// The datagram held `units`; one that came late is booked as reordered, one that was seen before as a duplicate.
    pub fn advance(&mut self, arrival: Arrival, units: u32, tally: &mut Tally) {
        let (outcome, lost) = self.settle(arrival, units);
        tally.add(Outcome::SequenceGaps, lost);
        if let Some(outcome) = outcome {
            tally.one(outcome);
        }
    }

    /// The same without booking: what it was if it was behind, and units that are now taken for lost.
    pub fn settle(&mut self, arrival: Arrival, units: u32) -> (Option<Outcome>, u64) {
        if !arrival.behind {
            self.next = Some(arrival.sequence.wrapping_add(units));
            return (None, 0);
        }
        let unseen = (arrival.sequence.wrapping_sub(self.since) as i32) < 0;
        let (filled, lost) = self.fill(arrival.sequence, units);
        let outcome = if filled || unseen || units == 0 {
            Outcome::SequenceReordered
        } else {
            Outcome::SequenceDuplicates
        };
        (Some(outcome), lost)
    }

    /// It is not known how many units the datagram held: the next header starts the expectation anew.
    pub fn suspend(&mut self) {
        self.next = None;
    }

    /// Books all gaps that are still open.
    pub fn flush(&mut self, tally: &mut Tally) {
        tally.add(Outcome::SequenceGaps, self.open());
    }

    /// Takes the units of all gaps that are still open.
    pub fn open(&mut self) -> u64 {
        self.missing.drain(..).map(|m| u64::from(m.len)).sum()
    }

    /// What came from a file, made sound again.
    pub(super) fn bounded(mut self) -> Self {
        self.missing.truncate(MISSING_MAX);
        for m in &mut self.missing {
            m.age = m.age.min(PATIENCE);
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

    /// Notes a range as missing; returns the units of the one that had to give way.
    fn miss(&mut self, from: u32, len: u32, age: u8) -> u64 {
        let full = self.missing.len() >= MISSING_MAX;
        let lost = full.then(|| u64::from(self.missing.remove(0).len));
        self.missing.push(Missing { from, len, age });
        lost.unwrap_or(0)
    }

    /// Takes what came late out of the missing ranges: whether it was missing, and the units of a range that gave way.
    fn fill(&mut self, from: u32, units: u32) -> (bool, u64) {
        let inside = |m: &Missing| from.wrapping_sub(m.from) < m.len;
        let Some(i) = self.missing.iter().position(inside).filter(|_| units > 0) else {
            return (false, 0);
        };
        let m = self.missing[i];
        let before = from.wrapping_sub(m.from);
        let after = (m.len - before).saturating_sub(units);
        self.missing[i].len = before;
        if before == 0 {
            self.missing.remove(i);
        }
        let lost = match after {
            0 => 0,
            _ => self.miss(from.wrapping_add(units), after, m.age),
        };
        (true, lost)
    }

    fn age(&mut self) -> u64 {
        let mut lost = 0;
        self.missing.retain_mut(|m| {
            m.age += 1;
            let keep = m.age <= PATIENCE;
            lost += if keep { 0 } else { u64::from(m.len) };
            keep
        });
        lost
    }
}

/// Datagrams after which a gap is taken for lost.
const PATIENCE: u8 = 32;

/// Ranges that may be open at once.
const MISSING_MAX: usize = 8;

/// A leap ahead of more units is a restart, not a loss.
const GAP_MAX: i32 = 1 << 24;

/// How far behind the newest number the beginning is remembered: well within half of the numbers.
const SINCE_MAX: i32 = 1 << 30;

/// An uptime that goes back by less is reordering.
const UPTIME_BACK_MS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[(u32, u32)]) -> Tally {
        let (mut s, mut tally) = (Sequence::default(), Tally::default());
        for &(sequence, units) in steps {
            let a = s.arrive(sequence, None, 64, &mut tally);
            s.advance(a, units, &mut tally);
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
        assert_eq!(
            counts(&run(&[(1, 1), (2, 1), (5, 1), (4, 1), (6, 1)])),
            [1, 1, 0]
        );
        // one from before the first is late, not seen twice
        assert_eq!(counts(&run(&[(2, 1), (1, 1), (3, 1)])), [0, 1, 0]);
    }

    #[test]
    fn a_duplicate_is_not_reordering() {
        for steps in [
            &[(1, 10), (1, 10), (11, 10)][..],
            &[(1, 1), (3, 1), (2, 1), (2, 1), (4, 1)][..],
        ] {
            let t = run(steps);
            assert_eq!(t.count(Outcome::SequenceDuplicates), 1);
            assert_eq!(counts(&t), [0, steps.len() as u64 / 5, 0]);
        }
    }

    #[test]
    fn restarts_are_neither() {
        assert_eq!(counts(&run(&[(500_000, 10), (3, 10), (13, 1)])), [0, 0, 1]);
        assert_eq!(counts(&run(&[(20, 10), (0, 10), (10, 1)])), [0, 0, 1]);
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        for (sequence, uptime) in [(40, 1_000_000), (41, 1_000_100), (2, 500)] {
            let a = s.arrive(sequence, Some(uptime), 64, &mut t);
            s.advance(a, 1, &mut t);
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
        s.advance(a, 5, &mut t);
        s.suspend();
        s.arrive(900, None, 64, &mut t);
        s.flush(&mut t);
        assert_eq!(counts(&t), [0, 0, 0]);
    }
}
