//! The thread in which detectors judge what all shards see, and what they know over a restart.

use super::findings::Telling;
use super::{StateDirectory, View, days};
use crate::config::Config;
use crate::detect::anomaly::{Detectors, Settings};
use crate::model::Detection;
use crate::shard::{Lookout, Sights};
use crate::sink::clickhouse::Connection;
use anyhow::Result;
use crossbeam_channel::{Sender, bounded};
use rand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

/// Detectors that wait for facts.
#[derive(Debug)]
pub(super) struct Judges {
    /// Of live traffic and exporters.
    live: Detectors,
    /// Of files, whose time is another one, where they are read.
    of_files: Option<Detectors>,
    input: Sights,
    /// Incidents beyond what detectors may find on a day, published.
    beyond: Arc<AtomicU64>,
    state: Arc<StateDirectory>,
}

/// Makes detectors, and what shards hand facts to. None where they are off.
///
/// # Errors
/// When the settings cannot be so.
pub(super) fn prepare(
    config: &Config,
    state: &Arc<StateDirectory>,
    connection: &Connection,
) -> Result<Option<(Lookout, Judges)>> {
    if !config.detect.enabled || config.sink.kind.discards() {
        return Ok(None);
    }
    let settings = Settings {
        hash_seed: rand::rng().random(),
        ..config.detect.clone()
    };
    let files_restored = || restored(&settings, state, FILE_OF_FILES);
    let (lookout, input) = Lookout::new(settings.waiting_max);
    let files = config.capture.watch_directory.is_some();
    days::watch(config, connection, lookout.guest())?;
    let judges = Judges {
        live: restored(&settings, state, FILE)?,
        of_files: files.then(files_restored).transpose()?,
        input,
        beyond: Arc::default(),
        state: state.clone(),
    };
    Ok(Some((lookout, judges)))
}

/// Detectors that go on where those before a restart were. State that cannot be used is set aside, and they say so.
fn restored(settings: &Settings, state: &StateDirectory, file: &str) -> Result<Detectors> {
    let fresh = || Detectors::new(settings).map_err(anyhow::Error::msg);
    let why = match state.read(file) {
        Ok(None) => return fresh(),
        Ok(Some(bytes)) => match Detectors::restore(settings, &bytes) {
            Ok(detectors) => return Ok(detectors),
            Err(why) => why,
        },
        Err(error) => error.to_string(),
    };
    tracing::warn!("what detectors knew cannot be used ({why}): it is set aside as {file}.damaged");
    state.set_aside(file);
    let mut detectors = fresh()?;
    detectors.forgot(&why);
    Ok(detectors)
}

impl Judges {
    /// Starts the thread; it ends when all shards are gone.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut self, telling: &Telling, view: &View) -> Result<JoinHandle<()>> {
        let found = telling.found.clone();
        view.judged(self.beyond.clone());
        // a disk that is slow must not hold up who judges
        let (to, written) = bounded::<(&str, Vec<u8>)>(1);
        let state = self.state.clone();
        let keep = move || {
            for (file, bytes) in written {
                if let Err(error) = state.write_private(file, &bytes) {
                    tracing::warn!("what detectors know is not kept: {error}");
                }
            }
        };
        let keeper = Builder::new().name("detect-keep".into()).spawn(keep)?;
        let work = move || {
            let mut kept_ms = i64::MIN;
            while let Some(sighted) = self.input.next() {
                let detectors = match &mut self.of_files {
                    Some(detectors) if sighted.of_files => detectors,
                    _ => &mut self.live,
                };
                detectors.observe_all(&sighted.sightings);
                self.input.give_back(sighted.sightings);
                detectors.pass(sighted.now_ms);
                if sighted.pauses {
                    detectors.pause();
                }
                hand(detectors, &found);
                self.publish();
                let due = sighted.now_ms.saturating_sub(kept_ms) >= KEEP_MS;
                if !sighted.of_files && due {
                    kept_ms = sighted.now_ms;
                    if to.is_empty() {
                        let _ = to.try_send((FILE, self.live.save()));
                    }
                }
                // no more files come for now
                if sighted.of_files && sighted.pauses && to.is_empty() {
                    self.keep_of_files(&to);
                }
            }
            self.keep_of_files(&to);
            self.live.settle();
            hand(&mut self.live, &found);
            let last = self.live.save();
            for detectors in self.all() {
                detectors.finish();
                hand(detectors, &found);
            }
            self.publish();
            let _ = to.send((FILE, last));
            drop(to);
            if keeper.join().is_err() {
                tracing::error!("who keeps the state of detectors panicked");
            }
        };
        Ok(Builder::new().name("detect".into()).spawn(work)?)
    }
}

impl Judges {
    fn all(&mut self) -> impl Iterator<Item = &mut Detectors> {
        std::iter::once(&mut self.live).chain(&mut self.of_files)
    }

    fn keep_of_files(&self, to: &Sender<(&str, Vec<u8>)>) {
        if let Some(of_files) = &self.of_files {
            let _ = to.send((FILE_OF_FILES, of_files.save()));
        }
    }

    fn publish(&mut self) {
        let beyond = self.all().map(|d| d.held_back()).sum::<u64>();
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
    // who takes them ends later
    let _ = found.send(fresh);
}

/// What detectors know, in the state directory, and how often it is written, ms of the data's clock.
const FILE: &str = "detectors";
/// The same of files that are read, whose time is another one.
const FILE_OF_FILES: &str = "detectors_of_files";
const KEEP_MS: i64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_that_cannot_be_used_is_set_aside_and_told() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let state = StateDirectory::open(dir.path()).expect("opens");
        let settings = Settings::default();
        let before = restored(&settings, &state, FILE).expect("fresh");
        state.write_private(FILE, &before.save()).expect("written");
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("there");
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600);
        let mut good = restored(&settings, &state, FILE).expect("state");
        good.pass(1_700_000_000_000);
        good.pass(1_700_000_001_000);
        good.finish();
        assert!(good.take().is_empty());
        state
            .write_private(FILE, b"nothing of it")
            .expect("written");
        let mut bad = restored(&settings, &state, FILE).expect("fresh");
        assert!(dir.path().join("detectors.damaged").exists());
        assert!(!dir.path().join(FILE).exists());
        bad.pass(1_700_000_000_000);
        bad.pass(1_700_000_001_000);
        bad.finish();
        let told = bad.take();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].kind.name(), "detector_degraded");
    }
}
