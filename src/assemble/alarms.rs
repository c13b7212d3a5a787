//! The threads behind the rules of shards: the file of alerts, and captures of detections.

use super::{alert_log, findings, pcaps};
use crate::config::Config;
use crate::detect::signature::Hits;
use crate::ledger::{Outcome, Tally};
use crate::model::Detection;
use crate::shard::{Alarm, AlarmWays, Ring, RingSettings};
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

/// The two ends of the way to the thread of findings.
type Found = (Sender<Vec<Detection>>, Receiver<Vec<Detection>>);

/// What the disk refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    alerts: Arc<AtomicU64>,
    captures: Arc<AtomicU64>,
}

/// Makes the alarms of shards, and ends what is behind them.
#[derive(Debug)]
pub(super) struct Alarms {
    ways: AlarmWays,
    threads: Vec<JoinHandle<()>>,
    lost: Lost,
}

impl Alarms {
    /// Starts the threads that a configuration asks for, for as many shards of packets; and gives the way to the thread of findings.
    ///
    /// # Errors
    /// Which file or folder cannot be written.
    pub fn start(config: &Config, state: &Path, shards: usize) -> Result<(Alarms, Found)> {
        let (found, taken) = findings::channel();
        let (settings, lost) = (&config.signatures, Lost::default());
        let mut alarms = Alarms {
            ways: AlarmWays {
                lines: None,
                found: found.clone(),
                captures: None,
            },
            threads: vec![],
            lost,
        };
        if shards == 0 {
            return Ok((alarms, (found, taken)));
        }
        if let Some(file) = &settings.alerts_file {
            let (to, thread) = alert_log::start(file, settings, alarms.lost.alerts.clone())?;
            alarms.ways.lines = Some(to);
            alarms.threads.push(thread);
        }
        if settings.packets_bytes_max > 0 {
            let folder = pcaps::pcap_dir(settings, state);
            let (to, thread) = pcaps::start(&folder, settings, alarms.lost.captures.clone())?;
            alarms.ways.captures = Some(to);
            alarms.threads.push(thread);
        }
        Ok((alarms, (found, taken)))
    }

    /// What the disk refused so far.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// The alarm of a shard.
    pub fn one(&self, config: &Config) -> Alarm {
        let settings = &config.signatures;
        let ring = self.ways.captures.as_ref().map(|_| {
            Ring::new(RingSettings {
                bytes_max: settings.packets_bytes_max,
                capture_bytes_max: settings.pcap_bytes_max,
                after_ns: i64::from(settings.pcap_after_s) * 1_000_000_000,
            })
        });
        Alarm::new(Hits::new(settings), self.ways.clone(), ring)
    }

    /// Lets the threads write what is left, and end. Every shard has to be gone.
    pub fn stop(self) {
        drop(self.ways);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that writes alerts panicked");
            }
        }
    }
}

impl Lost {
    /// Counts it.
    pub fn book(&self, tally: &mut Tally) {
        tally.add(Outcome::RuleAlertsUnlogged, self.alerts.load(Relaxed));
        tally.add(Outcome::PcapsRefused, self.captures.load(Relaxed));
    }
}
