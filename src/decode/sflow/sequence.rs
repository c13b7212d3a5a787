//! What the sequence numbers of sFlow say about datagrams and samples that never came.

use super::wire::{FlowSample, Header, Source};
use crate::ledger::{Outcome, Tally};
use crate::model::Addr;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Whose datagrams: agent and sub-agent.
type Sender = (Addr, u32);

/// Last numbers of every sender and of every source of samples, both bounded: what finds no room is not judged.
#[derive(Debug)]
pub struct Sequences {
    senders: HashMap<Sender, Last, RandomState>,
    sources: HashMap<(Sender, Source), Samples, RandomState>,
    senders_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u32,
    uptime_ms: u32,
    seen_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct Samples {
    sequence: u32,
    drops: u32,
}

impl Sequences {
    /// Room for `senders_max` senders and [`SOURCES_PER_SENDER`] times as many sources.
    pub fn new(senders_max: usize) -> Self {
        Sequences {
            senders: HashMap::default(),
            sources: HashMap::default(),
            senders_max,
        }
    }

    /// Takes the number of a datagram.
    pub fn datagram(&mut self, sender: Sender, header: &Header, now_ns: i64, tally: &mut Tally) {
        let now = Last {
            sequence: header.sequence,
            uptime_ms: header.uptime_ms,
            seen_ns: now_ns,
        };
        let Some(last) = self.senders.get_mut(&sender) else {
            if self.senders.len() < self.senders_max {
                self.senders.insert(sender, now);
            }
            return;
        };
        let ahead = now.sequence.wrapping_sub(last.sequence) as i32;
        let younger = last.uptime_ms.wrapping_sub(now.uptime_ms) as i32;
        let restarted = ahead.unsigned_abs() > STEP_MAX || (ahead <= 0 && younger > CLOCK_BACK_MS);
        if restarted {
            tally.one(Outcome::SequenceRestarts);
            self.sources.retain(|(s, _), _| *s != sender);
        } else if ahead > 1 {
            tally.add(Outcome::SequenceGaps, ahead as u64 - 1);
        } else if ahead < 1 {
            tally.one(Outcome::SequenceReordered);
            last.seen_ns = now_ns;
            return;
        }
        *last = now;
    }

    /// Takes the numbers of a flow sample.
    pub fn sample(&mut self, sender: Sender, sample: &FlowSample<'_>, tally: &mut Tally) {
        let now = Samples {
            sequence: sample.sequence,
            drops: sample.drops,
        };
        let key = (sender, sample.source);
        let Some(last) = self.sources.get_mut(&key) else {
            if self.sources.len() < self.senders_max * SOURCES_PER_SENDER {
                self.sources.insert(key, now);
            }
            return;
        };
        let ahead = now.sequence.wrapping_sub(last.sequence) as i32;
        let restarted = ahead.unsigned_abs() > STEP_MAX;
        if !restarted {
            if ahead < 1 {
                return;
            }
            tally.add(Outcome::SampleGaps, ahead as u64 - 1);
            let dropped = now.drops.wrapping_sub(last.drops);
            // a counter that went back was reset
            if dropped < u32::MAX / 2 {
                tally.add(Outcome::SamplesDroppedByExporter, dropped.into());
            }
        }
        *last = now;
    }

    /// Forgets senders that were silent since `before_ns`.
    pub fn forget(&mut self, before_ns: i64) {
        let known = self.senders.len();
        self.senders.retain(|_, last| last.seen_ns >= before_ns);
        if self.senders.len() < known {
            let senders = &self.senders;
            self.sources.retain(|(s, _), _| senders.contains_key(s));
        }
    }
}

/// Sources of samples kept for each sender, on average.
const SOURCES_PER_SENDER: usize = 16;
/// A step beyond this, either way, is a restart.
const STEP_MAX: u32 = 100_000;
/// How far an uptime may go back between reordered datagrams, milliseconds.
const CLOCK_BACK_MS: i32 = 10_000;

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
            s.datagram((Addr::UNSPECIFIED, 0), &header, 0, &mut t);
        }
        use Outcome::{SequenceGaps, SequenceReordered, SequenceRestarts};
        [SequenceGaps, SequenceReordered, SequenceRestarts].map(|o| t.count(o))
    }

    #[test]
    fn gaps_reordering_and_restarts_are_told_apart() {
        assert_eq!(run(&[(1, 10), (2, 20), (3, 30)]), [0, 0, 0]);
        assert_eq!(run(&[(1, 10), (5, 20)]), [3, 0, 0]);
        assert_eq!(run(&[(1, 10), (3, 20), (2, 15), (4, 30)]), [1, 1, 0]);
        assert_eq!(run(&[(900, 900_000), (1, 1000), (2, 2000)]), [0, 0, 1]);
        assert_eq!(run(&[(u32::MAX, 10), (0, 20), (1, 30)]), [0, 0, 0]);
        assert_eq!(run(&[(1, 10), (1_000_000, 20)]), [0, 0, 1]);
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
            s.datagram((Addr::UNSPECIFIED, n), &header, i64::from(n), &mut t);
        }
        assert_eq!(s.senders.len(), 2);
        s.forget(1);
        assert_eq!(s.senders.len(), 1);
    }
}
