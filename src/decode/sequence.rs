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
    /// Seconds of the newest header of a protocol without uptime.
    #[serde(skip)]
    export_s: Option<u32>,
    /// The number of the newest header.
    #[serde(skip)]
    newest: Option<u32>,
    missing: Vec<Missing>,
    /// Units booked as missed that no sealed ledger row tells yet.
    #[serde(skip)]
    untold: u32,
    /// While the expectation is suspended: the last header's number and what was decoded of that datagram.
    #[serde(skip)]
    held: Option<u32>,
    /// The expectation is that of an earlier process, which ended so; nothing came yet.
    #[serde(skip)]
    resumed: Option<End>,
    /// Units before that of which nothing can be read any more, to be booked with the first arrival.
    #[serde(skip)]
    damaged: u64,
    /// Where it began is known outside.
    #[serde(skip)]
    begun: bool,
}

/// How the process before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order: what it had taken it delivered, or counted.
    Stopped,
    /// By a crash: what it held in memory is gone.
    Crashed,
}

/// What a header says of its time, as far as that tells a restart from a late datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing.
    Unknown,
    /// The sender's uptime, ms.
    Uptime(u32),
    /// When it was exported, seconds since 1970.
    Export(u32),
}

impl Stamp {
    fn uptime_ms(self) -> Option<u32> {
        match self {
            Stamp::Uptime(ms) => Some(ms),
            _ => None,
        }
    }
}

/// What passed between two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// So many units.
    Units(End, u64),
    /// The sender started anew meanwhile: nobody can know.
    Unknown,
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
    /// Behind, and nothing is missing there: what it holds was seen before.
    pub again: bool,
    /// A later header came before it: an exporter whose number never moves is not late.
    pub late: bool,
    /// A header before it had another number than the first: what is `again` of a number that moves came twice.
    pub moves: bool,
    /// The sender started anew.
    pub restarted: bool,
    /// Units that are now taken for lost.
    pub lost: u64,
    /// What passed since the process before, where this is the first arrival after it.
    pub missed: Option<Missed>,
    /// What the process before had taken and nobody can read any more; [`u64::MAX`]: nobody can know.
    pub damaged: u64,
}

impl Sequence {
    /// A header has come, and what it says is booked. Its `stamp` tells a restart from what is late; a number
    /// behind the expectation by at most `window` units is late.
    pub fn arrive(
        &mut self,
        sequence: u32,
        stamp: Stamp,
        window: u32,
        tally: &mut Tally,
    ) -> Arrival {
        let arrival = self.step(sequence, stamp, window);
        tally.add(Outcome::SequenceGaps, arrival.lost);
        if arrival.restarted {
            tally.one(Outcome::SequenceRestarts);
        }
        match arrival.missed {
            None => {}
            Some(Missed::Units(End::Crashed, units)) => tally.add(Outcome::LostCrash, units),
            Some(Missed::Units(End::Stopped, units)) => tally.add(Outcome::LostStopped, units),
            Some(Missed::Unknown) => tally.one(Outcome::LostUnknown),
        }
        match arrival.damaged {
            u64::MAX => tally.one(Outcome::LostUnknown),
            units => tally.add(Outcome::LostDamaged, units),
        }
        arrival
    }

