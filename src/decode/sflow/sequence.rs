//! What the sequence numbers of sFlow say about datagrams and samples that never came.

use super::super::limits::Size;
use super::super::memory::table_bytes;
use super::super::position::{Key, Touched};
use super::super::sequence::{Sequence, Stamp};
use super::wire::{FlowSample, Header, Source};
use crate::ledger::{Book, Outcome, Tally};
use crate::model::{Addr, RowFlags};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Whose datagrams: agent and sub-agent.
pub type Sender = (Addr, u32);

/// Last numbers of every sender and of its sources of samples, both bounded: what finds no room is counted, not judged.
#[derive(Debug)]
pub struct Sequences {
    senders: HashMap<Sender, Last, RandomState>,
    /// Sources of all senders.
    sources: usize,
    senders_max: usize,
}

#[derive(Debug, Default)]
struct Last {
    sequence: Sequence,
    seen_ns: i64,
    touched: bool,
    sources: HashMap<Source, Samples, RandomState>,
}

#[derive(Debug, Default)]
struct Samples {
    sequence: Sequence,
    drops: Option<u32>,
}

/// The sender of a datagram, for the samples in it.
#[derive(Debug)]
pub struct Followed<'a> {
    last: Option<&'a mut Last>,
    /// What the datagram holds was seen before.
    again: bool,
    sources: &'a mut usize,
    sources_max: usize,
}

impl Sequences {
    /// Room for `senders_max` senders and [`SOURCES_PER_SENDER`] times as many sources.
    pub fn new(senders_max: usize) -> Self {
        Sequences {
            senders: HashMap::default(),
            sources: 0,
            senders_max,
        }
    }

    /// What the tables hold and may hold.
    pub fn sizes(&self) -> [Size; 2] {
        let max = self.senders_max;
        let sources = self.senders.values().map(|last| last.sources.len()).sum();
        [
            ("senders", self.senders.len(), max),
            ("sources", sources, max.saturating_mul(SOURCES_PER_SENDER)),
        ]
    }

    /// Most bytes for so many senders.
    pub fn bytes_max(senders: usize) -> usize {
        // tables of 16 entries each are no fuller than one
        let sources = senders.saturating_mul(SOURCES_PER_SENDER);
        let sources = table_bytes::<(Source, Samples)>(sources);
        table_bytes::<(Sender, Last)>(senders).saturating_add(sources)
    }

    /// Takes the number of a datagram.
    pub fn datagram(
        &mut self,
        sender: Sender,
        header: &Header,
        now_ns: i64,
        (tally, touched): (&mut Tally, &mut Touched),
    ) -> Followed<'_> {
        let is_full = self.senders.len() >= self.senders_max;
        let mut followed = Followed {
            last: None,
            again: false,
            sources: &mut self.sources,
            sources_max: self.senders_max.saturating_mul(SOURCES_PER_SENDER),
        };
        if is_full && !self.senders.contains_key(&sender) {
            tally.one(Outcome::SequencesRefused);
            return followed;
        }
        let last = self.senders.entry(sender).or_default();
        last.seen_ns = now_ns;
        let stamp = Stamp::Uptime(header.uptime_ms);
        let arrival = last
            .sequence
            .arrive(header.sequence, stamp, DATAGRAMS_LATE, tally);
        last.sequence.advance(arrival, 1, tally);
        if !last.touched {
            last.touched = touched.push(Key::Sender(sender.0, sender.1));
        }
        if arrival.restarted {
            *followed.sources -= last.close(tally);
        }
        followed.again = arrival.again && arrival.moves;
        followed.last = Some(last);
        followed
    }

    /// The expectation of a sender, to be told.
    pub fn sender(&mut self, sender: Sender) -> Option<(&mut Sequence, &mut bool)> {
        let last = self.senders.get_mut(&sender)?;
        Some((&mut last.sequence, &mut last.touched))
    }

    /// When a sender was last heard of.
    pub fn heard_ns(&self, sender: Sender) -> Option<i64> {
        self.senders.get(&sender).map(|last| last.seen_ns)
    }

    /// All senders, and when each was last heard of.
    pub fn senders(&self) -> impl Iterator<Item = (Sender, i64, &Sequence)> {
        let senders = self.senders.iter();
        senders.map(|(s, last)| (*s, last.seen_ns, &last.sequence))
    }

    /// All senders, to be told.
    pub fn senders_mut(&mut self) -> impl Iterator<Item = (Sender, &mut Sequence, &mut bool)> {
        let senders = self.senders.iter_mut();
        senders.map(|(s, last)| (*s, &mut last.sequence, &mut last.touched))
    }

    /// Goes on where an earlier process was, if there is room.
    pub fn resume(&mut self, sender: Sender, sequence: Sequence, now_ns: i64) {
        if self.senders.len() < self.senders_max || self.senders.contains_key(&sender) {
            let last = self.senders.entry(sender).or_default();
            last.sequence = sequence;
            last.seen_ns = last.seen_ns.max(now_ns);
        }
    }

    /// Forgets senders that were silent since `before_ns`; their open gaps are booked.
    pub fn forget(&mut self, before_ns: i64, book: &mut Book, touched: &mut Touched) {
        let sources = &mut self.sources;
        self.senders.retain(|(agent, sub_agent), last| {
            let keep = last.seen_ns >= before_ns;
            if !keep {
                let tally = book.account((agent.0, *sub_agent));
                last.sequence.flush(tally);
                *sources -= last.close(tally);
                touched.push(Key::Sender(*agent, *sub_agent));
            }
            keep
        });
    }

    /// Books all gaps that are still open.
    pub fn finish(&mut self, book: &mut Book) {
        for ((agent, sub_agent), last) in &mut self.senders {
            let tally = book.account((agent.0, *sub_agent));
            last.sequence.flush(tally);
            self.sources -= last.close(tally);
        }
    }
}

