//! What shards hand to detectors.

use crate::detect::anomaly::Sighting;
use crossbeam_channel::{Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Facts of a shard up to a time.
#[derive(Debug)]
pub struct Sighted {
    /// Up to when, by the clock of the data, ms since 1970 UTC.
    pub now_ms: i64,
    /// The packets are of files: their time is not that of other shards.
    pub of_files: bool,
    /// The facts, in order.
    pub sightings: Vec<Sighting>,
}

/// The way to the detectors. A shard never waits for them.
#[derive(Clone, Debug)]
pub struct Lookout {
    to: Sender<Sighted>,
    lost: Arc<AtomicU64>,
}

impl Lookout {
    /// A way; `lost` counts facts that found no room on it.
    pub fn new(to: Sender<Sighted>, lost: Arc<AtomicU64>) -> Self {
        Lookout { to, lost }
    }

    /// Facts that found no room since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Hands facts over, or counts them.
    pub fn tell(&self, sighted: Sighted) {
        if let Err(TrySendError::Full(sighted)) = self.to.try_send(sighted) {
            let n = sighted.sightings.len() as u64;
            self.lost.fetch_add(n, Ordering::Relaxed);
        }
    }
}