    /// The same without booking.
    pub fn step(&mut self, sequence: u32, stamp: Stamp, window: u32) -> Arrival {
        let uptime_ms = stamp.uptime_ms();
        let rebooted = uptime_ms.is_some_and(|now| self.rebooted(now));
        let mut arrival = Arrival {
            sequence,
            behind: false,
            again: false,
            late: false,
            moves: self.newest != Some(self.since),
            restarted: false,
            lost: self.age(),
            missed: None,
            damaged: 0,
        };
        if let (Some(next), Some(end)) = (self.next, self.resumed) {
            self.resume(&mut arrival, (next, end), rebooted, (stamp, window));
        } else if let Some(next) = self.next {
            let ahead = sequence.wrapping_sub(next) as i32;
            arrival.restarted =
                ahead != 0 && (rebooted || self.leaps(sequence, ahead, (stamp, window)));
            if arrival.restarted {
                arrival.lost += self.open();
                self.since = sequence;
            } else if ahead > 0 {
                arrival.lost += self.miss(next, ahead as u32, 0);
            }
            arrival.behind = ahead < 0 && !arrival.restarted;
            let unseen = (sequence.wrapping_sub(self.since) as i32) < 0;
            arrival.again = arrival.behind && !unseen && !self.misses(sequence);
            let newer = |n: u32| n.wrapping_sub(sequence) as i32 > 0;
            arrival.late = arrival.behind && self.newest.is_some_and(newer);
        } else {
            self.since = sequence;
        }
        if !arrival.behind {
            self.newest = Some(sequence);
            self.uptime_ms = uptime_ms.unwrap_or(0);
            self.export_s = match stamp {
                Stamp::Export(seconds) => Some(seconds),
                _ => None,
            };
            self.next = Some(sequence);
        }
        if sequence.wrapping_sub(self.since) as i32 > SINCE_MAX {
            self.since = sequence.wrapping_sub(SINCE_MAX as u32);
        }
        self.untold = self.untold.wrapping_add(arrival.lost as u32);
        arrival
    }

