//! The thread in which detectors judge what all shards see, and what they know over a restart.

use super::{StateDirectory, days};
use crate::config::Config;
use crate::detect::anomaly::{Detectors, Settings};
use crate::model::Detection;
use crate::shard::{Lookout, Sighted};
use crate::sink::clickhouse::Connection;
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::Rng;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Detectors that wait for facts.
#[derive(Debug)]
pub(super) struct Judges {
    /// Of live traffic and exporters, and of files, whose time is another one.
    both: [Detectors; 2],
    input: Receiver<Sighted>,
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
    let fresh = || Detectors::new(&settings).map_err(anyhow::Error::msg);
    let (to, input) = bounded(QUEUE);
    let lookout = Lookout::new(to);
    days::watch(config, connection, lookout.guest())?;
    let judges = Judges {
        both: [restored(&settings, state)?, fresh()?],
        input,
        state: state.clone(),
    };
    Ok(Some((lookout, judges)))
}

/// Detectors that go on where those before a restart were. State that cannot be used is set aside, and they say so.
fn restored(settings: &Settings, state: &StateDirectory) -> Result<Detectors> {
    let fresh = || Detectors::new(settings).map_err(anyhow::Error::msg);
    let why = match state.read(FILE) {
        Ok(None) => return fresh(),
        Ok(Some(bytes)) => match Detectors::restore(settings, &bytes) {
            Ok(detectors) => return Ok(detectors),
            Err(why) => why,
        },
        Err(error) => error.to_string(),
    };
    tracing::warn!("what detectors knew cannot be used ({why}): it is set aside as {FILE}.damaged");
    state.set_aside(FILE);
    let mut detectors = fresh()?;
    detectors.forgot(&why);
    Ok(detectors)
}

impl Judges {
    /// Starts the thread; it ends when all shards are gone.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut self, found: Sender<Vec<Detection>>) -> Result<JoinHandle<()>> {
        // a disk that is slow must not hold up who judges
        let (to, written) = bounded::<Vec<u8>>(1);
        let state = self.state.clone();
        let keep = move || {
            for bytes in written {
                if let Err(error) = state.write_private(FILE, &bytes) {
                    tracing::warn!("what detectors know is not kept: {error}");
                }
            }
        };
        let keeper = Builder::new().name("detect-keep".into()).spawn(keep)?;
        let work = move || {
            let mut kept_ms = i64::MIN;
            for sighted in &self.input {
                let detectors = &mut self.both[usize::from(sighted.of_files)];
                sighted.sightings.iter().for_each(|s| detectors.observe(s));
                detectors.pass(sighted.now_ms);
                hand(detectors, &found);
                let due = sighted.now_ms.saturating_sub(kept_ms) >= KEEP_MS;
                if !sighted.of_files && due {
                    kept_ms = sighted.now_ms;
                    if to.is_empty() {
                        let _ = to.try_send(self.both[0].save());
                    }
                }
            }
            let last = self.both[0].save();
            for detectors in &mut self.both {
                detectors.finish();
                hand(detectors, &found);
            }
            let _ = to.send(last);
            drop(to);
            if keeper.join().is_err() {
                tracing::error!("who keeps the state of detectors panicked");
            }
        };
        Ok(Builder::new().name("detect".into()).spawn(work)?)
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
/// What detectors know, in the state directory, and how often it is written, ms of the data's clock.
const FILE: &str = "detectors";
const KEEP_MS: i64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_that_cannot_be_used_is_set_aside_and_told() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let state = StateDirectory::open(dir.path()).expect("opens");
        let settings = Settings::default();
        let before = restored(&settings, &state).expect("fresh");
        state.write_private(FILE, &before.save()).expect("written");
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("there");
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600);
        let mut good = restored(&settings, &state).expect("state");
        good.pass(1_700_000_000_000);
        good.pass(1_700_000_001_000);
        good.finish();
        assert!(good.take().is_empty());
        state
            .write_private(FILE, b"nothing of it")
            .expect("written");
        let mut bad = restored(&settings, &state).expect("fresh");
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
