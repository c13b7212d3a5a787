//! By what the age of bundles and of doubt is told over restarts: never by a clock that can be set.
//!
//! A bundle is as old as the time that collectors ran since it was made: the time that they run is summed over restarts, and noted
//! now and then beside the number of the next bundle. A collector that was stopped for a week, or whose clock was wrong, finds nothing older
//! than it was. Doubt is told by blocks that a table has taken ([`Blocks`]).

use super::format::checksum;
use crate::batch::Table;
use crate::sink::blocks::Blocks;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What the file `marks` holds.
#[derive(Debug, Default)]
pub(in crate::sink) struct Marks {
    pub(in crate::sink) ages: Ages,
    /// How far tables had come before what is in doubt was sent.
    pub(in crate::sink) blocks: BTreeMap<Table, Blocks>,
    /// When they were written last, and with which blocks.
    kept: Option<(Instant, BTreeMap<Table, Blocks>)>,
}

/// How long collectors ran in all, and which bundle was next when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sink) struct Ages {
    run: Duration,
    /// The next bundle's number and how long collectors had run, both rising.
    noted: VecDeque<(u64, Duration)>,
    age_max: Duration,
}

impl Ages {
    /// A process begins whose first bundle has this number; after `age_max` flow rows are given up, if that is not 0.
    pub(in crate::sink) fn begin(&mut self, next: u64, age_max: Duration) {
        self.age_max = age_max;
        self.note(next);
    }

    /// A process has run on.
    pub(in crate::sink) fn go_on(&mut self, by: Duration, next: u64) {
        self.run += by;
        let step = (self.age_max / NOTES_MAX).max(STEP_MIN);
        let last = self.noted.back().map_or(Duration::ZERO, |n| n.1);
        if self.run.saturating_sub(last) >= step {
            self.note(next);
        }
        while self.noted.len() > 1 && self.age(1) >= self.age_max {
            self.noted.pop_front();
        }
    }

    /// Bundles with smaller numbers are too old.
    pub(in crate::sink) fn old(&self) -> Option<u64> {
        let is_old = !self.age_max.is_zero() && self.age(0) >= self.age_max;
        is_old.then(|| self.noted[0].0)
    }

    fn note(&mut self, next: u64) {
        self.noted.push_back((next, self.run));
        // a clock of one process cannot go back, and neither do numbers: this bounds what a file may say
        while self.noted.len() > 2 * NOTES_MAX as usize {
            self.noted.pop_front();
        }
    }

    fn age(&self, n: usize) -> Duration {
        let noted = self.noted.get(n);
        noted.map_or(Duration::ZERO, |n| self.run.saturating_sub(n.1))
    }
}

impl Marks {
    /// What has to be written now: after a minute, or when blocks have changed.
    pub(super) fn due(&mut self) -> Option<Vec<u8>> {
        let fresh = |(at, blocks): &(Instant, _)| at.elapsed() < EVERY && *blocks == self.blocks;
        if self.kept.as_ref().is_some_and(fresh) {
            return None;
        }
        self.kept = Some((Instant::now(), self.blocks.clone()));
        Some(self.encode())
    }

    /// Lines of words, after one with their checksum.
    fn encode(&self) -> Vec<u8> {
        let mut lines = format!("ran {}\n", self.ages.run.as_millis());
        for (next, run) in &self.ages.noted {
            writeln!(lines, "next {next} {}", run.as_millis()).ok();
        }
        for (table, b) in &self.blocks {
            let name = table.name();
            writeln!(lines, "blocks {name} {} {} {}", b.place, b.window, b.taken).ok();
        }
        format!("{MAGIC} {:032x}\n{lines}", checksum(lines.as_bytes())).into_bytes()
    }