impl Last {
    /// Forgets the sources, whose open gaps are booked; how many there were.
    fn close(&mut self, tally: &mut Tally) -> usize {
        let known = self.sources.len();
        for (_, mut samples) in self.sources.drain() {
            tally.add(Outcome::SampleGaps, samples.sequence.open());
        }
        known
    }
}

impl Followed<'_> {
    /// What is special about the rows of the datagram.
    pub fn flags(&self) -> u32 {
        u32::from(self.again) * RowFlags::DUPLICATE
    }

    /// Takes the numbers of a flow sample.
    pub fn sample(&mut self, sample: &FlowSample<'_>, tally: &mut Tally) {
        let Some(samples) = self.source(sample.source) else {
            tally.one(Outcome::SequencesRefused);
            return;
        };
        let arrival = samples
            .sequence
            .step(sample.sequence, Stamp::Unknown, SAMPLES_LATE);
        let (_, lost) = samples.sequence.settle(arrival, 1);
        tally.add(Outcome::SampleGaps, arrival.lost + lost);
        if arrival.behind {
            return;
        }
        let before = samples.drops.replace(sample.drops);
        if let Some(before) = before.filter(|_| !arrival.restarted) {
            let dropped = sample.drops.wrapping_sub(before);
            // a counter that went back was reset
            if dropped < u32::MAX / 2 {
                tally.add(Outcome::SamplesDroppedByExporter, dropped.into());
            }
        }
    }

    /// What is known of a source; none where a new one finds no room.
    fn source(&mut self, source: Source) -> Option<&mut Samples> {
        let known = &mut self.last.as_deref_mut()?.sources;
        if !known.contains_key(&source) {
            if known.len() >= SOURCES_MAX || *self.sources >= self.sources_max {
                return None;
            }
            *self.sources += 1;
        }
        Some(known.entry(source).or_default())
    }
}

