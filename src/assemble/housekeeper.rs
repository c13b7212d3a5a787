//! What has to be done now and then, off the path: log faults, keep templates on disk, write receive's share of the ledger.

use super::{StateDirectory, View};
use crate::batch::{Extra, LedgerRow, Sealer};
use crate::ledger::{Account, Outcome, Tally};
use crate::receive::route::Moment;
use crate::shard::SHARDS_MAX;
use crate::sink::Outbox;
use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Rounds between two ledger bundles.
const LEDGER_ROUNDS: u32 = 10;

/// Faults logged a round; further ones are counted in the ledger and not logged.
const FAULTS_LOGGED_MAX: usize = 10;

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
            sealed: BTreeMap::new(),
            lost_told: 0,
            kept: [false; SHARDS_MAX],
        };
        let work = move || {
            let mut n = 0u32;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(ROUND) {
                n = n.wrapping_add(1);
                rounds.round(n.is_multiple_of(LEDGER_ROUNDS));
            }
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
    sealed: BTreeMap<Account, Tally>,
    lost_told: u64,
    /// Shards whose state was written since the start.
    kept: [bool; SHARDS_MAX],
}

impl Rounds {
    fn round(&mut self, with_ledger: bool) {
        let taken = self
            .view
            .shards(|n, s| (n, std::mem::take(&mut s.faults), s.state.take()));
        for (n, faults, state) in taken {
            for fault in faults.iter().take(FAULTS_LOGGED_MAX) {
                let (exporter, at) = (fault.exporter, fault.offset);
                tracing::warn!(
                    "exporter {exporter}: datagram {}, byte {at}: {}",
                    fault.datagram,
                    fault.reason
                );
            }
            if let Some(bytes) = state {
                self.keep(n, &bytes);
            }
        }
        self.tell_losses();
        self.view.set_bundles_queued(self.outbox.queued());
        if with_ledger {
            self.write_ledger();
        }
    }

    /// Writes the state of a shard. Once every shard has written, those of a run with more shards are outdated.
    fn keep(&mut self, shard: usize, bytes: &[u8]) {
        if let Err(error) = self.state.write(&file_of(shard), bytes) {
            tracing::warn!("templates are not kept: {error:#}");
            return;
        }
        let shards = self.view.shards(|_, _| ()).len();
        let all = |kept: &[bool]| kept[..shards].iter().all(|k| *k);
        if !std::mem::replace(&mut self.kept[shard], true) && all(&self.kept) {
            for outdated in shards..SHARDS_MAX {
                if let Err(error) = self.state.remove(&file_of(outdated)) {
                    tracing::warn!("{error:#}");
                }
            }
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
    }

    fn write_ledger(&mut self) {
        let now_ns = Moment::now().wall_ns;
        let minute_s = (now_ns.max(0) / 60_000_000_000 * 60) as u32;
        let mut gained: BTreeMap<Account, Tally> = BTreeMap::new();
        for listener in self.view.listeners() {
            for (account, tally) in listener.book.accounts() {
                gained.entry(*account).or_default().merge(tally);
            }
            gained
                .entry(([0; 16], 0))
                .or_default()
                .merge(listener.book.unassigned());
        }
        let mut ledger = vec![];
        for (account, tally) in gained {
            let before = self.sealed.entry(account).or_default();
            ledger.extend(
                tally
                    .since(before)
                    .iter()
                    .map(|(outcome, count)| LedgerRow {
                        minute_s,
                        exporter: account.0,
                        domain: account.1,
                        outcome,
                        count,
                    }),
            );
            *before = tally;
        }
        let extra = Extra {
            ledger,
            ..Extra::default()
        };
        if let Some(bundle) = self.sealer.seal(now_ns, extra, Arc::default()) {
            self.outbox.send(bundle);
        }
    }
}

/// What the decoders of the last run knew; what cannot be read is said and left out.
pub fn saved_state(state: &StateDirectory) -> Vec<Vec<u8>> {
    let read = |shard| {
        state.read(&file_of(shard)).unwrap_or_else(|error| {
            tracing::warn!("{error:#}");
            None
        })
    };
    (0..SHARDS_MAX).filter_map(read).collect()
}

/// Name of the file with the state of a shard's decoder.
fn file_of(shard: usize) -> String {
    format!("decode-{shard}")
}