    /// Reads the file; `None` where it is damaged. Lines of a later version are left out.
    pub(super) fn decode(bytes: &[u8]) -> Option<Marks> {
        let (head, lines) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let sum = head.strip_prefix(MAGIC)?.trim_start();
        if u128::from_str_radix(sum, 16).ok()? != checksum(lines.as_bytes()) {
            return None;
        }
        let mut marks = Marks::default();
        let ms = |text: &str| Some(Duration::from_millis(text.parse().ok()?));
        for line in lines.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["ran", run] => marks.ages.run = ms(run)?,
                ["next", next, run] => marks.ages.noted.push_back((next.parse().ok()?, ms(run)?)),
                ["blocks", table, place, window, taken] => {
                    let blocks = Blocks {
                        place: place.into(),
                        window: window.parse().ok()?,
                        taken: taken.parse().ok()?,
                    };
                    if let Some(&table) = Table::ALL.iter().find(|t| t.name() == table) {
                        marks.blocks.insert(table, blocks);
                    }
                }
                _ => {}
            }
        }
        Some(marks)
    }
}

/// Most notes of numbers in the longest age; one more is never too exact by more than a part of so many.
const NOTES_MAX: u32 = 64;

const STEP_MIN: Duration = Duration::from_millis(500);

/// Time between two writes: what a crash takes of it makes nothing older.
const EVERY: Duration = Duration::from_secs(60);

const MAGIC: &str = "FHMARKS1";

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn restarted(marks: &Marks, next: u64) -> Marks {
        let mut again = Marks::decode(&marks.encode()).expect("sound");
        again.ages.begin(next, marks.ages.age_max);
        again
    }

    #[test]
    fn age_is_time_that_collectors_ran() {
        let mut marks = Marks::default();
        marks.ages.begin(5, 64 * HOUR);
        assert_eq!(marks.ages.old(), None);
        for hour in 1..=63 {
            marks.ages.go_on(HOUR, 5 + hour);
        }
        assert_eq!(marks.ages.old(), None);
        marks.ages.go_on(HOUR, 69);
        // what was found at the start, and nothing that was made since
        assert_eq!(marks.ages.old(), Some(5));
        // however long nobody ran
        let mut marks = restarted(&marks, 69);
        assert_eq!(marks.ages.old(), Some(5));
        marks.ages.go_on(2 * HOUR, 70);
        assert_eq!(marks.ages.old(), Some(7));
        for hour in 0..1_000 {
            marks.ages.go_on(HOUR, 71 + hour);
            assert!(marks.ages.noted.len() <= 66);
        }
        let old = marks.ages.old().expect("old ones");
        assert!((1_070 - 66..1_070 - 62).contains(&old), "{old}");
    }

    #[test]
    fn what_is_found_without_marks_has_no_age() {
        let mut marks = Marks::decode(b"").unwrap_or_default();
        marks.ages.begin(900, HOUR);
        marks.ages.go_on(HOUR / 2, 950);
        assert_eq!(marks.ages.old(), None);
        marks.ages.go_on(HOUR / 2, 960);
        assert_eq!(marks.ages.old(), Some(900));
        marks.ages.age_max = Duration::ZERO;
        assert_eq!(marks.ages.old(), None, "0: no age");
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_that_is_damaged() {
        let mut marks = Marks::default();
        marks.ages.begin(7, HOUR);
        marks.ages.go_on(HOUR / 3, 8);
        let blocks = Blocks {
            place: "0-1/2-3".into(),
            window: 10_000,
            taken: 4_711,
        };
        marks.blocks.insert(Table::Usage1m, blocks);
        let bytes = marks.due().expect("never written");
        assert_eq!(marks.due(), None);
        let back = Marks::decode(&bytes).expect("sound");
        assert_eq!(
            (&back.ages.noted, back.ages.run),
            (&marks.ages.noted, marks.ages.run)
        );
        assert_eq!(back.blocks, marks.blocks);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Marks::decode(&bad).is_none(), "byte {at}");
            assert!(Marks::decode(&bytes[..at]).is_none(), "cut at {at}");
        }
        marks.blocks.clear();
        assert!(marks.due().is_some(), "blocks have changed");
    }
}