/// Sources of samples kept for each sender, on average.
const SOURCES_PER_SENDER: usize = 16;
/// Sources kept for one sender: more than a chassis has ports.
const SOURCES_MAX: usize = 4096;
/// Datagrams by which one may be late without being a restart.
const DATAGRAMS_LATE: u32 = 64;
/// Samples of one source by which one may be late.
const SAMPLES_LATE: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(numbers: &[(u32, u32)]) -> [u64; 3] {
        let mut s = Sequences::new(4);
        let mut t = Tally::default();
        for &(sequence, uptime_ms) in numbers {
            let header = Header {
                agent: Addr::UNSPECIFIED,
                sub_agent: 0,
                sequence,
                uptime_ms,
                samples: 0,
            };
            let house = (&mut t, &mut Touched::default());
            s.datagram((Addr::UNSPECIFIED, 0), &header, 0, house);
        }
        let mut book = Book::new(4);
        s.finish(&mut book);
        t.merge(&book.total());
        use Outcome::{SequenceGaps, SequenceReordered, SequenceRestarts};
        [SequenceGaps, SequenceReordered, SequenceRestarts].map(|o| t.count(o))
    }

    #[test]
    fn gaps_reordering_and_restarts_are_told_apart() {
        assert_eq!(run(&[(1, 10), (2, 20), (3, 30)]), [0, 0, 0]);
        assert_eq!(run(&[(1, 10), (5, 20)]), [3, 0, 0]);
        assert_eq!(run(&[(1, 10), (3, 20), (2, 15), (4, 30)]), [0, 1, 0]);
        let late = [(1, 10), (2, 20), (5, 50), (4, 40), (6, 60)];
        assert_eq!(run(&late), [1, 1, 0]);
        assert_eq!(run(&[(1, 10), (2, 20), (2, 20), (3, 30)]), [0, 0, 0]);
        assert_eq!(run(&[(900, 900_000), (1, 1000), (2, 2000)]), [0, 0, 1]);
        assert_eq!(run(&[(u32::MAX, 10), (0, 20), (1, 30)]), [0, 0, 0]);
        assert_eq!(run(&[(1, 10), (1 << 30, 20)]), [0, 0, 1]);
    }

    #[test]
    fn silent_senders_are_forgotten_and_new_ones_bounded() {
        let mut s = Sequences::new(2);
        let mut t = Tally::default();
        let header = Header {
            agent: Addr::UNSPECIFIED,
            sub_agent: 0,
            sequence: 1,
            uptime_ms: 1,
            samples: 0,
        };
        for n in 0..5 {
            let house = (&mut t, &mut Touched::default());
            s.datagram((Addr::UNSPECIFIED, n), &header, i64::from(n), house);
        }
        assert_eq!(s.senders.len(), 2);
        assert_eq!(t.count(Outcome::SequencesRefused), 3);
        s.forget(1, &mut Book::new(4), &mut Touched::default());
        assert_eq!(s.senders.len(), 1);
    }

    #[test]
    fn sources_are_bounded_for_a_sender_and_in_all_and_go_with_it() {
        let mut s = Sequences::new(300);
        let mut t = Tally::default();
        let from = |s: &mut Sequences, t: &mut Tally, agent: u32, uptime_ms, sources: u32| {
            let header = Header {
                agent: Addr::UNSPECIFIED,
                sub_agent: 0,
                sequence: uptime_ms,
                uptime_ms,
                samples: 0,
            };
            let sender = (Addr::from_v4(agent.to_be_bytes()), 0);
            let mut followed = s.datagram(sender, &header, 7, (&mut *t, &mut Touched::default()));
            for index in 0..sources {
                // interface `index`: 1 in 100, no records
                let body = [1, index, 100, 0, 0, 0, 0, 0].map(u32::to_be_bytes);
                let sample = FlowSample::read(body.as_flattened(), false).expect("whole");
                followed.sample(&sample, t);
            }
        };
        let (one, all) = (SOURCES_MAX as u32, 300 * SOURCES_PER_SENDER as u32);
        from(&mut s, &mut t, 1, 900_000, one + 9);
        assert_eq!(t.count(Outcome::SequencesRefused), 9);
        from(&mut s, &mut t, 2, 900_000, one);
        assert_eq!(s.sources, all as usize);
        assert_eq!(
            t.count(Outcome::SequencesRefused),
            u64::from(9 + 2 * one - all)
        );
        // known ones stay known; a restart makes room for those of others
        let before = t.count(Outcome::SequencesRefused);
        from(&mut s, &mut t, 1, 900_001, one);
        assert_eq!(t.count(Outcome::SequencesRefused), before);
        from(&mut s, &mut t, 1, 1, 3);
        assert_eq!(s.sources as u32, all - one + 3);
        from(&mut s, &mut t, 2, 900_001, one);
        assert_eq!(s.sources as u32, one + 3);
        assert_eq!(t.count(Outcome::SequencesRefused), before);
        s.forget(8, &mut Book::new(4), &mut Touched::default());
        assert_eq!((s.sources, s.senders.len()), (0, 0));
    }
}
