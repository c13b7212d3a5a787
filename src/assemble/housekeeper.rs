//! What has to be done now and then, off the path: log faults, keep templates on disk, write receive's share of the ledger.

use super::{StateDirectory, View};
use crate::batch::{Extra, LedgerRow, Sealer};
use crate::decode::Faults;
use crate::ledger::{Gains, Outcome};
use crate::model::{Addr, Learned};
use crate::receive::route::Moment;
use crate::sink::Outbox;
use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Time between two looks for states to write.
const LOOK: Duration = Duration::from_millis(200);

/// Looks in a round.
const ROUND_LOOKS: u32 = 5;

/// Looks between two ledger bundles.
const LEDGER_LOOKS: u32 = 10 * ROUND_LOOKS;

/// Faults logged a round; further ones are counted in the ledger and in one line.
const FAULTS_LOGGED_MAX: usize = 10;

/// Exporters whose turn in the log is remembered.
const EXPORTERS_TOLD_MAX: usize = 4_096;

/// Names of the files with what shards know: decoders, and usage.
pub const DECODE_FILES: &str = "decode-";
pub const SIDES_FILES: &str = "sides-";

/// The thread that does it.
#[derive(Debug)]
pub struct Housekeeper {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Housekeeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        view: Arc<View>,
        state: Arc<StateDirectory>,
        sealer: Sealer,
        outbox: Outbox,
    ) -> Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let mut rounds = Rounds {
            view,
            state,
            sealer,
            outbox,
            gains: vec![],
            lost_told: 0,
            frames_told: 0,
            told: Told::default(),
            saved: BTreeSet::new(),
            cleaned: false,
            is_last: false,
        };
        let work = move || {
            let mut n = 0u32;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                n = n.wrapping_add(1);
                rounds.keep_states();
                if n.is_multiple_of(ROUND_LOOKS) {
                    rounds.round(n.is_multiple_of(LEDGER_LOOKS) && !rounds.outbox.is_full());
                }
            }
            rounds.is_last = true;
            rounds.keep_states();
            rounds.round(true);
        };
        Ok(Housekeeper {
            thread: Builder::new().name("housekeeper".into()).spawn(work)?,
            stop,
        })
    }

    /// One last round, then the end. Shards and receive threads have ended before.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the housekeeper panicked");
        }
    }
}

struct Rounds {
    view: Arc<View>,
    state: Arc<StateDirectory>,
    sealer: Sealer,
    outbox: Outbox,
    /// Of the book of each listener and interface.
    gains: Vec<Gains>,
    lost_told: u64,
    frames_told: u64,
    told: Told,
    /// Shards whose state of this run is on disk.
    saved: BTreeSet<usize>,
    cleaned: bool,
    is_last: bool,
}

impl Rounds {
    /// Writes what shards have published to be known after a restart.
    fn keep_states(&mut self) {
        let taken = self.view.shards(|n, s| (n, s.state.take()));
        let shards = taken.len();
        for (n, state) in taken {
            let Some(state) = state else {
                continue;
            };
            let decode = self
                .state
                .write(&format!("{DECODE_FILES}{n}"), &state.decode);
            let sides = (self.state).write(&format!("{SIDES_FILES}{n}"), &state.sides);
            match decode.and(sides) {
                Ok(()) => self.saved.insert(n),
                Err(error) => {
                    tracing::warn!("templates are not kept: {error:#}");
                    false
                }
            };
        }
        // states of shards that this run does not have are in the new files now
        if self.saved.len() == shards && !self.cleaned {
            for n in shards..crate::shard::SHARDS_MAX {
                self.state.remove(&format!("{DECODE_FILES}{n}"));
                self.state.remove(&format!("{SIDES_FILES}{n}"));
            }
            self.cleaned = true;
        }
    }

    fn round(&mut self, with_ledger: bool) {
        let faults = self.view.shards(|_, s| std::mem::take(&mut s.faults));
        for line in self.told.lines(&faults) {
            tracing::warn!("{line}");
        }
        self.tell_losses();
        self.view.set_bundles_queued(self.outbox.queued());
        if with_ledger {
            self.write_ledger();
        }
        if !self.outbox.is_full() || self.is_last {
            self.write_counters();
        }
    }

    /// What exporters counted themselves; while the store takes nothing it waits where it has a limit.
    fn write_counters(&mut self) {
        let counters = (self.view.reloader().poller()).map_or(vec![], |p| p.take_counters());
        let learned = counters.into_iter().map(|c| Learned::Counters(Box::new(c)));
        let extra = Extra {
            learned: learned.collect(),
            ..Extra::default()
        };
        let now_ns = Moment::now().wall_ns;
        if let Some(bundle) = self.sealer.seal(now_ns, extra, Arc::default()) {
            self.outbox.send(bundle);
        }
    }

    /// Losses before us and at our door are worth a line, at most one a round.
    fn tell_losses(&mut self) {
        let listeners = self.view.listeners();
        let dropped: u64 = listeners
            .iter()
            .map(|l| l.kernel_drops + l.book.count(Outcome::DatagramsDroppedQueue))
            .sum();
        if dropped > self.lost_told {
            let now = dropped - self.lost_told;
            tracing::warn!(
                "{now} datagrams dropped (kernel receive buffer or queue to the shards); see /metrics"
            );
            self.lost_told = dropped;
        }
        let captures = self.view.captures();
        let frames: u64 = captures
            .iter()
            .map(|c| c.kernel_drops + c.book.count(Outcome::FramesDroppedQueue))
            .sum();
        if frames > self.frames_told {
            let now = frames - self.frames_told;
            tracing::warn!(
                "{now} frames dropped (the kernel's buffer or queue to the shards); see /metrics"
            );
            self.frames_told = frames;
        }
    }