    /// The first arrival after a restart of this process. What came meanwhile will not come any more, so nothing is
    /// waited for.
    fn resume(
        &mut self,
        arrival: &mut Arrival,
        (next, end): (u32, End),
        rebooted: bool,
        (stamp, window): (Stamp, u32),
    ) {
        let ahead = arrival.sequence.wrapping_sub(next) as i32;
        // where there is an uptime it tells a restart: then any number of units may have passed
        let leaps = (ahead < 0 || stamp.uptime_ms().is_none())
            && self.leaps(arrival.sequence, ahead, (stamp, window));
        arrival.restarted = ahead != 0 && (rebooted || leaps);
        arrival.behind = ahead < 0 && !arrival.restarted;
        if arrival.behind {
            return;
        }
        self.resumed = None;
        self.since = arrival.sequence;
        arrival.damaged = std::mem::take(&mut self.damaged);
        if arrival.damaged != u64::MAX {
            self.untold = self.untold.wrapping_add(arrival.damaged as u32);
        }
        if arrival.restarted {
            self.missing.clear();
            arrival.missed = Some(Missed::Unknown);
        } else {
            arrival.missed = Some(Missed::Units(end, ahead as u64));
            self.untold = self.untold.wrapping_add(ahead as u32);
        }
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
            self.held = None;
            return (None, 0);
        }
        let lost = self.fill(arrival.sequence, units);
        self.untold = self.untold.wrapping_add(lost as u32);
        let outcome = match arrival.again && units > 0 {
            true => Outcome::SequenceDuplicates,
            false => Outcome::SequenceReordered,
        };
        (Some(outcome), lost)
    }

    /// It is not known how many units the datagram held, only that `units` were decoded: the next header starts the
    /// expectation anew.
    pub fn suspend(&mut self, arrival: Arrival, units: u32) {
        self.held = Some(arrival.sequence.wrapping_add(units));
        self.next = None;
    }

    /// Books all gaps that are still open.
    pub fn flush(&mut self, tally: &mut Tally) {
        let open = self.open();
        self.untold = self.untold.wrapping_add(open as u32);
        tally.add(Outcome::SequenceGaps, open);
    }

    /// Where a later process has to go on: the next number (`held` where sets that are in memory only hold it back),
    /// less whatever is missing and not told by a sealed ledger row; in the upper half the uptime. `None` where nothing
    /// new is known.
    pub fn position(&self, held: Option<u32>) -> Option<u64> {
        if self.resumed.is_some() {
            return None;
        }
        let open: u32 = self
            .missing
            .iter()
            .fold(self.untold, |sum, m| sum.wrapping_add(m.len));
        let at = held.or(self.held).or(self.next)?;
        Some(u64::from(self.uptime_ms) << 32 | u64::from(at.wrapping_sub(open)))
    }

    /// Where it began, if nobody asked before and no earlier process knew it: what comes first is counted from there.
    pub fn begin(&mut self) -> Option<u64> {
        let is_new = !std::mem::replace(&mut self.begun, true);
        is_new.then_some(self.since.into())
    }

    /// So many units before the expectation of an earlier process cannot be read any more; [`u64::MAX`]: nobody knows how many.
    pub fn damage(&mut self, units: u64) {
        self.damaged = units;
    }

    /// The ledger rows that are sealed now tell all that was booked.
    pub fn told(&mut self) -> bool {
        std::mem::take(&mut self.untold) != 0
    }

    /// The number expected next; 0 while nothing is expected.
    pub(super) fn next(&self) -> u32 {
        self.next.unwrap_or(0)
    }

    /// Goes on where an earlier process was.
    pub fn from_position(position: u64, end: End) -> Self {
        let next = position as u32;
        Sequence {
            next: Some(next),
            since: next,
            uptime_ms: (position >> 32) as u32,
            resumed: Some(end),
            begun: true,
            ..Default::default()
        }
    }

    /// The expectation that a process left when it ended in order.
    pub(super) fn left_behind(self) -> Self {
        match self.next {
            Some(next) => {
                let position = u64::from(self.uptime_ms) << 32 | u64::from(next);
                Sequence::from_position(position, End::Stopped)
            }
            None => Sequence::default(),
        }
    }

    /// Takes the units of all gaps that are still open.
    pub fn open(&mut self) -> u64 {
        self.missing.drain(..).map(|m| u64::from(m.len)).sum()
    }

    fn rebooted(&self, now: u32) -> bool {
        let back = self.uptime_ms.wrapping_sub(now);
        self.next.is_some() && (UPTIME_BACK_MS..1 << 31).contains(&back)
    }

    fn leaps(&self, sequence: u32, ahead: i32, (stamp, window): (Stamp, u32)) -> bool {
        ahead > GAP_MAX
            || ahead < 0 && ahead.unsigned_abs() > window
            || ahead < 0 && sequence == 0 && !self.misses(sequence) && !self.is_late(stamp)
    }

    /// Whether a header is no younger than the newest one, and hardly older. Who starts anew says a later time, or one from before
    /// its clock was set.
    fn is_late(&self, stamp: Stamp) -> bool {
        match stamp {
            Stamp::Unknown => false,
            Stamp::Uptime(ms) => self.uptime_ms.wrapping_sub(ms) < UPTIME_BACK_MS,
            Stamp::Export(seconds) => self
                .export_s
                .is_some_and(|newest| newest.wrapping_sub(seconds) < EXPORT_BACK_S),
        }
    }

    /// Whether a number is of a range that has not come yet.
    fn misses(&self, sequence: u32) -> bool {
        let inside = |m: &Missing| sequence.wrapping_sub(m.from) < m.len;
        self.missing.iter().any(inside)
    }

    /// Notes a range as missing; returns the units of the one that had to give way.
    fn miss(&mut self, from: u32, len: u32, age: u8) -> u64 {
        let full = self.missing.len() >= MISSING_MAX;
        let lost = full.then(|| u64::from(self.missing.remove(0).len));
        self.missing.push(Missing { from, len, age });
        lost.unwrap_or(0)
    }

    /// Takes what came late out of the missing ranges; the units of a range that gave way.
    fn fill(&mut self, from: u32, units: u32) -> u64 {
        let inside = |m: &Missing| from.wrapping_sub(m.from) < m.len;
        let Some(i) = self.missing.iter().position(inside).filter(|_| units > 0) else {
            return 0;
        };
        let m = self.missing[i];
        let before = from.wrapping_sub(m.from);
        let after = (m.len - before).saturating_sub(units);
        self.missing[i].len = before;
        if before == 0 {
            self.missing.remove(i);
        }
        match after {
            0 => 0,
            _ => self.miss(from.wrapping_add(units), after, m.age),
        }
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

/// So is a time of export.
const EXPORT_BACK_S: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[(u32, u32)]) -> Tally {
        let (mut s, mut tally) = (Sequence::default(), Tally::default());
        for &(sequence, units) in steps {
            let a = s.arrive(sequence, Stamp::Unknown, 64, &mut tally);
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
    fn a_number_that_never_moves_says_nothing_of_duplicates() {
        let flags = |steps: &[(u32, u32)]| {
            let (mut s, mut tally) = (Sequence::default(), Tally::default());
            let flag = steps.iter().map(|&(sequence, units)| {
                let a = s.arrive(sequence, Stamp::Unknown, 64, &mut tally);
                s.advance(a, units, &mut tally);
                a.again && a.moves
            });
            flag.collect::<Vec<_>>()
        };
        assert_eq!(flags(&[(0, 10); 4]), [false; 4]);
        let moving = [(5, 1), (6, 1), (6, 1), (5, 1), (7, 1)];
        assert_eq!(flags(&moving), [false, false, true, true, false]);
    }

    #[test]
    fn restarts_are_neither() {
        assert_eq!(counts(&run(&[(500_000, 10), (3, 10), (13, 1)])), [0, 0, 1]);
        assert_eq!(counts(&run(&[(20, 10), (0, 10), (10, 1)])), [0, 0, 1]);
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        for (sequence, uptime) in [(40, 1_000_000), (41, 1_000_100), (2, 500)] {
            let a = s.arrive(sequence, Stamp::Uptime(uptime), 64, &mut t);
            s.advance(a, 1, &mut t);
        }
        assert_eq!(counts(&t), [0, 0, 1]);
    }

    #[test]
    fn a_duplicate_of_number_0_is_no_restart() {
        use Stamp::{Export, Uptime};
        // what is booked: gaps, reordered, restarts and duplicates
        let booked = |steps: &[(u32, Stamp)]| {
            let (mut s, mut t) = (Sequence::default(), Tally::default());
            for &(sequence, stamp) in steps {
                let a = s.arrive(sequence, stamp, 64, &mut t);
                let again = a.again;
                let before = t.count(Outcome::SequenceDuplicates);
                s.advance(a, 1, &mut t);
                assert_eq!(again, t.count(Outcome::SequenceDuplicates) > before);
            }
            s.flush(&mut t);
            let [gaps, late, restarts] = counts(&t);
            [gaps, late, restarts, t.count(Outcome::SequenceDuplicates)]
        };
        for at in [Uptime, Export] {
            let steps = [
                (0, at(700)),
                (0, at(700)),
                (1, at(700)),
                (0, at(700)),
                (2, at(701)),
            ];
            assert_eq!(booked(&steps), [0, 0, 0, 2]);
            // the first one comes late
            assert_eq!(
                booked(&[(1, at(700)), (0, at(700)), (2, at(700))]),
                [0, 1, 0, 0]
            );
            // a process that starts anew within the uptime of its host, or any time later
            assert_eq!(
                booked(&[(20, at(700)), (0, at(900)), (1, at(900))]),
                [0, 0, 1, 0]
            );
        }
        // a host without a clock of its own starts at 1970
        let steps = [
            (20, Export(1_700_000_000)),
            (0, Export(30)),
            (1, Export(31)),
        ];
        assert_eq!(booked(&steps), [0, 0, 1, 0]);
        let steps = [(20, Uptime(9_000_000)), (0, Uptime(500)), (1, Uptime(600))];
        assert_eq!(booked(&steps), [0, 0, 1, 0]);
    }

    #[test]
    fn the_counter_wraps() {
        assert_eq!(counts(&run(&[(u32::MAX - 4, 10), (5, 10)])), [0, 0, 0]);
        assert_eq!(counts(&run(&[(u32::MAX - 4, 5), (5, 10)])), [5, 0, 0]);
    }

    #[test]
    fn a_suspended_expectation_starts_anew() {
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        let a = s.arrive(10, Stamp::Unknown, 64, &mut t);
        s.advance(a, 5, &mut t);
        let a = s.arrive(15, Stamp::Unknown, 64, &mut t);
        s.suspend(a, 2);
        s.arrive(900, Stamp::Unknown, 64, &mut t);
        s.flush(&mut t);
        assert_eq!(counts(&t), [0, 0, 0]);
    }

    const CRASH: End = End::Crashed;

    /// What is booked when `arrivals` come after a position: crash, stopped, unknown, gaps, restarts.
    fn after(position: u64, end: End, arrivals: &[(u32, Option<u32>)]) -> [u64; 5] {
        let (mut s, mut t) = (Sequence::from_position(position, end), Tally::default());
        for &(sequence, uptime) in arrivals {
            let stamp = uptime.map_or(Stamp::Unknown, Stamp::Uptime);
            let a = s.arrive(sequence, stamp, 64, &mut t);
            s.advance(a, 10, &mut t);
        }
        s.flush(&mut t);
        use Outcome::{LostCrash, LostStopped, LostUnknown, SequenceGaps, SequenceRestarts};
        [
            LostCrash,
            LostStopped,
            LostUnknown,
            SequenceGaps,
            SequenceRestarts,
        ]
        .map(|o| t.count(o))
    }

    #[test]
    fn what_passed_between_two_processes_is_no_gap() {
        let none = [(100, None), (110, None)];
        assert_eq!(after(100, CRASH, &none), [0; 5]);
        assert_eq!(after(40, CRASH, &none), [60, 0, 0, 0, 0]);
        assert_eq!(after(40, End::Stopped, &none), [0, 60, 0, 0, 0]);
        // later gaps are gaps
        let gap = [(100, None), (120, None)];
        assert_eq!(after(40, CRASH, &gap), [60, 0, 0, 10, 0]);
        // the counter wrapped meanwhile
        assert_eq!(
            after(u64::from(u32::MAX), CRASH, &[(9, None)]),
            [10, 0, 0, 0, 0]
        );
        // one from before the position comes late: not the first of the new ones
        let late = [(90, None), (130, None)];
        assert_eq!(after(100, CRASH, &late), [30, 0, 0, 0, 0]);
    }

    #[test]
    fn a_sender_that_restarted_meanwhile_leaves_it_unknown() {
        let unknown = [0, 0, 1, 0, 1];
        assert_eq!(
            after(500_000, CRASH, &[(3, None), (13, None)]),
            unknown,
            "far back"
        );
        assert_eq!(
            after(20, CRASH, &[(0, None), (10, None)]),
            unknown,
            "from 0"
        );
        assert_eq!(after(7, CRASH, &[(1 << 25, None)]), unknown, "a leap");
        // with an uptime a leap is an outage, and a restart is seen by the uptime
        let up = 1_000_000u64 << 32;
        let long = [(1 << 25, Some(9_000_000))];
        assert_eq!(after(up, CRASH, &long), [1 << 25, 0, 0, 0, 0]);
        assert_eq!(after(up | 7, CRASH, &[(90, Some(500))]), unknown);
    }

    #[test]
    fn a_position_excludes_what_only_memory_knows() {
        let (mut s, mut t) = (Sequence::default(), Tally::default());
        let take = |s: &mut Sequence, t: &mut Tally, sequence| {
            let a = s.arrive(sequence, Stamp::Unknown, 64, t);
            s.advance(a, 10, t);
        };
        take(&mut s, &mut t, 100);
        assert_eq!(s.position(None), Some(110));
        assert_eq!(s.position(Some(106)), Some(106), "what waits");
        take(&mut s, &mut t, 130);
        assert_eq!(s.position(None), Some(120), "20 are missing");
        s.flush(&mut t);
        assert_eq!(s.position(None), Some(120), "booked, and not told");
        assert!(s.told() && !s.told());
        assert_eq!(s.position(None), Some(140));
        let a = s.arrive(140, Stamp::Unknown, 64, &mut t);
        s.suspend(a, 3);
        let a = s.arrive(150, Stamp::Unknown, 64, &mut t);
        s.suspend(a, 10);
        assert_eq!(
            s.position(None),
            Some(160),
            "10 of an unknown number decoded"
        );
        take(&mut s, &mut t, 170);
        assert_eq!(s.position(None), Some(180));
        // a crash here and a second one at once: what the first booked is not told
        let mut s = Sequence::from_position(180, CRASH);
        assert_eq!(s.position(None), None);
        take(&mut s, &mut t, 200);
        assert_eq!(s.position(None), Some(190));
    }
}
