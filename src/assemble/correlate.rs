//! The thread in which detectors judge what all shards see.

use super::View;
use super::findings::Telling;
use crate::config::Config;
use crate::detect::anomaly::{Detectors, Settings};
use crate::model::Detection;
use crate::shard::{Lookout, Sighted};
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

/// Detectors that wait for facts.
#[derive(Debug)]
pub(super) struct Judges {
    /// Of live traffic and exporters, and of files, whose time is another one.
    both: [Detectors; 2],
    input: Receiver<Sighted>,
    /// Incidents beyond what detectors may find on a day, published.
    beyond: Arc<AtomicU64>,
}

/// Makes detectors, and what shards hand facts to. None where they are off.
///
/// # Errors
/// When the settings cannot be so.
pub(super) fn prepare(config: &Config) -> Result<Option<(Lookout, Judges)>> {
    if !config.detect.enabled || config.sink.kind.discards() {
        return Ok(None);
    }
    let settings = Settings {
        hash_seed: rand::rng().random(),
        ..config.detect.clone()
    };
    let fresh = || Detectors::new(&settings).map_err(anyhow::Error::msg);
    let (to, input) = bounded(QUEUE);
    let lookout = Lookout::new(to);
    let judges = Judges {
        both: [fresh()?, fresh()?],
        input,
        beyond: Arc::default(),
    };
    Ok(Some((lookout, judges)))
}

impl Judges {
    /// Starts the thread; it ends when all shards are gone.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut self, telling: &Telling, view: &View) -> Result<JoinHandle<()>> {
        let found = telling.found.clone();
        view.judged(self.beyond.clone());
        let work = move || {
            for sighted in &self.input {
                let detectors = &mut self.both[usize::from(sighted.of_files)];
                sighted.sightings.iter().for_each(|s| detectors.observe(s));
                detectors.pass(sighted.now_ms);
                hand(detectors, &found);
                self.publish();
            }
            for detectors in &mut self.both {
                detectors.finish();
                hand(detectors, &found);
            }
            self.publish();
        };
        Ok(Builder::new().name("detect".into()).spawn(work)?)
    }
}

impl Judges {
    fn publish(&self) {
        let beyond = self.both.iter().map(Detectors::held_back).sum::<u64>();
        if beyond > 0 && self.beyond.swap(beyond, Relaxed) == 0 {
            tracing::warn!(
                "detectors found more incidents on one day than detect.incidents_per_day_max: further ones are counted, and not kept"
            );
        }
    }
}

fn hand(detectors: &mut Detectors, found: &Sender<Vec<Detection>>) {
    let fresh = detectors.take();
    if fresh.is_empty() {
        return;
    }
    for d in fresh.iter().filter(|d| d.version == 1) {
        let (id, kind) = (format!("{:016x}", d.id), d.kind.name());
        tracing::warn!(id, kind, severity = d.severity.name(), "{}", d.title);
    }
    // who takes them ends later
    let _ = found.send(fresh);
}

/// Batches of facts that may wait; when so many do, what comes is dropped and counted.
const QUEUE: usize = 256;