    fn write_ledger(&mut self) {
        let now_ns = Moment::now().wall_ns;
        let minute_s = (now_ns.max(0) / 60_000_000_000 * 60) as u32;
        // what became of rows goes with the rows that tell it: after a crash both are there, or neither
        let (news, told) = self.view.sink_cell().tell();
        let listeners = self.view.listeners();
        let captures = self.view.captures();
        let books = listeners.iter().map(|l| &l.book);
        let books = books.chain(captures.iter().map(|c| &c.book));
        self.gains
            .resize_with(books.clone().count(), Gains::default);
        let mut gained = BTreeMap::from([(([0; 16], 0), news)]);
        for (book, gains) in books.zip(&mut self.gains) {
            for (account, tally) in gains.of(book) {
                gained.entry(account).or_default().merge(&tally);
            }
        }
        let gained: Vec<_> = gained.into_iter().collect();
        let ledger = LedgerRow::of(minute_s, &gained);
        let extra = Extra {
            ledger,
            ..Extra::default()
        };
        if let Some(mut bundle) = self.sealer.seal(now_ns, extra, Arc::default()) {
            bundle.positions = told;
            self.outbox.send(bundle);
        }
    }
}

/// Who was named in the log, and when last.
#[derive(Debug, Default)]
struct Told {
    rounds: u64,
    named: BTreeMap<Addr, u64>,
}

impl Told {
    /// The lines of a round: one fault of each exporter before the second one of any, first those who waited longest, and
    /// how many more there were.
    fn lines(&mut self, shards: &[Faults]) -> Vec<String> {
        self.rounds += 1;
        let mut exporters: Vec<_> = shards.iter().flat_map(Faults::exporters).collect();
        exporters.sort_by_key(|(addr, _)| (self.named.get(*addr).copied().unwrap_or(0), **addr));
        let mut shares = vec![0; exporters.len()];
        let mut left = FAULTS_LOGGED_MAX;
        let deepest = exporters.iter().map(|(_, s)| s.first.len()).max();
        for depth in 1..=deepest.unwrap_or(0) {
            for ((_, share), taken) in exporters.iter().zip(&mut shares) {
                if left > 0 && share.first.len() >= depth {
                    (*taken, left) = (depth, left - 1);
                }
            }
        }
        let (mut lines, mut more, mut of) = (vec![], 0, 0);
        for ((addr, share), taken) in exporters.into_iter().zip(shares) {
            lines.extend(share.first[..taken].iter().map(|fault| {
                let (number, at, why) = (fault.datagram, fault.offset, fault.reason);
                format!("exporter {addr}: datagram {number}, byte {at}: {why}")
            }));
            if taken > 0 {
                self.named.insert(*addr, self.rounds);
            }
            more += share.all - taken as u64;
            of += usize::from(share.all > taken as u64);
        }
        while self.named.len() > EXPORTERS_TOLD_MAX {
            self.named.pop_first();
        }
        let unnamed: u64 = shards.iter().map(Faults::unnamed).sum();
        let others = if unnamed > 0 { " and of others" } else { "" };
        if more + unnamed > 0 {
            lines.push(format!(
                "{} more faults of {of} exporters{others} are not listed; see /metrics",
                more + unnamed
            ));
        }
        lines
    }
}

/// What the shards of the last run knew, of files with these names; what cannot be read is said and left out.
pub fn saved_state(state: &StateDirectory, files: &str) -> Vec<Vec<u8>> {
    let names = (0..crate::shard::SHARDS_MAX).map(|n| format!("{files}{n}"));
    names
        .filter_map(|name| {
            state.read(&name).unwrap_or_else(|error| {
                tracing::warn!("{error:#}");
                None
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Fault, Reason};

    fn faults(of: &[(u8, u64)]) -> Faults {
        let mut faults = Faults::new(64);
        for (exporter, count) in of {
            for datagram in 1..=*count {
                faults.note(Fault {
                    exporter: Addr::from_v4([192, 0, 2, *exporter]),
                    datagram,
                    offset: 16,
                    reason: Reason::SetId,
                });
            }
        }
        faults
    }

    fn named(lines: &[String], exporter: u8) -> usize {
        let start = format!("exporter 192.0.2.{exporter}: ");
        lines.iter().filter(|l| l.starts_with(&start)).count()
    }

    #[test]
    fn the_noisy_one_silences_nobody() {
        let mut told = Told::default();
        let lines = told.lines(&[faults(&[(1, 30), (2, 2)]), faults(&[(3, 1)])]);
        assert_eq!([1, 2, 3].map(|e| named(&lines, e)), [4, 2, 1]);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("26 more faults of 1 exporters are not listed; see /metrics")
        );
        assert!(lines[0].starts_with("exporter 192.0.2.1: datagram 1, byte 16: "));
        assert_eq!(told.lines(&[faults(&[(2, 1)])]).len(), 1);
        assert_eq!(told.lines(&[faults(&[])]), [""; 0]);
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut told = Told::default();
        let all: Vec<(u8, u64)> = (0..30).map(|e| (e, 5)).collect();
        let mut seen = [0; 30];
        for _ in 0..3 {
            let lines = told.lines(&[faults(&all)]);
            assert_eq!(lines.len(), FAULTS_LOGGED_MAX + 1);
            (0..30).for_each(|e| seen[usize::from(e)] += named(&lines, e));
        }
        assert_eq!(seen, [1; 30]);
    }
}
